"""A causal streaming beat detector: any rate from 100 to 1000 Hz, either polarity, a stated delay bound.

Every local maximum of a 13.5 Hz energy envelope is a candidate; it is decided once, 225 ms of envelope later,
by a weighted sum of what distinguishes a QRS from a T wave, a P wave or noise: its size against the patient's
own beats, its spectrum, its distance to the last beat, its likeness to the patient's beat shapes. There is no
search-back: what was decided stays decided. So a beat is known at most `MAX_DECISION_S` after its R peak.

R is the largest excursion of the signal from its own 200 ms mean within 45 ms of the envelope's maximum, refined
below the sample by a parabola: the published convention of `Detection.r_pos`.

Sources: the idea of signal and noise levels and the refractory rules are those of Pan & Tompkins (IEEE Trans
Biomed Eng 32:230, 1985) and Hamilton & Tompkins (33:1157, 1986). Departures: complex Gabor envelopes instead of
derivative, squaring and integration (no polarity, three bands); levels from the past 3 s until there are beats,
instead of a learning period; no search-back, but a threshold that falls in a pause; a weighted sum instead of a
chain of thresholds.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.envelopes import EnvelopeFrontEnd

__all__ = ["MAX_DECISION_S", "Candidate", "Context", "Detection", "QrsDetector", "Rhythm", "weighted_sum"]

Samples = NDArray[np.float64]

MAX_DECISION_S = 0.35
"""Bound on the time from an R peak to the input sample that decides it."""

REFRACTORY_S = 0.19
LOOK_AHEAD_S = 0.225
PEAK_HALF_WIDTH_S = 0.09
FLOOR_MV = 0.004
TAIL_S = 0.45
"""What is appended at the end of a stretch so that its last candidates can be decided."""
MEMORY_S = 30.0
"""After a longer gap the electrodes may lie elsewhere: the detector starts anew."""
WATCHDOG_S = 4.0
REJECT_BELOW = 0.70
_HISTORY_S = 3.6
_SHAPE_OFFSETS_S = 0.0083 * np.arange(-10, 11)
_SHAPES = 3


@dataclass(frozen=True, slots=True)
class Detection:
    """One decided beat, in samples of the input.

    Attributes
    ----------
    r_pos
        The R peak, in input samples since the start of the stream (a fraction of a sample is meant).
    decided_at
        Index of the input sample that decided it.
    likeness
        Best correlation with the shapes of this patient's beats so far, 0..1.
    gate
        Running mean of ``likeness`` over the beats, 0..1; below `REJECT_BELOW` the interval is noise.
    """

    r_pos: float
    decided_at: int
    likeness: float
    gate: float

    @property
    def reject(self) -> bool:
        """Whether the beats around this one are too unlike each other to be trusted."""
        return self.gate < REJECT_BELOW


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One maximum of the QRS envelope and what the envelopes say around it (mV, s, input samples)."""

    t_s: float
    size: float
    low: float
    high: float
    max_1s5: float
    high_max_1s5: float
    max_3s: float
    high_max_3s: float
    max_ahead: float
    shape: Samples
    r_pos: float
    decided_at: int


class Context(NamedTuple):
    """A candidate seen against the patient's rhythm: what a scorer decides on. Dimensionless, bounded."""

    size_below: float
    high: float
    likeness: float
    prematurity: float
    irregular_prematurity: float
    over_rival: float
    shortness: float
    short_and_low: float
    against_last: float
    noise: float
    lowness: float
    size_in_1s5: float
    high_in_1s5: float
    ahead: float
    low_share: float


Scorer = Callable[[Candidate, Context], float]
"""Positive for a beat. A small fitted network fits in here; the shipped one is `weighted_sum`."""

BIAS = -0.84
WEIGHTS = Context(
    size_below=2.52,
    high=-0.26,
    likeness=4.08,
    prematurity=-4.54,
    irregular_prematurity=6.42,
    over_rival=0.42,
    shortness=-2.47,
    short_and_low=-8.08,
    against_last=1.02,
    noise=-2.31,
    lowness=1.48,
    size_in_1s5=0.81,
    high_in_1s5=1.33,
    ahead=-16.44,
    low_share=-1.44,
)


def weighted_sum(candidate: Candidate, context: Context) -> float:
    """The shipped scorer: a logistic regression, fitted with its own decisions in the loop.

    Fitted on DS1 and the paced records 107 and 217 of the MIT-BIH Arrhythmia Database and on 14 records of
    the Supraventricular one; DS2, 102, 104 and the svdb test records chose nothing.
    """
    return BIAS + math.fsum(map(operator.mul, WEIGHTS, context))


@dataclass(slots=True)
class Rhythm:
    """What the detector remembers of this patient's beats and of what was not one."""

    sizes: list[float] = field(default_factory=list)
    highs: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    rr_s: list[float] = field(default_factory=list)
    shapes: list[Samples] = field(default_factory=list)
    shape_counts: list[float] = field(default_factory=list)
    last_beat_s: float = -1.0
    last_rr_known: bool = False
    last_size: float = 0.0
    rival: float = 0.0
    low_ratio: float = math.nan
    gate: float = 0.8
    watchdog_s: float = 0.0

    def forget_levels(self) -> None:
        """After a long silence: shapes and the gate stay, levels and rhythm go."""
        self.sizes, self.highs, self.noise, self.rr_s = [], [], [], []
        self.rival, self.low_ratio = 0.0, math.nan

    def likeness(self, shape: Samples) -> tuple[float, int]:
        """Best correlation of a shape with those of the beats so far, and which (-1: none yet)."""
        best, which = 0.0, -1
        for k, known in enumerate(self.shapes):
            c = float(np.dot(shape, known))
            if c > best:
                best, which = c, k
        return (best, which) if which >= 0 else (0.6, -1)

    def accept(self, c: Candidate, likeness: float, which: int, pause: float) -> None:
        """Take a beat into the memory; ``pause`` is by how much the levels had been lowered for it."""
        dt_s = c.t_s - self.last_beat_s
        if which >= 0:
            self.gate += (likeness - self.gate) / 16.0
        if which >= 0 and likeness > 0.75:
            blend = 0.88 * self.shapes[which] + 0.12 * c.shape
            self.shapes[which] = blend / max(1e-12, math.sqrt(float(np.dot(blend, blend))))
            self.shape_counts[which] = min(20.0, self.shape_counts[which] + 1.0)
        else:
            self.shape_counts = [max(0.25, n - 0.25) for n in self.shape_counts]
            if len(self.shapes) < _SHAPES:
                self.shapes.append(c.shape)
                self.shape_counts.append(1.0)
            else:
                rarest = self.shape_counts.index(min(self.shape_counts))
                self.shapes[rarest], self.shape_counts[rarest] = c.shape, 1.0
        if pause < 1.0 and self.sizes and c.size < 0.6 * _median(self.sizes):
            self.sizes = [v * pause for v in self.sizes]
            self.highs = [v * pause for v in self.highs]
        size_cap = 2.0 * _median(self.sizes) if len(self.sizes) >= 3 else math.inf
        high_cap = 2.0 * _median(self.highs) if len(self.highs) >= 3 else math.inf
        self.sizes = [*self.sizes[-7:], min(c.size, size_cap)]
        self.highs = [*self.highs[-7:], min(c.high, high_cap)]
        if self.last_rr_known and 0.24 < dt_s < 2.5:
            self.rr_s = [*self.rr_s[-7:], dt_s] if self.rr_s else [dt_s] * 8
        ratio = math.log(c.low / c.size)
        self.low_ratio = ratio if math.isnan(self.low_ratio) else self.low_ratio + 0.1 * (ratio - self.low_ratio)
        self.last_beat_s, self.last_size = c.t_s, c.size
        self.last_rr_known, self.rival, self.watchdog_s = True, 0.0, c.t_s

    def refuse(self, c: Candidate, level: float) -> None:
        """Take what was no beat into the memory."""
        self.rival = max(self.rival, c.size)
        self.noise = [*self.noise[-7:], min(c.size, level)]


class QrsDetector:
    """Beats of one lead, streaming. Cut the stream as you like: the detections are the same, bit for bit.

    Parameters
    ----------
    fs_hz
        Sampling rate, 100 to 1000 Hz.
    scorer
        What decides on a candidate in its context.
    """

    def __init__(self, fs_hz: float, scorer: Scorer = weighted_sum) -> None:
        if not 100.0 <= fs_hz <= 1000.0:
            raise ValueError(f"the beat detector works from 100 to 1000 Hz; {fs_hz:g} Hz is outside")
        self._fs_hz = fs_hz
        self._score = scorer
        self._rhythm = Rhythm()
        self._clock_s = 0.0
        self._begin(0)

    def _begin(self, first_index: int) -> None:
        self._front = EnvelopeFrontEnd(self._fs_hz)
        fd_hz = self._front.fd_hz
        self._first_index, self._n_fed, self._last_mv = first_index, 0, 0.0
        self._decimated = self._low = self._qrs = self._high = np.empty(0)
        self._start, self._next = 0, 0
        self._peak_half = round(PEAK_HALF_WIDTH_S * fd_hz)
        self._ahead = math.ceil(LOOK_AHEAD_S * fd_hz)

    def feed(self, x_mv: Samples) -> list[Detection]:
        """Take the next samples in mV, ``(n,) float64``; return the beats that are now decided."""
        if len(x_mv) == 0:
            return []
        if not np.isfinite(x_mv).all():
            x_mv = _hold_last(x_mv, self._last_mv)
        self._n_fed += len(x_mv)
        self._last_mv = float(x_mv[-1])
        return self._advance(x_mv)

    def flush(self) -> list[Detection]:
        """Decide what is pending at the end of a stretch; R peaks lie within what was fed."""
        if self._n_fed == 0:
            return []
        end = self._first_index + self._n_fed
        found = self._advance(np.full(round(TAIL_S * self._fs_hz), self._last_mv))
        return [
            Detection(d.r_pos, min(d.decided_at, end - 1), d.likeness, d.gate)
            for d in found
            if d.r_pos <= end - 1
        ]

    def resume(self, first_index: int, gap_s: float) -> None:
        """Start again behind a gap (after `flush`): levels and shapes survive `MEMORY_S` of it."""
        self._clock_s += self._n_fed / self._fs_hz
        self._begin(first_index)
        if gap_s > MEMORY_S:
            self._rhythm = Rhythm()
        self._rhythm.last_beat_s = self._clock_s - 1.0
        self._rhythm.watchdog_s = self._clock_s
        self._rhythm.last_rr_known = False

    def _advance(self, x_mv: Samples) -> list[Detection]:
        new = self._front.feed(x_mv)
        self._decimated = np.concatenate([self._decimated, new.decimated])
        self._low = np.concatenate([self._low, new.low])
        self._qrs = np.concatenate([self._qrs, new.qrs])
        self._high = np.concatenate([self._high, new.high])
        end = self._start + len(self._qrs) - self._ahead
        found = []
        if end > self._next:
            for i in self._maxima(self._next, end):
                detection = self._decide(self._candidate(i))
                if detection is not None:
                    found.append(detection)
            self._next = end
        keep = max(0, self._next - math.ceil(_HISTORY_S * self._front.fd_hz) - self._start)
        if keep > len(self._qrs) // 2:
            self._decimated, self._low = self._decimated[keep:], self._low[keep:]
            self._qrs, self._high = self._qrs[keep:], self._high[keep:]
            self._start += keep
        return found

    def _maxima(self, begin: int, end: int) -> list[int]:
        """Indices in [begin, end) whose envelope is the largest within the peak's half width."""
        w = self._peak_half
        lo = begin - w - self._start
        segment = self._qrs[max(0, lo) : end + w - self._start]
        if lo < 0:
            segment = np.concatenate([np.zeros(-lo), segment])
        windows = np.lib.stride_tricks.sliding_window_view(segment, w)
        n = end - begin
        here = segment[w : w + n]
        left, right = windows[:n].max(axis=1), windows[w + 1 : w + 1 + n].max(axis=1)
        is_peak = (here > FLOOR_MV) & (here > left) & (here >= right)
        return [begin + int(k) for k in np.flatnonzero(is_peak)]

    def _candidate(self, i: int) -> Candidate:
        fd_hz, k = self._front.fd_hz, i - self._start
        near = round(0.035 * fd_hz)
        size = float(self._qrs[k])
        low = float(self._low[max(0, k - near) : k + near + 1].max())
        high = float(self._high[max(0, k - near) : k + near + 1].max())
        ahead = k + int(0.2 * fd_hz) + 1
        recent, older = max(0, k - round(1.5 * fd_hz)), max(0, k - round(3.0 * fd_hz))
        max_1s5, high_max_1s5 = float(self._qrs[recent:ahead].max()), float(self._high[recent:ahead].max())
        max_3s, high_max_3s = max_1s5, high_max_1s5
        if i > 1.9 * fd_hz and older < recent:
            max_3s = min(max_1s5, float(self._qrs[older:recent].max()))
            high_max_3s = min(high_max_1s5, float(self._high[older:recent].max()))
        return Candidate(
            t_s=self._clock_s + i / fd_hz,
            size=size,
            low=low,
            high=high,
            max_1s5=max_1s5,
            high_max_1s5=high_max_1s5,
            max_3s=max_3s,
            high_max_3s=high_max_3s,
            max_ahead=float(self._qrs[k + near : ahead].max()),
            shape=self._shape(k),
            r_pos=self._first_index + self._refine_r(k),
            decided_at=self._first_index
            + (i + self._ahead + self._front.qrs_half) * self._front.factor
            + self._front.decimation_half,
        )

    def _shape(self, k: int) -> Samples:
        """21 points of the signal around ``k``, mean and slope removed, of unit norm."""
        # Positions relative to the candidate: absolute ones would round differently from chunk to chunk.
        first = max(0, k - 16)
        around = self._decimated[first : k + 17]
        u = np.interp(_SHAPE_OFFSETS_S * self._front.fd_hz, np.arange(first - k, 17), around)
        u -= u.mean()
        ramp = _SHAPE_OFFSETS_S
        u -= ramp * (np.dot(u, ramp) / np.dot(ramp, ramp))
        return np.asarray(u / max(1e-12, math.sqrt(float(np.dot(u, u)))))

    def _refine_r(self, k: int) -> float:
        """The R peak near decimated sample ``k``, in input samples since the start of the stretch."""
        fd_hz, d = self._front.fd_hz, self._decimated
        around, mean_half = int(0.045 * fd_hz), round(0.1 * fd_hz)

        def excursion(at: int, mean: float) -> float:
            return abs(float(d[at]) - mean)

        def local_mean(at: int) -> float:
            return float(d[max(0, at - mean_half) : at + mean_half + 1].mean())

        best = max(range(max(0, k - around), k + around + 1), key=lambda at: excursion(at, local_mean(at)))
        offset = 0.0
        if 0 < best < len(d) - 1:
            mean = local_mean(best)
            before, here, after = (excursion(best + j, mean) for j in (-1, 0, 1))
            curvature = before - 2.0 * here + after
            if curvature < 0.0:
                offset = min(0.5, max(-0.5, 0.5 * (before - after) / curvature))
        return (self._start + best + offset) * self._front.factor

    def _decide(self, c: Candidate) -> Detection | None:
        rhythm = self._rhythm
        level, high_level = _levels(rhythm, c)
        dt_s = c.t_s - rhythm.last_beat_s
        before_pause = level
        if c.t_s - max(rhythm.watchdog_s, rhythm.last_beat_s) > WATCHDOG_S:
            rhythm.forget_levels()
            rhythm.watchdog_s = c.t_s
        pause = max(0.05, 2.0 ** (-(dt_s - 2.5) / 1.5)) if dt_s > 2.5 else 1.0
        level, high_level = level * pause, high_level * pause
        if dt_s < REFRACTORY_S:
            return None
        if c.size < 0.08 * level or c.size < 0.06 * c.max_3s:
            rhythm.rival = max(rhythm.rival, c.size)
            return None
        likeness, which = rhythm.likeness(c.shape)
        context = _context(rhythm, c, level, high_level, likeness)
        anti_silence = 1.5 * min(2.0, dt_s - 1.5) if dt_s > 1.5 and c.size > 0.6 * before_pause else 0.0
        if self._score(c, context) + anti_silence <= 0.0:
            rhythm.refuse(c, before_pause)
            return None
        rhythm.accept(c, likeness, which, pause)
        return Detection(c.r_pos, c.decided_at, likeness if which >= 0 else 1.0, rhythm.gate)


def _levels(rhythm: Rhythm, c: Candidate) -> tuple[float, float]:
    """The size of this patient's beats in the QRS and the high band, in mV."""
    if len(rhythm.sizes) < 3:
        return 0.8 * c.max_3s, 0.8 * c.high_max_3s
    return _median(rhythm.sizes), _median(rhythm.highs)


def _context(rhythm: Rhythm, c: Candidate, level: float, high_level: float, likeness: float) -> Context:
    dt_s = c.t_s - rhythm.last_beat_s
    rr_s = max(0.3, _median(rhythm.rr_s)) if rhythm.rr_s else 0.8
    irregular = min(1.0, (sorted(rhythm.rr_s)[6] - sorted(rhythm.rr_s)[1]) / rr_s) if rhythm.rr_s else 0.4
    prematurity = max(0.0, 1.0 - dt_s / rr_s)
    shortness = 5.0 * max(0.0, 0.4 - dt_s)
    low_ratio = math.log(c.low / c.size)
    lowness = 0.0 if math.isnan(rhythm.low_ratio) else low_ratio - rhythm.low_ratio
    noise = 0.15 * level
    if len(rhythm.noise) == 8:
        noise = min(level, max(0.03 * level, sorted(rhythm.noise)[4]))
    close = dt_s < 0.5 and rhythm.last_size > 0.0
    return Context(
        size_below=_log_ratio(c.size, level, -2.5, 0.0),
        high=_log_ratio(c.high, high_level, -2.5, 1.5),
        likeness=likeness,
        prematurity=prematurity,
        irregular_prematurity=irregular * prematurity,
        over_rival=_log_ratio(c.size, rhythm.rival + 0.05 * level, -2.5, 2.5),
        shortness=shortness,
        short_and_low=shortness * max(0.0, lowness),
        against_last=_log_ratio(c.size, rhythm.last_size, -2.0, 1.0) if close else 0.0,
        noise=_log_ratio(noise, level, -3.5, 0.0),
        lowness=min(1.5, max(-1.5, lowness)),
        size_in_1s5=_log_ratio(c.size, c.max_1s5, -3.0, 0.5),
        high_in_1s5=_log_ratio(c.high, c.high_max_1s5, -3.0, 0.5),
        ahead=max(0.0, _log_ratio(c.max_ahead, c.size, -1.0, 2.0)),
        low_share=_log_ratio(c.low, c.size, -1.5, 3.0),
    )


def _log_ratio(a: float, b: float, lo: float, hi: float) -> float:
    return min(hi, max(lo, math.log(max(a, 1e-9) / max(b, 1e-9))))


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    n = len(ordered)
    return ordered[n // 2] if n % 2 else 0.5 * (ordered[n // 2 - 1] + ordered[n // 2])


def _hold_last(x_mv: Samples, last_mv: float) -> Samples:
    """Replace what is not a number by the last value that was one."""
    finite = np.isfinite(x_mv)
    at = np.maximum.accumulate(np.where(finite, np.arange(len(x_mv)), -1))
    return np.where(at >= 0, x_mv[np.maximum(at, 0)], last_mv)
