"""How like atrial fibrillation the last beats are: no interval like those before it, and no P wave that repeats.

Two measures and a logistic. *Irregularity* is the median, over the last `N_STEPS` intervals, of the step to the
nearest of the three before: bigeminy and trigeminy repeat every second or third interval, fibrillation never does.
*Consistency* is the running correlation of the P wave with the patient's own.

Weights and limits are what ``python -m train.rhythm_states`` says, found on people of whom two have the rhythm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.ring import Ring

__all__ = ["BEGIN_ABOVE", "BIAS", "END_BELOW", "WEIGHTS", "Irregularity"]

Samples = NDArray[np.float64]

N_STEPS = 32
N_BACK = 3
FEWEST = 24
"""Steps without which nothing is said."""
N_MEAN = 16
"""Beats over which the logit is averaged, as a running mean."""
LOGIT_CAP = 6.0
_LARGEST = 10.0
"""No logarithm of R-R intervals lies beyond."""
_SMALLEST = 0.01
"""Steps below are the grid of the samples."""

WEIGHTS = (5.22, -15.19)
"""Of the logarithm of the irregularity, and of the consistency."""
BIAS = 19.36
BEGIN_ABOVE, END_BELOW = 2.0, -1.0
"""Limits of the running logit."""


class Irregularity:
    """Follows intervals between beats that are not ventricular.

    Parameters
    ----------
    weights, bias
        Of the logistic; only a fit has others.

    Attributes
    ----------
    suspected
        What is known now.
    logit
        The running mean.
    """

    def __init__(self, weights: Sequence[float] = WEIGHTS, bias: float = BIAS) -> None:
        self._weights, self._bias = tuple(weights), bias
        self._last = Ring(N_BACK)
        self._steps = Ring(N_STEPS)
        self.logit = -LOGIT_CAP
        self.suspected = False

    def state(self) -> dict[str, Samples]:
        """All that it remembers."""
        held = {"last": self._last.last(N_BACK).copy(), "steps": self._steps.last(N_STEPS).copy()}
        return {**held, "verdict": np.array([self.logit, float(self.suspected)])}

    def restore(self, state: Mapping[str, Samples]) -> None:
        """Remember that instead. Raises `ValueError` when it is no `state`."""
        logit, suspected = state["verdict"].tolist()
        self._last.refill(np.clip(state["last"], -_LARGEST, _LARGEST))
        self._steps.refill(np.clip(state["steps"], 0.0, _LARGEST))
        self.logit, self.suspected = min(max(logit, -LOGIT_CAP), LOGIT_CAP), bool(suspected)

    def measures(self, consistency: float) -> tuple[float, float] | None:
        """What the logistic weighs: log of the irregularity, and the consistency; None while too little is known."""
        if len(self._steps) < FEWEST:
            return None
        ordered = np.sort(self._steps.last(N_STEPS))
        return math.log(float(ordered[len(ordered) // 2]) + _SMALLEST), consistency

    def push(self, log_rr: float | None, consistency: float) -> bool:
        """Take the next beat; whether `suspected` changed.

        Parameters
        ----------
        log_rr
            Logarithm of the R-R interval before it, s; None when a ventricular beat bounds it, or it is not known.
        consistency
            Running correlation of the P wave before this beat: column ``p_correlation_mean`` of the features.
        """
        if log_rr is not None:
            last = self._last.last(N_BACK)
            if len(last) == N_BACK:
                self._steps.push(float(np.abs(last - log_rr).min()))
            self._last.push(log_rr)
        found = self.measures(consistency)
        if found is None:
            return False
        logit = self._bias + self._weights[0] * found[0] + self._weights[1] * found[1]
        self.logit += (min(max(logit, -LOGIT_CAP), LOGIT_CAP) - self.logit) / N_MEAN
        changed = self.logit < END_BELOW if self.suspected else self.logit > BEGIN_ABOVE
        self.suspected ^= changed
        return changed
