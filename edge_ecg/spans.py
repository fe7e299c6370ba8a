"""Stretches of time that do not overlap, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Spans"]


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Half-open stretches ``[begin_s, end_s)``, in order, none empty, none touching the next; arrays ``(n,)``, s."""

    begin_s: NDArray[np.float64]
    end_s: NDArray[np.float64]

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, float]] = ()) -> Spans:
        """Spans from any pairs of begin and end: what overlaps or touches is joined, what is empty left out."""
        kept = sorted((begin, end) for begin, end in pairs if begin < end)
        begins = np.array([begin for begin, _ in kept], np.float64)
        # The furthest end so far: a short one may lie inside a long one.
        ends = np.maximum.accumulate(np.array([end for _, end in kept], np.float64))
        if not len(begins):
            return cls(begins, ends)
        is_first = np.concatenate([[True], begins[1:] > ends[:-1]])
        return cls(begins[is_first], ends[np.concatenate([is_first[1:], [True]])])

    def __len__(self) -> int:
        return len(self.begin_s)

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return iter(zip(self.begin_s.tolist(), self.end_s.tolist(), strict=True))

    def __or__(self, other: Spans) -> Spans:
        return Spans.of([*self, *other])

    def __and__(self, other: Spans) -> Spans:
        return self._where(other, np.logical_and)

    def __sub__(self, other: Spans) -> Spans:
        return self._where(other, lambda mine, theirs: mine & ~theirs)

    @property
    def total_s(self) -> float:
        """Length of all, s."""
        return float(np.sum(self.end_s - self.begin_s))

    def which(self, t_s: ArrayLike) -> NDArray[np.intp]:
        """Number of the span that holds each moment, -1 where none does."""
        at = np.asarray(t_s, np.float64)
        found = np.searchsorted(self.begin_s, at, side="right") - 1
        if not len(self):
            return found
        return np.where((found >= 0) & (at < self.end_s[found]), found, -1)

    def between(self, edges_s: ArrayLike) -> NDArray[np.float64]:
        """How much of them lies between each two neighbours of ``edges_s``, which rise, ``(n - 1,)`` s."""
        edges = np.asarray(edges_s, np.float64)
        if not len(self):
            return np.zeros(len(edges) - 1)
        # Time covered up to a moment rises within a span and rests between two.
        corners = np.stack([self.begin_s, self.end_s], axis=1).reshape(-1)
        lengths = np.cumsum(self.end_s - self.begin_s)
        covered = np.stack([lengths - (self.end_s - self.begin_s), lengths], axis=1).reshape(-1)
        return np.diff(np.interp(edges, corners, covered))

    def _where(self, other: Spans, rule: Callable[[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.bool_]]) -> Spans:
        """What a rule keeps of the pieces that both cut time into."""
        edges = np.unique(np.concatenate([self.begin_s, self.end_s, other.begin_s, other.end_s]))
        kept = rule(self.which(edges) >= 0, other.which(edges) >= 0)
        return Spans.of(
            (a, b) for a, b, keep in zip(edges[:-1].tolist(), edges[1:].tolist(), kept, strict=False) if keep
        )
