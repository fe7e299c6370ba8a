"""What a patient's R-R intervals have been, and how a new one stands to them.

All in natural logarithms of seconds: a beat is early by a factor, at any heart rate. Statistics are of past beats
only, over at most `LONGEST` of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.moments import deviation, mean, ordered
from edge_ecg.context.ring import Ring

__all__ = ["INTERVAL_COLUMNS", "LONGEST_POST_S", "Intervals", "log_pre"]

Samples = NDArray[np.float64]

LONGEST = 2000
"""Intervals that the longest mean takes."""
_LOG_CAP = math.log(2.5)
_SHORTEST_S = 0.15
LONGEST_POST_S = 3.0
"""No pause counts longer."""
_NEAR_BASELINE, _SLOW, _FAST = 0.12, 0.01, 0.1
_FEWEST_OTSU = 6
_COUNTS = np.arange(201)
_BINS = np.linspace(-0.48, 0.48, 17)[1:-1]

INTERVAL_COLUMNS = (
    "pre-mean10", "pre-mean64", "pre-mean300", "pre-mean2000", "post-mean64", "post-mean2000", "post-pre",
    "pre-previous", "pre-max8", "post-max8", "pre-p95of128", "p80-p20of64", "pre-upper200", "post-upper200",
    "gap200", "explained200", "pre-p90of200", "mean64-median64",
    "pre-median32", "pre-baseline", "post-baseline", "mean-baseline", "pre-median_dominant", "pre-baseline/spread",
    "previous-mean64", "previous2-mean64", "previous-baseline",
    "sd_dominant128", "mad_dominant32", "sd8", "sd32", "step32", "step64", "step200", "step_median64",
    "steps_over_6", "steps_over_12", "step_entropy64", "since_off_baseline", "step_dominant_median32",
    "steps_under_3", "step_q25", "step_dominant_q25", "off_baseline/step_q25",
)  # fmt: skip
"""Names of what `Intervals.columns` gives."""


def log_pre(rr_s: float) -> float:
    """Logarithm of an R-R interval, s, kept from 0.15 to 3 s."""
    return math.log(min(max(rr_s, _SHORTEST_S), LONGEST_POST_S))


class Intervals:
    """The memory of R-R intervals: the last `LONGEST`, those between dominant beats, a baseline of sinus rhythm.

    Attributes
    ----------
    log_median32
        Logarithm of the median of the last 32, s; None before there is one.
    """

    def __init__(self) -> None:
        self._logs = Ring(LONGEST)
        self._capped_s = Ring(LONGEST)
        self._steps = Ring(200)
        self._dominant = Ring(128)
        self._baseline: float | None = None
        self._since_off = 0
        self.log_median32: float | None = None

    def state(self) -> dict[str, Samples]:
        """All that it remembers."""
        baseline = [] if self._baseline is None else [self._baseline]
        rings = {"logs": self._logs, "steps": self._steps, "dominant": self._dominant}
        held = {name: ring.last(LONGEST).copy() for name, ring in rings.items()}
        return {**held, "baseline": np.array(baseline), "since_off": np.array([float(self._since_off)])}

    def restore(self, state: Mapping[str, Samples]) -> None:
        """Remember that instead."""
        # A file may hold anything: what no interval can be must not come back as one.
        shortest, longest = math.log(_SHORTEST_S), math.log(LONGEST_POST_S)
        self._logs.refill(np.clip(state["logs"], shortest, longest))
        self._dominant.refill(np.clip(state["dominant"], shortest, longest))
        self._steps.refill(np.clip(state["steps"], shortest - longest, longest - shortest))
        self._capped_s.refill(np.array([math.exp(min(log, _LOG_CAP)) for log in self._logs.last(LONGEST).tolist()]))
        baseline = state["baseline"]
        self._baseline = min(max(float(baseline[0]), shortest), longest) if len(baseline) else None
        self._since_off = max(0, int(state["since_off"][0]))
        self.log_median32 = _median(self._logs.last(32)) if len(self._logs) else None

    @property
    def n(self) -> int:
        """Intervals in memory."""
        return len(self._logs)

    def longest_post_s(self) -> float:
        """From here on a pause counts no longer: twice the median R-R, at most 3 s."""
        median = self.log_median32
        return LONGEST_POST_S if median is None else min(2.0 * math.exp(median), LONGEST_POST_S)

    def columns(self, pre: float, post: float) -> list[float]:
        """How a beat stands to the past, in the order of `INTERVAL_COLUMNS`.

        Parameters
        ----------
        pre, post
            Logarithms of the R-R intervals before and behind it, s.
        """
        logs = self._logs.last(LONGEST)
        baseline = pre if self._baseline is None else self._baseline
        if len(logs):
            means = [math.log(mean(self._capped_s.last(k))) for k in (10, 64, 300, LONGEST)]
            of_8, of_64, of_128, of_200 = logs[-8:], ordered(logs[-64:]), ordered(logs[-128:]), ordered(logs[-200:])
            previous, highest, median32, median64 = logs[-1], of_8.max(), _median(logs[-32:]), _quantile(of_64, 0.5)
            spread = _quantile(of_64, 0.8) - _quantile(of_64, 0.2)
            p95, p90 = _quantile(of_128, 0.95), _quantile(of_200, 0.9)
            upper, gap, explained = _two_modes(of_200, median32)
            previous2 = logs[-2] if len(logs) > 1 else pre
            sd8, sd32 = deviation(of_8), deviation(logs[-32:])
        else:
            means = [pre] * 4
            previous = previous2 = highest = median32 = median64 = p95 = p90 = upper = pre
            spread = gap = explained = sd8 = sd32 = 0.0
        mean10, mean64, mean300, mean2000 = means
        dominant = self._dominant.last(128)
        if len(dominant) >= 3:
            usual, mad = _median(dominant[-32:]), _mad(dominant[-32:])
            sd_dominant = deviation(dominant)
            dominant_steps = ordered(np.abs(dominant[-32:][1:] - dominant[-32:][:-1]))
            step_dominant, step_dominant_q25 = _quantile(dominant_steps, 0.5), _quantile(dominant_steps, 0.25)
        else:
            usual, mad, sd_dominant, step_dominant, step_dominant_q25 = median32, 0.0, 0.0, 0.0, 0.0
        steps = self._steps_columns()
        middle = math.log(0.5 * (math.exp(pre) + math.exp(post)))
        off = pre - baseline
        return [
            pre - mean10, pre - mean64, pre - mean300, pre - mean2000, post - mean64, post - mean2000, post - pre,
            pre - previous, pre - highest, post - highest, pre - p95, spread, pre - upper, post - upper,
            gap, explained, pre - p90, mean64 - median64,
            pre - median32, off, post - baseline, middle - baseline, pre - usual, off / (0.03 + 1.5 * mad),
            previous - mean64, previous2 - mean64, previous - baseline,
            sd_dominant, mad, sd8, sd32, *steps[:7], math.log1p(self._since_off), step_dominant,
            steps[7], steps[8], step_dominant_q25, math.log(abs(off) / (steps[8] + 0.02) + 0.1),
        ]  # fmt: skip

    def _steps_columns(self) -> list[float]:
        """Of the absolute differences of successive logarithms: how regular the rhythm is."""
        steps = self._steps.last(200)
        if len(steps) < 2:
            return [0.0] * 7 + [1.0, 0.0]
        size = np.abs(steps)
        of_64 = ordered(size[-64:])
        counts = np.bincount(np.searchsorted(_BINS, steps[-64:]), minlength=16)
        shares = counts[counts > 0] / len(of_64)
        return [
            mean(size[-32:]),
            mean(of_64),
            mean(size),
            _quantile(of_64, 0.5),
            1.0 - float(of_64.searchsorted(0.06, "right")) / len(of_64),
            1.0 - float(of_64.searchsorted(0.12, "right")) / len(of_64),
            -float(shares @ np.log(shares)),
            float(of_64.searchsorted(0.03)) / len(of_64),
            _quantile(of_64, 0.25),
        ]

    def push(self, pre: float, *, dominant: bool) -> None:
        """Remember a beat's interval, as a logarithm; ``dominant``: it lies between two beats of the usual shape."""
        if len(self._logs):
            self._steps.push(pre - float(self._logs.last(1)[0]))
        self._logs.push(pre)
        self.log_median32 = _median(self._logs.last(32))
        self._capped_s.push(math.exp(min(pre, _LOG_CAP)))
        if dominant:
            self._dominant.push(pre)
        if self._baseline is None:
            self._baseline = pre
        off = pre - self._baseline
        self._baseline += (_FAST if abs(off) < _NEAR_BASELINE else _SLOW) * off
        self._since_off = 0 if abs(off) > 0.15 else self._since_off + 1


def _quantile(values: Samples, q: float) -> float:
    """Of sorted values, interpolated linearly; `numpy.quantile` takes longer than all the columns together."""
    last = len(values) - 1
    at = q * last
    low = int(at)
    below, above = values.item(low), values.item(low + 1 if low < last else last)
    return float(below + (at - low) * (above - below))


def _median(values: Samples) -> float:
    return _quantile(ordered(values), 0.5)


def _mad(values: Samples) -> float:
    return _median(np.abs(values - _median(values)))


def _two_modes(values: Samples, median: float) -> tuple[float, float, float]:
    """Otsu's split of sorted values, each side of three or more: mean of the upper, gap of the means, share of the
    variance that the split explains.
    """
    n = len(values)
    if n < _FEWEST_OTSU:
        return median, 0.0, 0.0
    sums = values.cumsum()
    n_low = _COUNTS[3 : n - 2]
    low = sums[2 : n - 3] / n_low
    high = (sums.item(-1) - sums[2 : n - 3]) / (n - n_low)
    between = n_low * (n - n_low) * (high - low) ** 2
    best = int(between.argmax())
    gap = float(high[best] - low[best])
    return float(high[best]), gap, float(between[best]) / (n * n) / (deviation(values) ** 2 + 1e-6)
