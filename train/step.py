"""One step of a training, as TensorFlow runs it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from edge_ecg.errors import UsageError
from train.run import Recipe

__all__ = ["optimizer_of", "seed_dropout", "step_of", "tensorflow_with"]


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


def optimizer_of(keras: Any, recipe: Recipe) -> Any:
    """Adam; AdamW when there is a weight decay."""
    more = {"global_clipnorm": recipe.clip_norm or None, "jit_compile": False}
    if recipe.weight_decay > 0:
        return keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay, **more)
    return keras.optimizers.Adam(recipe.learning_rate, **more)


def step_of(tf: Any, keras: Any, model: Any, mean: Any, optimizer: Any, recipe: Recipe) -> Callable[..., Any]:
    """One step: gradient, optimizer, running mean of the weights.

    Called with windows ``(n, 187, 1)``, targets ``(n, n_outputs)``, weights ``(n,)`` and the decay of the mean, it
    returns the loss.
    """
    is_binary = model.output_shape[-1] == 1
    losses = keras.losses.BinaryCrossentropy if is_binary else keras.losses.CategoricalCrossentropy
    loss_of = losses(label_smoothing=recipe.label_smoothing)
    pairs = list(zip(mean.trainable_variables, model.trainable_variables, strict=True))

    @tf.function(reduce_retracing=True)
    def step(x: Any, y: Any, weights: Any, decay: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True), sample_weight=weights)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        for average, value in pairs:
            average.assign_sub((1.0 - decay) * (average - value))
        return loss

    return lambda *batch: step(*(tf.constant(value) for value in batch))


def seed_dropout(model: Any, seed: int, epoch: int) -> None:
    """Dropout of an epoch depends on the seed and its number alone: a resumed epoch drops what a straight one drops.

    The model was built with Keras' `enable_tf_random_generator`.
    """
    for k, layer in enumerate(model.layers):
        # Keras has no public way to a layer's generator.
        with suppress(AttributeError):
            layer._random_generator._generator.reset_from_seed(
                int(np.random.SeedSequence([seed, epoch, k]).generate_state(1)[0])
            )
