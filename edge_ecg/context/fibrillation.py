"""Whether one lead shows ventricular flutter or fibrillation: streaming, causal, from the signal alone.

No beat is asked for, as there may be none to find. Each second the last `WINDOW_S` are measured in three ways that
know neither gain nor polarity, and weighed into a logit; the mean of the last `N_MEAN` decides, with hysteresis.

Sources: S. Kuo, R. Dillman, Computer detection of ventricular fibrillation, Computers in Cardiology, 347 (1978), for
the leakage; Q. Li, C. Rajagopalan, G. D. Clifford, Ventricular fibrillation and tachycardia classification using a
machine learning approach, IEEE Trans. Biomed. Eng. 61:1607 (2014), for how few measures are enough. Departures: the
leakage is of the window between 1 and 25 Hz; the mean of four logits stands for a longer window.

Weights and limits are what `python -m train.fibrillation` says, chosen by cross-validation over its fitting people.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.filters import HighPass
from edge_ecg.dsp.resample import Resampler

__all__ = [
    "BEGIN_ABOVE",
    "BIAS",
    "END_BELOW",
    "MEASURES",
    "WEIGHTS",
    "FibrillationChange",
    "FibrillationWatch",
    "Verdict",
    "measure",
]

Samples = NDArray[np.float64]

FS_HZ = 128
CUTOFF_HZ = 0.5
WINDOW_S = 4
N_MEAN = 4
"""Logits that decide together: with the window they see 7 s, so that 10 s suffice to notice."""

MEASURES = ("leakage", "rest", "middle")
WEIGHTS = (-12.05, -13.06, 1.04)
BIAS = 15.52
BEGIN_ABOVE, END_BELOW = 2.5, 0.5
"""Limits of the mean logit."""
LOGIT_CAP = 6.0
"""A second that is very sure must not outvote three others."""
FLAT_MV = 0.1
"""From the lowest to the highest hundredth, 1 to 25 Hz: below lies asystole, or an electrode that is off."""
NOISE_SHARE = 0.25
"""Of the power up to 35 Hz, above 20 Hz: white noise has 0.44, 99 of 100 s of fibrillation less than 0.14. Mains hum,
also what becomes of it on a board of 100 Hz, lies above."""
SLOW_HZ = 1.5
"""Mean pace of the waves: fibrillation is not as slow, what the breath or a swinging cable does is."""

N_WINDOW = WINDOW_S * FS_HZ
_LARGEST_MV = 1e6
"""Far above any board; products of larger numbers might overflow."""
_HZ = np.fft.rfftfreq(N_WINDOW, 1.0 / FS_HZ)
_WAVES = (_HZ >= 1.0) & (_HZ <= 25.0)
_WHOLE = (_HZ >= 0.9) & (_HZ <= 35.0)
_MIDDLE = (_HZ >= 2.2) & (_HZ < 9.0)
_FAST = (_HZ >= 20.0) & (_HZ <= 35.0)
_HANN = np.hanning(N_WINDOW)
_AT_REST = 0.2
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class FibrillationChange:
    """Flutter or fibrillation is suspected from ``sample`` on, or no longer; known with sample ``at_index``.

    ``score`` is 0..1, the logistic function of the mean logit.
    """

    at_index: int
    sample: int
    suspected: bool
    score: float


class FibrillationWatch:
    """Watches one lead; a window every second, the first change after 7 s at the earliest.

    Cut the stream as you like: the changes are the same, bit for bit.

    Parameters
    ----------
    fs_hz
        Sampling rate, 100 to 1000 Hz.
    """

    def __init__(self, fs_hz: float) -> None:
        if not 100.0 <= fs_hz <= 1000.0:
            raise ValueError(f"fibrillation is watched for from 100 to 1000 Hz; {fs_hz:g} Hz is outside")
        self._fs_hz = fs_hz
        self._verdict = Verdict()
        self._last_sample = 0
        self.resume(0)

    @property
    def suspected(self) -> bool:
        """What is known now."""
        return self._verdict.suspected

    def resume(self, first_index: int) -> None:
        """Start again behind a gap; what is suspected stays so until the signal behind it says otherwise."""
        self._first_index = first_index
        self._resampler, self._high_pass = Resampler(self._fs_hz, float(FS_HZ)), HighPass(CUTOFF_HZ, float(FS_HZ))
        self._held, self._held_from = np.empty(0), 0
        self._verdict.forget()

    def feed(self, samples_mv: Samples) -> list[FibrillationChange]:
        """Take the next samples in mV, ``(n,) float64``, all finite; return the changes they bring."""
        x = np.clip(samples_mv, -_LARGEST_MV, _LARGEST_MV)
        held = np.concatenate([self._held, self._high_pass.feed(self._resampler.feed(x))])
        changes, at = [], 0
        while at + N_WINDOW <= len(held):
            # One by one: with more rows, sums might round otherwise.
            columns, judged = measure(held[None, at : at + N_WINDOW])
            at += FS_HZ
            logit = BIAS + math.fsum(w * m for w, m in zip(WEIGHTS, columns[0].tolist(), strict=True))
            ago = self._verdict.feed(logit if judged[0] else -LOGIT_CAP)
            if ago is not None:
                changes.append(self._change(self._held_from + at + N_WINDOW - FS_HZ, ago))
        self._held, self._held_from = held[at:].copy(), self._held_from + at
        return changes

    def _change(self, end: int, ago: int) -> FibrillationChange:
        """The change that the window before ``end`` brings: it counts from the middle of that ``ago`` windows back."""
        middle = end - N_WINDOW // 2 - ago * FS_HZ
        sample = self._first_index + round(middle * self._fs_hz / FS_HZ)
        self._last_sample = max(self._last_sample, sample)
        at_index = self._first_index + self._resampler.last_input_needed(end - 1)
        score = 1.0 / (1.0 + math.exp(-self._verdict.mean))
        return FibrillationChange(at_index, self._last_sample, self.suspected, score)


class Verdict:
    """What one logit a second comes to: a mean of `N_MEAN` against two limits."""

    def __init__(self) -> None:
        self.suspected = False
        self.mean = -LOGIT_CAP
        self._last: deque[float] = deque(maxlen=N_MEAN)

    def forget(self) -> None:
        """The next logits do not follow on the last."""
        self._last.clear()

    def feed(self, logit: float) -> int | None:
        """Take the next logit; on a change, tell how many logits ago the first one lies that spoke for it."""
        self._last.append(min(max(logit, -LOGIT_CAP), LOGIT_CAP))
        if len(self._last) < N_MEAN:
            return None
        self.mean = math.fsum(self._last) / N_MEAN
        if self.suspected:
            for_it = [z < END_BELOW for z in (self.mean, *self._last)]
        else:
            for_it = [z > BEGIN_ABOVE for z in (self.mean, *self._last)]
        if not for_it[0]:
            return None
        self.suspected = not self.suspected
        return N_MEAN - for_it.index(True, 1)


def measure(windows_mv: Samples) -> tuple[Samples, NDArray[np.bool_]]:
    """Measure windows, ``(n, 512)`` mV at 128 Hz: ``(n, 3)``, each 0..1, and whether they may show fibrillation at all.

    - leakage: what is left when the window and itself half a mean period later are added; 0 for a sine.
    - rest: share of samples whose slope is under a fifth of the steep ones. The heart rests between beats.
    - middle: share of the power from 0.9 to 35 Hz that lies from 2.2 to 9 Hz. Wander lies below.

    Nothing flat, noisy or slow may.
    """
    x = windows_mv - windows_mv.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(x * _HANN, axis=1)) ** 2
    whole = power[:, _WHOLE].sum(axis=1) + _TINY
    middle, fast = power[:, _MIDDLE].sum(axis=1) / whole, power[:, _FAST].sum(axis=1) / whole
    y = np.fft.irfft(np.fft.rfft(x, axis=1) * _WAVES, N_WINDOW, axis=1)
    slope = np.abs(y[:, 2:] - y[:, :-2])
    steep = np.sort(slope, axis=1)[:, int(0.98 * (N_WINDOW - 3)), None]
    rest = (slope <= _AT_REST * steep).mean(axis=1)
    ordered = np.sort(y, axis=1)
    height_mv = ordered[:, int(0.99 * (N_WINDOW - 1))] - ordered[:, int(0.01 * (N_WINDOW - 1))]
    # Of a sine, the way up and down in a period is 2 pi times the mean of its size.
    way, size = np.abs(y[:, 1:] - y[:, :-1]).sum(axis=1), np.abs(y).sum(axis=1) + _TINY
    pace_hz = way / size * (FS_HZ / (2.0 * np.pi))
    half = np.clip(np.rint(0.5 * FS_HZ / (pace_hz + _TINY)), 1, N_WINDOW // 2).astype(int)
    may = (height_mv >= FLAT_MV) & (fast <= NOISE_SHARE) & (pace_hz >= SLOW_HZ)
    return np.stack([_leakage(y, half), rest, middle], axis=1), may


def _leakage(y: Samples, half: NDArray[np.intp]) -> Samples:
    """Kuo and Dillman's: ``sum |y(t) + y(t - half)|`` over what both have alone."""
    size, left = np.abs(y), np.empty(len(y))
    for n in np.unique(half):
        of = half == n
        alone = size[of, n:].sum(axis=1) + size[of, :-n].sum(axis=1)
        left[of] = np.abs(y[of, n:] + y[of, :-n]).sum(axis=1) / (alone + _TINY)
    return left
