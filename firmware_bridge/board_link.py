"""A board of another maker on a serial port: open, start, read, stop, close."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import Any

from firmware_bridge import diagnosis
from firmware_bridge.blocks import BoardInfo, LinkError, LinkStats, RawBlock
from firmware_bridge.board_stream import BoardStream
from firmware_bridge.boards import Board
from firmware_bridge.reader import AT_ONCE_BYTES, POLL_S, PortReader, Tap, close_port, open_port
from firmware_bridge.recognition import KEPT_BYTES, recognise

__all__ = ["BoardLink", "open_board"]

GREETING_WITHIN_S = 2.0
STOP_WITHIN_S = 1.0
QUIET_S = 0.1
"""So long nothing comes of a board that has stopped: USB adapters hand over every 16 ms."""


def open_board(
    board: Board,
    url: str,
    baud: int | None = None,
    timeout_s: float = 5.0,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    tap: Tap | None = None,
    **options: object,
) -> BoardLink:
    """Open a port, start the board, wait for its first samples.

    Parameters
    ----------
    baud
        None: the board's usual speed.
    timeout_s
        How long its samples may take, once it was asked for them.
    options
        As of `open_decoder`.

    Raises
    ------
    LinkError
        The port is missing, busy or denied; nothing comes, or nothing that this board would send; or nobody waits any
        more: the board is then not started.
    """
    baud = baud or board.bauds[0]
    port = open_port(url, baud, cancelled)
    link = BoardLink(board, port, PortReader(port, tap=tap), url, baud, options)
    try:
        link.start(timeout_s, cancelled)
    except BaseException:
        link.close()
        raise
    return link


class BoardLink:
    """A started board. Made by `open_board`; one thread reads, stops and closes it.

    Attributes
    ----------
    info
        What is known of it.
    is_new_session
        True: what it sent before is not continued.
    """

    def __init__(
        self, board: Board, port: Any, reader: PortReader, url: str, baud: int, options: dict[str, object]
    ) -> None:
        self.info: BoardInfo
        self._board, self._port, self._reader, self._url, self._baud = board, port, reader, url, baud
        self._stream = BoardStream(board, **options)
        self._early: list[RawBlock] = []
        self.is_new_session = True
        self._started = self._closed = False

    def start(self, timeout_s: float, cancelled: Callable[[], bool]) -> None:
        """Greet and start the board, and wait for its first samples.

        Raises LinkError when none come, or nobody waits for them.
        """
        board = self._board
        if board.greeting or board.start:
            self._wait(board.settle_s, cancelled)
        if board.greeting:
            self._write(board.greeting)
            self._wait(GREETING_WITHIN_S, cancelled, board.greeting_ends)
        if cancelled():
            raise diagnosis.given_up(self._url)
        if board.start:
            self._write(board.start)
            self._started = True
        received = bytearray()
        deadline_s = time.monotonic() + timeout_s + board.settle_s
        while self._stream.info is None and time.monotonic() < deadline_s:
            if cancelled():
                raise diagnosis.given_up(self._url)
            chunk = self._reader.get(POLL_S)
            if chunk is not None:
                received += chunk[0][: KEPT_BYTES - len(received)]
                self._early += self._stream.feed(*chunk)
            elif self._reader.exhausted:
                raise diagnosis.went_away(self._url)
        if self._stream.info is None:
            raise self._nothing(bytes(received), timeout_s)
        self.info = self._stream.info

    def read(self, timeout_s: float) -> list[RawBlock]:
        """What came, waiting at most `timeout_s` for something; of much that waits, only the oldest.

        Raises LinkError when the board went away.
        """
        if self._early:
            return self._taken_early()
        chunk = self._reader.get(timeout_s)
        if chunk is None and (self._closed or self._reader.exhausted):
            raise diagnosis.went_away(self._url)
        out, n_bytes = [], 0
        while chunk is not None:
            out += self._stream.feed(*chunk)
            n_bytes += len(chunk[0])
            chunk = self._reader.get(0.0) if n_bytes < AT_ONCE_BYTES else None
        return out

    def stop(self) -> list[RawBlock]:
        """Stop the board where it can be stopped; what was under way. At most 1 s, never raises."""
        out = self._taken_early()
        self._say_stop()
        deadline_s = time.monotonic() + STOP_WITHIN_S
        # Of a board that cannot be stopped, what has come.
        quiet_s = QUIET_S if self._board.stop else 0.0
        while time.monotonic() < deadline_s and (chunk := self._reader.get(quiet_s)) is not None:
            out += self._stream.feed(*chunk)
        return out + self._stream.flush()

    def stats(self) -> LinkStats:
        """Counters since it was opened."""
        return dataclasses.replace(self._stream.stats(), queue_drops=self._reader.dropped_bytes)

    @property
    def remark(self) -> str:
        """What the user should know of the signal's timing; empty when there is nothing."""
        return self._stream.remark

    def close(self) -> None:
        """Stop the board if it still runs, and give the port back. May be called twice."""
        if not self._closed:
            self._say_stop()
            self._closed = True
            self._reader.close()
            close_port(self._port)

    def _taken_early(self) -> list[RawBlock]:
        out, self._early = self._early, []
        return out

    def _wait(self, seconds: float, cancelled: Callable[[], bool], ending: bytes = b"") -> None:
        """Hear what it says for some time, while it boots or until an answer has come."""
        heard = b""
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0 and not (ending and ending in heard):
            if cancelled():
                raise diagnosis.given_up(self._url)
            chunk = self._reader.get(min(left_s, POLL_S))
            if chunk is not None:
                heard += chunk[0]
            elif self._reader.exhausted:
                raise diagnosis.went_away(self._url)

    def _say_stop(self) -> None:
        if self._started and self._board.stop:
            self._started = False
            with contextlib.suppress(LinkError):
                self._write(self._board.stop)

    def _write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (OSError, TypeError, ValueError):
            raise diagnosis.went_away(self._url) from None

    def _nothing(self, received: bytes, timeout_s: float) -> LinkError:
        at = f"{self._url} at {self._baud} baud"
        if not received:
            return diagnosis.silent(self._url, f"nothing comes from {at} within {timeout_s:g} s")
        message = f"{len(received)} bytes came from {at} that are none of a {self._board.title}"
        seen = recognise(received, self._baud)
        if not seen.is_sure:  # at another speed it may be this board
            seen = recognise(received, self._baud, [self._board])
        return diagnosis.foreign(self._url, message, seen)
