"""A run that can be converted: what it says of itself, its beats, its network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_ecg.errors import UsageError
from train.load import load_data, load_network
from train.run import RunInfo, read_run
from train.splits import Split
from train.window_set import WindowSet

__all__ = ["Source", "open_source"]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A network with its beats and how they were split.

    Attributes
    ----------
    info
        The run that it comes from.
    network
        The Keras model that is converted.
    changes
        What was done to it since it was trained, in order, such as ``pruned 0.8``, ``qat``.
    trained
        The Keras model as it was trained, which the converted one is compared with; ``network`` itself when nothing
        was changed.
    is_foreign
        It came as a Keras file: nothing is known of its training.
    """

    info: RunInfo
    data: WindowSet
    split: Split
    network: Any
    changes: tuple[str, ...] = ()
    trained: Any = None
    is_foreign: bool = False

    def __post_init__(self) -> None:
        if self.trained is None:
            object.__setattr__(self, "trained", self.network)


def open_source(folder: Path, *, bench_only: bool = False) -> Source:
    """Open a run; ``bench_only`` takes one whose windows no device can cut.

    Raises
    ------
    UsageError
        The run's windows look ahead and ``bench_only`` is not asked for, or it saw other beats or another
        preprocessing than this checkout makes.
    DataError
        The run or its weights cannot be read.
    """
    info = read_run(folder)
    if info.segmentation != "causal" and not bench_only:
        raise UsageError(
            f"{folder} was trained on {info.segmentation} windows, which look ahead: no device can cut them",
            "Train it on causal windows; or give --bench-only for a bundle that only evaluate and benchmarks take",
        )
    if info.preprocessing_fingerprint != info.preprocessing.fingerprint():
        raise UsageError(
            f"{folder} was trained on windows of another preprocessing ({info.preprocessing_fingerprint})",
            "Train it again with this version",
        )
    network = load_network(folder, info)
    data, split = load_data(
        info.dataset, info.split, info.preprocessing, segmentation=info.segmentation, fold=info.fold or 0
    )
    if data.sha256 != info.data_sha256:
        raise UsageError(
            f"{folder} was trained on other beats than these ({info.data_sha256[:12]}, here {data.sha256[:12]})",
            "The detector or the preprocessing changed since: train it again",
        )
    return Source(info, data, split, network)
