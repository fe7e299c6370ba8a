"""Where events go. A sink that fails loses its own events, counted, never the pipeline's.

Some want more than events, and say so by having the method: `TakesSamples`, `Ticks`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol, runtime_checkable

from edge_ecg.errors import EdgeEcgError
from edge_ecg.types import Event, SampleBlock, StreamInfo

__all__ = ["GuardedSink", "OutputError", "Sink", "TakesSamples", "Ticks"]


class OutputError(EdgeEcgError):
    """Events that should be kept could not be written."""

    exit_code = 5


class Sink(Protocol):
    """One destination of events.

    Attributes
    ----------
    lasting
        What it takes is kept (a file); False for a reader that may go away.
    """

    lasting: ClassVar[bool]

    def emit(self, event: Event) -> None:
        """Take one event. May raise `OSError`: a full disk, a reader that went away."""

    def close(self) -> None:
        """Finish. May be called twice."""


@runtime_checkable
class TakesSamples(Protocol):
    """A sink that wants the signal, too: each block, before the events that came of it."""

    def take_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        """Take one block, as the source gave it. May raise `OSError`."""


@runtime_checkable
class Ticks(Protocol):
    """A sink that has work to do when nothing comes."""

    def tick(self) -> None:
        """Called about once a second. May raise `OSError`."""


class GuardedSink:
    """Keeps a failing sink from stopping the labels: after an `OSError` it counts what it drops.

    It tries again after as many events as it dropped so far (1, 2, 4, ... up to 1024), so that a disk with room
    again is written to again. A reader that went away (`BrokenPipeError`) is passed on once; then all is dropped.

    Parameters
    ----------
    on_failure
        Called at the first failure.

    Attributes
    ----------
    lasting
        As of the sink behind.
    n_dropped
        Events lost.
    failure
        The first error, as text; None while all is well.
    failing
        The last call failed, or what comes is being left out after one that did.
    gone
        The reader went away.
    """

    def __init__(self, sink: Sink, on_failure: Callable[[GuardedSink], None] | None = None) -> None:
        self._sink = sink
        self._on_failure = on_failure
        # Asked once: it takes longer than what many sinks do with a block.
        self._takes_samples = sink if isinstance(sink, TakesSamples) else None
        self._ticks = sink if isinstance(sink, Ticks) else None
        self.lasting = sink.lasting
        self.n_dropped = 0
        self.failure: str | None = None
        self.gone = False
        self.failing = False
        self._skip = 0
        self._backoff = 1

    def emit(self, event: Event) -> None:
        """Pass one event on, or count it as dropped."""
        if self.gone:
            return
        if self._skip:
            self._skip -= 1
            self.n_dropped += 1
            return
        try:
            self._sink.emit(event)
            self._backoff = 1
            self.failing = False
        except BrokenPipeError:
            self.gone = True
            raise
        except OSError as error:
            self.n_dropped += 1
            self._skip = self._backoff
            self._backoff = min(1024, 2 * self._backoff)
            self._fail(error)

    def take_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        """Pass a block on to a sink that wants it; an error is its failure."""
        if self._takes_samples is not None:
            try:
                self._takes_samples.take_samples(stream, block)
            except OSError as error:
                self._fail(error)

    def tick(self) -> None:
        """Let a sink do what is due; an error is its failure."""
        if self._ticks is not None:
            try:
                self._ticks.tick()
            except OSError as error:
                self._fail(error)

    def close(self) -> None:
        """Close the sink behind; an error then is kept as its failure."""
        try:
            self._sink.close()
        except BrokenPipeError:
            self.gone = True
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failing = True
        if self.failure is None:
            self.failure = error.strerror or str(error)
            if self._on_failure is not None:
                self._on_failure(self)
