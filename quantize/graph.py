"""The graph that is converted, and the one call of the converter."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__all__ = ["keras_of", "one_beat", "to_tflite"]


def keras_of(model: Any) -> Any:
    """The library that a model is of: tf_keras, or Keras 3 for one that came in a file of that."""
    import tf_keras

    if isinstance(model, tf_keras.Model):
        return tf_keras
    import keras

    return keras


@contextmanager
def one_beat(model: Any) -> Iterator[Any]:
    """A Keras model for one beat at a time: a batch that is fixed to 1 leaves no shape arithmetic in the graph.

    Meanwhile the layers of ``model`` are called by their order. Names get into the file, and Keras numbers layers by
    how many the process has made: without this the same network would give other bytes, and more of them.
    """
    keras, named = keras_of(model), []
    if keras.__name__ == "tf_keras":
        named = [model, *model._flatten_layers(recursive=True, include_self=False)]
    names = [layer._name for layer in named]
    try:
        for k, layer in enumerate(named):
            kind = re.sub(r"[^a-z0-9]", "", type(layer).__name__.lower())
            layer._name = f"{kind}{k - 1}" if k else "net"
        inputs = keras.Input(batch_shape=(1, *model.input_shape[1:]), name="beat")
        yield keras.Model(inputs, model(inputs), name="one")
    finally:
        for layer, name in zip(named, names, strict=True):
            layer._name = name


def to_tflite(model: Any, **settings: Any) -> bytes:
    """Convert a Keras model for one beat at a time; ``settings`` are attributes of `tf.lite.TFLiteConverter`."""
    import tensorflow as tf

    with one_beat(model) as graph, warnings.catch_warnings():
        # It asks for ranges of the input by an old name; they are in the graph, or come from representative beats.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
        converter = tf.lite.TFLiteConverter.from_keras_model(graph)
        for name, value in settings.items():
            setattr(converter, name, value)
        converted: bytes = converter.convert()
    return converted
