"""Dynamic range: int8 weights, and activations that are quantised as they come. Needs no representative beats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.graph import fixed_batch

__all__ = ["to_dynamic"]


def to_dynamic(model: Any, beats: NDArray[np.float32]) -> bytes:
    """Convert a Keras model to a TFLite file of dynamic range, float32 in and out; ``beats`` are not looked at."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(fixed_batch(model))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converted: bytes = converter.convert()
    return converted
