"""The network as it was trained: float32 in, float32 out. What the smaller ones are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.graph import fixed_batch

__all__ = ["to_float32"]


def to_float32(model: Any, beats: NDArray[np.float32]) -> bytes:
    """Convert a Keras model to a float32 TFLite file for one beat at a time; ``beats`` are not looked at."""
    import tensorflow as tf

    converted: bytes = tf.lite.TFLiteConverter.from_keras_model(fixed_batch(model)).convert()
    return converted
