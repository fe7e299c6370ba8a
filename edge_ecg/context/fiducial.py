"""The fiducial point of a beat: the centre of its steepest part, between samples.

A detector's R sits on one peak or another of the same shape; intervals and templates want a point that does not jump.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["REACH", "fiducial"]

Samples = NDArray[np.float64]

_HALF = 10
_WIDTH = 11.0
_FARTHEST = 8.0
_ROUNDS = 3
_STILL = 0.05
_SPAN = np.arange(2 * _HALF + 1)
REACH = int(_FARTHEST) + _HALF + 2
"""Samples to either side of R that `fiducial` may look at."""


def fiducial(samples: Samples, r: float) -> float:
    """Centroid of the squared slope under a raised cosine, found again about itself, at most 8 samples from R.

    Parameters
    ----------
    samples
        At 128 Hz; `REACH` of them to either side of ``r`` count.
    r
        Where the detector has put R, in samples.
    """
    centre = r
    for _ in range(_ROUNDS):
        first = round(centre) - _HALF
        slope = samples[first + 1 : first + 2 * _HALF + 2] - samples[first - 1 : first + 2 * _HALF]
        at = (_SPAN + first) - centre
        weights = slope * slope * (0.5 + 0.5 * np.cos(np.pi / _WIDTH * at))
        total = float(np.add.reduce(weights))
        if total <= 0.0:
            return centre
        moved = centre + float(np.add.reduce(weights * at)) / total
        moved = min(max(moved, r - _FARTHEST), r + _FARTHEST)
        is_still = abs(moved - centre) < _STILL
        centre = moved
        if is_still:
            break
    return centre
