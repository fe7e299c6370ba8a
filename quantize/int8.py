"""Post-training quantisation to full int8: int8 in, int8 out, no float operator between."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.graph import fixed_batch

__all__ = ["representative_beats", "to_int8"]


def representative_beats(
    windows: NDArray[np.float32], labels: NDArray[np.uint8], n: int, seed: int
) -> NDArray[np.float32]:
    """``n`` training windows ``(n, 187)``, an equal share of each class as far as it goes, seeded."""
    rng = np.random.default_rng(seed)
    classes = np.unique(labels)
    share = -(-n // len(classes))
    chosen = [rng.permutation(np.flatnonzero(labels == c))[:share] for c in classes]
    return windows[rng.permutation(np.concatenate(chosen))[:n]]


def to_int8(model: Any, beats: NDArray[np.float32]) -> bytes:
    """Convert a Keras model with input ``(187, 1)`` to a full int8 TFLite file.

    Parameters
    ----------
    model
        The Keras model.
    beats
        ``(n, 187)`` representative windows; they set the ranges of the inner tensors. The input's is pinned to
        the known [0, 1].

    Raises
    ------
    ValueError
        When an operator stayed in float.
    """
    import tensorflow as tf

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        pinned = np.linspace(0.0, 1.0, beats.shape[1], dtype=np.float32)
        for beat in [pinned, *beats]:
            yield [beat[None, :, None]]

    converter = tf.lite.TFLiteConverter.from_keras_model(fixed_batch(model))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    # Per-channel weights of dense layers are what an Edge TPU may not take.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    with warnings.catch_warnings():
        # It expects ranges of quantisation-aware training, and has the representative beats instead.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
        converted: bytes = converter.convert()
    _refuse_float(converted)
    return converted


def _refuse_float(model: bytes) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    floats = [t["name"] for t in interpreter.get_tensor_details() if t["dtype"] == np.float32]
    if floats:
        raise ValueError(f"{len(floats)} tensors stayed in float32: {', '.join(floats[:5])}")
