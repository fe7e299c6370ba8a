"""Boards on a pseudo terminal for tests: one whose cable is pulled, one that babbles; and links that wait less."""

from __future__ import annotations

import pytest

from firmware_bridge import wire
from firmware_bridge.simulator import VirtualBoard

__all__ = ["Cable", "Talker", "capture_of", "impatient"]


class Cable(VirtualBoard):
    """A board whose cable the test pulls and plugs."""

    plugged = True

    def is_plugged(self, now_s: float) -> bool:
        return self.plugged


class Talker:
    """Sends bytes over and over, as fast as they are read; answers some commands."""

    finished = False

    def __init__(self, says: bytes = b"", answers: dict[bytes, bytes] | None = None) -> None:
        self._says, self._answers = says, answers or {}

    def is_plugged(self, now_s: float) -> bool:
        return True

    def advance(self, now_s: float) -> bytes:
        return self._says

    def receive(self, data: bytes, now_s: float) -> bytes:
        return self._answers.get(data, b"")


def impatient(monkeypatch: pytest.MonkeyPatch, *, stalled_s: float, silent_s: float) -> None:
    """Make a link call a board stalled, and then lost, after so much silence."""
    monkeypatch.setattr("firmware_bridge.lasting.STALLED_S", stalled_s)
    monkeypatch.setattr("firmware_bridge.lasting.SILENT_S", silent_s)


def capture_of(board: VirtualBoard) -> bytes:
    """Every byte that a board sends from HELLO to STOPPED."""
    out = board.receive(wire.encode(wire.HelloRequest(), 0), 0.0) + board.receive(wire.encode(wire.Start(), 1), 0.0)
    while not board.finished:
        out += board.advance(0.0)
    return out
