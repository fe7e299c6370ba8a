"""Magnitude pruning: the smallest weights of each layer become zeros while the network is fine-tuned.

Zhu & Gupta, To prune, or not to prune, arXiv 1710.01878. The graph stays as it is: what shrinks is the compressed file.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_ecg.errors import UsageError
from quantize.copies import copy_of, inner
from quantize.source import Source
from quantize.tune import Tuned, Tuning, tune
from train.run import Recipe

__all__ = ["FEWEST_WEIGHTS", "LayerSparsity", "check_share", "gzip_bytes", "prune", "pruned_layers", "sparsity_of",
           "stored_sparsity"]  # fmt: skip

FEWEST_WEIGHTS = 2_000
"""Kernels with fewer stay dense: they hold much and weigh little."""

_SCHEDULE_SHARE = 0.6
"""Of all steps: sparsity rises in these, the rest recovers."""
_UPDATES = 100


@dataclass(frozen=True, slots=True)
class LayerSparsity:
    """One kernel: how many weights it has and how many of them are zero.

    Attributes
    ----------
    is_pruned
        Whether it was meant to lose weights, or is left dense.
    """

    name: str
    n_weights: int
    n_zeros: int
    is_pruned: bool

    @property
    def share(self) -> float:
        """Of zeros, 0 to 1."""
        return self.n_zeros / self.n_weights


def check_share(share: float) -> None:
    """Raise `UsageError` unless something is removed and something left."""
    if not 0 < share < 1:
        raise UsageError(
            f"the share to prune lies between 0 and 1, found {share:g}",
            f"Give --prune {share / 100:g}" if 1 < share < 100 else "Try --prune 0.8",
        )


def prune(
    network: Any, source: Source, share: float, tuning: Tuning, folder: Path, *, teacher: Any, threads: int = 0
) -> tuple[Any, Tuned]:
    """A Keras model of the same layers, in each of `pruned_layers` ``share`` of the weights exactly zero.

    Raises
    ------
    UsageError
        ``share`` is none, or the network has no layer that can be pruned; otherwise as `quantize.tune.tune`.
    """
    from tensorflow_model_optimization.sparsity.keras import UpdatePruningStep, strip_pruning

    check_share(share)
    n_steps = -(-len(source.split.train) // tuning.recipe(source.info.recipe).batch_size)
    model, end_step = _wrapped(network, share, n_steps * tuning.epochs, source.info.recipe)
    tuned = tune(
        model, source, tuning, folder, what=f"prune-{share:g}", teacher=teacher, callback=UpdatePruningStep(),
        first_counted=-(-end_step // n_steps), threads=threads,
    )  # fmt: skip
    return strip_pruning(model), tuned


def pruned_layers(network: Any) -> tuple[str, ...]:
    """Names of the layers that `prune` takes weights from: all with a kernel of `FEWEST_WEIGHTS` and more, but the
    first and the last.
    """
    kernels = [layer for layer in network.layers if hasattr(layer, "kernel")]
    return tuple(layer.name for layer in kernels[1:-1] if _n_weights(layer) >= FEWEST_WEIGHTS)


def sparsity_of(network: Any) -> tuple[LayerSparsity, ...]:
    """Zeros of each kernel of a Keras model, in its order."""
    chosen = pruned_layers(network)
    return tuple(
        LayerSparsity(layer.name, _n_weights(layer), int((layer.kernel.numpy() == 0).sum()), layer.name in chosen)
        for layer in network.layers
        if hasattr(layer, "kernel")
    )


def stored_sparsity(model: bytes) -> tuple[LayerSparsity, ...]:
    """Zeros of each kernel in a .tflite file: what the weights stand for, not what they are stored as."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    kernels = {}
    for op in interpreter._get_ops_details():
        if op["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            kernels[int(op["inputs"][1])] = interpreter.get_tensor(int(op["inputs"][1]))
    names = {int(d["index"]): str(d["name"]) for d in interpreter.get_tensor_details()}
    # Weights are symmetric: their zero point is 0.
    return tuple(
        LayerSparsity(names[index], kernel.size, int((kernel == 0).sum()), kernel.size >= FEWEST_WEIGHTS)
        for index, kernel in kernels.items()
    )


def gzip_bytes(model: bytes) -> int:
    """Size as it goes over the air, gzip -9."""
    return len(gzip.compress(model, 9, mtime=0))


def _wrapped(network: Any, share: float, n_steps: int, recipe: Recipe) -> tuple[Any, int]:
    """A copy whose chosen layers prune themselves, and the step at which they are done."""
    from tensorflow_model_optimization.sparsity.keras import PolynomialDecay, prune_low_magnitude

    chosen = pruned_layers(network)
    if not chosen:
        raise UsageError(
            f"{network.name} has no layer to prune: none between the first and the last has {FEWEST_WEIGHTS:,} weights",
            "Leave --prune out, or remove filters: --prune 0.5 --structured",
        )
    # The last update is at the very end of the schedule, or the sparsity that was asked for is not reached.
    frequency = max(1, int(n_steps * _SCHEDULE_SHARE) // _UPDATES)
    end_step = max(1, int(n_steps * _SCHEDULE_SHARE) // frequency) * frequency
    schedule = PolynomialDecay(0.0, share, begin_step=0, end_step=end_step, frequency=frequency)

    def wrap(layer: Any) -> Any:
        return prune_low_magnitude(layer, schedule) if layer.name in chosen else layer

    return copy_of(network, recipe.dropout_scale, wrap), end_step


def _n_weights(layer: Any) -> int:
    return int(np.prod(inner(layer).kernel.shape))
