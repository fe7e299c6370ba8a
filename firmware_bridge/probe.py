"""What is on a port: asked where it answers, listened to where it talks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from firmware_bridge import diagnosis
from firmware_bridge.blocks import LinkError
from firmware_bridge.boards import BOARDS, Board
from firmware_bridge.link import open_link
from firmware_bridge.protocols import open_decoder
from firmware_bridge.reader import open_port

__all__ = ["Found", "find_board", "probe"]

HELLO_WITHIN_S = 2.5
LISTEN_S = 1.5
ENOUGH_BYTES = 2000
FEWEST_FRAMES = 8
UNDERSTOOD = 0.9
"""Share of the bytes that a decoder must make sense of."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was heard at one speed.

    Attributes
    ----------
    baud
        The speed.
    boards
        Names of the boards that would send this; several where bytes cannot tell them apart.
    heard
        What came, in words.
    """

    baud: int
    boards: tuple[str, ...]
    heard: str


def find_board(url: str, cancelled: Callable[[], bool] = lambda: False) -> tuple[str, int]:
    """Name and speed of the board on a port.

    Raises
    ------
    LinkError
        The port cannot be opened; nothing known was heard, or what may be several: says what was.
    """
    found = probe(url, cancelled)
    last = found[-1]
    if len(last.boards) == 1:
        return last.boards[0], last.baud
    if last.boards:
        names = " or ".join(last.boards)
        raise LinkError(f"{url} sends at {last.baud} baud what may be a {names}", "Say which with --board")
    told = "; ".join(f"{one.baud} baud: {one.heard}" for one in found)
    raise LinkError(
        f"no known board was heard on {url} ({told})",
        "Name it with --board: one that waits to be started (bitalino) says nothing by itself",
    )


def probe(url: str, cancelled: Callable[[], bool] = lambda: False) -> list[Found]:
    """What was heard at each speed that was tried, the last one first known; about 2 s a speed.

    Raises
    ------
    LinkError
        The port cannot be opened.
    """
    edge = BOARDS["edge"]
    open_port(url, edge.bauds[0]).close()  # whether it can be opened at all is told before anything else
    try:
        open_link(url, edge.bauds[0], HELLO_WITHIN_S, cancelled=cancelled).close()
        return [Found(edge.bauds[0], ("edge",), "HELLO")]
    except LinkError:
        pass
    found = []
    for baud in dict.fromkeys(baud for board in BOARDS.values() for baud in board.bauds):
        if cancelled():
            break
        found.append(_listen(url, baud))
        if found[-1].boards:
            break
    return found


def _listen(url: str, baud: int) -> Found:
    """Listen, then ask those boards that answer at this speed and say nothing by themselves."""
    with contextlib.closing(open_port(url, baud)) as port:
        data = _heard(port, LISTEN_S)
        boards = _understood(data, baud)
        if boards or data:
            return Found(baud, boards, _words(data))
        for board in BOARDS.values():
            if baud in board.bauds and board.greeting:
                _write(port, board.greeting)
                answer = _heard(port, LISTEN_S, until=board.greeting_ends)
                if board.greeting_ends in answer and answer.isascii():
                    return Found(baud, (board.name,), _words(answer))
    return Found(baud, (), "nothing")


def _heard(port: Any, seconds: float, until: bytes = b"") -> bytes:
    data = bytearray()
    deadline_s = time.monotonic() + seconds
    with contextlib.suppress(OSError, TypeError, ValueError):  # a port that died has said what it had to
        while time.monotonic() < deadline_s and len(data) < ENOUGH_BYTES and not (until and until in data):
            data += port.read(max(1, min(port.in_waiting, ENOUGH_BYTES)))
    return bytes(data)


def _write(port: Any, data: bytes) -> None:
    with contextlib.suppress(OSError, TypeError, ValueError):
        port.write(data)


def _understood(data: bytes, baud: int) -> tuple[str, ...]:
    """Boards of this speed that would send ``data``."""
    candidates = [board for board in BOARDS.values() if baud in board.bauds and board.name != "edge"]
    return tuple(board.name for board in candidates if _share(board, data) >= UNDERSTOOD)


def _share(board: Board, data: bytes) -> float:
    """How much of ``data`` a board's decoder makes sense of, 0 to 1."""
    decoder = open_decoder(board.decoder)
    decoder.feed(data, 0.0)
    decoder.flush()
    stats = decoder.stats()
    if stats.frames_ok < FEWEST_FRAMES:
        return 0.0
    return (1.0 - stats.bytes_skipped / len(data)) * (1.0 - stats.crc_errors / (stats.crc_errors + stats.frames_ok))


def _words(data: bytes) -> str:
    return diagnosis.describe_foreign(data) or f"{len(data)} bytes that nobody knows"
