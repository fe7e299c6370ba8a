"""How millivolts become the 16-bit counts of a recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.io import INVALID_COUNT

__all__ = ["RAIL", "Scale", "ScaleWatch", "extremes"]

GAINS_PER_MV = (1000, 500, 200, 100)
"""The finest that fits is taken: 1 uV a count is below the noise of any electrode, and spans 65 mV."""
RAIL = 32767
"""Counts go from minus to plus this; -32768 is no sample."""
ROOM_MV = 8.0
"""Left on either side of what was seen."""
WINDOW_S = 10.0
CLIPPED_SHARE = 0.5
_FURTHEST_MV = 1e5
_INVALID = INVALID_COUNT["16"]


@dataclass(frozen=True, slots=True)
class Scale:
    """Counts a millivolt, and the count at 0 mV, of each lead.

    The baseline moves only where the electrodes' own voltage is so large that the signal would not fit about zero.
    """

    gains_per_mv: tuple[int, ...]
    baselines: tuple[int, ...]

    @classmethod
    def spanning(cls, lowest_mv: NDArray[np.float64], highest_mv: NDArray[np.float64]) -> Scale:
        """The finest in which each lead's extremes fit with room; NaN where a lead had none."""
        gains, baselines = [], []
        for low, high in zip(lowest_mv.tolist(), highest_mv.tolist(), strict=True):
            if not low <= high:
                low = high = 0.0
            low, high = max(low, -_FURTHEST_MV), min(high, _FURTHEST_MV)
            middle = 0.0 if max(-low, high) + ROOM_MV <= RAIL / GAINS_PER_MV[0] else round((low + high) / 2.0)
            reach = (high - low) / 2.0 if middle else max(-low, high)
            fitting = (gain for gain in GAINS_PER_MV if (reach + ROOM_MV) * gain <= RAIL)
            gain = next(fitting, GAINS_PER_MV[-1])
            gains.append(gain)
            baselines.append(-round(middle * gain))
        return cls(tuple(gains), tuple(baselines))

    def counts(self, samples_mv: NDArray[np.float32]) -> NDArray[np.int16]:
        """Counts of samples; beyond the rails they are clipped, what is no number is the invalid count."""
        valid = np.isfinite(samples_mv)
        exact = np.where(valid, samples_mv, 0.0).astype(np.float64) * self.gains_per_mv + self.baselines
        counts = np.clip(np.rint(exact), -RAIL, RAIL).astype(np.int16)
        counts[~valid] = _INVALID
        return counts


def extremes(samples_mv: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest of each lead; NaN where none is a number."""
    valid = np.isfinite(samples_mv)
    low = np.where(valid, samples_mv, np.inf).min(axis=0, initial=np.inf).astype(np.float64)
    high = np.where(valid, samples_mv, -np.inf).max(axis=0, initial=-np.inf).astype(np.float64)
    none = low > high
    low[none] = high[none] = np.nan
    return low, high


class ScaleWatch:
    """Notices a signal that has left what its scale holds: one lead clipped for most of ten seconds."""

    def __init__(self, fs_hz: float, n_leads: int) -> None:
        self._n_window = WINDOW_S * fs_hz
        self._low = self._high = np.full(n_leads, np.nan)
        self._n = 0
        self._n_clipped = np.zeros(n_leads, np.int64)

    def feed(self, samples_mv: NDArray[np.float32], counts: NDArray[np.int16]) -> Scale | None:
        """Take samples and their counts; return the scale that they need, at the end of a window that was clipped."""
        low, high = extremes(samples_mv)
        self._low, self._high = np.fmin(self._low, low), np.fmax(self._high, high)
        self._n += len(counts)
        self._n_clipped += (np.abs(counts) == RAIL).sum(axis=0)
        if self._n < self._n_window:
            return None
        clipped = bool((self._n_clipped > CLIPPED_SHARE * self._n).any())
        needed = Scale.spanning(self._low, self._high) if clipped else None
        self._low = self._high = np.full(len(low), np.nan)
        self._n = 0
        self._n_clipped = np.zeros(len(low), np.int64)
        return needed
