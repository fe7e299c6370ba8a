"""Logistic regression with a ridge, by Newton's method: for the few numbers of a watch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_logistic"]

Samples = NDArray[np.float64]

_RIDGE = 1.0
"""On columns of mean 0 and deviation 1; not on the bias."""
_MOST_STEPS, _LONGEST_STEP, _DONE_BELOW = 50, 3.0, 1e-6


def fit_logistic(x: Samples, y: Samples, weights: Samples) -> tuple[tuple[float, ...], float]:
    """Slopes of the columns and the bias of a logit.

    Parameters
    ----------
    x
        ``(n, n_columns)``.
    y
        ``(n,)``, 0 or 1.
    weights
        ``(n,)`` of the rows.
    """
    middle, spread = x.mean(axis=0), x.std(axis=0)
    z = np.column_stack([(x - middle) / spread, np.ones(len(x))])
    ridge = _RIDGE * np.diag([1.0] * x.shape[1] + [0.0])
    b = np.zeros(z.shape[1])
    for _ in range(_MOST_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(z @ b, -30.0, 30.0)))
        curvature = (z * (weights * p * (1.0 - p))[:, None]).T @ z + ridge
        step = np.linalg.solve(curvature, z.T @ (weights * (y - p)) - ridge @ b)
        longest = float(np.abs(step).max())
        b += step * min(1.0, _LONGEST_STEP / longest)
        if longest < _DONE_BELOW:
            break
    slopes = b[:-1] / spread
    return tuple(slopes.tolist()), float(b[-1] - slopes @ middle)
