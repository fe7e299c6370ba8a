"""The checkpoint of a training, all that its next epoch depends on, in one file; and the weights that are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import DataError
from edge_ecg.io.arrays import pack_arrays, unpack_arrays

__all__ = ["CHECKPOINT", "Checkpoint", "read_checkpoint", "write_checkpoint", "write_weights"]

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
    """Write the checkpoint of a run."""
    arrays = {
        f"{group}/{k:04d}": value
        for group in ("weights", "mean", "optimizer")
        for k, value in enumerate(getattr(checkpoint, group))
    }
    text = json.dumps({"schema_version": _SCHEMA, **checkpoint.progress})
    (folder / CHECKPOINT).write_bytes(pack_arrays({"progress": np.array(text), **arrays}))


def read_checkpoint(folder: Path, like: Checkpoint | None = None) -> Checkpoint:
    """Read it. Raises `DataError` when there is none, when it is cut short, of another version, or when its values
    have other shapes, or its progress other names, than those of ``like``.
    """
    where = folder / CHECKPOINT
    if not where.exists():
        raise DataError(f"{folder} holds no {CHECKPOINT} to resume from", "Train again")
    groups: dict[str, list[NDArray[Any]]] = {"weights": [], "mean": [], "optimizer": []}
    try:
        file = where.read_bytes()
        held = unpack_arrays(file, what=f"{where} cannot be read", error=DataError, hint="Train again")
        progress = json.loads(str(held.pop("progress")))
        for name in sorted(held):
            groups[name.partition("/")[0]].append(held[name])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{where} cannot be read: {error}", "Train again") from None
    if progress.pop("schema_version", None) != _SCHEMA:
        raise DataError(f"{where} is not a checkpoint of this version (schema {_SCHEMA})", "Train again")
    held_here = Checkpoint(progress=progress, **groups)
    if like is not None and _shapes(held_here) != _shapes(like):
        raise DataError(f"{where} is of another network or optimizer than {folder / 'run.json'}", "Train again")
    return held_here


class _File:
    """What Keras takes for an archive that it hands a finished file to."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def writestr(self, _: str, content: bytes) -> None:
        self._file.write_bytes(content)


def write_weights(file: Path, model: Any) -> None:
    """Write what a Keras model's `load_weights` reads from a ``.weights.h5``."""
    from tf_keras.src.saving import saving_lib

    # As its `save_weights` does, but in memory: on a full disk the HDF5 library takes the process down.
    store = saving_lib.H5IOStore(file.name, archive=_File(file), mode="w")
    saving_lib._save_state(model, weights_store=store, assets_store=None, inner_path="", visited_trackables=set())
    store.close()


def _shapes(checkpoint: Checkpoint) -> Any:
    """What two checkpoints of one network have alike: the shapes of all values, the names of all progress."""
    progress = checkpoint.progress
    names = [sorted(value) if isinstance(value, Mapping) else [] for _, value in sorted(progress.items())]
    values = [[np.shape(v) for v in group] for group in (checkpoint.weights, checkpoint.mean, checkpoint.optimizer)]
    return values, sorted(progress), names
