"""What is on a port, found by asking and listening: boards behind a pseudo terminal, which no speed can garble."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from board_captures import frames

from edge_ecg.cli.main import run
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from firmware_bridge import probe as probe_module
from firmware_bridge.blocks import LinkError
from firmware_bridge.probe import find_board
from firmware_bridge.simulator import PtyBoard


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


@contextmanager
def board(name: str) -> Iterator[str]:
    said = b"".join(frame for _, frame in list(frames(name, 6.0))[:512])
    with PtyBoard(Talker(said)) as pty:
        yield pty.path


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "HELLO_WITHIN_S", 0.3)
    monkeypatch.setattr(probe_module, "LISTEN_S", 0.2)


@pytest.mark.parametrize("name", ["hpi5", "cyton", "chords", "olimex"])
def test_what_talks_is_known_by_its_frames(name: str) -> None:
    with board(name) as port:
        assert find_board(port)[0] == name


def test_what_bytes_cannot_tell_apart_is_left_to_the_user() -> None:
    with board("hpi3") as port, pytest.raises(LinkError, match=r"may be a hpi3 or hpi4.*--board"):
        find_board(port)


def test_our_own_board_answers() -> None:
    with PtyBoard(board_of_record(EXCERPT, 1.0)) as pty:
        assert find_board(pty.path) == ("edge", 115200)


def test_a_board_that_waits_is_asked() -> None:
    with PtyBoard(Talker(answers={b"v": b"OpenBCI V3 8-16 channel\r\n$$$"})) as pty:
        assert find_board(pty.path) == ("cyton", 115200)


def test_what_nobody_knows_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with PtyBoard(Talker(b"raspberrypi login: ")) as pty:
        with pytest.raises(LinkError, match="no known board was heard"):
            find_board(pty.path)
        assert run(["ports", "--probe", pty.path]) == 0
        out = capsys.readouterr().out
        assert "raspberrypi login:" in out
        assert "no known board" in out
        assert run(["run", "--port", pty.path, "--board", "auto"]) == 4
        assert "no known board was heard" in capsys.readouterr().err


def test_ports_say_what_is_on_them(capsys: pytest.CaptureFixture[str]) -> None:
    with board("cyton") as port:
        assert run(["ports", "--probe", "--json", port]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["device"] == port
    assert row["probe"]["boards"] == ["cyton"]
    assert run(["ports", "--probe", "/dev/nothing-here"]) == 0
    assert "there is no port /dev/nothing-here" in capsys.readouterr().out


def test_a_board_found_is_labelled(capsys: pytest.CaptureFixture[str]) -> None:
    """A board that never stops: Ctrl-C would; here it goes away."""
    with board("cyton") as port:
        assert run(["capture", "--port", port, "--board", "auto", "--for", "0.5", "/dev/null"]) == 0
    assert "OpenBCI Cyton" in capsys.readouterr().err
