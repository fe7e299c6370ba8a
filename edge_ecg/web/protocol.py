"""uvicorn with what it lacks: bounds of connections and of the time a request may take, and rest when nothing comes."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["BoundedProtocol", "Server"]

MOST_CONNECTIONS = 64
REQUEST_S = 10.0


class BoundedProtocol(H11Protocol):
    """Refuses the connection that is one too many, and cuts one whose request does not come to its end."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        # A viewer that hangs is cut off through this; the application has no other way to reach it.
        self.app_state: dict[str, Any] = {"transport": transport}
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._await_request()

    def handle_events(self) -> None:
        """Stop waiting when a whole head has come."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next one."""
        self._await_request()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server(uvicorn.Server):
    """Sleeps until it is told to end, where uvicorn's looks ten times a second: a quarter of the page's whole cost."""

    _over: asyncio.Event | None = None

    async def main_loop(self) -> None:
        """Serve until the end."""
        self._over = asyncio.Event()
        await self.on_tick(0)
        if not self.should_exit:
            await self._over.wait()

    def end(self) -> None:
        """End; in the thread of the server only."""
        self.should_exit = True
        if self._over is not None:
            self._over.set()
