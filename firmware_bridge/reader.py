"""A thread that empties a serial port into a bounded queue, so that a busy program loses no bytes."""

from __future__ import annotations

import contextlib
import queue
import termios
import threading
import time
from collections.abc import Callable
from typing import Any

import serial

from firmware_bridge import diagnosis

__all__ = ["PortReader", "Tap", "close_port", "open_port"]

CHUNK_BYTES = 4096
QUEUE_CHUNKS = 4096  # at 115200 baud minutes of data, and never more than 16 MiB
AT_ONCE_BYTES = 16384  # what one `read` of a link takes from it, about: a second and a half at 115200 baud
POLL_S = 0.1
WRITE_WITHIN_S = 1.0

Tap = Callable[[bytes, float], None]
"""Takes bytes and the host's monotonic time, s, at which they came."""


def open_port(url: str, baud: int, cancelled: Callable[[], bool] = lambda: False) -> Any:
    """The port of a device or a pyserial URL.

    Raises
    ------
    LinkError
        The port is missing, busy or denied, or nobody waits for it any more.
    """
    opening = _Opening(url, baud)
    try:
        while not opening.done.wait(POLL_S):
            if cancelled():
                raise diagnosis.given_up(url)
    except BaseException:
        opening.abandon()
        raise
    return opening.port()


class _Opening:
    """Opens a port in a thread of its own: a host name or a machine that does not answer takes seconds."""

    def __init__(self, url: str, baud: int) -> None:
        self.done = threading.Event()
        self._url, self._baud = url, baud
        self._port: Any = None
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._abandoned = False
        threading.Thread(target=self._run, name="edge-ecg port opener", daemon=True).start()

    def port(self) -> Any:
        """What was opened, once it is `done`; raises LinkError for what was not."""
        # The last of a device that goes away meanwhile.
        if isinstance(self._error, (OSError, ValueError, termios.error)):
            raise diagnosis.cannot_open(self._url, self._error)
        if self._error is not None:
            raise self._error
        return self._port

    def abandon(self) -> None:
        """Nobody waits: what is opened is closed."""
        with self._lock:
            self._abandoned = True
            close_port(self._port)

    def _run(self) -> None:
        try:
            port = serial.serial_for_url(
                self._url, baudrate=self._baud, timeout=POLL_S, write_timeout=WRITE_WITHIN_S, exclusive=True
            )
        except Exception as error:  # told to whoever waits
            self._error = error
        else:
            with self._lock:
                self._port = port
                if self._abandoned:
                    close_port(port)
        self.done.set()


def close_port(port: Any) -> None:
    """Give a port back that may have died, or is None."""
    if port is not None:
        with contextlib.suppress(OSError, TypeError, ValueError):  # a port that died may refuse
            port.close()


class PortReader:
    """Reads `port` (a pyserial object with a short timeout) until it is closed or dies.

    Parameters
    ----------
    tap
        Called in the reader's thread with all that comes, and when.

    Attributes
    ----------
    dropped_bytes
        Bytes thrown away because the queue was full.
    failure
        Why the port died, or None while it lives.
    """

    def __init__(self, port: Any, queue_chunks: int = QUEUE_CHUNKS, tap: Tap | None = None) -> None:
        self.dropped_bytes = 0
        self.failure: str | None = None
        self._port = port
        self._tap = tap
        self._chunks: queue.Queue[tuple[bytes, float]] = queue.Queue(queue_chunks)
        self._closing = threading.Event()
        self._done = False
        self._thread = threading.Thread(target=self._run, name="edge-ecg link reader", daemon=True)
        self._thread.start()

    def get(self, timeout_s: float) -> tuple[bytes, float] | None:
        """Return the oldest bytes and when they came; None after `timeout_s` or when the port died."""
        try:
            if timeout_s > 0 and not self._done:
                data, host_s = self._chunks.get(timeout=timeout_s)
            else:
                data, host_s = self._chunks.get_nowait()
        except queue.Empty:
            return None
        return (data, host_s) if data else None

    @property
    def exhausted(self) -> bool:
        """Whether no byte will ever come again."""
        return self._done and self._chunks.empty()

    def close(self) -> None:
        """Stop the thread; the port stays open."""
        self._closing.set()
        if hasattr(self._port, "cancel_read"):
            with contextlib.suppress(Exception):  # the port may be dead already
                self._port.cancel_read()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while not self._closing.is_set() and self.failure is None:
            data = self._gathered()
            if not data:
                continue
            host_s = time.monotonic()
            if self._tap is not None:
                self._tap(data, host_s)
            try:
                self._chunks.put_nowait((data, host_s))
            except queue.Full:
                self.dropped_bytes += len(data)
        self._done = True
        with contextlib.suppress(queue.Full):  # wakes a waiting `get`; with a full queue nobody waits
            self._chunks.put_nowait((b"", 0.0))

    def _gathered(self) -> bytes:
        """What has come, in one: each chunk wakes another thread. Of a port that dies, what came before."""
        data = b""
        try:
            data = self._port.read(1)
            while data and len(data) < CHUNK_BYTES and (waiting := self._port.in_waiting):
                data += self._port.read(min(waiting, CHUNK_BYTES - len(data)))
        except (OSError, TypeError, ValueError) as error:  # pyserial answers a dead port with any of these
            self.failure = str(error)
        return data
