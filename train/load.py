"""Data sets, splits and networks by their names."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError, UsageError
from edge_ecg.labels import LABEL_SETS
from train.run import WEIGHTS, RunInfo
from train.splits import Split, split_of
from train.windows import WindowSet, build_mitdb

__all__ = ["DATA_SETS", "NETWORKS", "build_of", "load_data", "load_network"]

NETWORKS = ("baseline",)
DATA_SETS = ("mitdb",)


def load_data(dataset: str, split: str, params: PreprocessParams) -> tuple[WindowSet, Split]:
    """The beats of a database and a split of them by name; says whether patients stand on both sides."""
    if dataset not in DATA_SETS:
        raise UsageError(f"no data set {dataset!r}", f"There are: {', '.join(DATA_SETS)}")
    data = build_mitdb(params)
    parts = split_of(data, split)
    both = "patients stand on both sides" if parts.patients_on_both_sides else "no patient on both sides"
    click.echo(
        f"{dataset}, {split} split: {len(parts.train)} train, {len(parts.validation)} validation, "
        f"{len(parts.test)} test beats; {both}",
        err=True,
    )
    return data, parts


def build_of(network: str) -> Any:
    """The ``build`` function of a network."""
    if network not in NETWORKS:
        raise UsageError(f"no network {network!r}", f"There are: {', '.join(NETWORKS)}")
    return importlib.import_module(f"train.models.{network}").build


def load_network(folder: Path, info: RunInfo) -> Any:
    """The Keras model of a run with its best weights. Raises `DataError` when they cannot be read."""
    model = build_of(info.network)(len(LABEL_SETS["aami5"]))
    try:
        model.load_weights(folder / WEIGHTS)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / WEIGHTS} cannot be read: {error}", "Train again") from None
    return model
