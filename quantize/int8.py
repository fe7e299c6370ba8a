"""Post-training quantisation to full int8: int8 in, int8 out, no float operator between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import ModelError
from edge_ecg.infer.operators import operators_of
from edge_ecg.manifest import Calibration
from quantize.graph import to_tflite
from quantize.signature import signature_of

__all__ = ["calibration_of", "check_int8", "int8_file", "representative", "representative_beats", "to_int8"]

INPUT_SCALE, INPUT_ZERO_POINT = 1 / 255, -128
"""Of a window: 0 is -128 and 1 is 127, whatever the representative beats reach."""


def representative(labels: NDArray[np.uint8], n: int, seed: int) -> NDArray[np.int64]:
    """Places of ``n`` beats, an equal share of each class as far as it goes, seeded."""
    rng = np.random.default_rng(seed)
    classes = np.unique(labels)
    share = -(-n // len(classes))
    chosen = [rng.permutation(np.flatnonzero(labels == c))[:share] for c in classes]
    return rng.permutation(np.concatenate(chosen))[:n]


def representative_beats(
    windows: NDArray[np.float32], labels: NDArray[np.uint8], n: int, seed: int
) -> NDArray[np.float32]:
    """Windows ``(n, 187)`` of `representative` beats."""
    return windows[representative(labels, n, seed)]


def calibration_of(labels: NDArray[np.uint8], n: int, seed: int, names: Sequence[str]) -> Calibration:
    """What a manifest says of `representative` beats; ``names`` are those of the classes."""
    found = np.bincount(labels[representative(labels, n, seed)], minlength=len(names)).tolist()
    return Calibration(sum(found), seed, dict(zip(names, found, strict=True)))


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
    ModelError
        As `check_int8`.
    """
    import tensorflow as tf

    def representative_inputs() -> Iterator[list[NDArray[np.float32]]]:
        pinned = np.linspace(0.0, 1.0, beats.shape[1], dtype=np.float32)
        for beat in [pinned, *np.clip(beats, 0.0, 1.0)]:
            yield [beat[None, :, None]]

    only_int8 = tf.lite.TargetSpec(supported_ops=[tf.lite.OpsSet.TFLITE_BUILTINS_INT8])
    return int8_file(model, representative_dataset=representative_inputs, target_spec=only_int8)


def int8_file(model: Any, **settings: Any) -> bytes:
    """Convert with int8 in and out, checked; ``settings`` say where the ranges come from."""
    import tensorflow as tf

    converted = to_tflite(
        model,
        optimizations=[tf.lite.Optimize.DEFAULT],
        inference_input_type=tf.int8,
        inference_output_type=tf.int8,
        # Per-channel weights of dense layers are what an Edge TPU may not take.
        _experimental_disable_per_channel_quantization_for_dense_layers=True,
        **settings,
    )
    check_int8(converted)
    return converted


def check_int8(model: bytes) -> None:
    """Refuse a model file that is not int8 throughout, or whose input is not [0, 1] in 255 steps.

    Raises
    ------
    ModelError
        An operator takes or gives float, named with the tensor; or the input or output is otherwise.
    """
    for operator in operators_of(model):
        for tensor in (*operator.inputs, *operator.outputs):
            if tensor.dtype.startswith("float"):
                raise ModelError(
                    f"the operator {operator.name} stayed in float: its tensor {tensor.name} is {tensor.dtype}",
                    "It has no int8 form here: take --float16 or --dynamic, or another layer",
                )
    given, gives = signature_of(model)
    pinned = abs(given.scale - INPUT_SCALE) < 1e-9 and given.zero_point == INPUT_ZERO_POINT
    if (given.dtype, gives.dtype) != ("int8", "int8") or not pinned:
        raise ModelError(
            f"the input is {given.dtype} of scale {given.scale:.6g}, zero {given.zero_point}, and the output "
            f"{gives.dtype}; a window of [0, 1] is int8 of scale {INPUT_SCALE:.6g}, zero {INPUT_ZERO_POINT}",
            "The conversion did not keep the known range: this is a bug",
        )
