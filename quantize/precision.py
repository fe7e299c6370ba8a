"""The numbers that a converted network computes with; another precision is one function and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.graph import to_tflite
from quantize.int8 import to_int8

__all__ = ["PRECISIONS", "Precision", "to_dynamic", "to_float16", "to_float32"]


@dataclass(frozen=True, slots=True)
class Precision:
    """One of `PRECISIONS`.

    Attributes
    ----------
    what
        In one line.
    convert
        From a Keras model with input ``(187, 1)`` and representative windows ``(n, 187)`` to a .tflite file.
    is_calibrated
        Whether the representative windows decide anything.
    """

    what: str
    convert: Callable[[Any, NDArray[np.float32]], bytes]
    is_calibrated: bool = False


def to_float32(model: Any, _: NDArray[np.float32]) -> bytes:
    """The network as it was trained: float32 in, float32 out."""
    return to_tflite(model)


def to_float16(model: Any, _: NDArray[np.float32]) -> bytes:
    """Weights kept as float16, computed with as float32; float32 in and out."""
    import tensorflow as tf

    half = tf.lite.TargetSpec(supported_types=[tf.float16])
    return to_tflite(model, optimizations=[tf.lite.Optimize.DEFAULT], target_spec=half)


def to_dynamic(model: Any, _: NDArray[np.float32]) -> bytes:
    """Int8 weights, and activations that are quantised as they come; float32 in and out."""
    import tensorflow as tf

    return to_tflite(model, optimizations=[tf.lite.Optimize.DEFAULT])


PRECISIONS: Mapping[str, Precision] = MappingProxyType(
    {
        "int8": Precision("Full int8: int8 in, int8 out, no float operator.", to_int8, is_calibrated=True),
        "float16": Precision("Weights as float16: half the size, computed as float32.", to_float16),
        "dynamic": Precision("Weights as int8, the rest quantised as it comes; not for tflite-runtime.", to_dynamic),
        "float32": Precision("As it was trained, to compare with.", to_float32),
    }
)
