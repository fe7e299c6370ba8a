"""Trainings that Ctrl-C comes over, and whether two gave the same weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from train.window_set import WindowSet

__all__ = ["interrupted", "same"]


class _InterruptedAt:
    """Windows of which the ``n``-th look at them interrupts."""

    def __init__(self, windows: Any, n: int) -> None:
        self._windows = windows
        self._left = n

    def __getitem__(self, key: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._windows[key]


def interrupted(data: WindowSet, n: int) -> WindowSet:
    """The data, interrupting the ``n``-th look at its windows."""
    return replace(data, windows=_InterruptedAt(data.windows, n))  # type: ignore[arg-type]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    """Whether all weights are the same, bit for bit."""
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
