"""Weights of half the size: kept as float16, computed with as float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.graph import fixed_batch

__all__ = ["to_float16"]


def to_float16(model: Any, beats: NDArray[np.float32]) -> bytes:
    """Convert a Keras model to a TFLite file with float16 weights; ``beats`` are not looked at."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(fixed_batch(model))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    converted: bytes = converter.convert()
    return converted
