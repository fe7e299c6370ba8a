"""The last values of a series, side by side in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ring"]


class Ring:
    """The last ``size`` values that were pushed, oldest first."""

    def __init__(self, size: int) -> None:
        # Twice the room: values move to the front once in ``size`` pushes, and a slice is always in one piece.
        self._held = np.empty(2 * size)
        self._size = size
        self._end = 0

    def __len__(self) -> int:
        return min(self._end, self._size)

    def push(self, value: float) -> None:
        """Remember one more, and forget the oldest when there are more than ``size``."""
        if self._end == len(self._held):
            self._held[: self._size] = self._held[-self._size :]
            self._end = self._size
        self._held[self._end] = value
        self._end += 1

    def refill(self, values: NDArray[np.float64]) -> None:
        """Hold these instead, oldest first, at most ``size``."""
        self._end = min(len(values), self._size)
        self._held[: self._end] = values[len(values) - self._end :]

    def last(self, n: int) -> NDArray[np.float64]:
        """The last ``n`` or as many as there are; a view that the next push may change."""
        return self._held[max(0, self._end - min(n, self._size)) : self._end]
