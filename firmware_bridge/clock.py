"""A board's rate by the host's clock: the numbers of its samples fitted to when they arrived."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

__all__ = ["SampleClock"]

BUCKET_S = 1.0
MOST_BUCKETS = 600
LEAST_S = 60.0
"""Of arrivals before a rate is told."""
SURE_S = 0.002
"""How far above the line a second may lie and count for much."""
ROUNDS = 8


class SampleClock:
    """Fits ``host time = begin + number / rate`` to the last ten minutes of arrivals.

    Samples arrive in bursts (USB hands over what has gathered in up to 16 ms, a busy host later still), but never
    before they were taken. So of each second only the arrival counts that came soonest after its sample, and of those
    seconds the late ones little: a line under the cloud, not through it. Lost samples leave the line alone.
    With bursts of 16 ms the drift is right to 100 ppm after a minute and to 10 ppm after ten.

    Parameters
    ----------
    fs_hz
        What the board says.
    """

    def __init__(self, fs_hz: float) -> None:
        if not (fs_hz > 0.0 and math.isfinite(fs_hz)):
            raise ValueError(f"a rate is above 0 Hz, not {fs_hz:g} Hz")
        self._fs_hz = fs_hz
        self._buckets: deque[tuple[int, float, float]] = deque(maxlen=MOST_BUCKETS)
        self._origin: tuple[int, float] | None = None
        self._last = 0
        self._slope: float | None = None

    def push(self, number: int, host_s: float) -> None:
        """Sample ``number`` and those before it had arrived by ``host_s``, monotonic. A smaller number begins anew."""
        if self._origin is None or number < self._last:
            self._buckets.clear()
            self._origin = number, host_s
        self._last = number
        since_s = host_s - self._origin[1]
        late_s = since_s - (number - self._origin[0]) / self._fs_hz
        second = int(since_s / BUCKET_S)
        if not self._buckets or self._buckets[-1][0] != second:
            self._buckets.append((second, since_s, late_s))
            self._slope = None
        elif late_s < self._buckets[-1][2]:
            self._buckets[-1] = (second, since_s, late_s)
            self._slope = None

    @property
    def drift_ppm(self) -> float | None:
        """How much faster than it says the board samples; None in its first minute."""
        growth = self._growth()
        # Of a fast board samples are ever less late.
        return None if growth is None else -1e6 * growth

    @property
    def fs_estimate_hz(self) -> float | None:
        """Its rate by the host's clock."""
        drift = self.drift_ppm
        return None if drift is None else self._fs_hz * (1.0 + 1e-6 * drift)

    def _growth(self) -> float | None:
        """How much later samples come each second, s; None too early."""
        if self._slope is None and self._buckets and self._buckets[-1][1] - self._buckets[0][1] >= LEAST_S:
            t, late = np.array([one[1:] for one in self._buckets]).T
            weights = np.ones(len(t))
            line = np.zeros(2)
            # Asymmetric least squares: what lies above the line counts the less, the further.
            for _ in range(ROUNDS):
                line = np.polyfit(t, late, 1, w=np.sqrt(weights))
                above = np.maximum(late - np.polyval(line, t), 0.0)
                weights = 1.0 / (1.0 + (above / SURE_S) ** 2)
            self._slope = float(line[0])
        return self._slope
