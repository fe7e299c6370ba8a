"""Fit a network: one visible loop, read top to bottom.

The weights that count are a running mean of the fitted ones; after each epoch the mean is scored on the validation
part, and the best epoch is kept. Test beats are not looked at.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg import __version__
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ConfigError
from edge_ecg.labels import LABEL_SETS
from edge_ecg.scoring.confusion import Confusion
from edge_ecg.scoring.probabilities import roc_auc
from train.batches import Batches
from train.checkpoint import Checkpoint, read_checkpoint, write_checkpoint, write_weights
from train.history import TensorBoardLog, write_history, write_plot
from train.models import n_outputs
from train.run import PROGRESS, RUN_SCHEMA, WEIGHTS, Recipe, RunInfo, begun_run, write_run
from train.run_folder import replaced_together, told_when_full, training_in
from train.schedule import Schedule
from train.splits import Split
from train.start import Start, hand_over
from train.step import computing_in, optimizer_of, scale_dropout, seed_dropout, step_of, tensorflow_with
from train.teacher import Teacher
from train.window_set import WindowSet
from train.workers import ALONE, Workers

__all__ = ["fit", "predict", "validation_figures"]


def fit(
    build: Any,
    data: WindowSet,
    split: Split,
    recipe: Recipe,
    params: PreprocessParams,
    seed: int,
    folder: Path,
    command: str = "",
    *,
    threads: int = 0,
    resume: bool = False,
    workers: Workers = ALONE,
    teachers: Sequence[Teacher] = (),
    start: Start | None = None,
) -> RunInfo:
    """Train one network from one seed.

    Leaves in ``folder`` the best weights, `run.json`, `history.json`, `history.png` and TensorBoard logs, and a
    checkpoint of the last epoch, from which ``resume`` goes on as if it had never stopped, bit for bit. Ctrl-C ends
    the training after the epochs done: the folder stays usable.

    Parameters
    ----------
    build
        The network module's ``build(n_classes)``.
    data, split
        Beats and which of them train, choose, and are reported.
    recipe, params, seed
        How to fit, what the windows are, the seed of weights, order, dropout and augmentation.
    folder
        The run folder; made if it is not there.
    command
        What started the training, for the card.
    threads
        Of TensorFlow; 0: as many as it likes. Another number gives other last bits.
    resume
        Go on with the run in ``folder``.
    workers
        Who fits it together; each calls this alike, and only the chief has need of ``folder``.
    teachers
        Whom it learns from besides the labels: from what they say on average.
    start
        Whose weights it begins with; they count as epoch 0, which is kept when no other is better.

    Raises
    ------
    ConfigError
        The loss is no number any more. What was best before is kept.
    UsageError
        ``resume`` with other data, another seed, recipe or teachers than the run began with; workers that differ in
        them; a teacher of other data or another split; a start that may have seen what tests here, or does not fit;
        another process trains in ``folder``, or it cannot be written.
    DataError
        The noise that the recipe asks for is missing; a run or checkpoint to resume cannot be read; the disk is full.
    """
    with ExitStack() as at_end:
        workers.ask_chief(lambda: at_end.enter_context(training_in(folder)))
        batches = Batches(data, split.train, recipe, params, seed)
        tf, keras = tensorflow_with(threads)
        from tqdm import tqdm

        # Before the seed is set: a network begins with the same weights whether it has a teacher or not.
        with computing_in(keras, recipe.compute):
            teaching = [teacher.network() for teacher in teachers]
        begun = start.float_network(data.windows[split.train]) if start and not resume else None
        keras.utils.set_random_seed(seed)
        # Dropout that can be seeded anew for each epoch: a resumed one draws what the straight one drew.
        keras.backend.experimental.enable_tf_random_generator()
        at_end.callback(keras.backend.experimental.disable_tf_random_generator)
        mean = build(n_outputs(data.label_set))
        with computing_in(keras, recipe.compute):
            model = build(n_outputs(data.label_set))
        scale_dropout(keras, model, recipe.dropout_scale)
        if start and begun:
            fresh = hand_over(begun, model, same_classes=start.info.label_set == data.label_set)
            if workers.is_chief:
                _say_start(start, fresh, start.other_windows(data.segmentation, params.fingerprint()))
        mean.set_weights(model.get_weights())
        optimizer = optimizer_of(keras, recipe)
        optimizer.build(model.trainable_variables)
        step = step_of(tf, keras, model, mean, optimizer, recipe, workers, teaching)
        schedule = Schedule(recipe)
        info = _new_info(model, data, split, recipe, params, seed, command, threads, tf.__version__, teachers, start)
        for teacher in teachers:
            teacher.check(info.fixed)
        if start:
            start.check(info.fixed)
        workers.agree(info.fixed)
        history: list[dict[str, Any]] = []

        def state() -> Checkpoint:
            run = {name: getattr(info, name) for name in PROGRESS}
            progress = {"run": run, "schedule": schedule.state, "history": history}
            remembered = [variable.numpy() for variable in optimizer.variables]
            return Checkpoint(model.get_weights(), mean.get_weights(), remembered, progress)

        def save(is_best: bool) -> None:
            with replaced_together(folder) as part:
                if is_best:
                    write_weights(part / WEIGHTS, mean)
                write_checkpoint(part, state())
                write_history(part, history)
                write_run(part, info)

        if resume:
            info, held = workers.ask_chief(lambda: (_begun(folder, info), read_checkpoint(folder, like=state())))
            model.set_weights(held.weights)
            mean.set_weights(held.mean)
            for variable, value in zip(optimizer.variables, held.optimizer, strict=True):
                variable.assign(value)
            info = replace(info, **held.progress["run"])
            schedule.restore(held.progress["schedule"])
            history = list(held.progress["history"])

        log: TensorBoardLog | None = None
        try:
            if workers.is_chief:
                with told_when_full(folder, workers.again(folder)):
                    log = at_end.enter_context(TensorBoardLog(tf, folder))
            if begun:
                figures = workers.ask_chief(lambda: validation_figures(mean, data, split))
                info = replace(info, **_of_info(figures))
                history.append({"epoch": 0, **figures})
                if workers.is_chief:
                    with told_when_full(folder, workers.again(folder)):
                        save(is_best=True)
            for epoch in range(info.epochs_done + 1, recipe.epochs + 1):
                if info.has_waited:
                    if workers.is_chief:
                        print(f"nothing better in {recipe.patience} epochs: done", flush=True)
                    break
                begun_s = time.monotonic()
                seed_dropout(model, seed, epoch, workers.index)
                losses = []
                shown = {"desc": _title(info, epoch), "leave": False, "disable": not workers.is_chief}
                bar = tqdm(batches.of_epoch(epoch), total=batches.n_steps, **shown)
                for x, y, weights in bar:
                    done = epoch - 1 + len(losses) / batches.n_steps
                    optimizer.learning_rate.assign(schedule.rate(done))
                    steps = (epoch - 1) * batches.n_steps + len(losses)
                    decay = min(recipe.average_decay, (1.0 + steps) / (10.0 + steps))
                    losses.append(float(step(x, y, weights, np.float32(decay))))
                    if not math.isfinite(losses[-1]):
                        bar.close()
                        raise _no_number(f"the loss of step {len(losses)} of {batches.n_steps}", epoch, info, folder)
                figures = workers.ask_chief(lambda: validation_figures(mean, data, split))
                if not math.isfinite(figures["validation_loss"]):
                    raise _no_number("the validation loss", epoch, info, folder)
                row = {
                    "epoch": epoch,
                    "loss": float(np.mean(losses)),
                    **figures,
                    "learning_rate": schedule.rate(epoch),
                    "seconds": round(time.monotonic() - begun_s, 2),
                }
                history.append(row)
                if workers.is_chief:
                    _say(row, recipe)
                now = replace(info, epochs_done=epoch, best_epoch=epoch, **_of_info(figures))
                least = [r["validation_loss"] for r in history[:-1] if r["epoch"] == info.best_epoch]
                is_best = row["validation_loss"] < min(least, default=math.inf)
                info = now if is_best else replace(info, epochs_done=epoch)
                schedule.epoch_done(is_best)
                if log is None:
                    continue
                with told_when_full(folder, workers.again(folder)):
                    try:
                        save(is_best)
                    except KeyboardInterrupt:
                        save(is_best)
                        raise
                    log.add(row)
        except KeyboardInterrupt:
            if not history or not workers.is_chief:
                raise
            if not info.is_done:
                kept = f"stopped; the best of {info.epochs_done} epochs is kept"
                print(f"{kept}. To go on: {workers.again(folder)}", flush=True)
        finally:
            if log is not None and history:
                write_plot(folder, history, info.best_epoch)
        return info


def predict(model: Any, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class probabilities ``(n, n_classes)`` of a Keras model for windows ``(n, 187)``; of one sigmoid, two columns."""
    probs = np.concatenate(
        [np.asarray(model(windows[i : i + 2048, :, None], training=False)) for i in range(0, len(windows), 2048)]
    )
    return np.concatenate([1.0 - probs, probs], axis=1) if probs.shape[1] == 1 else probs


def _new_info(
    model: Any, data: WindowSet, split: Split, recipe: Recipe, params: PreprocessParams, seed: int,
    command: str, threads: int, tensorflow: str, teachers: Sequence[Teacher], start: Start | None,
) -> RunInfo:  # fmt: skip
    return RunInfo(
        schema_version=RUN_SCHEMA,
        network=model.name,
        dataset=data.dataset,
        split=split.name,
        patients_on_both_sides=split.patients_on_both_sides,
        seed=seed,
        recipe=recipe,
        preprocessing=params,
        preprocessing_fingerprint=params.fingerprint(),
        data_sha256=data.sha256,
        command=command,
        started_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={
            "edge-ecg": __version__,
            "python": platform.python_version(),
            "tensorflow": tensorflow,
            "numpy": np.__version__,
        },
        n_parameters=model.count_params(),
        label_set=data.label_set,
        segmentation=data.segmentation,
        lead=data.lead,
        fold=split.fold,
        n_folds=split.n_folds,
        threads=threads,
        teachers=tuple(teacher.name for teacher in teachers),
        teachers_sha256=tuple(teacher.sha256 for teacher in teachers),
        starts=start.beginnings if start else (),
    )


def _begun(folder: Path, info: RunInfo) -> RunInfo:
    begun = begun_run(folder, info)
    if (begun.versions, begun.threads) != (info.versions, info.threads):
        print("other versions or threads than it began with: the last bits will differ from a straight run", flush=True)
    return begun


def validation_figures(model: Any, data: WindowSet, split: Split) -> dict[str, float]:
    """Loss, accuracy and macro F1 on the validation part, of two classes the ROC AUC: by their names in a history."""
    probs, labels = predict(model, data.windows[split.validation]), data.labels[split.validation]
    n_classes = len(LABEL_SETS[data.label_set])
    confusion = Confusion.of(labels, probs.argmax(axis=1), n_classes)
    right = probs[np.arange(len(labels)), labels].astype(np.float64)
    figures = {
        "validation_loss": float(-np.log(np.maximum(right, 1e-7)).mean()),
        "validation_accuracy": confusion.accuracy,
        "validation_macro_f1": confusion.macro_f1,
    }
    if n_classes == 2 and (auc := roc_auc(labels == 1, probs[:, 1])) is not None:
        figures["validation_auc"] = auc
    return figures


def _of_info(figures: dict[str, float]) -> dict[str, float]:
    return {name: figures[name] for name in PROGRESS if name in figures}


def _title(info: RunInfo, epoch: int) -> str:
    best = f", best {info.validation_accuracy:.4f} of epoch {info.best_epoch}" if info.validation_accuracy else ""
    return f"epoch {epoch}/{info.recipe.epochs}{best}"


def _say_start(start: Start, fresh: Sequence[str], other_windows: str) -> None:
    anew = f", but for {', '.join(fresh)}, which begins anew" if fresh else ""
    learnt = f"; they learnt from windows cut otherwise ({other_windows})" if other_windows else ""
    print(f"begins with the weights of {start.folder.name}{anew}{learnt}", flush=True)


def _say(row: dict[str, Any], recipe: Recipe) -> None:
    left_s = row["seconds"] * (recipe.epochs - row["epoch"])
    figures = "  ".join(f"{k.replace('_', ' ')} {v:.4f}" for k, v in row.items() if k.startswith(("loss", "valid")))
    time_left = f"{row['seconds']:.0f} s, {left_s / 60:.0f} min left"
    print(f"epoch {row['epoch']}/{recipe.epochs}  {figures}  {time_left}", flush=True)


def _no_number(what: str, epoch: int, info: RunInfo, folder: Path) -> ConfigError:
    is_kept = info.best_epoch > 0 or info.starts
    kept = f"; epoch {info.best_epoch} is kept in {folder}" if is_kept else "; nothing was worth keeping yet"
    return ConfigError(
        f"{what} in epoch {epoch} is not a number{kept}", "Lower learning_rate in the recipe, or set clip_norm = 1.0"
    )
