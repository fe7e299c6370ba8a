"""Quantisation-aware training: the network is fine-tuned with the rounding of int8 in it.

By tensorflow-model-optimization: convolutions per channel, dense layers per tensor. What pruning made zero stays zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import UsageError
from quantize.copies import copy_of
from quantize.int8 import int8_file, representative_beats
from quantize.source import Source
from quantize.tune import Tuned, Tuning, tune

__all__ = ["qat_to_int8", "quantised_aware", "train_quantised"]

_RANGE_BEATS = 2_000


def train_quantised(
    network: Any, source: Source, tuning: Tuning, folder: Path, *, teacher: Any, threads: int = 0
) -> tuple[Any, Tuned]:
    """A quantisation-aware Keras model, fine-tuned; `qat_to_int8` converts it.

    Raises
    ------
    UsageError
        As `quantised_aware`; otherwise as `quantize.tune.tune`.
    """
    train = source.split.train
    beats = representative_beats(source.data.windows[train], source.data.labels[train], _RANGE_BEATS, tuning.seed)
    model = quantised_aware(network, beats)
    return model, tune(model, source, tuning, folder, what="qat", teacher=teacher, threads=threads)


def quantised_aware(network: Any, beats: NDArray[np.float32]) -> Any:
    """A copy of a Keras model that rounds as its int8 file will; weights that are zero stay zero in training.

    Parameters
    ----------
    network
        A Keras model with input ``(187, 1)``.
    beats
        ``(n, 187)`` windows; the ranges of inner tensors begin with theirs and follow the training. The input's is
        pinned to [0, 1].

    Raises
    ------
    UsageError
        A layer, named, that tensorflow-model-optimization does not know.
    """
    import tensorflow_model_optimization as tfmot

    # Without dropout: its wrapper hides it from the seeds of `quantize.tune`, and rounding is noise enough.
    plain = copy_of(network, 0.0)
    try:
        annotated = tfmot.quantization.keras.quantize_annotate_model(plain)
        # It keeps what is zero, which in a dense network is nothing.
        scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
        model = tfmot.quantization.keras.quantize_apply(annotated, scheme)
    except (ValueError, RuntimeError) as error:
        raise UsageError(
            f"{network.name} has a layer that cannot be trained quantised: {error}", "Leave --qat out"
        ) from None
    _begin_ranges(model, plain, beats)
    return model


def qat_to_int8(model: Any, beats: NDArray[np.float32] | None = None) -> bytes:
    """Convert a `quantised_aware` model to a full int8 TFLite file; ``beats`` are not looked at: it has its ranges.

    Raises
    ------
    ModelError
        As `quantize.int8.check_int8`.
    """
    return int8_file(model)


def _begin_ranges(model: Any, plain: Any, beats: NDArray[np.float32]) -> None:
    """Set the ranges that tensorflow-model-optimization begins with at -6 to 6 and moves by a thousandth a step."""
    import tf_keras as keras

    # A softmax or sigmoid at the end has the range of what goes into it.
    last = plain.layers[-1].name
    open_end = copy_of(plain, 1.0, lambda layer: _linear(layer) if layer.name == last else layer)
    values = keras.Model(open_end.inputs, [layer.output for layer in open_end.layers])(beats[:, :, None])
    of = {f"quant_{layer.name}": np.asarray(value) for layer, value in zip(open_end.layers, values, strict=True)}
    for layer in model.layers:
        if type(layer).__name__ == "QuantizeLayer":
            # The window itself, whatever these beats reach.
            of[layer.name] = np.array([0.0, 1.0])
        for variable in layer.weights:
            what, _, end = variable.name.split(":")[0].split("/")[-1].rpartition("_")
            if layer.name in of and end in ("min", "max") and not what.endswith("kernel"):
                value = of[layer.name]
                variable.assign(min(0.0, float(value.min())) if end == "min" else max(1e-3, float(value.max())))
    # Kernels take their ranges from a step.
    model(beats[:1, :, None], training=True)


def _linear(layer: Any) -> Any:
    return type(layer).from_config({**layer.get_config(), "activation": "linear"})
