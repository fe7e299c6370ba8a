"""Copies of a Keras model that can be fine-tuned, changed, and thrown away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from train.step import scale_dropout

__all__ = ["copy_of", "inner"]


def copy_of(network: Any, dropout_scale: float, change: Callable[[Any], Any] | None = None) -> Any:
    """A Keras model of the same layers and weights that can be fine-tuned, its dropout rates scaled.

    ``change`` may wrap a fresh layer, or give another in its place that takes the same weights.
    """
    import tf_keras as keras

    def fresh(layer: Any) -> Any:
        made = type(layer).from_config(layer.get_config())
        return change(made) if change else made

    # Dropout that can be seeded anew for each epoch, as in a training.
    keras.backend.experimental.enable_tf_random_generator()
    try:
        model = keras.models.clone_model(network, clone_function=fresh)
    finally:
        keras.backend.experimental.disable_tf_random_generator()
    scale_dropout(keras, model, dropout_scale)
    of = {inner(layer).name: inner(layer) for layer in model.layers}
    for layer in network.layers:
        of[layer.name].set_weights(layer.get_weights())
    return model


def inner(layer: Any) -> Any:
    """The layer itself, without a wrapper of tensorflow-model-optimization."""
    return getattr(layer, "layer", layer)
