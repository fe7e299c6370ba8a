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

from edge_ecg.dsp.filters import HighPass, neighbours
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


def _band(low_hz: float, high_hz: float) -> slice:
    """Where the spectrum of a window has these frequencies, both ends with it."""
    return slice(int(np.searchsorted(_HZ, low_hz)), int(np.searchsorted(_HZ, high_hz, "right")))


_WAVES, _WHOLE, _FAST = _band(1.0, 25.0), _band(0.9, 35.0), _band(20.0, 35.0)
_MIDDLE = _band(2.2, 8.99)
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
        if len(held) < N_WINDOW:
            self._held = held
            return []
        windows = neighbours(held, N_WINDOW)[::FS_HZ]
        columns, judged = measure(windows)
        changes: list[FibrillationChange] = []
        end = self._held_from + N_WINDOW
        for measures, may in zip(columns.tolist(), judged.tolist(), strict=True):
            logit = BIAS + math.fsum(w * m for w, m in zip(WEIGHTS, measures, strict=True))
            ago = self._verdict.feed(logit if may else -LOGIT_CAP)
            if ago is not None:
                changes.append(self._change(end, ago))
            end += FS_HZ
        done = len(windows) * FS_HZ
        self._held, self._held_from = held[done:].copy(), self._held_from + done
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

    Nothing flat, noisy or slow may. A window's figures do not depend on the others, to the last bit: sums are of whole
    rows, all else is of single numbers.
    """
    x = windows_mv - np.add.reduce(windows_mv, axis=1, keepdims=True) / N_WINDOW
    spectrum = np.fft.rfft(x * _HANN)
    power = spectrum.real**2 + spectrum.imag**2
    whole = _row_sums(power[:, _WHOLE]) + _TINY
    middle, fast = _row_sums(power[:, _MIDDLE]) / whole, _row_sums(power[:, _FAST]) / whole
    spectrum = np.fft.rfft(x)
    spectrum[:, : _WAVES.start] = spectrum[:, _WAVES.stop :] = 0.0
    y = np.fft.irfft(spectrum, N_WINDOW)
    slope = np.abs(y[:, 2:] - y[:, :-2])
    steep = np.sort(slope)[:, int(0.98 * (N_WINDOW - 3)), None]
    rest = np.count_nonzero(slope <= _AT_REST * steep, axis=1) / slope.shape[1]
    ordered = np.sort(y)
    height_mv = ordered[:, int(0.99 * (N_WINDOW - 1))] - ordered[:, int(0.01 * (N_WINDOW - 1))]
    size = np.abs(y)
    # Of a sine, the way up and down in a period is 2 pi times the mean of its size.
    way = _row_sums(np.abs(y[:, 1:] - y[:, :-1]))
    pace_hz = way / (_row_sums(size) + _TINY) * (FS_HZ / (2.0 * np.pi))
    half = np.clip(np.rint(0.5 * FS_HZ / (pace_hz + _TINY)), 1, N_WINDOW // 2).astype(int)
    leakage = [_leakage(*row) for row in zip(y, np.cumsum(size, axis=1), half.tolist(), strict=True)]
    may = (height_mv >= FLAT_MV) & (fast <= NOISE_SHARE) & (pace_hz >= SLOW_HZ)
    return np.stack([np.array(leakage), rest, middle], axis=1), may


def _row_sums(rows: Samples) -> Samples:
    sums: Samples = np.add.reduce(rows, axis=1)
    return sums


def _leakage(y: Samples, sums: Samples, half: int) -> float:
    """Kuo and Dillman's, of one window: ``sum |y(t) + y(t - half)|`` over what both have alone.

    ``sums`` are the running sums of ``|y|``.
    """
    alone = float(sums[-1] - sums[half - 1]) + float(sums[-1 - half])
    return float(np.add.reduce(np.abs(y[half:] + y[:-half]))) / (alone + _TINY)
