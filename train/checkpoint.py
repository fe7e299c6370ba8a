"""The checkpoint of a training: all that its next epoch depends on, in one file that is whole or not there."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import DataError

__all__ = ["CHECKPOINT", "Checkpoint", "read_checkpoint", "replace_file", "write_checkpoint"]

CHECKPOINT = "checkpoint.npz"
_SCHEMA = 1


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """State after an epoch. Random numbers have none: those of an epoch come from the seed and its number.

    Attributes
    ----------
    weights, mean, optimizer
        Values of the variables, in the order of Keras: as fitted, their running mean, what Adam remembers.
    progress
        The rest, as JSON can hold it: epochs done, the best one, the schedule, the history.
    """

    weights: Sequence[NDArray[Any]]
    mean: Sequence[NDArray[Any]]
    optimizer: Sequence[NDArray[Any]]
    progress: Mapping[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of a run; the one before it stays whole until this one is."""
    arrays = {
        f"{group}/{k:04d}": value
        for group in ("weights", "mean", "optimizer")
        for k, value in enumerate(getattr(checkpoint, group))
    }
    text = json.dumps({"schema_version": _SCHEMA, **checkpoint.progress})
    part = folder / f"part.{CHECKPOINT}"
    with part.open("wb") as file:
        np.savez(file, progress=np.array(text), **arrays)
    part.replace(folder / CHECKPOINT)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read it. Raises `DataError` when there is none, when it is cut short, or of another version."""
    where = folder / CHECKPOINT
    if not where.exists():
        raise DataError(f"{folder} holds no {CHECKPOINT} to resume from", "Train again")
    try:
        with where.open("rb") as file, np.load(file, allow_pickle=False) as held:
            progress = json.loads(str(held["progress"]))
            groups: dict[str, list[NDArray[Any]]] = {"weights": [], "mean": [], "optimizer": []}
            for name in sorted(held.files):
                if name != "progress":
                    groups[name.partition("/")[0]].append(held[name])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{where} cannot be read: {error}", "Train again") from None
    if progress.pop("schema_version", None) != _SCHEMA:
        raise DataError(f"{where} is not a checkpoint of this version (schema {_SCHEMA})", "Train again")
    return Checkpoint(progress=progress, **groups)


def replace_file(file: Path, text: str) -> None:
    """Write a text file; an older one stays whole until the new one is."""
    part = file.with_name(f"part.{file.name}")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
