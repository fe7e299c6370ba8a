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

__all__ = ["LEAVES", "Forest", "TreeTables", "pack_trees", "unpack_trees"]

LEAVES = 8
"""Of a tree, at most: one byte."""
_FIRST_BIT = np.array([(k & -k).bit_length() - 1 if k else 0 for k in range(256)], dtype=np.intp)
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

    def probs(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `Forest.probs`; who asks beat by beat keeps the forest."""
        return Forest(self).probs(features)


class Forest:
    """The trees of tables, laid out so that a beat costs a few passes over arrays.

    Each decision compares a column with one of its edges, and many trees share an edge: each edge is compared once, and
    a decision looks its answer up. Decisions stand in rows, the first of each tree before the second of any: what a
    tree has left is the bitwise and of long rows.
    """

    def __init__(self, tables: TreeTables) -> None:
        n_edges, column = tables.n_edges.astype(np.intp), tables.column.T.astype(np.intp)
        bin_ = tables.bin.T.astype(np.intp)
        first = np.cumsum(n_edges) - n_edges
        # Behind the last edge of a column nothing lies to the right: such a decision asks the one that is never passed.
        never = len(tables.edges)
        self._asks = np.where(bin_ < n_edges[column], first[column] + bin_, never)
        self._edges = np.append(tables.edges, np.float32(np.inf))
        self._of_edge = np.append(np.repeat(np.arange(len(n_edges)), n_edges), 0)
        self._mask = np.ascontiguousarray(tables.mask.T)
        self._leaves = tables.leaf.ravel()
        self._first_leaf = np.arange(len(tables.leaf)) * LEAVES
        self._scale, self._bias = tables.scale, tables.bias

    def probs(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(n, n_classes) float32`` of beats ``(n, n_columns)``."""
        n_classes = len(self._bias)
        logits = np.empty((len(features), n_classes))
        for k, row in enumerate(features):
            # 0 where it goes right, 255 where it goes left and all leaves stay.
            stays = (row.take(self._of_edge) > self._edges).view(np.uint8) - np.uint8(1)
            left = np.bitwise_and.reduce(stays.take(self._asks) | self._mask, axis=0)
            leaves = self._leaves.take(self._first_leaf + _FIRST_BIT.take(left))
            sums = leaves.reshape(-1, n_classes).sum(axis=0, dtype=np.int32)
            logits[k] = self._bias + self._scale * sums
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
