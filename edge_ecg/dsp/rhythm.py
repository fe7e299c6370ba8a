"""What the beat detector knows of a patient, and what it decides on: a candidate seen against that.

See `edge_ecg.dsp.qrs` for how it is used and where it comes from.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Candidate", "Context", "Rhythm", "Scorer", "weighted_sum"]

Samples = NDArray[np.float64]

_SHAPES = 3


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
        if pause < 1.0 and self.sizes and c.size < 0.6 * median(self.sizes):
            self.sizes = [v * pause for v in self.sizes]
            self.highs = [v * pause for v in self.highs]
        size_cap = 2.0 * median(self.sizes) if len(self.sizes) >= 3 else math.inf
        high_cap = 2.0 * median(self.highs) if len(self.highs) >= 3 else math.inf
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

    def levels(self, c: Candidate) -> tuple[float, float]:
        """The size of this patient's beats in the QRS and the high band, in mV."""
        if len(self.sizes) < 3:
            return 0.8 * c.max_3s, 0.8 * c.high_max_3s
        return median(self.sizes), median(self.highs)

    def context(self, c: Candidate, level: float, high_level: float, likeness: float) -> Context:
        """What a scorer is told of a candidate, given the levels it is held against."""
        dt_s = c.t_s - self.last_beat_s
        rr_s = max(0.3, median(self.rr_s)) if self.rr_s else 0.8
        irregular = min(1.0, (sorted(self.rr_s)[6] - sorted(self.rr_s)[1]) / rr_s) if self.rr_s else 0.4
        prematurity = max(0.0, 1.0 - dt_s / rr_s)
        shortness = 5.0 * max(0.0, 0.4 - dt_s)
        low_ratio = math.log(c.low / c.size)
        lowness = 0.0 if math.isnan(self.low_ratio) else low_ratio - self.low_ratio
        noise = 0.15 * level
        if len(self.noise) == 8:
            noise = min(level, max(0.03 * level, sorted(self.noise)[4]))
        close = dt_s < 0.5 and self.last_size > 0.0
        return Context(
            size_below=_log_ratio(c.size, level, -2.5, 0.0),
            high=_log_ratio(c.high, high_level, -2.5, 1.5),
            likeness=likeness,
            prematurity=prematurity,
            irregular_prematurity=irregular * prematurity,
            over_rival=_log_ratio(c.size, self.rival + 0.05 * level, -2.5, 2.5),
            shortness=shortness,
            short_and_low=shortness * max(0.0, lowness),
            against_last=_log_ratio(c.size, self.last_size, -2.0, 1.0) if close else 0.0,
            noise=_log_ratio(noise, level, -3.5, 0.0),
            lowness=min(1.5, max(-1.5, lowness)),
            size_in_1s5=_log_ratio(c.size, c.max_1s5, -3.0, 0.5),
            high_in_1s5=_log_ratio(c.high, c.high_max_1s5, -3.0, 0.5),
            ahead=max(0.0, _log_ratio(c.max_ahead, c.size, -1.0, 2.0)),
            low_share=_log_ratio(c.low, c.size, -1.5, 3.0),
        )


def _log_ratio(a: float, b: float, lo: float, hi: float) -> float:
    return min(hi, max(lo, math.log(max(a, 1e-9) / max(b, 1e-9))))
