"""The loop that joins a source, the pipeline and the sinks: what `run`, `replay`, `demo` and the daemon do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from edge_ecg.context.memory import PatientMemory
from edge_ecg.infer import Classifier
from edge_ecg.leads import pick_lead
from edge_ecg.pipeline import Pipeline
from edge_ecg.sinks import GuardedSink, Sink
from edge_ecg.sources import Source
from edge_ecg.stats import RunStats
from edge_ecg.types import Classified, Event, LinkEvent, SampleBlock, StreamInfo

__all__ = ["Runner"]


class Runner:
    """Read a source to its end, label its beats, hand every event to every sink.

    Whatever ends the loop, the pipeline is flushed first: what was read is labelled.

    Parameters
    ----------
    source, classifier, sinks
        What is joined; the source and the sinks are closed at the end.
    lead
        Name or number of the lead to label; None: MLII, else II, else the first.
    invert
        Turn the lead upside down.
    memory
        What is known of the patient already, for a model that follows one; it goes on learning. None: nothing, and
        each stream is another patient's. Or what gives it, for a stream and the number of its lead.
    min_confidence
        As of `Pipeline`.
    on_failure
        Called when a sink fails for the first time.
    on_turn
        Called in each turn of the loop, several times a second.
    clock
        The host's monotonic clock, s.

    Attributes
    ----------
    stats
        What went by.
    sinks
        The sinks behind their guards, which count what was dropped.
    """

    def __init__(
        self,
        source: Source,
        classifier: Classifier,
        sinks: Sequence[Sink],
        *,
        lead: str | None = None,
        invert: bool = False,
        memory: PatientMemory | Callable[[StreamInfo, int], PatientMemory | None] | None = None,
        min_confidence: float = 0.0,
        on_failure: Callable[[GuardedSink], None] | None = None,
        on_turn: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._classifier = classifier
        self._lead = lead
        self._invert = invert
        self._memory = memory
        self._min_confidence = min_confidence
        self._on_turn = on_turn
        self._clock = clock
        self._pipeline: Pipeline | None = None
        self._stream: StreamInfo
        self.sinks = tuple(GuardedSink(sink, on_failure) for sink in sinks)
        self.stats = RunStats()

    def run(self) -> RunStats:
        """Run until the source ends. Raises what the source raises, after all was labelled."""
        try:
            self._loop()
        finally:
            self._source.close()
            for sink in self.sinks:
                sink.close()
        return self.stats

    def stop(self) -> None:
        """End soon, in order; safe in a signal handler."""
        self._source.stop()

    def _loop(self) -> None:
        try:
            for item in self._source.items():
                self._on_turn()
                match item:
                    case StreamInfo():
                        self._flush()
                        self._pipeline = self._pipeline_of(item)
                    case SampleBlock():
                        self._label(item)
                    case LinkEvent():
                        if item.state == "ended":
                            self._flush()
                        self._emit(item)
                    case None:
                        pass
        finally:
            self._flush()

    def _pipeline_of(self, stream: StreamInfo) -> Pipeline:
        lead = pick_lead(stream.leads, self._lead)
        memory = self._memory(stream, lead) if callable(self._memory) else self._memory
        self._stream = stream
        return Pipeline(
            self._classifier,
            stream,
            lead=lead,
            invert=self._invert,
            memory=memory,
            min_confidence=self._min_confidence,
        )

    def _label(self, block: SampleBlock) -> None:
        assert self._pipeline is not None
        started_s = self._clock()
        arrived_s = started_s if block.host_s is None else block.host_s
        for sink in self.sinks:
            sink.take_samples(self._stream, block)
        for event in self._pipeline.feed(block):
            self._emit_late(event, arrived_s)
        self.stats.processing_s += self._clock() - started_s
        self.stats.n_samples += len(block.samples_mv)

    def _flush(self) -> None:
        if self._pipeline is None:
            return
        started_s = self._clock()
        for event in self._pipeline.flush():
            self._emit_late(event, started_s)
        self.stats.processing_s += self._clock() - started_s
        self._pipeline = None

    def _emit_late(self, event: Event, arrived_s: float) -> None:
        if isinstance(event, Classified):
            event = replace(event, lag_s=event.lag_s + max(0.0, self._clock() - arrived_s))
        self._emit(event)

    def _emit(self, event: Event) -> None:
        self.stats.count(event)
        broken: BrokenPipeError | None = None
        for sink in self.sinks:
            try:
                sink.emit(event)
            except BrokenPipeError as error:
                broken = error
        # Nobody reads any more: go on only for a file that still takes what comes.
        if broken is not None and not any(sink.lasting and not sink.gone for sink in self.sinks):
            raise broken
