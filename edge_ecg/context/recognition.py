"""Whether the heart is the one that is remembered: the first beats against the shapes that were kept.

A memory of another person, or of other electrodes, is worse than none: every beat that is unlike its dominant shape
looks ventricular. What is seen here (5 min kept): the same person is known again after ten minutes (24 of 24 people of
mitdb), twenty-five (51 of 52 of svdb), two hours (6 of 6 healthy), most by the 8th beat; somebody else is told in two
pairs of three (mitdb). Who looks alike is not told apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.shapes import Shapes

__all__ = ["N_BEATS", "Recognition"]

N_BEATS = 16
"""Beats that decide at the latest."""
LEAST_SHARE = 0.02
"""A shape that is seldomer does not speak for anybody: with twelve kept ones, some stray beat is like everything."""


class Recognition:
    """Compares the first beats with the shapes as they were kept.

    Parameters
    ----------
    shapes
        What is remembered; copied.
    """

    def __init__(self, shapes: Shapes) -> None:
        self._kept = Shapes()
        self._kept.restore(shapes.state())
        self._n, self._n_alike = 0, 0

    def take(self, segment: NDArray[np.float64]) -> bool | None:
        """Take the next beat, as `Shapes.look` does: whether it is the same heart; None while that is open."""
        self._n += 1
        self._n_alike += self._kept.joins(segment, LEAST_SHARE)
        if 2 * self._n_alike >= N_BEATS:
            return True
        return False if 2 * (self._n - self._n_alike) > N_BEATS else None
