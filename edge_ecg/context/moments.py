"""Mean, deviation and order of a few dozen values: numpy's own functions take several times as long as these."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["centred", "deviation", "mean", "ordered"]

Samples = NDArray[np.float64]

_sum = np.add.reduce


def mean(values: Samples) -> float:
    """Of ``(n,)`` values, n > 0."""
    return float(_sum(values)) / len(values)


def centred(values: Samples) -> Samples:
    """The values without their mean."""
    return values - mean(values)


def deviation(values: Samples) -> float:
    """Standard deviation of ``(n,)`` values, n > 0."""
    off = centred(values)
    return math.sqrt(float(off @ off) / len(values))


def ordered(values: Samples) -> Samples:
    """The values, ascending."""
    copy = values.copy()
    copy.sort()
    return copy
