"""The two small nets that decide on a candidate: one that sees the signal alone, one that knows the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.candidates import N_INPUTS

__all__ = ["FRONT_END_VERSION", "N_CONTEXT", "N_HIDDEN", "SHAPES", "SLOPE", "QrsNets"]

Weights = NDArray[np.float64]

N_CONTEXT = 22
"""Inputs that the memory of the patient gives: `edge_ecg.dsp.rhythm.Rhythm.context`."""
N_HIDDEN = 32
FRONT_END_VERSION = 1
"""To be raised with any change of what the nets see: weights fitted to another are refused."""
SLOPE = 0.1
"""Of the leaky rectifier, below zero."""


@dataclass(frozen=True, slots=True, eq=False)
class QrsNets:
    """Weights of the stateless net S and of the net with memory D: inputs -> 32 leaky ReLU -> 1 logit each.

    The inputs' standardisation is folded in.

    Attributes
    ----------
    hidden, hidden_bias
        ``(64, 82)`` and ``(64,)``: the first layers over the inputs of a candidate, S above D.
    context
        ``(32, 22)``: D's first layer over the context.
    out, out_bias
        ``(64,)`` and ``(2,)``: the last layers, S before D.
    """

    hidden: Weights
    hidden_bias: Weights
    context: Weights
    out: Weights
    out_bias: Weights

    def __post_init__(self) -> None:
        for name, shape in SHAPES.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
                raise ValueError(f"{name} is no finite float64 {shape} but {array.dtype} {array.shape}")

    def begin(self, inputs: Weights) -> tuple[Weights, Weights]:
        """What needs no memory, for a block: S's logits ``(n,)`` and D's hidden sums ``(n, 32)``.

        Row by row: a product of matrices may round differently with another number of rows.
        """
        sums = np.empty((len(inputs), 2 * N_HIDDEN))
        for row, x in zip(sums, inputs, strict=True):
            np.dot(self.hidden, x, out=row)
        sums += self.hidden_bias
        alone = sums[:, :N_HIDDEN]
        weighted = np.maximum(alone, SLOPE * alone) * self.out[:N_HIDDEN]
        # Added up in order, for the same reason.
        return np.cumsum(weighted, axis=1)[:, -1] + self.out_bias[0], np.ascontiguousarray(sums[:, N_HIDDEN:])

    def with_memory(self, sums: Weights, context: list[float]) -> float:
        """D's logit for one candidate: its row of `begin` and its context, 22 numbers."""
        hidden = sums + np.dot(self.context, context)
        return float(np.dot(self.out[N_HIDDEN:], np.maximum(hidden, SLOPE * hidden))) + float(self.out_bias[1])


SHAPES: dict[str, tuple[int, ...]] = {
    "hidden": (2 * N_HIDDEN, N_INPUTS),
    "hidden_bias": (2 * N_HIDDEN,),
    "context": (N_HIDDEN, N_CONTEXT),
    "out": (2 * N_HIDDEN,),
    "out_bias": (2,),
}
