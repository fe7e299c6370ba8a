"""Fine-tune a network that was changed: one visible loop, read top to bottom.

The beats, their augmentation and the loss are those of the run. The network as it was trained can teach: its
probabilities of the same augmented window are part of the target. After each epoch the validation part scores it; the
best epoch is kept. Test beats are not looked at.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import ConfigError, DataError, UsageError
from quantize.source import Source
from train.batches import Batches
from train.checkpoint import CHECKPOINT, Checkpoint, read_checkpoint, write_checkpoint
from train.fit import validation_figures
from train.history import Row, write_history
from train.run import Recipe
from train.run_folder import replaced_together, training_in
from train.schedule import Schedule
from train.step import optimizer_of, seed_dropout, step_of, tensorflow_with
from train.workers import ALONE

__all__ = ["Tuned", "Tuning", "tune"]

_SCHEMA = 1
"""Raised when the same settings give another network."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How to fine-tune.

    Attributes
    ----------
    epochs
        Passes over the training part.
    learning_rate
        Of Adam at the first step; a cosine takes it to 0.
    teacher_share
        Share of the loss that is the teacher's (`train.teacher.divergence`); 0: labels alone.
    seed
        Of order, augmentation and dropout.
    """

    epochs: int
    learning_rate: float = 2e-3
    teacher_share: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise UsageError(f"{self.epochs} epochs of fine-tuning are none", "Give 1 or more")
        if not self.learning_rate > 0:
            raise UsageError(f"a learning rate must be above 0, found {self.learning_rate:g}", "Try 0.0003")
        if not 0 <= self.teacher_share <= 1:
            raise UsageError(f"the teacher's share is from 0 to 1, found {self.teacher_share:g}", "Try 0.5")

    def recipe(self, of_run: Recipe) -> Recipe:
        """The run's recipe with this rate and length; without what was for weights that begin at random."""
        return replace(
            of_run,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            warmup_epochs=0.0,
            schedule="cosine",
            patience=0,
            weight_decay=0.0,
            average_decay=0.0,
            teacher_share=self.teacher_share or of_run.teacher_share,
        )


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a fine-tuning came to.

    Attributes
    ----------
    what
        Its name.
    rows
        One an epoch: ``epoch``, ``loss``, ``validation_...``, ``seconds``.
    best_epoch
        The one whose weights the network has now.
    was_done
        Whether it was found finished.
    """

    what: str
    rows: tuple[Row, ...]
    best_epoch: int
    was_done: bool

    @property
    def best(self) -> Row:
        """Figures of the best epoch."""
        return self.rows[self.best_epoch - 1]


def tune(
    model: Any,
    source: Source,
    tuning: Tuning,
    folder: Path,
    *,
    what: str,
    teacher: Any = None,
    callback: Any = None,
    first_counted: int = 1,
    threads: int = 0,
) -> Tuned:
    """Fine-tune ``model`` in place; it ends with the weights of the best epoch.

    Parameters
    ----------
    model
        A Keras model with input ``(187, 1)`` that has weights already: one of `quantize.copies.copy_of`, maybe with
        wrappers of tensorflow-model-optimization.
    source
        The run: its recipe, its beats and their split.
    tuning
        How.
    folder
        The run folder. ``changes/WHAT-KEY`` in it keeps the epochs done: the same call goes on there, or finds it
        finished.
    what
        Name of the change, for folder, bar and messages. Whatever decides the result beside the arguments must be in
        it.
    teacher
        The Keras model that teaches; needed unless ``tuning.teacher_share`` is 0.
    callback
        A Keras callback; hears of the beginning and the end of the training, of each step and epoch.
    first_counted
        The first epoch that may be the best.
    threads
        Of TensorFlow; 0: as many as it likes. Another number gives other last bits.

    Raises
    ------
    ConfigError
        The loss is no number any more.
    UsageError
        Another process makes this change, or the folder cannot be written.
    DataError
        The noise that the recipe asks for is missing; what was kept cannot be read; the disk is full.
    KeyboardInterrupt
        Ctrl-C, after a line that tells what is kept.
    """
    tf, keras = tensorflow_with(threads)
    from tqdm import tqdm

    recipe, data, split = tuning.recipe(source.info.recipe), source.data, source.split
    teaches = teacher is not None and tuning.teacher_share > 0
    settings = [_SCHEMA, what, asdict(tuning), asdict(recipe), first_counted, source.info.preprocessing_fingerprint]
    learnt = teacher.get_weights() if teaches else []
    key = _hash(settings, [split.train, split.validation], model.get_weights(), learnt, data=data.sha256)
    place = folder / "changes" / f"{what}-{key}"
    rows: list[Row] = []
    best_epoch, best = 0, []
    with ExitStack() as at_end:
        at_end.enter_context(training_in(place))
        keras.utils.set_random_seed(tuning.seed)
        optimizer = optimizer_of(keras, recipe)
        optimizer.build(model.trainable_variables)
        if (place / CHECKPOINT).exists():
            held = read_checkpoint(place)
            rows, best_epoch, best = list(held.progress["rows"]), int(held.progress["best_epoch"]), list(held.mean)
            if len(rows) == recipe.epochs:
                print(f"{what}: done before, taken from {place}", flush=True)
                model.set_weights(best)
                return Tuned(what, tuple(rows), best_epoch, was_done=True)
            model.set_weights(held.weights)
            for variable, value in zip(optimizer.variables, held.optimizer, strict=True):
                variable.assign(value)
            print(f"{what}: goes on after epoch {len(rows)} of {recipe.epochs}, kept in {place}", flush=True)
        batches = Batches(data, split.train, recipe, source.info.preprocessing, tuning.seed)
        # No running mean here: the model stands in for its own.
        step = step_of(tf, keras, model, model, optimizer, recipe, ALONE, [teacher] if teaches else [])
        schedule = Schedule(recipe)
        if callback is not None:
            model.optimizer = optimizer
            callback.set_model(model)
            callback.on_train_begin()
        try:
            for epoch in range(len(rows) + 1, recipe.epochs + 1):
                begun_s = time.monotonic()
                seed_dropout(model, tuning.seed, epoch)
                losses: list[float] = []
                bar = tqdm(batches.of_epoch(epoch), f"{what}, epoch {epoch}/{recipe.epochs}", batches.n_steps, False)
                for x, y, weights in bar:
                    optimizer.learning_rate.assign(schedule.rate(epoch - 1 + len(losses) / batches.n_steps))
                    if callback is not None:
                        callback.on_train_batch_begin(len(losses))
                    losses.append(float(step(x, y, weights, np.float32(0.0))))
                    if not math.isfinite(losses[-1]):
                        bar.close()
                        raise _no_number(f"{what}: the loss of step {len(losses)} in epoch {epoch}")
                if callback is not None:
                    callback.on_epoch_end(epoch)
                figures = validation_figures(model, data, split)
                if not math.isfinite(figures["validation_loss"]):
                    raise _no_number(f"{what}: the validation loss of epoch {epoch}")
                seconds = round(time.monotonic() - begun_s, 2)
                rows.append({"epoch": epoch, "loss": float(np.mean(losses)), **figures, "seconds": seconds})
                _say(what, rows[-1], recipe.epochs)
                least = rows[best_epoch - 1]["validation_loss"] if best_epoch else math.inf
                if epoch >= first_counted and figures["validation_loss"] < least:
                    best_epoch, best = epoch, model.get_weights()
                progress = {"rows": rows, "best_epoch": best_epoch}
                is_last = epoch == recipe.epochs
                now = [] if is_last else model.get_weights()
                remembered = [] if is_last else [variable.numpy() for variable in optimizer.variables]
                _keep(place, Checkpoint(now, best, remembered, progress))
        except KeyboardInterrupt:
            kept = f"its {len(rows)} epochs of {recipe.epochs} are kept" if rows else "no epoch of it is kept"
            print(f"{what} stopped; {kept}. The same command goes on; the run is as it was", flush=True)
            raise
        model.set_weights(best)
        return Tuned(what, tuple(rows), best_epoch, was_done=False)


def _no_number(what: str) -> ConfigError:
    return ConfigError(f"{what} is not a number", "The run is as it was; its weights may be no numbers already")


def _say(what: str, row: Row, epochs: int) -> None:
    figures = "  ".join(f"{k.replace('_', ' ')} {v:.4f}" for k, v in row.items() if k.startswith(("loss", "valid")))
    left_min = row["seconds"] * (epochs - row["epoch"]) / 60
    print(f"{what} {row['epoch']}/{epochs}  {figures}  {row['seconds']:.0f} s, {left_min:.0f} min left", flush=True)


def _hash(settings: Sequence[Any], *groups: Iterable[NDArray[Any]], data: str) -> str:
    digest = hashlib.sha256(json.dumps([*settings, data]).encode())
    for array in (np.asarray(a) for group in groups for a in group):
        digest.update(str((array.shape, array.dtype.str)).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]


def _keep(place: Path, state: Checkpoint) -> None:
    try:
        with replaced_together(place) as part:
            write_checkpoint(part, state)
            write_history(part, state.progress["rows"])
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise DataError(
            f"cannot keep epoch {len(state.progress['rows'])} in {place}: {reason}",
            "Make room and give the same command again: it goes on after the epoch before",
        ) from None
