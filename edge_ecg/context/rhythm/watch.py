"""Which rhythm a patient is in, and what interrupts it: labelled beats and what is known of the signal in, events out.

Causal and bounded; owns no samples. Whoever calls goes through everything in the order of the sample with which it was
known; then the events are the same, bit for bit, however the stream was cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.fibrillation import FibrillationChange
from edge_ecg.context.intervals import log_pre
from edge_ecg.context.pacing import PacingChange
from edge_ecg.context.rhythm.episodes import Episode, Pauses, Runs
from edge_ecg.context.rhythm.irregularity import Irregularity
from edge_ecg.context.rhythm.share import END_BELOW as SHARE_ENDS_BELOW
from edge_ecg.context.rhythm.share import AtrialShare
from edge_ecg.context.tracker import COLUMNS

__all__ = ["STATES", "RhythmBeat", "RhythmChange", "RhythmTold", "RhythmWatch"]

SINUS, AF, ATRIAL, FIBRILLATION, PACED, UNKNOWN = STATES = (
    "sinus", "af_suspected", "atrial_suspected", "fibrillation_suspected", "paced_suspected", "unknown"
)  # fmt: skip
"""``sinus`` says that none of the others is suspected; single ectopic beats and runs belong to it."""

FEWEST_BEATS = 8
"""Good beats behind a gap or noise before a rhythm is named."""
BEATS_AFTER_FIBRILLATION = 32
"""It may go on as slow wide waves that look like beats."""
SILENCE_S = 10.0
"""Without a beat for so long no rhythm is named."""
_P_ERROR, _P_CONSISTENCY = COLUMNS.index("p_error"), COLUMNS.index("p_correlation_mean")


@dataclass(frozen=True, slots=True, eq=False)
class RhythmBeat:
    """One labelled beat.

    Attributes
    ----------
    at_index
        Sample with which the label was known.
    r_pos
        The R peak, in samples since the start of the stream.
    rr_s
        R-R interval before it, s; None for the first beat and behind a gap.
    label
        ``N``, ``S``, ``V``, or another that counts as N.
    features
        ``(len(COLUMNS),)``, what the model saw.
    learning, reject
        Its flags: the patient is not known yet; noise, or no electrode.
    """

    at_index: int
    r_pos: float
    rr_s: float | None
    label: str
    features: NDArray[np.float32]
    learning: bool = False
    reject: bool = False


@dataclass(frozen=True, slots=True)
class RhythmChange:
    """From ``sample`` on the rhythm is ``state``, one of `STATES`; known with sample ``at_index``.

    ``score`` is 0..1, how much speaks for it: of AF and fibrillation the logistic function of the running logit, of an
    atrial rhythm the share of such beats, of sinus what the two leave; 0 for ``unknown``.
    """

    at_index: int
    sample: int
    state: str
    score: float


RhythmTold = RhythmChange | Episode


class RhythmWatch:
    """Follows one patient's rhythm.

    Parameters
    ----------
    fs_hz
        Rate of the samples that positions count, Hz.
    irregularity, share
        What is remembered of the patient, and goes on being; None: nothing. The rhythm is named again when
        `FEWEST_BEATS` have been seen.
    """

    def __init__(
        self, fs_hz: float, irregularity: Irregularity | None = None, share: AtrialShare | None = None
    ) -> None:
        if not fs_hz > 0.0:
            raise ValueError(f"a rate is above 0 Hz, not {fs_hz:g} Hz")
        self._fs_hz = fs_hz
        self._irregularity, self._share = irregularity or Irregularity(), share or AtrialShare()
        self._runs, self._pauses = Runs(fs_hz), Pauses(fs_hz)
        self._unusable: set[str] = set()
        self._flutter: FibrillationChange | None = None
        self._pacing: PacingChange | None = None
        self._fewest = FEWEST_BEATS
        self._state, self._at, self._sample = UNKNOWN, 0, 0
        self._last_r: float | None = None
        self._previous: str | None = None
        self._since: dict[str, float | None] = {}
        self._forget_last()

    @property
    def state(self) -> str:
        """The rhythm that was told last; `UNKNOWN` at first, without an event."""
        return self._state

    def detected(self, r_pos: float, at_index: int) -> list[RhythmTold]:
        """An R peak, as soon as it is known: for pauses, which do not wait for labels."""
        events = self._pass(at_index)
        if not self._unusable:
            if not self._flutter:
                events += self._pauses.push(r_pos, self._at)
            self._last_r = r_pos
        return events

    def beat(self, beat: RhythmBeat) -> list[RhythmTold]:
        """A labelled beat, in order. What was detected in noise breaks every chain and is nothing else."""
        events = self._pass(beat.at_index)
        if beat.reject or self._unusable or self._flutter:
            events += self._runs.close(self._at)
            self._previous = None
            return [*events, *self._settle(beat.r_pos)]
        label, irregularity, share = beat.label, self._irregularity, self._share
        # Early beats are of no kind of their own when no beat is like the last.
        run_label = "N" if label == "S" and irregularity.suspected else label
        events += self._runs.push(run_label, beat.r_pos, self._at)
        if label != "V":
            log_rr = None
            if beat.rr_s is not None and self._previous not in (None, "V"):
                log_rr = log_pre(beat.rr_s)
            irregularity.push(log_rr, float(beat.features[_P_CONSISTENCY]))
            if irregularity.suspected:
                # Neither an early beat nor a step of the rate means anything then.
                share.forget_level()
                share.push(None, 0.0, early=False)
            else:
                share.push(log_rr, float(beat.features[_P_ERROR]), early=label == "S")
        self._previous, self._learning = label, beat.learning
        self._n_good += 1
        if self._n_good >= self._fewest:
            self._fewest = FEWEST_BEATS
        self._since[AF] = _since(self._since[AF], beat.r_pos, irregularity.logit > 0.0)
        self._since[ATRIAL] = _since(self._since[ATRIAL], beat.r_pos, share.share >= SHARE_ENDS_BELOW)
        if self._n_good == 1:
            self._since[SINUS] = beat.r_pos
        return [*events, *self._settle(beat.r_pos)]

    def fibrillation(self, change: FibrillationChange) -> list[RhythmTold]:
        """Flutter or fibrillation is suspected, or no longer."""
        events = self._pass(change.at_index)
        if change.suspected:
            self._flutter = change
            events += self._runs.close(self._at) + self._pauses.close(self._at, change.sample)
        elif self._flutter:
            self._flutter = None
            self._forget_last()
            self._fewest = BEATS_AFTER_FIBRILLATION
        return [*events, *self._settle(change.sample)]

    def pacing(self, change: PacingChange) -> list[RhythmTold]:
        """A pacemaker is suspected, or no longer."""
        events = self._pass(change.at_index)
        self._pacing = change if change.suspected else None
        return [*events, *self._settle(change.sample)]

    def signal(self, at_index: int, sample: int, *, usable: bool, cause: str = "noise") -> list[RhythmTold]:
        """From ``sample`` on the signal cannot be used, or can again as far as ``cause`` goes (``noise lead_off``)."""
        events = self._pass(at_index)
        if usable:
            self._unusable.discard(cause)
        else:
            self._unusable.add(cause)
            self._forget_last()
            events += self._runs.close(self._at) + self._pauses.close(self._at, sample)
        return [*events, *self._settle(sample)]

    def gap(self, at_index: int, n_lost: int) -> list[RhythmTold]:
        """Before ``at_index`` samples are missing, more than could be bridged: no pause can be told from a loss."""
        events = self._overdue(at_index - n_lost)
        self._at = max(self._at, at_index)
        events += self._runs.close(self._at) + self._pauses.close(self._at, at_index - n_lost)
        self._last_r = None
        self._forget_last()
        return [*events, *self._settle(at_index)]

    def until(self, at_index: int) -> list[RhythmTold]:
        """All that was known with samples up to ``at_index`` has been told: what is overdue is certain now."""
        return self._overdue(at_index + 1)

    def _forget_last(self) -> None:
        """The next beat follows on none."""
        self._previous = None
        self._n_good, self._learning = 0, True
        self._since = dict.fromkeys((SINUS, AF, ATRIAL))
        self._share.forget_level()

    def _pass(self, at_index: int) -> list[RhythmTold]:
        """Something becomes known with ``at_index``: what was due before it comes first."""
        events = self._overdue(at_index)
        self._at = max(self._at, at_index)
        return events

    def _overdue(self, before: int) -> list[RhythmTold]:
        events: list[RhythmTold] = []
        due = self._pauses.due()
        if due is not None and due < before:
            self._at = max(self._at, due)
            events.append(self._pauses.certain(self._at))
        if self._last_r is None:
            return events
        silent = round(self._last_r + SILENCE_S * self._fs_hz)
        if silent < before:
            self._at = max(self._at, silent)
            self._last_r = None
            self._forget_last()
            events += self._runs.close(self._at) + self._settle(silent)
        return events

    def _now(self) -> tuple[str, float]:
        if self._flutter:
            return FIBRILLATION, self._flutter.score
        if self._unusable:
            return UNKNOWN, 0.0
        if self._pacing:
            return PACED, self._pacing.score
        if self._learning or self._n_good < self._fewest:
            return UNKNOWN, 0.0
        irregular = 1.0 / (1.0 + math.exp(-self._irregularity.logit))
        if self._irregularity.suspected:
            return AF, irregular
        if self._share.suspected:
            return ATRIAL, self._share.share
        return SINUS, 1.0 - max(irregular, self._share.share)

    def _settle(self, sample: float) -> list[RhythmTold]:
        """The change, when there is one; it counts from the beat that first spoke for it, else from ``sample``."""
        state, score = self._now()
        if state == self._state:
            return []
        since = self._since.get(state) if self._state == UNKNOWN or state != SINUS else None
        self._sample = max(self._sample, min(round(sample if since is None else since), self._at))
        self._state = state
        return [RhythmChange(self._at, self._sample, state, score)]


def _since(begin: float | None, r_pos: float, speaks: bool) -> float | None:
    if not speaks:
        return None
    return r_pos if begin is None else begin
