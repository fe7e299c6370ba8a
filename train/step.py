"""One step of a training, as TensorFlow runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from edge_ecg.errors import UsageError
from train.run import Recipe
from train.teacher import divergence
from train.workers import ALONE, Workers

__all__ = ["computing_in", "optimizer_of", "scale_dropout", "seed_dropout", "step_of", "tensorflow_with"]


def tensorflow_with(threads: int) -> tuple[Any, Any]:
    """TensorFlow and tf_keras, deterministic. Raises `UsageError` when it runs already with other threads."""
    import tensorflow as tf
    import tf_keras as keras

    if threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError:
            if tf.config.threading.get_intra_op_parallelism_threads() != threads:
                raise UsageError("TensorFlow runs already", "Its threads are chosen before its first use") from None
    tf.config.experimental.enable_op_determinism()
    return tf, keras


@contextmanager
def computing_in(keras: Any, compute: str) -> Iterator[None]:
    """Layers built inside compute in ``float32`` or ``bfloat16``; their weights are float32 either way."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("float32" if compute == "float32" else f"mixed_{compute}")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def optimizer_of(keras: Any, recipe: Recipe) -> Any:
    """Adam; AdamW when there is a weight decay."""
    more = {"global_clipnorm": recipe.clip_norm or None, "jit_compile": False}
    if recipe.weight_decay > 0:
        return keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay, **more)
    return keras.optimizers.Adam(recipe.learning_rate, **more)


def step_of(
    tf: Any, keras: Any, model: Any, mean: Any, optimizer: Any, recipe: Recipe, workers: Workers = ALONE,
    teachers: Sequence[Any] = (),
) -> Callable[..., Any]:  # fmt: skip
    """One step: gradient, optimizer, running mean of the weights.

    Called with windows ``(n, 187, 1)``, targets ``(n, n_outputs)``, weights ``(n,)`` and the decay of the mean, it
    returns the loss. Several workers are called with the same batch: each takes its share, all make the same step.
    ``teachers`` are networks: what they say of the same windows, on average, is what a part of the loss is measured by.
    """
    is_binary = model.output_shape[-1] == 1
    losses = keras.losses.BinaryCrossentropy if is_binary else keras.losses.CategoricalCrossentropy
    loss_of = losses(label_smoothing=recipe.label_smoothing)
    pairs = list(zip(mean.trainable_variables, model.trainable_variables, strict=True))
    # Such as the moving averages of a batch normalisation: they are means already.
    others = list(zip(mean.non_trainable_variables, model.non_trainable_variables, strict=True))

    @tf.function(reduce_retracing=True)
    def step(x: Any, y: Any, weights: Any, decay: Any) -> Any:
        taught = tf.add_n([one(x, training=False) for one in teachers]) / len(teachers) if teachers else None
        with tf.GradientTape() as tape:
            said = model(x, training=True)
            loss = loss_of(y, said, sample_weight=weights)
            if taught is not None:
                apart = tf.reduce_mean(weights * divergence(tf, taught, said, recipe.teacher_temperature))
                loss = (1.0 - recipe.teacher_share) * loss + recipe.teacher_share * apart
        loss, *gradients = workers.total([loss, *tape.gradient(loss, model.trainable_variables)])
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        for average, value in pairs:
            average.assign_sub((1.0 - decay) * (average - value))
        for copy, value in others:
            copy.assign(value)
        return loss

    return lambda x, y, weights, decay: step(*map(tf.constant, (*workers.share(x, y, weights), decay)))


def scale_dropout(keras: Any, model: Any, factor: float) -> None:
    """Multiply the rates of a model's dropout layers, before its first call."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate *= factor


def seed_dropout(model: Any, seed: int, epoch: int, worker: int = 0) -> None:
    """Dropout of an epoch depends on the seed and its number alone: a resumed epoch drops what a straight one drops.

    Each of several workers drops something else, or the beats of a batch would lose the same units in pairs.

    The model was built with Keras' `enable_tf_random_generator`.
    """
    for k, layer in enumerate(model.layers):
        # Keras has no public way to a layer's generator.
        with suppress(AttributeError):
            layer._random_generator._generator.reset_from_seed(
                int(np.random.SeedSequence([seed, epoch, k, *[worker] * (worker > 0)]).generate_state(1)[0])
            )
