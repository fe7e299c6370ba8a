"""A board that goes away and comes back: found again, counted on, nothing left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from fake_boards import Cable, impatient

from firmware_bridge import wire
from firmware_bridge.blocks import BoardInfo, LinkError, RawBlock
from firmware_bridge.lasting import Item, LastingLink, LinkChange, opener_of
from firmware_bridge.ports import PortInfo
from firmware_bridge.simulator import PtyBoard

INFO = BoardInfo("Simulated", "1.0", "none", 500.0, ("I",), 5000.0, 1.0, 1)
COUNTS = np.arange(100_000)[:, None]


def read_until(link: LastingLink, done: Callable[[list[Item]], bool], within_s: float = 20.0) -> list[Item]:
    out: list[Item] = []
    deadline_s = time.monotonic() + within_s
    while not done(out):
        assert time.monotonic() < deadline_s, f"not in {within_s} s: {[type(item).__name__ for item in out][-9:]}"
        out += link.read(0.05)
    return out


def changes(items: list[Item]) -> list[str]:
    return [item.state for item in items if isinstance(item, LinkChange)]


def has(state: str) -> Callable[[list[Item]], bool]:
    """Whether a change has come, and a block behind it."""
    return lambda items: state in changes(items) and (state != "back" or isinstance(items[-1], RawBlock))


def blocks(items: list[Item]) -> list[RawBlock]:
    return [item for item in items if isinstance(item, RawBlock)]


def started(out: list[Item]) -> bool:
    return len(blocks(out)) > 2


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "board"


Plugged = TypeVar("Plugged", bound=Cable)


@contextmanager
def streaming(board: Plugged, place: Path) -> Iterator[tuple[Plugged, LastingLink]]:
    """A board on a terminal and the link to it, from which the first samples came."""
    with PtyBoard(board, place), LastingLink(str(place), opener_of()) as link:
        read_until(link, started)
        yield board, link


def cycle(board: Cable, link: LastingLink, *, reset: bool = False) -> list[Item]:
    """Pull the cable, plug it in, read on until samples come again."""
    board.plugged = False
    items = read_until(link, has("lost"))
    if reset:
        board.reset()
    board.plugged = True
    return items + read_until(link, has("back"))


def test_what_a_pulled_cable_cost_is_told_exactly(place: Path) -> None:
    board = Cable(INFO, COUNTS)
    with PtyBoard(board, place), LastingLink(str(place), opener_of()) as link:
        items = read_until(link, started)
        for n in range(1, 11):
            items += cycle(board, link)
            assert link.stats().reconnects == n
        items += link.stop()
        (sent,) = [item.samples_sent for item in items if isinstance(item, wire.Stopped)]
        assert sum(len(b.counts) + b.lost_before for b in blocks(items)) == sent
        for block in blocks(items):
            np.testing.assert_array_equal(block.counts[:, 0], np.arange(len(block.counts)) + block.first_sample)
        stats = link.stats()
        assert (stats.samples_received, stats.samples_received + stats.samples_lost) == (
            sum(len(b.counts) for b in blocks(items)), sent
        )  # fmt: skip
        back = [item for item in items if isinstance(item, LinkChange) and item.state == "back"]
        assert all(item.kept for item in back)
        assert len([b for b in blocks(items) if b.lost_before]) == 10
    assert not [t for t in threading.enumerate() if "link reader" in t.name]


def test_a_board_that_was_reset_is_told_to_have_lost_its_count(place: Path) -> None:
    with streaming(Cable(INFO, COUNTS), place) as (board, link):
        items = cycle(board, link, reset=True)
        (back,) = [item for item in items if isinstance(item, LinkChange) and item.state == "back"]
        assert not back.kept
        assert "begin anew" in back.detail
        after = blocks(items)[-1]
        assert (after.first_sample < 200, after.lost_before) == (True, 0)


class GreetingCable(Cable):
    """Says HELLO unasked after a reset, as boards do."""

    greets = False

    def reset(self) -> None:
        super().reset()
        self.greets = True

    def advance(self, now_s: float) -> bytes:
        greeting, self.greets = self.greet() if self.greets and self.plugged else b"", self.greets and not self.plugged
        return greeting + super().advance(now_s)


def test_a_board_that_greets_after_a_reset_is_started_again(place: Path) -> None:
    """Its HELLO and the answer to ours are no stream that went on."""
    board = GreetingCable(INFO, COUNTS)
    with PtyBoard(board, place), LastingLink(str(place), opener_of()) as link:
        items = read_until(link, started)
        for _ in range(2):
            items += cycle(board, link, reset=True)
        assert not any(item.kept for item in items if isinstance(item, LinkChange) and item.state == "back")
        assert link.stats().samples_received == sum(len(b.counts) for b in blocks(items))
        assert link.stats().samples_lost == sum(b.lost_before for b in blocks(items))


class EndingCable(Cable):
    """Its session ends while nobody hears it; the last frame of it waits until somebody asks."""

    last = b""

    def end(self) -> None:
        self.last = self._data(20) + self._stop()

    def receive(self, data: bytes, now_s: float) -> bytes:
        last, self.last = self.last, b""
        return last + super().receive(data, now_s)


def test_a_board_whose_session_ended_meanwhile_is_started_again(place: Path) -> None:
    """Samples of the session that is over are no sign that it goes on."""
    with streaming(EndingCable(INFO, COUNTS), place) as (board, link):
        board.plugged = False
        read_until(link, has("lost"))
        board.end()
        board.plugged = True
        items = read_until(link, started)
        assert changes(items) == ["back"]
        assert not any(isinstance(item, wire.Stopped) for item in items), "the end of a session is not that of the link"


def test_a_board_that_falls_silent_is_told_and_asked_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch, stalled_s=0.2, silent_s=1.5)
    with streaming(Cable(INFO, COUNTS), place) as (board, link):
        board.streaming = False
        items = read_until(link, has("lost"))
        assert changes(items) == ["stalled", "lost"]
        # It hears START again.
        items = read_until(link, has("back"))
        back = [item for item in items if isinstance(item, LinkChange) and item.state == "back"]
        assert not any(item.kept for item in back), "its numbers say nothing of the time without a session"


def test_an_outage_longer_than_any_silence_ends_too(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch, stalled_s=0.3, silent_s=0.6)
    with streaming(Cable(INFO, COUNTS), place) as (board, link):
        board.plugged = False
        items = read_until(link, has("lost"))
        until_s = time.monotonic() + 1.0
        while time.monotonic() < until_s:
            items += link.read(0.05)
        board.plugged = True
        items += read_until(link, has("back"))
        assert changes(items) == ["lost", "back"]


def test_of_two_adapters_with_one_serial_number_the_same_is_opened_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Cable(INFO, COUNTS)
    with PtyBoard(board, place) as pty:
        twins = [PortInfo(name, "CP2102", 0x10C4, 0xEA60, "0001") for name in ("/dev/ttyOTHER", str(place))]
        monkeypatch.setattr("firmware_bridge.lasting.list_ports", lambda: twins)
        with LastingLink(str(place), opener_of()) as link:
            read_until(link, started)
            cycle(board, link)
            assert pty.path


def test_what_is_not_there_at_first_is_not_waited_for(place: Path) -> None:
    with pytest.raises(LinkError, match="there is no port"):
        LastingLink(str(place), opener_of())


def test_it_can_be_closed_while_the_board_is_away(place: Path) -> None:
    board = Cable(INFO, COUNTS)
    with PtyBoard(board, place), LastingLink(str(place), opener_of()) as link:
        read_until(link, started)
        board.plugged = False
        read_until(link, has("lost"))
        assert link.read(0.05) == []
        assert link.stop() == []
        assert link.read(0.05) == []
