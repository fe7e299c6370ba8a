"""Figures of a classifier from its confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_ecg.scoring.ec57 import Score
from edge_ecg.scoring.rules import Rules

__all__ = ["ClassFigures", "Confusion", "ec57_score"]


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class: sensitivity (Se), positive predictivity (+P) and their harmonic mean, as fractions.

    A figure whose denominator is zero is 0.
    """

    n: int
    se: float
    ppv: float
    f1: float


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """Counts ``(n_classes, n_classes)``: rows are the reference, columns what the model said."""

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, reference: ArrayLike, predicted: ArrayLike, n_classes: int) -> Confusion:
        """Count pairs of labels, each ``(n,)`` in ``0 .. n_classes - 1``."""
        ref, said = np.asarray(reference, dtype=np.intp), np.asarray(predicted, dtype=np.intp)  # what bincount takes
        flat = np.bincount(ref * n_classes + said, minlength=n_classes * n_classes).astype(np.int64)
        return cls(flat.reshape(n_classes, n_classes))

    @property
    def accuracy(self) -> float:
        """Share of beats labelled as the reference does."""
        return float(np.trace(self.counts) / max(1, self.counts.sum()))

    @property
    def macro_f1(self) -> float:
        """Mean of the classes' F1."""
        return float(np.mean([c.f1 for c in self.per_class()]))

    def per_class(self) -> tuple[ClassFigures, ...]:
        """Se, +P and F1 of each class."""
        figures = []
        for k in range(len(self.counts)):
            hit, n, said = int(self.counts[k, k]), int(self.counts[k].sum()), int(self.counts[:, k].sum())
            se, ppv = hit / n if n else 0.0, hit / said if said else 0.0
            figures.append(ClassFigures(n, se, ppv, 2.0 * se * ppv / (se + ppv) if hit else 0.0))
        return tuple(figures)


def ec57_score(confusion: Iterable[Iterable[int]]) -> Score:
    """A confusion matrix N S V F Q of beats at known positions, as EC57 counts: none missed, none extra."""
    counts = np.zeros((7, 7), np.int64)
    counts[:5, :5] = np.array([list(row) for row in confusion])
    return Score.of_counts(counts, Rules("aami5", 0.0))
