"""Samples in, events out: pure and single-threaded. Owns no clock, thread or file.

Two branches, joined by sample index with their delays compensated: the beat detector on the source's own rate,
and the front end that makes the model's input of each detected R. Every detected R gives exactly one beat event.
Beside them a meter judges each second (while the signal is unusable, beats are flagged `reject`), and what comes of all
that goes to the rhythm's branch, which tells what it amounts to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.memory import PatientMemory
from edge_ecg.detector import shipped_nets
from edge_ecg.dsp.nets import QrsNets
from edge_ecg.dsp.qrs import Detection, QrsDetector
from edge_ecg.dsp.quality import QualityMeter, Shutdown, ShutdownChange
from edge_ecg.errors import SourceError
from edge_ecg.front import BeatInput, front_end_of
from edge_ecg.infer import Classifier
from edge_ecg.rhythm_branch import Labelled, RhythmBranch
from edge_ecg.types import (
    Beat,
    Classified,
    Event,
    GapEvent,
    LeadOffEvent,
    LinkEvent,
    ModelEvent,
    OutputEvent,
    PatientEvent,
    QualityEvent,
    SampleBlock,
    StateEvent,
    StreamInfo,
)

__all__ = ["Pipeline"]

BRIDGE_S = 0.040
"""Gaps up to this long are interpolated and flagged; longer ones end a stretch."""
_IMPOSSIBLE_MV = 1e30
_STEP_S = 60.0
"""Long blocks are worked on in steps of this: memory is bounded, and a step's own cost small."""
_SHAPE = ("shape",)
"""Why the detector's own gate mistrusts beats: they are too unlike each other."""
_HARDLY_KNOWN = 0.5
"""Of the confidence that a model has in itself, while it learns (it was fitted on what is known of a patient, or a
signal, later), and while there may be no beats at all but flutter or fibrillation, or a pacemaker's."""


def check_rate(fs_hz: float) -> None:
    """Raise `SourceError` for a rate at which no beats are found."""
    if not 100.0 <= fs_hz <= 1000.0:
        raise SourceError(
            f"the source runs at {fs_hz:g} Hz; beats are found from 100 to 1000 Hz",
            "Set another rate on the board, or resample the recording",
        )


class Pipeline:
    """Label the beats of one lead of one stream.

    Events come in the order of the sample that completed them, bit for bit the same however the stream is
    cut into blocks.

    Parameters
    ----------
    classifier
        The model; its bundle says what the windows are.
    stream
        What the source says of the samples.
    lead
        Column of the lead to label.
    invert
        Turn the lead upside down first.
    nets
        What decides on beats; None: the shipped weights.
    memory
        What is known of the patient already, for a model that follows one; None: nothing.
    min_confidence
        Beats labelled with less, of 0..1, are flagged `unsure` and `reject`.
    """

    def __init__(
        self,
        classifier: Classifier,
        stream: StreamInfo,
        *,
        lead: int = 0,
        invert: bool = False,
        nets: QrsNets | None = None,
        memory: PatientMemory | None = None,
        min_confidence: float = 0.0,
    ) -> None:
        check_rate(stream.fs_hz)
        self._classifier = classifier
        self._stream = stream
        self._lead = lead
        self._min_confidence = min_confidence
        self._sign = -1.0 if invert else 1.0
        self._detector = QrsDetector(stream.fs_hz, nets or shipped_nets())
        memory = memory or PatientMemory()
        self._front = front_end_of(classifier.preprocessing, stream.fs_hz, memory)
        self._rhythm = RhythmBranch(stream, classifier.preprocessing, memory)
        self._next_index: int | None = None
        self._seen_index = 0
        self._last_mv = 0.0
        self._detections: deque[Detection] = deque()
        self._at_index = 0
        self._lead_off = False
        self._meter = QualityMeter(stream.fs_hz)
        self._shutdown = Shutdown()
        # Last sample and quality of each.
        self._seconds: deque[tuple[int, float]] = deque()
        self._shutdowns: deque[ShutdownChange] = deque()
        self._noisy_by: dict[str, tuple[str, ...]] = {}
        self._noise_told_at = 0
        self._suspect: deque[tuple[int, int, str]] = deque()

    def feed(self, block: SampleBlock) -> list[Event]:
        """Take the next samples; return what is now known."""
        events: list[Event] = []
        if self._next_index is None and (len(block.samples_mv) or block.lead_off):
            events.append(self._open(block.first_index))
        if self._next_index is not None and not len(block.samples_mv):
            # Some boards send nothing else while an electrode is off.
            events += self._electrode(self._next_index, 0, block.lead_off)
        for first, samples in self._runs(block):
            assert self._next_index is not None
            if first > self._next_index:
                events += self._gap(first, samples)
            if len(samples):
                events += self._electrode(first, len(samples), block.lead_off)
            step = round(_STEP_S * self._stream.fs_hz)
            for start in range(0, len(samples), step):
                events += self._advance(samples[start : start + step])
        return events

    def flush(self) -> list[Event]:
        """At the end of the stream or at a stop: decide and label what is pending; tell of samples lost at the end."""
        if self._next_index is None:
            return []
        events, n_lost = self._end_stretch(), self._seen_index - self._next_index
        self._next_index = self._seen_index = max(self._seen_index, self._next_index)
        return [*events, GapEvent(self._stream, self._seen_index, n_lost, interpolated=False)] if n_lost > 0 else events

    def _end_stretch(self) -> list[Event]:
        assert self._next_index is not None
        events = self._take(self._detector.flush(), [])
        events += self._label(self._front.ready())
        events += self._label(self._front.flush())
        events += self._rhythm.follow(self._next_index - 1)
        return sorted(events, key=_completed_at)

    def _runs(self, block: SampleBlock) -> list[tuple[int, NDArray[np.float64]]]:
        """The stretches of new, valid samples in a block: what is not a number is as good as lost.

        An empty block that begins behind all there was gives one empty stretch: it tells of a loss.
        """
        if len(block.samples_mv) == 0:
            tells = self._next_index is not None and block.first_index > self._seen_index
            return [(block.first_index, np.empty(0))] if tells else []
        self._seen_index = max(self._seen_index, block.first_index + len(block.samples_mv))
        first, samples = block.first_index, block.samples_mv[:, self._lead].astype(np.float64) * self._sign
        n_known = 0 if self._next_index is None else self._next_index - first
        if n_known > 0:
            samples, first = samples[n_known:], first + n_known
        # Also what no amplifier gives: it would overflow on its way to the model.
        valid = np.abs(samples) < _IMPOSSIBLE_MV
        if valid.all():
            return [(first, samples)]
        edges = np.flatnonzero(np.diff(np.concatenate([[0], valid.astype(np.int8), [0]])))
        return [(first + int(a), samples[a:b]) for a, b in zip(edges[::2], edges[1::2], strict=True)]

    def _open(self, first: int) -> Event:
        self._next_index = self._at_index = first
        if first:
            self._detector.resume(first, 0.0)
            self._front.resume(first)
            self._meter.resume(first, 0.0)
            self._rhythm.resume(first, 0)
        lead = self._stream.leads[self._lead]
        model = self._classifier
        return ModelEvent(self._stream, first, lead, model.model_id, model.sha256, model.operating_point)

    def _electrode(self, first: int, n: int, off: bool | None) -> list[Event]:
        """Tell of an electrode that came off or on; remember the samples without one."""
        changed = off is not None and off != self._lead_off
        if off is not None:
            self._lead_off = off
        if off:
            self._suspect_samples(first, first + n, "lead_off")
        if not changed:
            return []
        event = LeadOffEvent(self._stream, first, bool(off))
        self._rhythm.hear(first, event)
        return [event]

    def _gap(self, first: int, samples: NDArray[np.float64]) -> list[Event]:
        assert self._next_index is not None
        n_lost = first - self._next_index
        self._suspect_samples(self._next_index, first, "gap")
        if n_lost <= BRIDGE_S * self._stream.fs_hz:
            # An empty block tells of a loss with nothing behind it yet: the last value is held.
            value = samples[0] if len(samples) else self._last_mv
            events = self._advance(np.linspace(self._last_mv, value, n_lost + 2)[1:-1])
            return [*events, GapEvent(self._stream, first, n_lost, interpolated=True)]
        events = self._end_stretch()
        self._detector.resume(first, n_lost / self._stream.fs_hz)
        self._front.resume(first)
        self._meter.resume(first, n_lost / self._stream.fs_hz)
        events += self._rhythm.resume(first, n_lost)
        self._next_index = self._at_index = first
        return [*events, GapEvent(self._stream, first, n_lost, interpolated=False)]

    def _suspect_samples(self, begin: int, end: int, name: str) -> None:
        """Remember [begin, end) as lost or without an electrode, for as long as a pending beat may touch it."""
        assert self._next_index is not None
        while self._suspect and self._suspect[0][1] < self._next_index - self._front.longest_s * self._stream.fs_hz:
            self._suspect.popleft()
        self._suspect.append((begin, end, name))

    def _advance(self, samples: NDArray[np.float64]) -> list[Event]:
        assert self._next_index is not None
        self._forget_seconds()
        self._next_index += len(samples)
        self._last_mv = float(samples[-1])
        self._front.feed(samples)
        self._rhythm.feed(samples)
        seconds = self._meter.feed(samples)
        self._seconds += [(s.last_index, s.quality) for s in seconds]
        changes = [change for second in seconds if (change := self._shutdown.feed(second))]
        self._shutdowns += changes
        events = self._take(self._detector.feed(samples), changes)
        events += self._label(self._front.ready())
        events += self._rhythm.follow(self._next_index - 1)
        # A long block completes several things at once: tell them in the order a short one would.
        return sorted(events, key=_completed_at)

    def _forget_seconds(self) -> None:
        """Keep what a pending beat may still ask for."""
        assert self._next_index is not None
        oldest_r = self._next_index - self._front.longest_s * self._stream.fs_hz
        while self._seconds and self._seconds[0][0] < oldest_r - self._stream.fs_hz:
            self._seconds.popleft()
        while len(self._shutdowns) > 1 and self._shutdowns[1].sample < oldest_r:
            self._shutdowns.popleft()

    def _take(self, detections: list[Detection], changes: list[ShutdownChange]) -> list[Event]:
        for d in detections:
            self._front.push_r(d.r_pos, d.decided_at)
            self._detections.append(d)
            self._rhythm.hear(d.decided_at, d)
        told = [(c.at_index, c.sample, "meter", c.causes if c.unusable else (), c.quality) for c in changes]
        told += [(d.decided_at, round(d.r_pos), "gate", _SHAPE if d.reject else (), d.gate) for d in detections]
        events: list[Event] = []
        for at_index, sample, source, causes, quality in sorted(told, key=lambda step: step[0]):
            if bool(causes) == bool(self._noisy_by.get(source)):
                continue
            was_noisy = any(self._noisy_by.values())
            self._noisy_by[source] = causes
            # Each of the two looks back in its own way; the intervals that are told never overlap.
            self._noise_told_at = max(self._noise_told_at, sample)
            if any(self._noisy_by.values()) != was_noisy:
                at_sample, noisy = self._noise_told_at, not was_noisy
                event = QualityEvent(self._stream, at_index, at_sample, noisy, round(quality, 4), causes)
                self._rhythm.hear(at_index, event)
                events.append(event)
        return events

    def _label(self, beats: Sequence[BeatInput]) -> list[Event]:
        assert self._next_index is not None
        if not beats:
            return []
        classifier, stream = self._classifier, self._stream
        labels, lead = classifier.labels, stream.leads[self._lead]
        probs = classifier.classify_many(np.stack([b.inputs for b in beats]))
        classes, confidences = classifier.decide(probs)
        events: list[Event] = []
        decided = zip(beats, probs.tolist(), classes.tolist(), confidences.tolist(), strict=True)
        for b, of_beat, best, confidence in decided:
            detection = self._detections.popleft()
            # That it is cut short is known with the last sample there is.
            seen_index = self._next_index - 1 if b.short else b.needed_index
            self._at_index = max(self._at_index, seen_index, detection.decided_at)
            means_little = self._rhythm.means_little(detection.r_pos, self._at_index)
            sure = confidence * (_HARDLY_KNOWN if b.learning or means_little else 1.0)
            unsure = means_little or sure < self._min_confidence
            beat, in_noise = self._beat(b, detection, seen_index, self._at_index, unsure=unsure)
            event = Classified(
                stream=stream,
                lead=lead,
                beat=beat,
                label=labels[best],
                labels=labels,
                probs=tuple(of_beat),
                confidence=sure,
                model_id=classifier.model_id,
                lag_s=(self._at_index - detection.r_pos) / stream.fs_hz + stream.board_delay_s,
                at_index=self._at_index,
            )
            self._rhythm.hear(self._at_index, Labelled(event, b, in_noise))
            events.append(event)
            if b.recognised is not None:
                events.append(PatientEvent(stream, self._at_index, beat.r_index, b.recognised))
        return events

    def _beat(
        self, b: BeatInput, d: Detection, seen_index: int, at_index: int, *, unsure: bool
    ) -> tuple[Beat, bool]:
        """The beat, and whether the signal about it was unusable."""
        fs_hz, r_pos = self._stream.fs_hz, d.r_pos
        # The end of what it saw belongs to it: a beat cut short by a gap touches the gap.
        touched = {name for begin, end, name in self._suspect if begin <= seen_index + 1 and end > r_pos}
        flags = ["short"] if b.short else []
        flags += [name for name in ("gap", "lead_off") if name in touched]
        if b.learning:
            flags.append("learning")
        if unsure:
            flags.append("unsure")
        unusable, quality = self._judged(r_pos, at_index)
        in_noise = d.reject or "lead_off" in touched or unusable
        if in_noise or unsure:
            flags.append("reject")
        beat = Beat(
            r_index=round(r_pos),
            t_s=r_pos / fs_hz,
            rr_prev_s=b.rr_s,
            rr_median_s=b.rr_median_s,
            quality=0.0 if "lead_off" in touched else min(d.gate, quality),
            flags=tuple(flags),
        )
        return beat, in_noise

    def _judged(self, r_pos: float, at_index: int) -> tuple[bool, float]:
        """Whether a beat lies in an unusable interval, and the worst second about it. Beats come in order.

        Only what was known by ``at_index`` counts: however the stream is cut, a beat says the same.
        """
        changes, seconds = self._shutdowns, self._seconds
        while len(changes) > 1 and changes[1].at_index <= at_index and changes[1].sample <= r_pos:
            changes.popleft()
        known = bool(changes) and changes[0].at_index <= at_index and changes[0].sample <= r_pos
        while seconds and seconds[0][0] < r_pos - self._stream.fs_hz:
            seconds.popleft()
        qualities = [quality for _, quality in takewhile(lambda s: s[0] <= at_index, seconds)]
        return known and changes[0].unusable, min(qualities, default=1.0)


def _completed_at(event: Event) -> int:
    assert not isinstance(event, (LinkEvent, StateEvent, OutputEvent))
    return event.at_index
