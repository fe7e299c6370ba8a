"""What is on a port: listened to, then asked."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from firmware_bridge import diagnosis, wire
from firmware_bridge.blocks import LinkError
from firmware_bridge.boards import BOARDS, Board
from firmware_bridge.reader import open_port
from firmware_bridge.recognition import Seen, recognise

__all__ = ["Found", "find_board", "not_found", "probe"]

LISTEN_S = 1.5
ENOUGH_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Found:
    """What was heard at one speed.

    Attributes
    ----------
    baud
        The speed.
    boards
        Names of the boards that would send this; several where bytes cannot tell them apart.
    heard, hint
        What came, in words, and the next step.
    is_sure
        Whether another speed would tell no more.
    """

    baud: int
    boards: tuple[str, ...]
    heard: str
    hint: str
    is_sure: bool


def find_board(url: str, cancelled: Callable[[], bool] = lambda: False) -> tuple[str, int]:
    """Name and speed of the board on a port.

    Raises
    ------
    LinkError
        The port cannot be opened; nothing known was heard, or what may be several: says what was; nobody waits any
        more.
    """
    found = probe(url, cancelled)
    last = found[-1]
    if len(last.boards) == 1:
        return last.boards[0], last.baud
    raise not_found(url, found)


def not_found(url: str, found: list[Found]) -> LinkError:
    """Return the LinkError for a port on which no board was found, or several: what was heard, and the next step."""
    last = found[-1]
    if last.boards:
        names = " or ".join(last.boards)
        return LinkError(f"{url} sends at {last.baud} baud what may be a {names}", "Say which with --board")
    if last.is_sure:
        return LinkError(f"there is no board to read on {url}: {last.heard}", last.hint)
    told = "; ".join(f"{one.baud} baud: {one.heard}" for one in found)
    others = diagnosis.also_open(url)
    if others:
        return LinkError(f"no known board was heard on {url}, and {others} ({told})", diagnosis.OTHERS_HINT)
    return LinkError(
        f"no known board was heard on {url} ({told})",
        "Name it with --board: one that waits to be started (bitalino) says nothing by itself",
    )


def probe(url: str, cancelled: Callable[[], bool] = lambda: False) -> list[Found]:
    """What was heard at each speed that was tried, the last one first known; 2 to 8 s a speed.

    Raises
    ------
    LinkError
        The port cannot be opened; nobody waits any more.
    """
    found = []
    for baud in dict.fromkeys(baud for board in BOARDS.values() for baud in board.bauds):
        seen = _seen(url, baud, [board for board in BOARDS.values() if baud in board.bauds], cancelled)
        if cancelled():
            raise diagnosis.given_up(url)
        found.append(Found(baud, seen.boards, seen.what, seen.hint, seen.is_sure))
        if seen.is_sure:
            break
    return found


def _seen(url: str, baud: int, boards: list[Board], cancelled: Callable[[], bool]) -> Seen:
    """Listen first: one board is reset by its port being opened, another stops at any byte that it hears. Then ask."""
    with contextlib.closing(open_port(url, baud)) as port:
        listen_s = LISTEN_S + max(board.settle_s for board in boards)
        seen = recognise(_heard(port, listen_s, lambda data: cancelled()), baud, boards)
        for board in [] if cancelled() else boards:
            # What talks by itself needs no greeting, and any text would pass for the answer to one.
            if not seen.is_sure and (board.decoder == "edge" or seen.kind == "nothing"):
                seen = _asked(port, board, baud) or seen
    return seen


def _asked(port: Any, board: Board, baud: int) -> Seen | None:
    """What a board answers that says nothing by itself; None when it does not."""
    if board.decoder == "edge":
        _write(port, wire.encode(wire.HelloRequest(), 0))
        seen = recognise(_heard(port, LISTEN_S, lambda data: recognise(data, baud, ()).is_sure), baud, ())
        return seen if seen.is_sure else None
    if not board.greeting:
        return None
    _write(port, board.greeting)
    answer = _heard(port, LISTEN_S, lambda data: board.greeting_ends in data)
    if board.greeting_ends not in answer or not answer.isascii():
        return None
    return Seen("board", f"{answer[:60].decode().strip()!r} came as answer", f"Try --board {board.name}", (board.name,))


def _heard(port: Any, seconds: float, is_done: Callable[[bytes], bool] = lambda data: False) -> bytes:
    data = bytearray()
    deadline_s = time.monotonic() + seconds
    with contextlib.suppress(OSError, TypeError, ValueError):  # a port that died has said what it had to
        while time.monotonic() < deadline_s and len(data) < ENOUGH_BYTES and not is_done(bytes(data)):
            data += port.read(max(1, min(port.in_waiting, ENOUGH_BYTES)))
    return bytes(data)


def _write(port: Any, data: bytes) -> None:
    with contextlib.suppress(OSError, TypeError, ValueError):
        port.write(data)
