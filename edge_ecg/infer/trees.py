"""Boosted trees of at most eight leaves as small integer tables, in numpy alone.

Each tree has a byte with a bit for each of its leaves, from the left. A decision that goes right rules the leaves on
its left out; the first that is left after all decisions is the tree's (C. Lucchese et al., QuickScorer, SIGIR 2015).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import ModelError
from edge_ecg.io.arrays import pack_arrays, unpack_arrays

__all__ = ["LEAVES", "TreeTables", "pack_trees", "unpack_trees"]

LEAVES = 8
"""Of a tree, at most: one byte."""
_FIRST_BIT = np.array([(k & -k).bit_length() - 1 if k else 0 for k in range(256)], dtype=np.intp)
_AT_ONCE = 256
_DTYPES = {
    "edges": np.float32, "n_edges": np.uint8, "column": np.uint8, "bin": np.uint8, "mask": np.uint8, "leaf": np.int8,
    "scale": np.float32, "bias": np.float32,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class TreeTables:
    """All trees of a model; tree ``t`` adds to class ``t % n_classes``.

    Attributes
    ----------
    edges
        ``(n_edges,) float32``: where the bins of a column begin, column after column, ascending in each.
    n_edges
        ``(n_columns,) uint8``: how many each column has.
    column, bin
        ``(n_trees, 7) uint8``: a decision goes left when the column's value lies in this bin or below.
    mask
        ``(n_trees, 7) uint8``: leaves that a decision to the right leaves in. 255 where a tree has no decision.
    leaf
        ``(n_trees, 8) int8``.
    scale, bias
        ``(1,)`` and ``(n_classes,) float32``: a class has the logit ``bias + scale * sum of its leaves``.
    """

    edges: NDArray[np.float32]
    n_edges: NDArray[np.uint8]
    column: NDArray[np.uint8]
    bin: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    leaf: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]

    @property
    def n_columns(self) -> int:
        """Features that a beat has."""
        return len(self.n_edges)

    def bins(self, features: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Of each value the number of its column's edges that lie below it, ``(n, n_columns)``."""
        of_edge = np.repeat(np.arange(self.n_columns), self.n_edges)
        above = np.zeros((len(features), len(self.edges) + 1), dtype=np.int32)
        np.cumsum(features[:, of_edge] > self.edges, axis=1, out=above[:, 1:])
        ends = np.cumsum(self.n_edges, dtype=np.intp)
        return (above[:, ends] - above[:, ends - self.n_edges]).astype(np.uint8)

    def probs(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(n, n_classes) float32`` of beats ``(n, n_columns)``."""
        n_classes = len(self.bias)
        trees = np.arange(len(self.leaf))
        logits = np.empty((len(features), n_classes))
        for start in range(0, len(features), _AT_ONCE):
            bins = self.bins(features[start : start + _AT_ONCE])
            goes_left = bins[:, self.column] <= self.bin
            left = np.bitwise_and.reduce(np.where(goes_left, np.uint8(255), self.mask), axis=2)
            leaves = self.leaf[trees, _FIRST_BIT[left]].astype(np.int32)
            sums = leaves.reshape(len(bins), -1, n_classes).sum(axis=1)
            logits[start : start + len(bins)] = self.bias + self.scale * sums
        logits -= logits.max(axis=1, keepdims=True)
        probs = np.exp(logits)
        return np.asarray(probs / probs.sum(axis=1, keepdims=True), dtype=np.float32)


def pack_trees(tables: TreeTables) -> bytes:
    """The tables as the bytes of an ``.npz`` file; the same tables give the same bytes."""
    return pack_arrays({field.name: getattr(tables, field.name) for field in fields(TreeTables)}, compressed=True)


def unpack_trees(file: bytes) -> TreeTables:
    """The tables of such bytes. Raises `ModelError` when they are none, or do not fit each other."""
    hint = "Get the bundle again, or train it again"
    held = unpack_arrays(file, what="no tables of trees", error=ModelError, hint=hint)
    if held.keys() != _DTYPES.keys():
        raise ModelError(f"no tables of trees: they hold {', '.join(held)}", hint)
    t = TreeTables(**held)
    other = [name for name, dtype in _DTYPES.items() if getattr(t, name).dtype != dtype]
    if other:
        raise ModelError(f"tables of trees of another type: {', '.join(other)}", hint)
    if any(getattr(t, name).ndim == 0 for name in _DTYPES):
        raise ModelError("tables of trees that do not fit each other", hint)
    n_trees, n_classes = len(t.leaf), len(t.bias)
    shapes = {
        "edges": (int(t.n_edges.sum()),), "column": (n_trees, LEAVES - 1), "bin": (n_trees, LEAVES - 1),
        "mask": (n_trees, LEAVES - 1), "leaf": (n_trees, LEAVES), "scale": (1,),
    }  # fmt: skip
    wrong = [name for name, shape in shapes.items() if getattr(t, name).shape != shape]
    if wrong or n_classes < 2 or n_trees % n_classes or int(t.column.max(initial=0)) >= t.n_columns:
        told = ", ".join(wrong) or "trees, classes, columns"
        raise ModelError(f"tables of trees that do not fit each other: {told}", hint)
    return t
