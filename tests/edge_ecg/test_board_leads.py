"""`edge-ecg run` with boards of other makers on a terminal: which of their channels is labelled, and in which unit."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from board_captures import frames

from edge_ecg.cli.main import run
from firmware_bridge.boards import BOARDS
from firmware_bridge.simulator import PtyBoard

LEADS = ["cyton CH1", "cyton CH8", "bitalino A2", "chords CH3", "olimex CH6", "ads1293 CH2"]
MANY = ["cyton", "bitalino", "chords", "olimex", "ads1293"]
FEWEST = 6
"""Of the 12 beats: what was sent before the port was opened is not heard."""
FEWEST_LIVE = 3
"""Of the 7 that a board sends at its own pace, of which the first second is not labelled."""


class Player:
    """Sends what a board would, once it was started as that board is; one that keeps no rate takes its time."""

    def __init__(self, name: str, seconds: float, column: int | None) -> None:
        self._board = BOARDS[name]
        self._frames = list(frames(name, seconds, column))
        self._began_s: float | None = None
        self._starts = not self._board.start

    @property
    def finished(self) -> bool:
        return not self._frames

    def is_plugged(self, now_s: float) -> bool:
        return True

    def receive(self, data: bytes, now_s: float) -> bytes:
        self._starts |= bool(self._board.start) and self._board.start in data
        return self._board.greeting_ends if self._board.greeting and self._board.greeting in data else b""

    def advance(self, now_s: float) -> bytes:
        if not self._starts:
            return b""
        if self._began_s is None:
            self._began_s = now_s
        played_s = now_s - self._began_s if not self._board.is_isochronous else float("inf")
        n_due = sum(at_s <= played_s for at_s, _ in self._frames)
        due, self._frames = self._frames[:n_due], self._frames[n_due:]
        return b"".join(frame for _, frame in due)


@contextmanager
def plugged(name: str, column: int | None = None) -> Iterator[str]:
    """A board on a terminal, whose cable is pulled once all was read."""
    seconds = 8.0 if BOARDS[name].is_isochronous else 5.0
    with PtyBoard(Player(name, seconds, column)) as pty:
        given_up = threading.Event()

        def pull() -> None:
            while not pty.finished.wait(0.05) and not given_up.is_set():
                pass
            pty.close()

        thread = threading.Thread(target=pull, name="edge-ecg test cable")
        thread.start()
        try:
            yield pty.path
        finally:
            given_up.set()
            thread.join()


@pytest.fixture(autouse=True)
def ends_with_the_cable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG__LINK__WAIT_S", "0")


@pytest.fixture(autouse=True)
def is_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal resets no board when it is opened."""
    awake = {name: replace(board, settle_s=0.0) for name, board in BOARDS.items()}
    monkeypatch.setattr("firmware_bridge.lasting.BOARDS", awake)


def heard(capsys: pytest.CaptureFixture[str], *args: str) -> list[dict[str, Any]]:
    assert run(["run", "--jsonl", "-", *args]) == 4  # the board went away
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("which", LEADS)
def test_the_channel_that_was_named_is_labelled(which: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, lead = which.split()
    with plugged(name, column=BOARDS[name].leads.index(lead)) as port:
        rows = heard(capsys, "--board", name, "--port", port, "--lead", lead.lower())
    beats = [row for row in rows if row["type"] == "beat"]
    assert {row["lead"] for row in beats} == {lead}
    fewest = FEWEST if BOARDS[name].is_isochronous else FEWEST_LIVE
    assert len(beats) >= fewest, "nothing is in the other channels"


def test_another_channel_holds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with plugged("cyton", column=1) as port:
        rows = heard(capsys, "--board", "cyton", "--port", port)  # the first, unless told otherwise
    (model,) = [row for row in rows if row["type"] == "model"]
    assert model["lead"] == "CH1"
    assert not [row for row in rows if row["type"] == "beat"]


@pytest.mark.parametrize("name", MANY)
def test_a_channel_that_is_not_there_names_those_that_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with plugged(name) as port:
        assert run(["run", "--board", name, "--port", port, "--lead", "aVF"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    there = ", ".join(f"{at} {lead}" for at, lead in enumerate(BOARDS[name].leads))
    assert f"edge-ecg: no lead 'aVF' in {BOARDS[name].title}. Its leads are: {there}\n" in err


@pytest.mark.parametrize(("flags", "calibrated"), [((), False), (("--uv-per-lsb", "4.88"), True)])
def test_counts_of_unknown_size_are_said_to_be(
    flags: tuple[str, ...], calibrated: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with plugged("chords") as port:
        assert run(["run", "--board", "chords", "--port", port, *flags]) == 4
    assert ("amplitudes not calibrated" in capsys.readouterr().out) is not calibrated
    with plugged("chords") as port:
        rows = heard(capsys, "--board", "chords", "--port", port, *flags)
    (model,) = [row for row in rows if row["type"] == "model"]
    assert model["calibrated"] is calibrated
    assert len([row for row in rows if row["type"] == "beat"]) >= FEWEST
