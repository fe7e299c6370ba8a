"""Data sets, splits and networks by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError, UsageError
from train.models import NETWORKS, build_of, n_outputs
from train.own_data import DATASET_FILE, build_own
from train.ptb import build_ptb, build_ptbdb
from train.run import WEIGHTS, RunInfo
from train.splits import Split, check_split, split_of
from train.window_set import SEGMENTATIONS, WindowSet
from train.windows import build_mitdb

__all__ = ["DATA_SETS", "NETWORKS", "build_of", "load_data", "load_network"]

DATA_SETS = ("mitdb", "ptb", "ptbdb")


def load_data(
    dataset: str, split: str, params: PreprocessParams, *, segmentation: str = "causal", fold: int = 0
) -> tuple[WindowSet, Split]:
    """The beats of a data set and a split of them by name; tells on stderr whether patients stand on both sides.

    Parameters
    ----------
    dataset
        One of `DATA_SETS`, or the path of a folder of own data with its `dataset.toml`.
    split, fold
        As `train.splits.split_of`.
    segmentation
        ``causal``, or ``paper`` (mitdb only) for the published windows.

    Raises
    ------
    UsageError
        An unknown name of anything.
    ConfigError, DataError
        As the builders: files that are missing, short, or say something that does not fit; no room.
    """
    if segmentation not in SEGMENTATIONS:
        raise UsageError(f"no segmentation {segmentation!r}", f"There are: {', '.join(SEGMENTATIONS)}")
    if segmentation == "paper" and dataset != "mitdb":
        raise UsageError("the published windows (paper) are those of mitdb", "Leave --segmentation out")
    # Before the beats are cut: a wrong name or fold need not wait for them.
    check_split(dataset, split, fold)
    if dataset == "mitdb":
        data = build_mitdb(params, segmentation=segmentation)
    elif dataset in DATA_SETS:
        data = (build_ptb if dataset == "ptb" else build_ptbdb)(params)
    elif Path(dataset).is_dir() or "/" in dataset:
        data = build_own(Path(dataset), params)
    else:
        raise UsageError(
            f"no data set {dataset!r}", f"There are: {', '.join(DATA_SETS)}, or a folder with a {DATASET_FILE}"
        )
    parts = split_of(data, split, fold)
    which = split if parts.fold is None else f"{split} (fold {parts.fold} of 0 to {(parts.n_folds or 1) - 1})"
    click.echo(
        f"{data.title}, {which} split: {len(parts.train)} train, {len(parts.validation)} validation, "
        f"{len(parts.test)} test beats; {parts.about_patients(data)}",
        err=True,
    )
    return data, parts


def load_network(folder: Path, info: RunInfo) -> Any:
    """The Keras model of a run with its best weights. Raises `DataError` when they cannot be read."""
    model = build_of(info.network)(n_outputs(info.label_set))
    try:
        model.load_weights(folder / WEIGHTS)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / WEIGHTS} cannot be read: {error}", "Train again") from None
    return model
