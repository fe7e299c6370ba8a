"""Whether a second of signal can be trusted, and if not, why: streaming, causal, one lead.

Each second is held against the patient's own waves, never against millivolts (a lead may be small, its gain
unknown): disturbances are told as multiples of the usual QRS height. Each cause has a severity, 1 where it makes
a second unusable; the quality is ``1 / (1 + severity^2)`` of the worst, so one half is the limit. `Shutdown`
turns seconds into intervals, with hysteresis, in the sense of EC57: declared unusable instead of guessed at.

The limits were chosen on mitdb's DS1, svdb's and the lead-I fitting people and the first halves of nstdb's noise.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.filters import windowed_sinc

__all__ = ["CAUSES", "QualityMeter", "SecondQuality", "Shutdown", "ShutdownChange"]

Samples = NDArray[np.float64]

CAUSES = ("flat", "rail", "muscle", "mains", "baseline", "motion")

CLEAN_BELOW = 0.5
"""Only seconds whose worst severity lies below this say what is usual: noise must not become it step by step."""
FLAT_MV = 0.008
"""Peak to peak of a second below this is no signal: its envelope cannot reach the beat detector's floor of 4 uV."""
FLAT_LEVELS = 3
"""At most so many distinct values are a converter that wavers by one step, whatever a step is worth."""
FLAT_SHARE = 0.02
"""Three seconds below a fiftieth of the usual wave are a lost contact: pauses are shorter, or not so flat."""
RAIL_SHARE = 0.15
"""Of a second stuck at its exact extreme. A clipped R peak is 4 % of a second and does not hide the beat."""
RAIL_RUN_S = 0.04
RAIL_MIN_LEVELS = 8
"""A coarse converter rests at its lowest step between beats: a rail needs a signal that moves over more steps."""
MUSCLE_SHARE = 0.06
"""RMS above 35 Hz between the beats, of the usual QRS height."""
QRS_BAND_SHARE = 0.3
"""The same in the band of the QRS itself; ventricular flutter, which is no noise, reaches 0.27."""
MAINS_SHARE = 0.5
"""Hum, peak to peak, of the usual QRS height: from there on it is a wave of the beat's own size to a classifier."""
BASELINE_SHARE = 2.0
"""Slow excursion within a second, beyond what the waves themselves do, in QRS heights."""
MOTION_RATIO = 4.0
"""Height of a second against the usual one: the largest premature beats reach 2.8."""

MAINS_HZ = (50.0, 60.0)
QRS_BELOW_HZ = 35.0
MEMORY_S = 300.0
"""A gap longer than this, and what was usual is forgotten."""
_BASE_HALF_S = 0.1
_LOW_PASS_HALF_S = 0.03
_RECENT_S = 10
_USUAL_S = 60
_AT_ONCE_S = 60
"""What is worked on should stay in the cache."""
_BEAT_WITHIN_S = 3
"""Any so many seconds hold a QRS, but for a pause."""
_PARTS = 20
"""Of a second: more than half of them lie between the beats, up to a heart rate of 300."""


@dataclass(frozen=True, slots=True)
class SecondQuality:
    """One judged second.

    Attributes
    ----------
    first_index, n
        Its samples: ``[first_index, first_index + n)``, in samples since the start of the stream.
    quality
        0..1; below one half it is unusable.
    causes
        Of `CAUSES`, those that make it unusable, the worst first.
    """

    first_index: int
    n: int
    quality: float
    causes: tuple[str, ...]

    @property
    def last_index(self) -> int:
        """The sample that completed it."""
        return self.first_index + self.n - 1

    @property
    def bad(self) -> bool:
        """Whether this second, taken alone, is unusable."""
        return bool(self.causes)


class QualityMeter:
    """Judges each second of one lead, on a grid from the start of the stretch.

    Cut the stream as you like: the seconds are the same, bit for bit. Scale and polarity do not matter down to
    `FLAT_MV`. A second that a gap or the end cuts short is not judged.

    Parameters
    ----------
    fs_hz
        Sampling rate, 100 to 1000 Hz.
    """

    def __init__(self, fs_hz: float) -> None:
        if not 100.0 <= fs_hz <= 1000.0:
            raise ValueError(f"signal quality is measured from 100 to 1000 Hz; {fs_hz:g} Hz is outside")
        self._n = n = round(fs_hz)
        t_s = (np.arange(n) - 0.5 * (n - 1)) / fs_hz
        waves = [np.ones(n), t_s]
        for f_hz in MAINS_HZ:
            # Next to half the rate a tone has no phase of its own.
            if f_hz < 0.5 * fs_hz - 2.0:
                waves += [np.cos(2.0 * np.pi * f_hz * t_s), np.sin(2.0 * np.pi * f_hz * t_s)]
        basis = np.stack(waves, axis=1)
        # Mean and slope are fitted beside the tones, so that wander does not leak into them.
        self._tone_fit = np.ascontiguousarray(np.linalg.pinv(basis)[2:])
        self._tones = np.ascontiguousarray(basis[:, 2:].T)
        self._base_half, self._low_half = round(_BASE_HALF_S * fs_hz), round(_LOW_PASS_HALF_S * fs_hz)
        self._low_pass = windowed_sinc(self._low_half, QRS_BELOW_HZ, fs_hz)
        self._rail_run = max(4, round(RAIL_RUN_S * fs_hz))
        self._held = np.empty(n)
        self._forget()
        self._begin(0)

    def _begin(self, first_index: int) -> None:
        self._first_index, self._n_held = first_index, 0
        self._tail: Samples | None = None

    def _forget(self) -> None:
        self._heights: deque[float] = deque(maxlen=_RECENT_S)
        self._recent: deque[float] = deque(maxlen=_BEAT_WITHIN_S)
        self._good_heights: deque[float] = deque(maxlen=_USUAL_S)
        self._n_clean = 0

    def feed(self, x_mv: Samples) -> list[SecondQuality]:
        """Take the next samples in mV, ``(n,) float64``, all finite; return the seconds that are now complete."""
        n, seconds = self._n, []
        n_whole = (self._n_held + len(x_mv)) // n
        if n_whole:
            x_mv = np.concatenate([self._held[: self._n_held], x_mv])
            self._n_held = 0
        for k in range(0, n_whole, _AT_ONCE_S):
            seconds += self._judge(x_mv[k * n : min(k + _AT_ONCE_S, n_whole) * n].reshape(-1, n))
        rest = x_mv[n_whole * n :]
        self._held[self._n_held : self._n_held + len(rest)] = rest
        self._n_held += len(rest)
        return seconds

    def resume(self, first_index: int, gap_s: float) -> None:
        """Start again behind a gap; what was usual survives `MEMORY_S` of it."""
        self._begin(first_index)
        if gap_s > MEMORY_S:
            self._forget()

    def _judge(self, x: Samples) -> list[SecondQuality]:
        """Judge ``(n_seconds, n)``: what needs no memory of all of them at once, the rest one by one."""
        # Nothing may round otherwise when there are more rows: products and sums have one shape, that of a row.
        tones = np.matmul(self._tone_fit, x[:, :, None])[:, :, 0]
        hum = np.hypot(tones[:, ::2], tones[:, 1::2]).max(axis=1, initial=0.0)
        measured = (hum, *self._bands(x - np.matmul(tones[:, None, :], self._tones)[:, 0]), *self._rests(x))
        seconds = []
        for of_one in zip(*(m.tolist() for m in measured), strict=True):
            severity = self._severities(*of_one)
            causes = sorted((c for c in severity if severity[c] >= 1.0), key=lambda c: -severity[c])
            quality = 1.0 / (1.0 + max(severity.values()) ** 2)
            seconds.append(SecondQuality(self._first_index, self._n, quality, tuple(causes)))
            self._first_index += self._n
        return seconds

    def _severities(
        self, hum: float, height: float, slow: float, middle: float, fast: float, still: bool, stuck: float
    ) -> dict[str, float]:
        """Hold one second against what was usual before it, and remember it."""
        self._recent.append(height)
        tallest = max(self._recent)
        usual = max(FLAT_MV, median([*self._good_heights, tallest]))
        if still or tallest < FLAT_SHARE * usual:
            # What else could be said of it is the last bits of the arithmetic.
            self._n_clean = 0
            return {"flat": 10.0}
        noise = max(fast / MUSCLE_SHARE, middle / QRS_BAND_SHARE)
        severity = {
            "rail": stuck / RAIL_SHARE,
            # In a pause of the heart, what is noise beside the pause's own height is not noise yet.
            "muscle": noise / min(usual, max(tallest, 0.25 * max(self._heights, default=0.0))),
            "mains": 2.0 * hum / (MAINS_SHARE * usual),
            "baseline": max(0.0, slow - height) / (BASELINE_SHARE * usual),
            "motion": height / (MOTION_RATIO * usual),
        }
        self._heights.append(tallest)
        clean = max(noise / tallest, severity["rail"], severity["mains"]) < CLEAN_BELOW
        self._n_clean = self._n_clean + 1 if clean else 0
        if max(severity.values()) < CLEAN_BELOW:
            self._good_heights.append(tallest)
        elif self._n_clean >= _RECENT_S and tallest < 2.0 * min(self._heights):
            # Clean and even by its own measure, for long: this is another gain, not a disturbance.
            self._good_heights.clear()
            self._good_heights.extend(self._heights)
        return severity

    def _bands(self, x: Samples) -> tuple[Samples, Samples, Samples, Samples]:
        """Peak to peak of the QRS band, of the baseline, and RMS above between the beats, of seconds without hum.

        They lie `_BASE_HALF_S` back, so that the filters can be centred.
        """
        n, half, near = self._n, self._base_half, self._low_half
        tail = np.full(2 * half, x[0, 0]) if self._tail is None else self._tail
        tails = np.concatenate([tail[None], x[:, n - 2 * half :]])
        self._tail = tails[-1]
        held = np.concatenate([tail, x.ravel()])
        # Each second sums from zero on: a sum that ran through the block would depend on the cut.
        sums = np.zeros((len(x), 1 + 2 * half + n))
        sums[:, 1 : 1 + 2 * half], sums[:, 1 + 2 * half :] = tails[:-1], x
        sums[:, 1:] -= tails[:-1, :1]
        np.cumsum(sums, axis=1, out=sums)
        base = (sums[:, 1 + 2 * half :] - sums[:, :n]) / (2 * half + 1) + tails[:-1, :1]
        low = np.convolve(held[half - near : len(held) - half + near], self._low_pass, "valid").reshape(-1, n)
        middle, fast = low - base, held[half : len(held) - half].reshape(-1, n) - low
        return np.ptp(middle, axis=1), np.ptp(base, axis=1), _between_beats(middle), _between_beats(fast)

    def _rests(self, x: Samples) -> tuple[NDArray[np.bool_], Samples]:
        """Whether a second hardly moves; the share of it in long runs of exactly its largest or smallest value."""
        low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
        still, stuck = (high - low)[:, 0] < FLAT_MV, np.zeros(len(x))
        some = x[:, :: self._rail_run // 2]
        extreme = (some == low) | (some == high)
        # Two neighbours of these lie in every run that is long enough: a look at them spares nearly all the rest.
        run = (extreme[:, 1:] & extreme[:, :-1]).any(axis=1)
        for k in np.flatnonzero(~still & (run | (_n_levels(some) <= FLAT_LEVELS))):
            n_levels = _n_levels(x[k])
            still[k] = n_levels <= FLAT_LEVELS
            if run[k] and n_levels >= RAIL_MIN_LEVELS:
                for level in (low[k], high[k]):
                    edges = np.flatnonzero(np.diff(x[k] == level, prepend=False, append=False))
                    runs = edges[1::2] - edges[::2]
                    stuck[k] += runs[runs >= self._rail_run].sum() / self._n
        return still, stuck


def _n_levels(x: Samples) -> NDArray[np.intp]:
    """Count the distinct values along the last axis."""
    ranked = np.sort(x)
    return 1 + np.asarray(np.count_nonzero(ranked[..., 1:] != ranked[..., :-1], axis=-1))


def _between_beats(x: Samples) -> Samples:
    """RMS of the median twentieth of each second."""
    width = x.shape[1] // _PARTS
    parts = x[:, : _PARTS * width].reshape(-1, _PARTS, width)
    power: Samples = np.sort(np.einsum("spw,spw->sp", parts, parts)) / width
    return np.sqrt(0.5 * (power[:, _PARTS // 2 - 1] + power[:, _PARTS // 2]))


@dataclass(frozen=True, slots=True)
class ShutdownChange:
    """An unusable interval begins, or ends, at ``sample``; known with sample ``at_index``."""

    at_index: int
    sample: int
    unusable: bool
    quality: float
    causes: tuple[str, ...]


class Shutdown:
    """Unusable intervals out of seconds: begun by 2 bad ones of 3, at the first; ended by 5 good ones, at the first.

    One bad second alone (a bump, a pause) is told by its quality and by nothing else.
    """

    BEGIN_BAD = 2
    OF = 3
    END_GOOD = 5

    def __init__(self) -> None:
        self.unusable = False
        self._last: deque[SecondQuality] = deque(maxlen=max(self.OF, self.END_GOOD))

    def feed(self, second: SecondQuality) -> ShutdownChange | None:
        """Take the next second; return the change it brings, if any."""
        self._last.append(second)
        if self.unusable:
            changed = [s for s in list(self._last)[-self.END_GOOD :] if not s.bad]
            if len(changed) < self.END_GOOD:
                return None
        else:
            changed = [s for s in list(self._last)[-self.OF :] if s.bad]
            if len(changed) < self.BEGIN_BAD:
                return None
        self.unusable = not self.unusable
        causes = tuple(dict.fromkeys(c for s in changed for c in s.causes))
        quality = min(s.quality for s in changed)
        return ShutdownChange(second.last_index, changed[0].first_index, self.unusable, quality, causes)
