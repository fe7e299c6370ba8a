"""The live page as an output of the daemon: a server in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from edge_ecg.errors import ConfigError, UsageError
from edge_ecg.health import Health
from edge_ecg.service import is_loopback
from edge_ecg.settings import WebSettings
from edge_ecg.types import Event, SampleBlock, StreamInfo
from edge_ecg.web.token import read_token

if TYPE_CHECKING:
    from edge_ecg.web.desk import Desk
    from edge_ecg.web.guard import Access
    from edge_ecg.web.protocol import Server
    from edge_ecg.web.viewers import Viewers

__all__ = ["WebSink", "open_web"]

_SEND_BYTES = 65536
_HEAD_BYTES = 16384
_BACKLOG = 64
_KEEP_ALIVE_S = 5
_LAST_WORDS_S = 0.2
_CLOSE_S = 0.9


def open_web(settings: WebSettings, health: Callable[[], Health]) -> WebSink:
    """Begin to serve the page; its address is the attribute ``url`` of what is returned.

    Parameters
    ----------
    settings
        Where, and for whom.
    health
        How the daemon is doing; called from any thread.

    Raises
    ------
    UsageError
        The extra is not installed, or the address cannot be had.
    ConfigError
        Others could reach the page without a token, or the token's file is not fit for it.
    """
    try:
        import uvicorn  # noqa: F401
        from starlette import routing  # noqa: F401
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        raise UsageError(
            f"the live page needs {missing}, which is not installed", 'pip install "edge-ecg[web]"'
        ) from None

    from edge_ecg.web.desk import Desk
    from edge_ecg.web.guard import Access

    token = None if settings.token_file is None else read_token(settings.token_file)
    held = _bind(settings.host, settings.port, has_token=token is not None)
    port = held.getsockname()[1]
    names = [f"{name}:{port}" for name in _LOCAL_NAMES] + (list(_LOCAL_NAMES) if port == 80 else [])
    access = Access(token, None if token is not None else frozenset(names))
    return WebSink(held, Desk(health), health, access)


_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


class WebSink:
    """Shows what happens on a page.

    Attributes
    ----------
    url
        Where.
    """

    lasting: ClassVar[bool] = False

    def __init__(self, held: socket.socket, desk: Desk, health: Callable[[], Health], access: Access) -> None:
        from edge_ecg.web.viewers import Viewers

        self.url = _url(held)
        self._desk = desk
        self._viewers = Viewers()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server = _server(desk, self._viewers, health, access)
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(held,), name="edge-ecg web", daemon=True)
        self._thread.start()
        self._is_ready.wait()

    def take_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        """Show a block."""
        self._desk.take_samples(stream, block)
        self._tell_when_due()

    def emit(self, event: Event) -> None:
        """Show an event."""
        self._desk.emit(event)
        self._tell_when_due()

    def tick(self) -> None:
        """Show what no sample and no event tells: that none comes."""
        self._tell_when_due()

    def close(self) -> None:
        """End all pages and the server, in less than a second."""
        if self._thread.is_alive():
            self._call(self._end)
            self._thread.join(_CLOSE_S)

    def _tell_when_due(self) -> None:
        if not self._desk.is_due():
            return
        if not len(self._viewers):
            self._desk.forget_new()
        elif message := self._desk.message():
            self._call(self._viewers.publish, message)

    def _call(self, work: Callable[..., None], *args: object) -> None:
        """Have the server's thread do it; nothing, once it has ended."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(work, *args)

    def _end(self) -> None:
        self._viewers.close()
        self._server.end()
        # Who has not taken the last words by then never will.
        asyncio.get_running_loop().call_later(_LAST_WORDS_S, self._cut_all)

    def _cut_all(self) -> None:
        self._server.force_exit = True
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()

    def _serve(self, held: socket.socket) -> None:
        async def work() -> None:
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._is_ready.set)
            await self._server.serve(sockets=[held])

        try:
            asyncio.run(work())
        finally:
            self._is_ready.set()
            held.close()


def _server(desk: Desk, viewers: Viewers, health: Callable[[], Health], access: Access) -> Server:
    import uvicorn

    from edge_ecg.web.app import page_app
    from edge_ecg.web.protocol import BoundedProtocol, Server

    config = uvicorn.Config(
        page_app(desk, viewers, health, access),
        http=BoundedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",  # below it are requests that are no HTTP: anybody could fill the log with them
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )
    return Server(config)


def _bind(host: str, port: int, *, has_token: bool) -> socket.socket:
    """A socket that listens there; only on this machine itself without a token."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f'"web.host" is no address of this machine: {host} ({reason})', _HOSTS) from None
    if not (has_token or is_loopback(str(address[0]))):
        raise ConfigError(
            f'"web.host" = "{host}" would show the heart to the whole network',
            'Set "web.token_file", or leave web.host at 127.0.0.1',
        )
    held = socket.socket(family, kind, protocol)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)  # connections inherit it
        held.bind(address)
        held.listen(_BACKLOG)
        held.setblocking(False)
    except OSError as error:
        held.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} of {host} is taken by another program",
                'Choose another with "web.port", or 0 for any; `ss -ltnp` shows which program it is',
            ) from None
        if error.errno == errno.EACCES:
            raise UsageError(f"only root may listen on port {port}", 'Choose "web.port" above 1023') from None
        raise ConfigError(f"cannot listen on {host}, port {port}: {error.strerror}", _HOSTS) from None
    return held


_HOSTS = 'Set "web.host" to 127.0.0.1, or with a token to 0.0.0.0 or an address that `ip address` shows'


def _url(held: socket.socket) -> str:
    host, port = held.getsockname()[:2]
    return f"http://[{host}]:{port}" if held.family == socket.AF_INET6 else f"http://{host}:{port}"
