"""The run folder: what a training says of itself, written beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from edge_ecg.beginning import Beginning
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError, UsageError
from edge_ecg.schema import decode
from train.beat_augment import Augment
from train.window_set import runs_root

__all__ = ["PROGRESS", "RUN_SCHEMA", "WEIGHTS", "Recipe", "RunInfo", "begun_run", "find_run", "read_run", "write_run"]

RUN_SCHEMA = 2
WEIGHTS = "best.weights.h5"
PROGRESS = ("epochs_done", "best_epoch", "validation_accuracy", "validation_macro_f1", "validation_auc")
"""What of `run.json` changes from epoch to epoch."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to fit; `train/configs/NAME.toml` overrides the defaults.

    Attributes
    ----------
    epochs, batch_size
        Passes over the training part (0: it stays as it began, see `train.start`), beats per step.
    patience
        Epochs without a better one on the validation part that end the training early; 0: never.
    learning_rate, warmup_epochs
        Peak rate, epochs of rising to it.
    schedule
        What follows: a ``cosine`` down to zero, or a ``plateau``, after which the rate is multiplied with
        ``plateau_factor`` each time that ``plateau_patience`` epochs bring nothing better.
    weight_decay
        Decoupled, per step and rate: above 0 the optimizer is AdamW, else Adam.
    clip_norm
        Longest gradient, over all weights; 0: any.
    average_decay
        Per step, of the running mean of the weights. The mean is what is validated and kept.
    label_smoothing
        Share of the target taken from the reference class and spread over all.
    dropout_scale
        Factor on the network's dropout rates: augmentation keeps it from learning by heart, too.
    compute
        ``float32``, or ``bfloat16`` for the layers of the step: a third faster on processors that have it. Weights,
        loss, running mean and all figures stay float32.
    class_balance
        0: a class counts by its beats, 1: all classes count alike; between them by that power.
    teacher_share, teacher_temperature
        With a teacher (`train.teacher`): its share of the loss, the rest is the labels'; what both are softened by.
    augment
        What each beat may meet, see `train.beat_augment.Augment`.
    """

    epochs: int = 36
    batch_size: int = 128
    patience: int = 0
    learning_rate: float = 1e-3
    warmup_epochs: float = 1.0
    schedule: Literal["cosine", "plateau"] = "cosine"
    plateau_patience: int = 3
    plateau_factor: float = 0.3
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    average_decay: float = 0.999
    label_smoothing: float = 0.0
    class_balance: float = 0.0
    dropout_scale: float = 1.0
    compute: Literal["float32", "bfloat16"] = "float32"
    teacher_share: float = 0.7
    teacher_temperature: float = 2.0
    augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        for name in ("batch_size", "learning_rate", "plateau_patience", "teacher_temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f'"{name}" must be above 0, found {getattr(self, name)}')
        for name in ("average_decay", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f'"{name}" must be from 0 to below 1, found {getattr(self, name)}')
        for name in ("epochs", "patience", "warmup_epochs", "weight_decay", "clip_norm"):
            if not getattr(self, name) >= 0:
                raise ValueError(f'"{name}" must not be negative, found {getattr(self, name)}')
        if not 0 < self.teacher_share <= 1:
            raise ValueError(f'"teacher_share" must be above 0, up to 1, found {self.teacher_share}')
        if not 0 < self.plateau_factor < 1:
            raise ValueError(f'"plateau_factor" must lie between 0 and 1, found {self.plateau_factor}')
        if not 0 <= self.dropout_scale <= 2:
            raise ValueError(f'"dropout_scale" must be from 0 to 2, found {self.dropout_scale}')
        if not 0 <= self.class_balance <= 1:
            raise ValueError(f'"class_balance" must be from 0 to 1, found {self.class_balance}')


@dataclass(frozen=True, slots=True)
class RunInfo:
    """`run.json`: where a model comes from, and how far it got.

    Attributes
    ----------
    network, dataset, label_set, segmentation, lead, split, fold, n_folds
        What was trained on what; ``fold`` of a grouped split, else None.
    patients_on_both_sides
        Whether test beats are of people who also trained it.
    seed
        Of weights, order, dropout and augmentation.
    preprocessing, preprocessing_fingerprint
        What the windows are.
    data_sha256
        Of the window set.
    command, started_utc, versions
        What was run, when, with which tools.
    threads
        Of TensorFlow; 0: as many as it likes.
    teachers, teachers_sha256
        The runs that taught it (what `find_run` takes) and the hashes of their weights.
    starts
        What it began with, and what that began with, and so on; empty: with chance.
    validation_auc
        Area under the ROC curve, binary label sets only.
    """

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
    label_set: str = "aami5"
    segmentation: str = "causal"
    lead: str = "MLII"
    fold: int | None = None
    n_folds: int | None = None
    threads: int = 0
    teachers: tuple[str, ...] = ()
    teachers_sha256: tuple[str, ...] = ()
    starts: tuple[Beginning, ...] = ()
    epochs_done: int = 0
    best_epoch: int = 0
    validation_accuracy: float = 0.0
    validation_macro_f1: float = 0.0
    validation_auc: float | None = None

    @property
    def validation_score(self) -> float:
        """What the seed is chosen by. Accuracy alone would let the rare classes go; their F1 alone is noisy. Of two
        classes the AUC says more than a cut at one half.
        """
        other = self.validation_macro_f1 if self.validation_auc is None else self.validation_auc
        return self.validation_accuracy + other

    @property
    def has_waited(self) -> bool:
        """Whether the recipe's patience is over."""
        return 0 < self.recipe.patience <= self.epochs_done - self.best_epoch

    @property
    def is_done(self) -> bool:
        """Whether no epoch is left to train."""
        return self.epochs_done >= self.recipe.epochs or self.has_waited

    @property
    def fixed(self) -> dict[str, Any]:
        """What a run keeps from its first epoch to its last, on whatever machine."""
        free = {*PROGRESS, "command", "started_utc", "versions", "threads", "teachers"}
        return {key: value for key, value in asdict(self).items() if key not in free}


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


def begun_run(folder: Path, info: RunInfo) -> RunInfo:
    """The run in ``folder``. Raises `UsageError` when it is not the one that ``info`` would begin."""
    begun = read_run(folder)
    other = next((key for key, value in begun.fixed.items() if value != info.fixed[key]), None)
    if other:
        raise UsageError(
            f"{folder} cannot go on, it began with another {other} ({getattr(begun, other)}, "
            f"here {getattr(info, other)})",
            "Train anew into another folder",
        )
    return begun
