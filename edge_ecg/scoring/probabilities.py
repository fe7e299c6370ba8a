"""What probabilities are worth: areas under curves, calibration, and intervals of all figures by resampling.

Areas and figures take weights of the beats, one row a replicate: a bootstrap is the same arithmetic on many rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "LEVEL",
    "N_BINS",
    "Calibration",
    "areas",
    "bootstrap",
    "bootstrap_weights",
    "calibration_of",
    "pr_auc",
    "roc_auc",
    "weighted_figures",
]

Floats = NDArray[np.float64]
Interval = tuple[float, float] | None

N_BINS = 15
LEVEL = 0.95
"""Share of the replicates that an interval holds."""

_CHUNK = 16
"""Replicates at once: with 50,000 beats their weights take 6 MB."""


def roc_auc(positive: ArrayLike, score: ArrayLike) -> float | None:
    """Area under the ROC curve: how often a positive scores above a negative, a tie counting half.

    Parameters
    ----------
    positive, score
        ``(n,)``, whether a beat is of the class, and the probability given for it.

    Returns
    -------
    None when all are positive or none is.
    """
    return _number(areas(positive, score)[0][0])


def pr_auc(positive: ArrayLike, score: ArrayLike) -> float | None:
    """Average precision: the precision at each threshold, weighted with the recall it adds (no interpolation).

    Equal scores are one threshold. None when there is no positive or no negative.
    """
    return _number(areas(positive, score)[1][0])


def areas(positive: ArrayLike, score: ArrayLike, weights: ArrayLike | None = None) -> tuple[Floats, Floats]:
    """ROC AUC and average precision, ``(n_rows,)`` each; NaN where a row has no positive or no negative.

    Parameters
    ----------
    positive, score
        ``(n,)``, as of `roc_auc`.
    weights
        ``(n_rows, n)``, how often each beat counts in each row; None: once, in one row.
    """
    is_positive, p = np.asarray(positive, dtype=bool), np.asarray(score, dtype=np.float64)
    w = np.ones((1, len(p))) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(p):
        return np.full(len(w), np.nan), np.full(len(w), np.nan)
    # From the highest score down; beats of one score enter together. Rows become columns: they stay side by side.
    order = np.argsort(-p, kind="stable")
    ranked, column = p[order], w.T[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    entered, hits = column, column * is_positive[order, None]
    if len(starts) < len(p):
        entered, hits = np.add.reduceat(entered, starts, axis=0), np.add.reduceat(hits, starts, axis=0)
    called, hits_above = entered.cumsum(axis=0), hits.cumsum(axis=0)
    n_positive, n_negative = hits_above[-1], called[-1] - hits_above[-1]
    there = (n_positive > 0) & (n_negative > 0)
    both = np.where(there, n_positive * n_negative, np.nan)
    roc = np.einsum("ij,ij->j", entered - hits, hits_above - 0.5 * hits) / both
    precision = hits_above / np.maximum(called, 1e-12)
    pr = np.einsum("ij,ij->j", hits, precision) / np.where(there, n_positive, np.nan)
    return roc, pr


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Whether a model that is 90 % sure is right 9 times of 10. Bins of equal width over the highest probability.

    Attributes
    ----------
    n
        ``(n_bins,)`` beats in each bin ``(k / n_bins, (k + 1) / n_bins]``.
    confidence, accuracy
        ``(n_bins,)`` mean of the highest probability, and share labelled rightly; 0 in an empty bin.
    """

    n: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats

    @property
    def ece(self) -> float | None:
        """Expected calibration error: mean distance of confidence and accuracy, by beats. None without a beat."""
        n = int(self.n.sum())
        return float((self.n * np.abs(self.confidence - self.accuracy)).sum() / n) if n else None


def calibration_of(reference: ArrayLike, probs: ArrayLike, n_bins: int = N_BINS) -> Calibration:
    """Calibration of the label that a model gives.

    Parameters
    ----------
    reference
        ``(n,)`` codes of the classes.
    probs
        ``(n, n_classes)``.

    Source: Guo et al., On calibration of modern neural networks, ICML 2017 (its ECE, 15 bins).
    """
    p, ref = np.asarray(probs, dtype=np.float64), np.asarray(reference, dtype=np.intp)
    highest = p.max(axis=1) if len(p) else np.empty(0)
    right = (p.argmax(axis=1) == ref).astype(np.float64) if len(p) else np.empty(0)
    at = np.clip(np.ceil(highest * n_bins).astype(np.intp) - 1, 0, n_bins - 1)
    n = np.bincount(at, minlength=n_bins)
    held = np.maximum(n, 1)
    return Calibration(
        n,
        np.bincount(at, weights=highest, minlength=n_bins) / held,
        np.bincount(at, weights=right, minlength=n_bins) / held,
    )


def weighted_figures(reference: ArrayLike, probs: ArrayLike, weights: ArrayLike | None = None) -> dict[str, Floats]:
    """All figures of a classifier, for each row of weights.

    Parameters
    ----------
    reference
        ``(n,)`` codes of the classes.
    probs
        ``(n, n_classes)``.
    weights
        ``(n_rows, n)``; None: every beat once, in one row.

    Returns
    -------
    ``accuracy`` and ``macro_f1`` ``(n_rows,)``; ``se``, ``ppv``, ``f1``, ``roc_auc``, ``pr_auc``
    ``(n_rows, n_classes)``. NaN where there is nothing to divide by. In macro F1 a class that no beat is of and that is
    never said counts as 0, as in `edge_ecg.scoring.confusion`; one that is lacking in a row only is left out there.
    """
    ref, p = np.asarray(reference, dtype=np.intp), np.asarray(probs, dtype=np.float64)
    n_classes = p.shape[1]
    w = np.ones((1, len(p))) if weights is None else np.asarray(weights, dtype=np.float64)
    cell = np.zeros((len(p), n_classes**2))
    cell[np.arange(len(p)), ref * n_classes + p.argmax(axis=1)] = 1.0
    counts = (w @ cell).reshape(-1, n_classes, n_classes)
    hit, there, said = np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2), counts.sum(axis=1)
    f1 = _ratio(2.0 * hit, there + said)
    # A class that only this replicate lacks would pull its mean down for no mistake.
    is_known = (cell.sum(axis=0).reshape(n_classes, n_classes) > 0).any(axis=0)
    is_known |= np.bincount(ref, minlength=n_classes) > 0
    counted = ~np.isnan(f1) | ~is_known
    by_class = [areas(ref == k, p[:, k], w) for k in range(n_classes)]
    return {
        "accuracy": _ratio(hit.sum(axis=1), counts.sum(axis=(1, 2))),
        "macro_f1": np.nan_to_num(f1).sum(axis=1) / np.maximum(counted.sum(axis=1), 1),
        "se": _ratio(hit, there),
        "ppv": _ratio(hit, said),
        "f1": f1,
        "roc_auc": np.stack([roc for roc, _ in by_class], axis=1),
        "pr_auc": np.stack([pr for _, pr in by_class], axis=1),
    }


def bootstrap_weights(units: ArrayLike | None, n: int, n_rows: int, rng: np.random.Generator) -> Floats:
    """How often each of ``n`` beats counts in each replicate, ``(n_rows, n)``.

    Parameters
    ----------
    units
        ``(n,)`` whose beat it is: people are drawn whole, as many as there are. None: beats are drawn.
    """
    if units is None:
        return _drawn(n, n_rows, rng)
    people, whose = np.unique(np.asarray(units), return_inverse=True)
    return _drawn(len(people), n_rows, rng)[:, whose]


def bootstrap(
    figures: Callable[[Floats], Mapping[str, Floats]],
    n: int,
    *,
    units: ArrayLike | None = None,
    n_replicates: int = 1000,
    seed: int = 0,
) -> dict[str, list[Interval]]:
    """95 % intervals of figures: the 2.5th and the 97.5th percentile over replicates drawn with replacement.

    Parameters
    ----------
    figures
        Gives from weights ``(n_rows, n)`` arrays of ``n_rows`` rows by name, as `weighted_figures` does.
    n
        Beats.
    units
        As of `bootstrap_weights`.

    Returns
    -------
    By name one interval for each column; None where no replicate has the figure.
    """
    rng = np.random.default_rng(seed)
    parts: dict[str, list[Floats]] = {}
    for n_rows in _chunks(n_replicates):
        for name, values in figures(bootstrap_weights(units, n, n_rows, rng)).items():
            parts.setdefault(name, []).append(values.reshape(n_rows, -1))
    return {name: [_interval(column) for column in np.concatenate(rows).T] for name, rows in parts.items()}


def _drawn(n: int, n_rows: int, rng: np.random.Generator) -> Floats:
    drawn = (rng.integers(n, size=(n_rows, n)) + n * np.arange(n_rows)[:, None]).astype(np.intp, copy=False)
    return np.bincount(drawn.ravel(), minlength=n_rows * n).reshape(n_rows, n).astype(np.float64)


def _chunks(n_rows: int) -> Iterator[int]:
    for start in range(0, n_rows, _CHUNK):
        yield min(_CHUNK, n_rows - start)


def _interval(values: Floats) -> Interval:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.percentile(known, [50.0 * (1.0 - LEVEL), 50.0 * (1.0 + LEVEL)])
    return float(low), float(high)


def _ratio(a: Floats, b: Floats) -> Floats:
    out: Floats = np.where(b > 0, a / np.where(b > 0, b, 1.0), np.nan)
    return out


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
