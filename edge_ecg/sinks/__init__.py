"""Where events go. A sink that fails loses its own events, counted, never the pipeline's.

Some want more than events, and say so by having the method: `TakesSamples`, `Ticks`, `CountsLosses`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol, runtime_checkable

from edge_ecg.errors import EdgeEcgError
from edge_ecg.types import Event, SampleBlock, StreamInfo

__all__ = ["CountsLosses", "GuardedSink", "OutputError", "Sink", "TakesSamples", "Ticks"]


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
        """Called about once a second. May raise `OSError`: as long as it does, the output is in trouble."""


@runtime_checkable
class CountsLosses(Protocol):
    """A sink that takes events, and may lose them later."""

    @property
    def n_lost(self) -> int:
        """Events that it had taken and lost."""


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
    n_dropped, n_blocks_dropped
        Events and blocks lost.
    failure
        The first error, as text; None while all is well.
    reason
        The last one.
    gone
        The reader went away.
    """

    def __init__(self, sink: Sink, on_failure: Callable[[GuardedSink], None] | None = None) -> None:
        self._sink = sink
        self._on_failure = on_failure
        # Asked once: such a check costs more than most calls.
        self._takes_samples = sink.take_samples if isinstance(sink, TakesSamples) else None
        self._ticks = sink.tick if isinstance(sink, Ticks) else None
        self.lasting = sink.lasting
        self.n_dropped = self.n_blocks_dropped = 0
        self.failure: str | None = None
        self.reason: str | None = None
        self.gone = False
        self._failing: set[str] = set()
        self._skip = 0
        self._backoff = 1

    @property
    def failing(self) -> bool:
        """Whether the last call of one of its methods failed, or what comes is being left out after one that did."""
        return bool(self._failing)

    def emit(self, event: Event) -> None:
        """Pass one event on, or count it as dropped; a sink that takes blocks, too, is offered each as it is those."""
        if self.gone:
            return
        if self._skip and self._takes_samples is None:
            self._skip -= 1
            self.n_dropped += 1
            return
        try:
            self._sink.emit(event)
            self._backoff = 1
            self._failing.discard("emit")
        except BrokenPipeError:
            self.gone = True
            raise
        except OSError as error:
            self.n_dropped += 1
            self._skip = self._backoff
            self._backoff = min(1024, 2 * self._backoff)
            self._fail("emit", error)

    def take_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        """Pass a block on to a sink that wants it; an error is its failure."""
        if self._takes_samples is not None:
            try:
                self._takes_samples(stream, block)
                self._failing.discard("take_samples")
            except OSError as error:
                self.n_blocks_dropped += 1
                self._fail("take_samples", error)

    def tick(self) -> None:
        """Let a sink do what is due; an error is its failure."""
        if self._ticks is not None:
            try:
                self._ticks()
                self._failing.discard("tick")
            except OSError as error:
                self._fail("tick", error)

    def close(self) -> None:
        """Close the sink behind; an error then is kept as its failure."""
        try:
            self._sink.close()
        except BrokenPipeError:
            self.gone = True
        except OSError as error:
            self._fail("close", error)

    def _fail(self, method: str, error: OSError) -> None:
        self._failing.add(method)  # well again when this one is, whatever the others do meanwhile
        self.reason = error.strerror or str(error)
        if self.failure is None:
            self.failure = self.reason
            if self._on_failure is not None:
                self._on_failure(self)
