"""A board on a serial port: open, shake hands, read, stop, close."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from firmware_bridge import diagnosis, wire
from firmware_bridge.blocks import BoardInfo, LinkError, LinkStats, RawBlock
from firmware_bridge.protocols.edge import EdgeDecoder
from firmware_bridge.reader import AT_ONCE_BYTES, POLL_S, PortReader, Tap, close_port, open_port
from firmware_bridge.recognition import KEPT_BYTES

__all__ = ["Link", "open_link"]

HELLO_EVERY_S = 0.5  # many boards reset when the port is opened and hear nothing for two seconds
STOP_WITHIN_S = 1.0
STOP_EVERY_S = 0.25
RATE_WITHIN_S = 1.0
RUNNING_WITHIN_S = 0.3  # a session that goes on has a frame every 40 ms


def open_link(
    url: str,
    baud: int = 115200,
    handshake_timeout_s: float = 3.0,
    *,
    resumed: EdgeDecoder | None = None,
    fs_hz: float | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    tap: Tap | None = None,
) -> Link:
    """Open a port, wait for the board to say what it is, and start it.

    Parameters
    ----------
    url
        A device (``/dev/ttyACM0``) or a pyserial URL (``socket://host:port``, ``loop://``).
    resumed
        The decoder of a link to this board that was lost. A session that still runs then goes on, and what was lost
        of it is counted; the board is started only where no sample comes.
    fs_hz
        Rate to ask the board for; None: as it is.
    cancelled
        Asked every tenth of a second whether to give up: a board is then not started.
    tap
        As of `PortReader`.

    Raises
    ------
    LinkError
        The port is missing, busy or denied; nothing answers, or something that is no board of this protocol, or one
        that cannot sample at ``fs_hz``; or nobody waits any more.
    """
    port = open_port(url, baud, cancelled)
    reader = PortReader(port, tap=tap)
    try:
        sender = _Sender(port, url)
        link = _shake_hands(sender, reader, baud, handshake_timeout_s, resumed, cancelled)
        if resumed is None or not link.went_on(cancelled):
            link.start(fs_hz, cancelled)
        return link
    except BaseException:
        reader.close()
        close_port(port)
        raise


def _shake_hands(
    sender: _Sender, reader: PortReader, baud: int, timeout_s: float, resumed: EdgeDecoder | None,
    cancelled: Callable[[], bool],
) -> Link:  # fmt: skip
    url = sender.url
    decoder = resumed or EdgeDecoder()
    before = decoder.stats()
    early: list[RawBlock | wire.Message] = []
    received = bytearray()
    deadline_s = time.monotonic() + timeout_s
    ask_s = 0.0
    n_asked = 0
    while (now_s := time.monotonic()) < deadline_s:
        if cancelled():
            raise diagnosis.given_up(url)
        if now_s >= ask_s:
            # The first time, a stream somebody left running is stopped: its end then comes before HELLO.
            if not ask_s and resumed is None:
                sender.send(wire.Stop())
            sender.send(wire.HelloRequest())
            n_asked += 1
            ask_s = now_s + HELLO_EVERY_S
        chunk = reader.get(min(ask_s - now_s, deadline_s - now_s, POLL_S))
        if chunk is None:
            if reader.exhausted:
                raise diagnosis.went_away(url)
            continue
        received += chunk[0][: KEPT_BYTES - len(received)]
        out = decoder.feed(*chunk)
        early += out
        hello = next((message for message in out if isinstance(message, wire.Hello)), None)
        if hello is not None:
            diagnosis.check_hello(url, hello)
            if resumed is not None:
                link = Link(sender, reader, hello, resumed, before=before, n_hellos=n_asked - 1)
                link.unread([item for item in early if not isinstance(item, wire.Hello)])
                return link
            # Its counters begin here, without the noise of a board that boots.
            # A HELLO that a board sent as it booted comes before the answer to our STOP.
            stopped = any(isinstance(message, wire.Stopped) for message in early)
            session = EdgeDecoder(hello.n_leads, awaits_stopped=not stopped)
            session.feed(decoder.pending, chunk[1])
            return Link(sender, reader, hello, session)
        if decoder.foreign_version is not None:
            raise diagnosis.other_version(url, decoder.foreign_version)
    stats = decoder.stats()
    raise diagnosis.no_hello(
        url, baud, timeout_s, bytes(received), stats.bytes_received, stats.frames_ok > 0, decoder.echoed
    )


class Link:
    """A started board. Made by :func:`open_link`; one thread reads, stops and closes it.

    Attributes
    ----------
    info
        What the board says of itself.
    is_new_session
        Whether it was started here, so that its sample numbers say nothing of the time before.
    """

    def __init__(
        self, sender: _Sender, reader: PortReader, hello: wire.Hello, decoder: EdgeDecoder, *,
        before: LinkStats | None = None, n_hellos: int = 0,
    ) -> None:  # fmt: skip
        self.info: BoardInfo = hello.info
        self._sender = sender
        self._reader = reader
        self._decoder = decoder
        self._streamed = False
        self._ended = False
        self._error: LinkError | None = None
        self._closed = False
        self._n_hellos = n_hellos  # that may still answer us
        self._before = before or LinkStats()
        self.is_new_session = False
        self._unread: list[RawBlock | wire.Message] = []

    @property
    def decoder(self) -> EdgeDecoder:
        """What knows which samples came: `open_link` resumes with it."""
        return self._decoder

    @property
    def remark(self) -> str:
        """Nothing: a board of ours keeps its rate."""
        return ""

    def start(self, fs_hz: float | None = None, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Begin a session, at the rate asked for. Raises LinkError when the board cannot, or nobody waits for it."""
        if fs_hz is not None and fs_hz != self.info.fs_hz and not cancelled():
            self._set_rate(fs_hz, cancelled)
        if cancelled():
            raise diagnosis.given_up(self._sender.url)
        self.send(wire.Start())
        self._ended, self.is_new_session = False, True

    def _set_rate(self, fs_hz: float, cancelled: Callable[[], bool]) -> None:
        fs_mhz = round(1e3 * fs_hz)
        self.send(wire.SetRate(fs_mhz))
        why = "it does not answer"
        deadline_s = time.monotonic() + RATE_WITHIN_S
        while (left_s := deadline_s - time.monotonic()) > 0 and not cancelled():
            for item in self.read(min(left_s, POLL_S)):
                # Another HELLO may be on its way still, with the rate before.
                if isinstance(item, wire.Hello):
                    self.info = item.info
                    why = f"it stays at {item.info.fs_hz:g} Hz"
                    if item.fs_mhz == fs_mhz:
                        return
                if isinstance(item, wire.Error):
                    why, deadline_s = item.text, 0.0
        if cancelled():
            return
        raise LinkError(
            f"the board on {self._sender.url} does not sample at {fs_hz:g} Hz: {why}",
            f"It samples at {self.info.fs_hz:g} Hz: ask for no other rate",
        )

    def went_on(self, cancelled: Callable[[], bool] = lambda: False) -> bool:
        """Whether a session has been running all the time: then a frame comes every 40 ms.

        What came is kept for `read`, but for the end of a session that is over.
        """
        items, self._unread = self._unread, []
        deadline_s = time.monotonic() + RUNNING_WITHIN_S
        while not _streams(items) and (left_s := deadline_s - time.monotonic()) > 0 and not cancelled():
            items += self.read(min(left_s, POLL_S))
        ends = [item for item in items if isinstance(item, wire.Stopped)]
        self.unread([item for item in items if not isinstance(item, wire.Stopped)])
        return _streams(items) and not ends

    def unread(self, items: Sequence[RawBlock | wire.Message]) -> None:
        """Let the next `read` begin with these."""
        self._unread += items

    def read(self, timeout_s: float) -> list[RawBlock | wire.Message]:
        """Return what came, waiting at most `timeout_s` for something; an empty list when nothing did.

        Of much that waits, only the oldest: who reads too slowly does not get all of it at once. A ``Stopped`` in the
        list is the end of the session. An empty block tells of a loss before it.

        Raises
        ------
        LinkError
            The board went away or restarted; only after all that came before has been returned.
        """
        deadline_s = time.monotonic() + timeout_s
        if self._unread:
            out, self._unread = self._unread, []
            return out
        while self._error is None:
            chunk = self._reader.get(max(0.0, deadline_s - time.monotonic()))
            out = self._decode(chunk)
            n_bytes = 0 if chunk is None else len(chunk[0])
            while out and n_bytes < AT_ONCE_BYTES and (chunk := self._reader.get(0.0)) is not None:
                out += self._decode(chunk)
                n_bytes += len(chunk[0])
            if out:
                return out
            if self._closed or self._reader.exhausted:
                self._error = self._gone()
            elif time.monotonic() >= deadline_s:
                return []
        raise self._error

    def send(self, command: wire.Command) -> None:
        """Send a command, such as ``StatusRequest()``; `read` returns the answer. May raise LinkError."""
        if self._closed:
            raise self._gone()
        self._sender.send(command)

    def stats(self) -> LinkStats:
        """Return counters since the handshake; ``queue_drops`` in bytes, ``overruns`` by the last STATUS."""
        return dataclasses.replace(self._decoder.stats() - self._before, queue_drops=self._reader.dropped_bytes)

    def stop(self) -> list[RawBlock | wire.Message]:
        """Stop the board and return what was under way, up to its STOPPED; at most 1 s, never raises."""
        out: list[RawBlock | wire.Message] = []
        if self._closed:
            return out
        deadline_s = time.monotonic() + STOP_WITHIN_S
        with contextlib.suppress(LinkError):
            while not self._ended and (now_s := time.monotonic()) < deadline_s:
                # Again when the answer was lost: the board repeats it.
                self.send(wire.Stop())
                ask_s = min(now_s + STOP_EVERY_S, deadline_s)
                while not self._ended and (left_s := ask_s - time.monotonic()) > 0:
                    out += self.read(left_s)
        return out

    def close(self) -> None:
        """Stop the board if it still runs, and give the port back. May be called twice."""
        if self._closed:
            return
        if not self._ended:
            with contextlib.suppress(LinkError):
                self.send(wire.Stop())
        self._closed = True
        self._reader.close()
        close_port(self._sender.port)

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decode(self, chunk: tuple[bytes, float] | None) -> list[RawBlock | wire.Message]:
        if chunk is None or self._error is not None:
            return []
        out = self._decoder.feed(*chunk)
        for index, item in enumerate(out):
            if isinstance(item, RawBlock):
                self._streamed = True
            elif isinstance(item, wire.Stopped):
                self._ended, self._streamed = True, False
            elif isinstance(item, wire.Hello) and self._n_hellos:
                self._n_hellos -= 1
            elif isinstance(item, wire.Hello) and self._streamed:
                # All our requests were answered before the first sample, so nobody asked for this one.
                self._error = LinkError(
                    f"the board on {self._sender.url} restarted in mid-stream", "Check its supply and cable"
                )
                return out[:index]
        return out

    def _gone(self) -> LinkError:
        if self._closed:
            return LinkError(f"the link to {self._sender.url} is closed", "Open it again")
        return diagnosis.went_away(self._sender.url)


class _Sender:
    """Sends commands, each behind a delimiter that ends whatever noise the board heard before."""

    def __init__(self, port: Any, url: str) -> None:
        self.port = port
        self.url = url
        self._sequence = 0

    def send(self, command: wire.Command) -> None:
        frame = b"\0" + wire.encode(command, self._sequence)
        self._sequence += 1
        try:
            self.port.write(frame)
        except (OSError, TypeError, ValueError):
            raise diagnosis.went_away(self.url) from None


def _streams(items: Sequence[RawBlock | wire.Message]) -> bool:
    return any(isinstance(item, RawBlock) for item in items)
