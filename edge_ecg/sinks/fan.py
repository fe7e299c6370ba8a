"""All outputs of a daemon as one sink; outputs may come and go while it runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import ClassVar

from edge_ecg.sinks.queued import QueuedSink
from edge_ecg.types import (
    Event,
    LeadOffEvent,
    ModelEvent,
    QualityEvent,
    RhythmEvent,
    SampleBlock,
    StateEvent,
    StreamInfo,
)

__all__ = ["Fan"]

_OF_A_STREAM = (LeadOffEvent, QualityEvent, RhythmEvent)


class Fan:
    """Hands each event and block to every output. May be called from any thread; events keep their order.

    An output that comes later first hears the last event of each kind that tells of a state, unless it is ``only_new``.
    """

    lasting: ClassVar[bool] = True

    def __init__(self) -> None:
        self._sinks: dict[str, QueuedSink] = {}
        self._last: dict[type, Event] = {}
        self._closed = False
        self._lock = threading.Lock()

    @property
    def sinks(self) -> Mapping[str, QueuedSink]:
        """The outputs by name, as they are now."""
        with self._lock:
            return dict(self._sinks)

    def put(self, name: str, sink: QueuedSink) -> None:
        """Begin to feed an output, in the place of one of that name; at the end it is closed at once."""
        with self._lock:
            if self._closed:
                sink.close(0.0)
                return
            for event in () if getattr(sink.sink, "only_new", False) else self._last.values():
                sink.emit(event)
            self._sinks[name] = sink

    def take_away(self, name: str) -> QueuedSink | None:
        """Feed an output no more; it is for the caller to close."""
        with self._lock:
            return self._sinks.pop(name, None)

    def emit(self, event: Event) -> None:
        """Hand on one event."""
        with self._lock:
            if isinstance(event, ModelEvent):
                for kind in _OF_A_STREAM:
                    self._last.pop(kind, None)
            if isinstance(event, (ModelEvent, StateEvent, *_OF_A_STREAM)):
                self._last[type(event)] = event
            for sink in self._sinks.values():
                sink.emit(event)

    def take_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        """Hand on one block."""
        with self._lock:
            for sink in self._sinks.values():
                sink.take_samples(stream, block)

    def close(self, timeout_s: float = 1.0) -> None:
        """Close all outputs, all at once: together they take no longer than the slowest."""
        with self._lock:
            self._closed = True
            sinks = list(self._sinks.values())
        closing = [threading.Thread(target=sink.close, args=(timeout_s,), daemon=True) for sink in sinks]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(timeout_s)
