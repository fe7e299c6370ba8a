"""Where events go. A sink that fails loses its own events, counted, never the pipeline's."""

from __future__ import annotations

from typing import Protocol

from edge_ecg.types import Event

__all__ = ["GuardedSink", "Sink"]


class Sink(Protocol):
    """One destination of events."""

    def emit(self, event: Event) -> None:
        """Take one event. May raise `OSError`: a full disk, a reader that went away."""

    def close(self) -> None:
        """Finish. May be called twice."""


class GuardedSink:
    """Keeps a failing sink from stopping the labels: after an `OSError` it counts what it drops.

    It tries again after as many events as it dropped so far (1, 2, 4, ... up to 1024), so that a disk with room
    again is written to again. A reader that went away (`BrokenPipeError`) is passed on.

    Attributes
    ----------
    n_dropped
        Events lost.
    failure
        The first error, as text; None while all is well.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.n_dropped = 0
        self.failure: str | None = None
        self._skip = 0
        self._backoff = 1

    def emit(self, event: Event) -> None:
        """Pass one event on, or count it as dropped."""
        if self._skip:
            self._skip -= 1
            self.n_dropped += 1
            return
        try:
            self._sink.emit(event)
            self._backoff = 1
        except BrokenPipeError:
            raise
        except OSError as error:
            self.failure = self.failure or (error.strerror or str(error))
            self.n_dropped += 1
            self._skip = self._backoff
            self._backoff = min(1024, 2 * self._backoff)

    def close(self) -> None:
        """Close the sink behind; an error then is kept as its failure."""
        try:
            self._sink.close()
        except BrokenPipeError:
            raise
        except OSError as error:
            self.failure = self.failure or (error.strerror or str(error))
