"""What share of the last beats an atrial focus made: beats labelled S, and runs that a step of the rate gives away.

When an atrial rhythm lasts, no beat of it is early against the one before, and a model that labels beats calls them
normal. What remains to be seen is how it began: from one beat to the next the rate is another, and so is the P wave. A
sinus node speeds up over many beats, with the same P wave.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.ring import Ring

__all__ = ["BEGIN_ABOVE", "END_BELOW", "N_BEATS", "AtrialShare"]

Samples = NDArray[np.float64]

N_BEATS = 128
"""Beats, ventricular ones not counted, of which the share is taken."""
FEWEST = 64
BEGIN_ABOVE, END_BELOW = 0.2, 0.1
"""Limits of the share. The healthy of nsrdb_2h reach 0.16; four of six people of svdb's with many S, 0.25 and more."""

STEP = 0.2
"""Logarithm of the least step of the rate, up or down."""
SUDDEN = 0.75
"""So much of the step lies between one interval and the next."""
SURE_STEP = 0.5
"""No sinus node takes such a step, whatever the P wave does."""
N_LEVEL = 8
FEWEST_LEVEL = 2
"""Intervals that make a level that a run may leave."""
N_RUN = 8
"""Beats after which a run counts, from its first."""
P_CHANGE = 1.0
"""Change of the logarithm of the P wave's difference from the usual one."""
_FOLLOW = 1.0 / 8.0


class AtrialShare:
    """Follows the level of the rate, runs that leave it, and labels.

    Attributes
    ----------
    suspected
        What is known now.
    in_run
        The last beats are faster than the level that they left at a step.
    """

    def __init__(self) -> None:
        self._marks = Ring(N_BEATS)
        self.suspected = False
        self.forget_level()

    def forget_level(self) -> None:
        """The next intervals do not follow on the last, or have no level."""
        self._level, self._level_p = Ring(N_LEVEL), Ring(N_LEVEL)
        self._run_p = Ring(N_RUN)
        self._n_run, self._run_log, self._base = 0, 0.0, 0.0
        self._slow: tuple[float, float] | None = None
        self.in_run = False

    def state(self) -> dict[str, Samples]:
        """What it remembers over a restart: marks and the verdict; the level is soon found again."""
        return {"marks": self._marks.last(N_BEATS).copy(), "suspected": np.array([float(self.suspected)])}

    def restore(self, state: Mapping[str, Samples]) -> None:
        """Remember that instead. Raises `ValueError` when it is no `state`."""
        (suspected,) = state["suspected"].tolist()
        self._marks.refill((state["marks"] > 0.5).astype(np.float64))
        self.suspected = bool(suspected)
        self.forget_level()

    @property
    def share(self) -> float:
        """Of the last beats; 0 while there are few."""
        marks = self._marks.last(N_BEATS)
        return float(marks.sum()) / len(marks) if len(marks) >= FEWEST else 0.0

    def push(self, log_rr: float | None, p_error: float, *, early: bool) -> bool:
        """Take the next beat that is not ventricular; whether `suspected` changed.

        Parameters
        ----------
        log_rr
            Logarithm of the R-R interval before it, s; None when a ventricular beat bounds it, or it is not known.
        p_error
            Logarithm of the P wave's difference from the usual one: column ``p_error`` of the features.
        early
            The beat is labelled S.
        """
        if log_rr is None:
            if not self.in_run:
                self._n_run = 0
            self._slow = None
        else:
            self._follow(log_rr, p_error)
        self._marks.push(float(early or self.in_run))
        if self.in_run and self._n_run == N_RUN:
            self._marks.last(N_RUN)[:] = 1.0
        changed = self.share < END_BELOW if self.suspected else self.share > BEGIN_ABOVE
        self.suspected ^= changed
        return changed

    def _follow(self, log_rr: float, p_error: float) -> None:
        if self._n_run and self._goes_on(log_rr, p_error):
            return
        level = self._level.last(N_LEVEL)
        if len(level) < FEWEST_LEVEL:
            self._at_level(log_rr, p_error)
            return
        base, slow = float(np.median(level)), self._slow
        self._slow = None
        if log_rr < base - STEP and log_rr < level[-1] - SUDDEN * STEP:
            self._base, self._run_log, self._n_run = base, log_rr, 1
            self._run_p = Ring(N_RUN)
            self._run_p.push(p_error)
        elif log_rr <= base + STEP:
            self._at_level(log_rr, p_error)
        elif slow is None or abs(log_rr - slow[0]) > STEP:
            # A pause alone, as behind an early beat.
            self._slow = (log_rr, p_error)
        else:
            self._level, self._level_p = Ring(N_LEVEL), Ring(N_LEVEL)
            self._at_level(*slow)
            self._at_level(log_rr, p_error)

    def _at_level(self, log_rr: float, p_error: float) -> None:
        self._level.push(log_rr)
        self._level_p.push(p_error)

    def _goes_on(self, log_rr: float, p_error: float) -> bool:
        """Whether the run does."""
        gap = self._base - self._run_log
        if log_rr > self._run_log + 0.5 * gap or gap < 0.5 * STEP:
            self._n_run, self.in_run = 0, False
            return False
        self._n_run += 1
        self._run_log += _FOLLOW * (log_rr - self._run_log)
        if self._n_run <= N_RUN:
            self._run_p.push(p_error)
        if self._n_run == N_RUN:
            self.in_run = self._is_atrial(gap)
        return True

    def _is_atrial(self, gap: float) -> bool:
        change = float(np.median(self._run_p.last(N_RUN))) - float(np.median(self._level_p.last(N_LEVEL)))
        return abs(change) > P_CHANGE or (gap > SURE_STEP and len(self._level) == N_LEVEL)
