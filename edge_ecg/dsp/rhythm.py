"""What the beat detector knows of a patient: levels, rhythm and beat shapes, and what a candidate is against them.

See `edge_ecg.dsp.qrs` for how it is used and where it comes from.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.candidates import SHAPE_POINTS

__all__ = ["Rhythm", "Sight"]

Samples = NDArray[np.float64]

_SHAPES = 3
_MEMORY = 8
_NEW_PATIENT_RR_S = 0.8
_LEAST_MV = 1e-9
_LOWEST_PAUSE = math.log(0.05)


class Sight(NamedTuple):
    """One candidate as it stands before the rhythm: scalars of `Candidates` in s and mV, and logarithms of mV.

    A tuple, not a dataclass: one is made for each of some three candidates a second.
    """

    t_s: float
    size: float
    log_size: float
    log_high: float
    low_share: float
    max_3s: float
    high_max_3s: float
    log_norm: float


class Levels(NamedTuple):
    """How large this patient's beats are: in mV, and lowered by ``pause`` (1: not at all) as logarithms too."""

    usual: float
    size: float
    log_size: float
    log_high: float
    pause: float


class Rhythm:
    """The memory of accepted beats and of what was none; all bounded.

    Attributes
    ----------
    last_beat_s
        Time of the envelope's peak of the last beat, s.
    gate
        Running mean of how like the beats are to those before, 0..1.
    """

    def __init__(self) -> None:
        self.last_beat_s = -1.0
        self.gate = 0.8
        self._last: Sight | None = None
        self._watched_s = 0.0
        self._shapes = np.zeros((0, SHAPE_POINTS))
        self._log_norms: list[float] = []
        self._counts: list[float] = []
        self._forget()

    def _forget(self) -> None:
        self._sizes: deque[float] = deque(maxlen=_MEMORY)
        self._log_highs: deque[float] = deque(maxlen=_MEMORY)
        self._rrs_s: deque[float] = deque(maxlen=_MEMORY)
        self._noise: deque[float] = deque(maxlen=_MEMORY)
        self._size_level = self._log_size = self._log_high = 0.0
        self._noise_level: float | None = None
        self._rr_s, self._root_rr, self._irregularity = _NEW_PATIENT_RR_S, math.sqrt(_NEW_PATIENT_RR_S), 0.4
        self._n_beats = self._n_rrs = 0
        self._rival = 0.0
        self._low_share: float | None = None

    def resume(self, now_s: float) -> None:
        """Go on behind a gap that ends at ``now_s``: the interval to the beat before it is not known."""
        self.last_beat_s, self._watched_s = now_s - 1.0, now_s
        self._last = None

    def watch(self, now_s: float, limit_s: float) -> None:
        """After a silence of ``limit_s`` forget levels and rhythm; shapes, the gate and the last beat stay."""
        if now_s - max(self._watched_s, self.last_beat_s) > limit_s:
            self._forget()
            self._watched_s = now_s

    def levels(self, sight: Sight) -> Levels:
        """The size of this patient's beats in the QRS and the high band; until there are three, the signal's."""
        if len(self._sizes) >= 3:
            usual, log_usual, log_high = self._size_level, self._log_size, self._log_high
        else:
            # Nothing at all came before: a board that sends one value until its electrodes are on.
            usual, high = max(_LEAST_MV, 0.8 * sight.max_3s), max(_LEAST_MV, 0.8 * sight.high_max_3s)
            log_usual, log_high = math.log(usual), math.log(high)
        dt_s = sight.t_s - self.last_beat_s
        if dt_s <= 2.5:
            return Levels(usual, usual, log_usual, log_high, 1.0)
        log_pause = max(_LOWEST_PAUSE, -math.log(2.0) * (dt_s - 2.5) / 1.5)
        pause = math.exp(log_pause)
        return Levels(usual, usual * pause, log_usual + log_pause, log_high + log_pause, pause)

    def likeness(self, shape: Samples) -> tuple[float, int]:
        """Best correlation of a shape with those of the beats so far, and which; 0.6 and -1 when none is alike."""
        if not self._log_norms:
            return 0.6, -1
        products: list[float] = np.dot(self._shapes, shape).tolist()
        best = max(products)
        return (best, products.index(best)) if best > 0.0 else (0.6, -1)

    def rival(self, size: float) -> None:
        """Something too small or too close to be looked at."""
        self._rival = max(self._rival, size)

    def context(self, sight: Sight, levels: Levels, likeness: float, which: int) -> list[float]:
        """The 22 inputs of the net with memory: dimensionless and bounded."""
        dt_s = sight.t_s - self.last_beat_s
        in_rr = min(4.0, dt_s / self._rr_s)
        premature = 1.0 - in_rr if in_rr < 1.0 else 0.0
        below = _clip(sight.log_size - levels.log_size, -2.5, 1.5)
        shortness = 5.0 * (0.4 - dt_s) if dt_s < 0.4 else 0.0
        lowness = 0.0 if self._low_share is None else sight.low_share - self._low_share
        against_last = against_last_high = 0.0
        if dt_s < 0.5 and self._last is not None:
            against_last = _clip(sight.log_size - self._last.log_size, -2.0, 1.0)
            against_last_high = _clip(sight.log_high - self._last.log_high, -2.0, 1.0)
        noise = 0.15 if self._noise_level is None else _clip(self._noise_level / levels.usual, 0.03, 1.0)
        over_rival = sight.log_size - math.log(self._rival + 0.05 * levels.size)
        known_norm = self._log_norms[which] if which >= 0 else None
        return [
            below,
            min(below, 0.0),
            _clip(sight.log_high - levels.log_high, -2.5, 1.5),
            likeness,
            likeness * min(below, 0.0),
            0.5 if known_norm is None else min(1.5, abs(sight.log_norm - known_norm)),
            premature,
            premature * premature,
            self._irregularity * premature,
            0.5 if in_rr <= 0.6 else abs(in_rr - round(in_rr)),
            _clip(over_rival, -2.5, 2.5),
            shortness,
            shortness * max(0.0, lowness),
            against_last,
            against_last_high,
            _clip(math.log(noise / levels.pause), -3.5, 0.0),
            _clip(lowness, -1.5, 1.5),
            self.gate,
            min(2.0, dt_s / (0.4 * self._root_rr)),
            min(self._n_beats, _MEMORY) / _MEMORY,
            math.log(_clip(dt_s, 0.15, 3.0)),
            self._irregularity,
        ]

    def refuse(self, sight: Sight, levels: Levels) -> None:
        """Take what was no beat into the memory."""
        self._rival = max(self._rival, sight.size)
        self._noise.append(min(sight.size, levels.usual))
        if len(self._noise) == _MEMORY:
            self._noise_level = sorted(self._noise)[4]

    def accept(self, sight: Sight, levels: Levels, shape: Samples, likeness: float, which: int) -> None:
        """Take a beat into the memory."""
        if which >= 0:
            self.gate += (likeness - self.gate) / 16.0
        self._learn_shape(sight, shape, likeness, which)
        self._learn_size(sight, levels)
        self._learn_interval(sight.t_s - self.last_beat_s)
        share = sight.low_share
        self._low_share = share if self._low_share is None else self._low_share + 0.1 * (share - self._low_share)
        self.last_beat_s = self._watched_s = sight.t_s
        self._last, self._rival = sight, 0.0
        self._n_beats += 1

    def _learn_shape(self, sight: Sight, shape: Samples, likeness: float, which: int) -> None:
        if which >= 0 and likeness > 0.75:
            blend = 0.88 * self._shapes[which] + 0.12 * shape
            self._shapes[which] = blend / max(1e-12, math.sqrt(float(np.dot(blend, blend))))
            self._log_norms[which] += 0.12 * (sight.log_norm - self._log_norms[which])
            self._counts[which] = min(20.0, self._counts[which] + 1.0)
            return
        self._counts = [max(0.25, n - 0.25) for n in self._counts]
        if len(self._log_norms) < _SHAPES:
            self._shapes = np.vstack([self._shapes, shape])
            self._log_norms.append(sight.log_norm)
            self._counts.append(1.0)
            return
        rarest = self._counts.index(min(self._counts))
        self._shapes[rarest], self._log_norms[rarest], self._counts[rarest] = shape, sight.log_norm, 1.0

    def _learn_size(self, sight: Sight, levels: Levels) -> None:
        sizes, log_highs = self._sizes, self._log_highs
        if levels.pause < 1.0 and sizes and sight.size < 0.6 * levels.usual:
            # The beats came back smaller: the lowered levels were right.
            log_pause = math.log(levels.pause)
            for k in range(len(sizes)):
                sizes[k] *= levels.pause
                log_highs[k] += log_pause
        known = len(sizes) >= 3
        sizes.append(min(sight.size, 2.0 * _median(sizes)) if known else sight.size)
        log_highs.append(min(sight.log_high, math.log(2.0) + _median(log_highs)) if known else sight.log_high)
        self._size_level = _median(sizes)
        self._log_size, self._log_high = math.log(self._size_level), _median(log_highs)

    def _learn_interval(self, rr_s: float) -> None:
        if not (self._last is not None and 0.24 < rr_s < 2.5):
            return
        self._rrs_s.extend([rr_s] if self._rrs_s else [rr_s] * _MEMORY)
        self._n_rrs += 1
        ordered = sorted(self._rrs_s)
        self._rr_s = max(0.3, 0.5 * (ordered[3] + ordered[4]))
        self._root_rr = math.sqrt(self._rr_s)
        if self._n_rrs >= 3:
            self._irregularity = min(1.0, (ordered[6] - ordered[1]) / self._rr_s)


def _median(values: Sequence[float]) -> float:
    """`statistics.median`, which is slower than all the rest of a beat."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else 0.5 * (ordered[half - 1] + ordered[half])


def _clip(value: float, lo: float, hi: float) -> float:
    return lo if value < lo else hi if value > hi else value
