"""The third branch of the pipeline: from signal, beats and labels to the rhythm. Pure, as the pipeline is."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.fibrillation import FibrillationChange, FibrillationWatch
from edge_ecg.context.memory import PatientMemory
from edge_ecg.context.pacing import PacingChange, PacingWatch
from edge_ecg.context.rhythm.episodes import Episode
from edge_ecg.context.rhythm.watch import FIBRILLATION, PACED, UNKNOWN, RhythmBeat, RhythmChange, RhythmWatch
from edge_ecg.context.tracker import ContextParams
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.dsp.qrs import Detection
from edge_ecg.front import BeatInput
from edge_ecg.types import Classified, EpisodeEvent, LeadOffEvent, QualityEvent, RhythmEvent, StreamInfo

__all__ = ["Labelled", "RhythmBranch", "Told"]

Told = RhythmEvent | EpisodeEvent

_LABELLED_S = 30.0
"""No beat is labelled as late as this: what was suspected before concerns none any more."""


class Labelled(NamedTuple):
    """A labelled beat, what the model saw of it, and whether it lies in noise or has no electrode."""

    event: Classified
    beat: BeatInput
    in_noise: bool


Heard = Detection | FibrillationChange | PacingChange | Labelled | QualityEvent | LeadOffEvent


class RhythmBranch:
    """Watches for flutter, fibrillation and pacing and, with a model that follows the patient, for the other rhythms.

    Parameters
    ----------
    stream
        What the source says of the samples.
    params
        What the model sees of a beat: only features of the patient's own rhythm tell more than fibrillation
        and pacing.
    memory
        What is known of the patient already.
    """

    def __init__(self, stream: StreamInfo, params: PreprocessParams | ContextParams, memory: PatientMemory) -> None:
        self._stream = stream
        self._signal, self._pacing = FibrillationWatch(stream.fs_hz), PacingWatch(stream.fs_hz)
        self._watch = None
        if isinstance(params, ContextParams):
            self._watch = RhythmWatch(stream.fs_hz, memory.irregularity, memory.share)
        self._heard: list[tuple[int, Heard]] = []
        self._flutter, self._paced = _Suspicion(), _Suspicion()
        self._told, self._suspected = UNKNOWN, frozenset[str]()

    def feed(self, samples_mv: NDArray[np.float64]) -> None:
        """Take the next samples of the lead, ``(n,)`` mV, all finite."""
        self._pacing.feed(samples_mv)
        self._heard += self._paced.take(self._pacing.ready())
        self._heard += self._flutter.take(self._signal.feed(samples_mv))

    def hear(self, at_index: int, what: Heard) -> None:
        """Take what became known with a sample; in any order within a step, which `follow` ends."""
        if isinstance(what, Detection):
            self._pacing.push_r(what.r_pos, at_index)
            self._heard += self._paced.take(self._pacing.ready())
        if self._watch is not None:
            self._heard.append((at_index, what))

    def follow(self, until: int) -> list[Told]:
        """What all that was heard tells, samples up to ``until`` having been fed."""
        events: list[Told] = []
        for at_index, what in sorted(self._heard, key=lambda heard: heard[0]):
            events += self._followed(at_index, what)
        self._heard.clear()
        for suspicion in (self._flutter, self._paced):
            suspicion.forget(until - _LABELLED_S * self._stream.fs_hz)
        if self._watch is not None:
            events += self._events(self._watch.until(until))
        return events

    def resume(self, first_index: int, n_lost: int) -> list[Told]:
        """Start again behind a gap, after all before it was followed."""
        self._signal.resume(first_index)
        self._pacing.resume(first_index)
        return [] if self._watch is None else self._events(self._watch.gap(first_index, n_lost))

    def means_little(self, r_pos: float, at_index: int) -> bool:
        """Whether a beat lies where fibrillation or a pacemaker is suspected, as far as was known by ``at_index``."""
        return self._flutter.holds(r_pos, at_index) or self._paced.holds(r_pos, at_index)

    def _followed(self, at_index: int, what: Heard) -> Sequence[Told]:
        watch = self._watch
        if watch is None:
            return self._without_a_patient(what)
        match what:
            case FibrillationChange():
                return self._events(watch.fibrillation(what))
            case PacingChange():
                return self._events(watch.pacing(what))
            case Detection():
                return self._events(watch.detected(what.r_pos, at_index))
            case QualityEvent():
                return self._events(watch.signal(at_index, what.sample, usable=not what.noisy))
            case LeadOffEvent():
                return self._events(watch.signal(at_index, at_index, usable=not what.off, cause="lead_off"))
            case Labelled():
                event, beat, in_noise = what
                # A label that is not sure is a label still: without it every chain of beats would break.
                learning = "learning" in event.beat.flags
                told = watch.beat(
                    RhythmBeat(
                        at_index, beat.r_pos, beat.rr_s, event.label, beat.inputs, learning=learning, reject=in_noise
                    )
                )
                return self._events(told)

    def _events(self, told: Sequence[RhythmChange | Episode]) -> list[Told]:
        events: list[Told] = []
        for one in told:
            if isinstance(one, RhythmChange):
                events.append(RhythmEvent(self._stream, one.at_index, one.sample, one.state, round(one.score, 4)))
            else:
                events.append(
                    EpisodeEvent(
                        self._stream, one.at_index, one.sample, one.kind, one.over, one.n_beats, round(one.length_s, 4)
                    )
                )
        return events

    def _without_a_patient(self, what: Heard) -> list[Told]:
        """What is told where no model follows the patient."""
        if not isinstance(what, FibrillationChange | PacingChange):
            return []
        state = FIBRILLATION if isinstance(what, FibrillationChange) else PACED
        self._suspected = self._suspected | {state} if what.suspected else self._suspected - {state}
        now = next((state for state in (FIBRILLATION, PACED) if state in self._suspected), UNKNOWN)
        if now == self._told:
            return []
        self._told = now
        return [RhythmEvent(self._stream, what.at_index, what.sample, now, round(what.score, 4))]


class _Suspicion:
    """Since when something is suspected, and no longer, as far back as beats are still to be labelled."""

    def __init__(self) -> None:
        self._changes: deque[FibrillationChange | PacingChange] = deque()

    def take(self, changes: Sequence[FibrillationChange | PacingChange]) -> list[tuple[int, Heard]]:
        """Remember changes; return them with the sample with which they were known."""
        self._changes += changes
        return [(change.at_index, change) for change in changes]

    def holds(self, r_pos: float, at_index: int) -> bool:
        """Whether it was suspected at ``r_pos``, by what was known with ``at_index``."""
        latest_first = reversed(self._changes)
        return next((one.suspected for one in latest_first if one.at_index <= at_index and one.sample <= r_pos), False)

    def forget(self, before: float) -> None:
        """No beat before that sample will be asked for."""
        while len(self._changes) > 1 and max(self._changes[1].at_index, self._changes[1].sample) <= before:
            self._changes.popleft()
