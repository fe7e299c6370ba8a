"""From a run folder to a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge_ecg.errors import UsageError
from edge_ecg.manifest import Bundle, Metrics, SeedFigures
from quantize.bundle import check_target, write_bundle
from quantize.int8 import representative_beats, to_int8
from train.load import load_data, load_network
from train.run import read_run

__all__ = ["REPRESENTATIVE_BEATS", "convert_run"]

REPRESENTATIVE_BEATS = 500


def convert_run(
    folder: Path,
    target: Path,
    *,
    calibration_seed: int = 0,
    commands: tuple[str, ...] = (),
    other_splits: Mapping[str, Metrics] | None = None,
    seeds: Mapping[str, SeedFigures] | None = None,
    bench_only: bool = False,
) -> Bundle:
    """Quantise a run to full int8, score it on the test part of its split, and write its bundle.

    Parameters
    ----------
    folder, target
        The run, and where the bundle goes.
    calibration_seed
        Chooses the representative beats among those of the training part.
    commands
        What made the run and this bundle, for the card.
    other_splits
        Figures of the same recipe on other splits, to stand beside.
    seeds
        Validation figures of the seeds that this one was chosen from, itself included.
    bench_only
        Make a bundle that devices refuse; the only kind of one whose windows no device can cut.

    Raises
    ------
    UsageError
        The run's windows look ahead and ``bench_only`` is not asked for, the run saw other beats or another
        preprocessing than this checkout makes, or ``target`` is no bundle.
    DataError
        The run or its weights cannot be read.
    """
    info = read_run(folder)
    check_target(target)
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
    model = load_network(folder, info)
    data, split = load_data(
        info.dataset, info.split, info.preprocessing, segmentation=info.segmentation, fold=info.fold or 0
    )
    if data.sha256 != info.data_sha256:
        raise UsageError(
            f"{folder} was trained on other beats than these ({info.data_sha256[:12]}, here {data.sha256[:12]})",
            "The detector or the preprocessing changed since: train it again",
        )
    from train.fit import predict

    beats = representative_beats(
        data.windows[split.train], data.labels[split.train], REPRESENTATIVE_BEATS, calibration_seed
    )
    return write_bundle(
        to_int8(model, beats),
        info,
        data,
        split,
        predict(model, data.windows[split.test]),
        "int8",
        (info.command, *commands),
        target,
        other_splits or {},
        seeds or {},
        bench_only=bench_only,
    )
