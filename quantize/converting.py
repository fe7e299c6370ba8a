"""Around a conversion: what the converter mutters is dropped, and what it cannot do is said by layer."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any

from edge_ecg.errors import ModelError
from edge_ecg.infer.tflite import native_remarks_dropped
from quantize.graph import keras_of

__all__ = ["converting"]

_OPERATOR = re.compile(r"'(tf\.\w+)' op is neither")


@contextlib.contextmanager
def converting(model: Any) -> Iterator[None]:
    """Convert ``model`` in silence.

    Raises
    ------
    ModelError
        TFLite has no operator for a layer: it names both.
    """
    from tensorflow.lite.python.convert_phase import ConverterError

    try:
        with _silence():
            yield
    except ConverterError as error:
        text = str(error)
        operators = sorted(set(_OPERATOR.findall(text)))
        if not operators:
            raise ModelError(f"TFLite cannot convert the network: {text.strip().splitlines()[0]}") from None
        with _silence():
            layers = _unconvertible(model)
        where = f" (layer {', '.join(layers)})" if layers else ""
        raise ModelError(
            f"TFLite has no operator of its own for {', '.join(operators)}{where}",
            "Take another layer there: what runs on a device is TFLite's own operators only",
        ) from None


def _unconvertible(model: Any) -> list[str]:
    """Names of the layers that cannot be converted alone. The converter itself names lines of Python."""
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    keras, found = keras_of(model), []
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.Model | keras.layers.InputLayer):
            continue
        try:
            given = layer.input if isinstance(layer.input, list) else [layer.input]
            inputs = [keras.Input(batch_shape=(1, *tensor.shape[1:])) for tensor in given]
            alone = keras.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
            tf.lite.TFLiteConverter.from_keras_model(alone).convert()
        except ConverterError:
            found.append(layer.name)
        except (AttributeError, TypeError, ValueError):
            continue  # a layer that cannot stand alone
    return found


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), native_remarks_dropped():
        yield
