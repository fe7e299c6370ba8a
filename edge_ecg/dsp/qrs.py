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
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.envelopes import EnvelopeFrontEnd
from edge_ecg.dsp.filters import hold_last
from edge_ecg.dsp.rhythm import Candidate, Rhythm, Scorer, weighted_sum

__all__ = ["MAX_DECISION_S", "Detection", "QrsDetector"]

Samples = NDArray[np.float64]

MAX_DECISION_S = 0.355
"""Bound on the time from an R peak to the input sample that decides it, at any rate; 0.345 at the usual ones."""

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
        x_mv = hold_last(x_mv, self._last_mv)
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
                candidate = self._candidate(i)
                likeness = self._decide(candidate)
                if likeness is not None:
                    r_pos = self._first_index + self._refine_r(i - self._start)
                    found.append(Detection(r_pos, candidate.decided_at, likeness, self._rhythm.gate))
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

    def _decide(self, c: Candidate) -> float | None:
        """Decide on a candidate: its likeness to the beats so far when it is one, else None."""
        rhythm = self._rhythm
        level, high_level = rhythm.levels(c)
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
        context = rhythm.context(c, level, high_level, likeness)
        anti_silence = 1.5 * min(2.0, dt_s - 1.5) if dt_s > 1.5 and c.size > 0.6 * before_pause else 0.0
        if self._score(c, context) + anti_silence <= 0.0:
            rhythm.refuse(c, before_pause)
            return None
        rhythm.accept(c, likeness, which, pause)
        return likeness if which >= 0 else 1.0
