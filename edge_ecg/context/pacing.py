"""Whether a pacemaker drives the heart: its spikes, on the source's own rate; streaming and causal.

A pacing pulse lasts about a millisecond. Behind a monitor's anti-alias filter it is one sharp sample or two at the
begin of a QRS that is slow and wide itself. A narrow QRS is sharp, too, but more than once, and has no slow rest
behind. So a beat counts as spiked when its sharpest point stands alone and most of the slope comes later. Detectors of
the pulse itself need some kHz. A front end that cuts at 40 Hz leaves nothing of it, and what else pulses on the skin
(a nerve stimulator) is like it.

The limits were set by hand on the paced records of mitdb (102, 104, 107, 217; both leads) against its other 44, at 250,
360, 500 and 1000 Hz: no other person was there to test them.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOWEST_FS_HZ", "PacingChange", "PacingWatch"]

Samples = NDArray[np.float64]

LOWEST_FS_HZ = 240.0
"""Below, a narrow QRS is as sharp as a spike."""
N_BEGIN, BEGIN_AT_LEAST = 64, 10
"""So many spiked beats of the last ones begin it: paced people have 13 to 90 % by lead, the others less than 5 %."""
N_END = 128
"""So many beats without a spike end it."""
OTHERS_AT_MOST = 0.35
"""Of the spike's sharpness, what the rest of the beat may have."""
LEAST_OF_HEIGHT = 0.05
"""Sharpness of a spike, of the height of the rest of its beat."""
LATER_MS = 20.0
"""From the spike to the middle of the slope of the rest."""

_BEFORE_R_MS, _BEHIND_R_MS = 80.0, 60.0
"""Where a spike may stand."""
_AROUND_MS, _REST_MS = 120.0, 200.0
"""What is compared with it on both sides; how far the rest of the beat goes."""
_SPIKE_MS = 11.0
"""Half of what the filter makes of a spike."""
_SMOOTH_MS = 20.0
_HELD_S = 5.0
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class PacingChange:
    """From the beat at ``sample`` on a pacemaker is suspected, or no longer; known with sample ``at_index``.

    ``score`` is the share of spiked beats among the last.
    """

    at_index: int
    sample: int
    suspected: bool
    score: float


class PacingWatch:
    """Watches the beats of one lead for spikes.

    Cut the stream as you like: the changes are the same. Below `LOWEST_FS_HZ` there are none.

    Parameters
    ----------
    fs_hz
        Sampling rate, Hz.
    """

    def __init__(self, fs_hz: float) -> None:
        self._fs_hz = fs_hz
        self._n_lag = max(1, round(fs_hz / 360.0))
        self._n_spike = math.ceil(_SPIKE_MS * fs_hz / 1e3)
        self._n_around, self._n_rest = self._samples(_AROUND_MS), self._samples(_REST_MS)
        self._n_needed = self._samples(_BEHIND_R_MS) + self._n_rest + self._n_lag
        self._smooth = np.full(max(3, self._samples(_SMOOTH_MS)), 1.0 / max(3, self._samples(_SMOOTH_MS)))
        self._spiked: deque[bool] = deque(maxlen=N_END)
        self._suspected = False
        self.resume(0)

    def _samples(self, ms: float) -> int:
        return round(ms * self._fs_hz / 1e3)

    def resume(self, first_index: int) -> None:
        """Start again behind a gap; what is suspected stays so."""
        self._held, self._held_from = np.empty(0), first_index
        self._pending: deque[tuple[int, int]] = deque()

    def feed(self, samples_mv: Samples) -> None:
        """Take the next samples, ``(n,)`` mV, all finite."""
        if self._fs_hz < LOWEST_FS_HZ:
            return
        held = np.concatenate([self._held, samples_mv])
        # Before the block only: however long it is, its beats find their samples.
        oldest = len(held) - len(samples_mv) - round(_HELD_S * self._fs_hz)
        self._held, self._held_from = held[max(0, oldest) :], self._held_from + max(0, oldest)

    def push_r(self, r_pos: float, known_index: int) -> None:
        """Take the next R peak, in samples since the start of the stream, and the sample with which it was known."""
        if self._fs_hz >= LOWEST_FS_HZ:
            self._pending.append((math.floor(r_pos), known_index))

    def ready(self) -> list[PacingChange]:
        """The changes by the beats that were seen whole."""
        changes = []
        while self._pending and self._pending[0][0] + self._n_needed < self._held_from + len(self._held):
            r, known_index = self._pending.popleft()
            at = r - self._held_from
            if at < self._samples(_BEFORE_R_MS) + self._n_around + self._n_lag:
                continue
            self._spiked.append(self._has_spike(at))
            last = list(self._spiked)[-N_BEGIN:]
            if not any(self._spiked) if self._suspected else sum(last) >= BEGIN_AT_LEAST:
                self._suspected = not self._suspected
                at_index, score = max(known_index, r + self._n_needed), sum(last) / len(last)
                changes.append(PacingChange(at_index, r, self._suspected, score))
        return changes

    def _has_spike(self, r: int) -> bool:
        n_lag, n_spike, n_around, n_rest = self._n_lag, self._n_spike, self._n_around, self._n_rest
        n_before, n_behind = self._samples(_BEFORE_R_MS), self._samples(_BEHIND_R_MS)
        begin = r - n_before - n_around - n_lag
        x = self._held[begin : r + self._n_needed + 1]
        sharp = np.abs(x[2 * n_lag :] - 2.0 * x[n_lag:-n_lag] + x[: -2 * n_lag])
        # From here on indices are those of ``sharp``: the sample it is sharp about lies ``n_lag`` further in ``x``.
        k = n_around + int(np.argmax(sharp[n_around : n_around + n_before + n_behind]))
        height = sharp[k]
        others = max(sharp[k - n_around : k - n_spike + 1].max(), sharp[k + n_spike : k + n_around].max())
        if others >= OTHERS_AT_MOST * height:
            return False
        beat = x[k + n_lag - n_around : k + n_lag + n_rest]
        is_rest = np.ones(len(beat), dtype=bool)
        is_rest[n_around - n_spike + 1 : n_around + n_spike] = False
        if height < LEAST_OF_HEIGHT * np.ptp(beat[is_rest]):
            return False
        slope = np.convolve(np.gradient(beat) ** 2, self._smooth, "same") * is_rest
        middle = float(np.arange(len(beat)) @ slope) / (float(slope.sum()) + _TINY) - n_around
        return 1e3 * middle / self._fs_hz > LATER_MS
