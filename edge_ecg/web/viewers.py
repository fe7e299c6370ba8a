"""Pages that are open: each has a short queue of its own, so that one that hangs costs no other and little memory."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["MOST_VIEWERS", "Viewer", "Viewers"]

MOST_VIEWERS = 16
MOST_MESSAGES = 64
"""At seven messages a second nine seconds; with two leads at 360 Hz 50 KB."""
MOST_DROPPED = 256


class Viewer:
    """One open page. What its queue cannot hold is dropped, the oldest first; one that lags for long is cut off."""

    def __init__(self) -> None:
        self.n_dropped = 0
        self.is_over = False
        self._messages: deque[bytes] = deque()
        self._changed = asyncio.Event()

    def put(self, message: bytes) -> None:
        """Queue a message."""
        if len(self._messages) >= MOST_MESSAGES:
            self._messages.popleft()
            self.n_dropped += 1
        self._messages.append(message)
        self._changed.set()

    def end(self) -> None:
        """Send what waits, then end."""
        self.is_over = True
        self._changed.set()

    async def next(self) -> bytes:
        """What waits, when there is something; empty at the end."""
        while not self._messages and not self.is_over:
            self._changed.clear()
            await self._changed.wait()
        waiting = b"".join(self._messages)
        self._messages.clear()
        self.n_dropped = 0  # who reads again has caught up, however often it lagged before
        return waiting


class Viewers:
    """All open pages; used in the thread of the server only, but for its length."""

    def __init__(self) -> None:
        self._viewers: set[Viewer] = set()
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._viewers)

    def join(self) -> Viewer | None:
        """A new page; None when there are enough."""
        if self.is_closed or len(self._viewers) >= MOST_VIEWERS:
            return None
        viewer = Viewer()
        self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A page was closed."""
        self._viewers.discard(viewer)

    def publish(self, message: bytes) -> None:
        """Tell all pages; one that has dropped too much is told no more."""
        for viewer in self._viewers:
            viewer.put(message)
            if viewer.n_dropped >= MOST_DROPPED:
                viewer.end()

    def close(self) -> None:
        """End all."""
        self.is_closed = True
        for viewer in self._viewers:
            viewer.end()
