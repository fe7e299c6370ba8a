"""The graph that is converted."""

from __future__ import annotations

import os
import re
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__all__ = ["fixed_batch", "given_name", "keras_of"]


def keras_of(model: Any) -> Any:
    """The library that a model is of: tf_keras, or Keras 3 for one that came in a file of that."""
    import tf_keras

    if isinstance(model, tf_keras.Model):
        return tf_keras
    import keras

    return keras


def fixed_batch(model: Any) -> Any:
    """A Keras model for one beat at a time: a batch that is fixed to 1 leaves no shape arithmetic in the graph.

    The layers of ``model`` are renamed in their order. Names get into the file, and Keras numbers layers by how many
    the process has made: without this the same network would give other bytes, and more of them.
    """
    keras = keras_of(model)
    if keras.__name__ == "tf_keras":
        for k, layer in enumerate(model._flatten_layers(recursive=True, include_self=False)):
            kind = re.sub(r"[^a-z0-9]", "", type(layer).__name__.lower())
            layer._given_name = getattr(layer, "_given_name", layer._name)
            layer._name = f"{kind}{k}"
        model._name = "net"
    inputs = keras.Input(batch_shape=(1, *model.input_shape[1:]), name="beat")
    return keras.Model(inputs, model(inputs), name="one")


def given_name(layer: Any) -> str:
    """The name that a layer had before `fixed_batch` renamed it."""
    return str(getattr(layer, "_given_name", layer.name))
