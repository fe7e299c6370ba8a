"""Fit a network: one visible loop, read top to bottom.

Adam with warm-up and cosine decay; the weights that count are a running mean of the fitted ones; after each epoch
the mean is scored on the validation part, and the best epoch is kept. Test beats are not looked at.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg import __version__
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.labels import BeatLabel
from edge_ecg.scoring.confusion import Confusion
from train.run import RUN_SCHEMA, WEIGHTS, Recipe, RunInfo, write_run
from train.splits import Split
from train.windows import WindowSet

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__all__ = ["fit", "predict"]


def fit(
    build: Any,
    data: WindowSet,
    split: Split,
    recipe: Recipe,
    params: PreprocessParams,
    seed: int,
    folder: Path,
    command: str = "",
) -> RunInfo:
    """Train one network from one seed; leaves `best.weights.h5`, `history.jsonl` and `run.json` in ``folder``.

    Ctrl-C ends the training after the epochs done: the folder stays usable.

    Parameters
    ----------
    build
        The network module's ``build(n_classes)``.
    data, split
        Beats and which of them train, choose, and are reported.
    recipe, params, seed
        How to fit, what the windows are, the seed of weights, order and augmentation.
    folder
        The run folder; made if it is not there.
    command
        What started the training, for the card.
    """
    import tensorflow as tf
    import tf_keras as keras
    from tqdm import tqdm

    n_classes = len(BeatLabel)
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(seed)
    model = build(n_classes)
    mean = build(n_classes)
    mean.set_weights(model.get_weights())
    optimizer = keras.optimizers.Adam(recipe.learning_rate)
    loss_of = keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
    pairs = list(zip(mean.trainable_variables, model.trainable_variables, strict=True))

    @tf.function(reduce_retracing=True)
    def step(x: Any, y: Any, decay: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        for average, value in pairs:
            average.assign_sub((1.0 - decay) * (average - value))
        return loss

    info = RunInfo(
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
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
        },
        n_parameters=model.count_params(),
    )
    rng = np.random.default_rng(seed)
    n_steps = math.ceil(len(split.train) / recipe.batch_size)
    done_steps = 0
    best = -1.0
    (folder / "history.jsonl").write_text("")
    try:
        for epoch in range(1, recipe.epochs + 1):
            losses = []
            bar = tqdm(_batches(data, split.train, recipe, rng), total=n_steps, desc=f"epoch {epoch}", leave=False)
            for x, y in bar:
                optimizer.learning_rate.assign(_rate(recipe, done_steps / n_steps))
                decay = min(recipe.average_decay, (1.0 + done_steps) / (10.0 + done_steps))
                losses.append(step(tf.constant(x), tf.constant(y), tf.constant(decay, tf.float32)))
                done_steps += 1
            confusion = _score(mean, data, split.validation)
            row = {
                "epoch": epoch,
                "loss": float(np.mean([float(v) for v in losses])),
                "validation_accuracy": confusion.accuracy,
                "validation_macro_f1": confusion.macro_f1,
            }
            print("  ".join(f"{k} {v:.5g}" for k, v in row.items()), flush=True)
            with (folder / "history.jsonl").open("a") as history:
                history.write(json.dumps(row) + "\n")
            info = replace(info, epochs_done=epoch)
            # Accuracy alone would let the rare classes go; their F1 alone is noisy.
            if confusion.accuracy + confusion.macro_f1 > best:
                best = confusion.accuracy + confusion.macro_f1
                part = folder / f"part.{WEIGHTS}"
                mean.save_weights(part)
                part.replace(folder / WEIGHTS)
                info = replace(
                    info,
                    best_epoch=epoch,
                    validation_accuracy=confusion.accuracy,
                    validation_macro_f1=confusion.macro_f1,
                )
            write_run(folder, info)
    except KeyboardInterrupt:
        if info.best_epoch == 0:
            raise
        write_run(folder, info)
        print(f"stopped; the best of {info.epochs_done} epochs is kept", flush=True)
    return info


def predict(model: Any, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class probabilities ``(n, n_classes)`` of a Keras model for windows ``(n, 187)``."""
    return np.concatenate(
        [np.asarray(model(windows[i : i + 2048, :, None], training=False)) for i in range(0, len(windows), 2048)]
    )


def _score(model: Any, data: WindowSet, part: NDArray[np.int64]) -> Confusion:
    said = predict(model, data.windows[part]).argmax(axis=1)
    return Confusion.of(data.labels[part], said, len(BeatLabel))


def _rate(recipe: Recipe, epoch: float) -> float:
    if epoch < recipe.warmup_epochs:
        return recipe.learning_rate * (0.05 + 0.95 * epoch / recipe.warmup_epochs)
    left = max(1e-9, recipe.epochs - recipe.warmup_epochs)
    return recipe.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (epoch - recipe.warmup_epochs) / left))


def _batches(
    data: WindowSet, part: NDArray[np.int64], recipe: Recipe, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    order = rng.permutation(part)
    one_hot = np.eye(len(BeatLabel), dtype=np.float32)
    for start in range(0, len(order), recipe.batch_size):
        chosen = order[start : start + recipe.batch_size]
        yield data.windows[chosen][:, :, None], one_hot[data.labels[chosen]]

