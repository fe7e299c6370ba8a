"""A source that is not there yet, and may come back: waited for, for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from edge_ecg.errors import SourceError
from edge_ecg.sources import Item, Source
from edge_ecg.types import LinkEvent
from firmware_bridge.blocks import LinkError, LinkStats, PortRefusedError

__all__ = ["LinkSource", "WaitingSource"]

RETRY_S = 1.0

_POLL_S = 0.1


class LinkSource(Source, Protocol):
    """A source with counters of a link."""

    def stats(self) -> LinkStats:
        """Counters so far."""


class WaitingSource:
    """Opens a source, and opens it again when it ended or could not be opened.

    ``waiting`` is told once for each reason. The first time a port that another program holds, or that this user may
    not open, is not waited for: that is a mistake to be told.

    Parameters
    ----------
    open_source
        Opens the source, unless what it is given says that nobody waits any more.
    on_wait
        Called several times a second while it is opened and waited for: a known idle state.
    retry_s
        The first wait between two attempts; each is twice the one before, up to five times that.
    """

    def __init__(
        self,
        open_source: Callable[[Callable[[], bool]], LinkSource],
        *,
        on_wait: Callable[[], None] = lambda: None,
        retry_s: float = RETRY_S,
    ) -> None:
        self._open, self._on_wait, self._retry_s = open_source, on_wait, retry_s
        self._source: LinkSource | None = None
        self._before = LinkStats()
        self._heard = self._stopping = False

    def items(self) -> Iterator[Item | None]:
        """The streams of one source after the other, and why there is none.

        Raises
        ------
        PortRefusedError
            The port was refused at the first attempt.
        """
        told, wait_s, first = "", self._retry_s, True
        while not self._stopping:
            try:
                self._source = self._open(self._cancelled)
                if self._stopping:  # while it was opened
                    self._source.stop()
                wait_s, told = self._retry_s, ""
                for item in self._source.items():
                    self._heard = True
                    yield item
                why = "the board ended"
            except PortRefusedError as error:
                if first:
                    raise
                why = str(error)
            except (LinkError, SourceError) as error:
                why = str(error)
            finally:
                first = False
                self.close()
            if self._stopping:
                return
            if why != told:
                told = why
                yield LinkEvent("waiting", why)
            yield from self._wait(wait_s)
            wait_s = min(2.0 * wait_s, 5.0 * self._retry_s)

    def stats(self) -> LinkStats | None:
        """Counters of all sources so far; None while none was heard."""
        if not self._heard:
            return None
        return self._before if self._source is None else self._before + self._source.stats()

    def stop(self) -> None:
        """End soon: a wait at once, a source in its order; safe in a signal handler."""
        self._stopping = True
        if self._source is not None:
            self._source.stop()

    def close(self) -> None:
        """Give the port back. May be called twice."""
        if self._source is not None:
            source, self._source = self._source, None
            source.close()
            self._before += source.stats()

    def _cancelled(self) -> bool:
        self._on_wait()
        return self._stopping

    def _wait(self, seconds: float) -> Iterator[None]:
        until_s = time.monotonic() + seconds
        while not self._stopping and (left_s := until_s - time.monotonic()) > 0.0:
            time.sleep(min(_POLL_S, left_s))
            yield None
