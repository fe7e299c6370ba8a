"""The run folder: what a training says of itself, written beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError
from edge_ecg.schema import decode
from train.windows import runs_root

__all__ = ["RUN_SCHEMA", "WEIGHTS", "Recipe", "RunInfo", "find_run", "read_run", "write_run"]

RUN_SCHEMA = 1
WEIGHTS = "best.weights.h5"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to fit; `train/configs/NAME.toml` overrides the defaults.

    Attributes
    ----------
    epochs, batch_size
        Passes over the training part, beats per step.
    learning_rate, warmup_epochs
        Peak rate of Adam, epochs until it is reached; then cosine to zero.
    average_decay
        Per step, of the running mean of the weights.
    label_smoothing
        Share of the target taken from the reference class and spread over all.
    """

    epochs: int = 36
    batch_size: int = 128
    learning_rate: float = 1e-3
    warmup_epochs: float = 1.0
    average_decay: float = 0.999
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f'"{name}" must be above 0, found {getattr(self, name)}')
        for name in ("average_decay", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f'"{name}" must be from 0 to below 1, found {getattr(self, name)}')
        if not self.warmup_epochs >= 0:
            raise ValueError(f'"warmup_epochs" must not be negative, found {self.warmup_epochs}')


@dataclass(frozen=True, slots=True)
class RunInfo:
    """`run.json`: where a model comes from, and how far it got."""

    schema_version: int
    network: str
    dataset: str
    split: str
    patients_on_both_sides: bool
    seed: int
    recipe: Recipe
    preprocessing: PreprocessParams
    preprocessing_fingerprint: str
    data_sha256: str
    command: str
    started_utc: str
    versions: dict[str, str]
    n_parameters: int
    epochs_done: int = 0
    best_epoch: int = 0
    validation_accuracy: float = 0.0
    validation_macro_f1: float = 0.0


def write_run(folder: Path, info: RunInfo) -> None:
    """Write `run.json`; an older one stays whole until the new one is."""
    part = folder / "run.json.part"
    part.write_text(json.dumps(asdict(info), indent=2) + "\n")
    part.replace(folder / "run.json")


def find_run(name: str | Path) -> Path:
    """The folder of a run: a path, or a name under `runs_root`. Raises `DataError` when there is none."""
    for folder in (Path(name), runs_root() / name):
        if (folder / "run.json").exists():
            return folder
    held = sorted(p.parent.name for p in runs_root().glob("*/run.json"))
    raise DataError(
        f"no run {str(name)!r} here or in {runs_root()}",
        f"There are: {', '.join(held)}" if held else "Train one: edge-ecg train --network baseline --data mitdb",
    )


def read_run(folder: Path) -> RunInfo:
    """Read `run.json`. Raises `DataError` when it is not one, or of another version."""
    where = folder / "run.json"
    try:
        read: Any = json.loads(where.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{where} cannot be read: {error}", "Train again") from None
    if not isinstance(read, dict) or read.get("schema_version") != RUN_SCHEMA:
        raise DataError(f"{where} is not a run of this version (schema {RUN_SCHEMA})", "Train again")
    info = decode(RunInfo, read, where=str(where), error=DataError)
    if not (folder / WEIGHTS).exists():
        raise DataError(f"{folder} holds no {WEIGHTS}: no epoch of it was finished", "Train again")
    return info
