"""Boards of other makers on a port: started when somebody waits, heard to their last sample, stopped at the end."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from board_streams import STREAMS
from fake_boards import Talker, impatient

from firmware_bridge.blocks import LinkError, RawBlock
from firmware_bridge.board_link import open_board
from firmware_bridge.boards import BOARDS
from firmware_bridge.lasting import LastingLink, opener_of
from firmware_bridge.simulator import PtyBoard

CYTON = next(one for one in STREAMS if one.name == "cyton")
AFTER_STOP = 40
"""Frames that are under way when it hears that it is to stop."""


class FakeCyton:
    """Answers `v`, streams between `b` and `s`, and has some frames on their way when it is told to stop."""

    finished = False

    def __init__(self) -> None:
        self.n_sent = 0
        self.commands: list[bytes] = []
        self.heard = {command: threading.Event() for command in (b"v", b"b", b"s")}
        self._frames = (CYTON.frame(k, CYTON.rows(1, k).tolist()) for k in itertools.count())
        self._streams = False

    def is_plugged(self, now_s: float) -> bool:
        return True

    def receive(self, data: bytes, now_s: float) -> bytes:
        out = b""
        for command in (bytes([byte]) for byte in data):
            self.commands.append(command)
            self.heard[command].set()
            if command == b"v":
                out += b"OpenBCI V3 8-16 channel\r\n$$$"
            elif command == b"s" and self._streams:
                out += self._next(AFTER_STOP)
            self._streams = command == b"b"
        return out

    def advance(self, now_s: float) -> bytes:
        return self._next(2) if self._streams else b""

    def _next(self, n: int) -> bytes:
        self.n_sent += n
        return b"".join(itertools.islice(self._frames, n))


def n_samples(blocks: list[RawBlock]) -> int:
    return sum(len(block.counts) for block in blocks)


def test_it_is_heard_to_its_last_sample() -> None:
    board = FakeCyton()
    with PtyBoard(board) as pty:
        link = open_board(BOARDS["cyton"], pty.path)
        blocks: list[RawBlock] = []
        while n_samples(blocks) < 100:
            blocks += link.read(5.0)
        blocks += link.stop()
        stats = link.stats()
        link.close()
    assert n_samples(blocks) == board.n_sent
    assert (stats.samples_received, stats.samples_lost) == (board.n_sent, 0)
    assert [block.first_sample for block in blocks] == list(
        itertools.accumulate([0, *(len(block.counts) for block in blocks[:-1])])
    )


@pytest.mark.parametrize("command", [b"v", b"b"])
def test_what_nobody_waits_for_is_left_alone(command: bytes) -> None:
    """Given up while it is greeted, it is not started; given up later, it is stopped."""
    board = FakeCyton()
    board.advance = lambda now_s: b""  # type: ignore[method-assign]
    with PtyBoard(board) as pty:
        with pytest.raises(LinkError, match="stopped before"):
            open_board(BOARDS["cyton"], pty.path, timeout_s=1e6, cancelled=board.heard[command].is_set)
        if command == b"b":
            assert board.heard[b"s"].wait(5.0)
    assert board.commands == ([b"v"] if command == b"v" else [b"v", b"b", b"s"])


def test_a_board_that_dies_while_it_boots_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    board = FakeCyton()
    monkeypatch.setattr("firmware_bridge.board_link.GREETING_WITHIN_S", 1e6)
    board.receive = lambda data, now_s: b""  # type: ignore[method-assign]
    with PtyBoard(board) as pty:
        closer = threading.Timer(0.1, pty.close)
        closer.start()
        with pytest.raises(LinkError, match="went away"):
            open_board(BOARDS["cyton"], pty.path)
        closer.join()


def test_a_rate_that_cannot_be_set_is_refused() -> None:
    with pytest.raises(LinkError, match=r"OpenBCI Cyton .*cannot be asked for 500 Hz, it samples at 250 Hz"):
        opener_of("cyton", fs_hz=500.0)
    with pytest.raises(LinkError, match="keeps no rate"):
        opener_of("ad8232", fs_hz=250.0)
    opener_of("cyton", fs_hz=250.0)


def test_a_board_that_only_tells_of_an_electrode_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch, stalled_s=0.3, silent_s=0.6)
    with PtyBoard(Talker(b"!\r\n")) as pty, LastingLink(pty.path, opener_of("ad8232")) as link:
        items, until_s = [], time.monotonic() + 1.5
        while time.monotonic() < until_s:
            items += link.read(0.05)
        (off,) = items
        assert isinstance(off, RawBlock)
        assert off.lead_off
