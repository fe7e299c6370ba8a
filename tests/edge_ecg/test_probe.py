"""What is on a port, found by asking and listening: boards behind a pseudo terminal, which no speed can garble."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from board_captures import frames
from fake_boards import Talker
from serial import Serial

from edge_ecg.cli.main import run
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from firmware_bridge import framing, wire
from firmware_bridge import probe as probe_module
from firmware_bridge.blocks import LinkError
from firmware_bridge.probe import find_board
from firmware_bridge.simulator import PtyBoard


@contextmanager
def board(name: str) -> Iterator[str]:
    said = b"".join(frame for _, frame in list(frames(name, 6.0))[:512])
    with PtyBoard(Talker(said)) as pty:
        yield pty.path


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_console_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with PtyBoard(Talker(b"raspberrypi login: ")) as pty:
        assert run(["ports", "--probe", pty.path]) == 0
        out = capsys.readouterr().out
        assert "raspberrypi login:" in out
        assert "another port" in out
        assert run(["run", "--port", pty.path, "--board", "auto"]) == 4
        err = capsys.readouterr().err
        assert "a login console" in err
        assert "another port" in err


def test_what_nobody_knows_is_told_for_each_speed() -> None:
    with PtyBoard(Talker(b"\x91\xfe\x80\x7f")) as pty, pytest.raises(LinkError, match="no known board") as caught:
        find_board(pty.path)
    for baud in (115200, 57600, 9600, 230400):
        assert f"make no sense at {baud} baud" in caught.value.message
    assert "Name it with --board" in caught.value.hint


def test_any_text_is_no_answer_to_a_greeting() -> None:
    """What talks by itself is not greeted: a Chords board would answer with a line of text."""
    talker, heard = Talker(b"[wifi] scanning for networks\r\n"), []
    talker.receive = lambda data, now_s: heard.append(data) or b""  # type: ignore[assignment, func-returns-value]
    with PtyBoard(talker) as pty, pytest.raises(LinkError, match=r"no known board .*text that begins '\[wifi\]"):
        find_board(pty.path)
    assert not [data for data in heard if b"WHORU" in data or data == b"v"]


@pytest.mark.parametrize("is_asked", [False, True], ids=["streams", "answers"])
def test_our_own_firmware_of_another_version_is_told(is_asked: bool) -> None:
    hello = b"\0" + framing.encode(b"\x02\x81\0\0\x02hello")
    request = b"\0" + wire.encode(wire.HelloRequest(), 0)
    talker = Talker(answers={request: hello, request[1:]: hello}) if is_asked else Talker(hello)
    with PtyBoard(talker) as pty, pytest.raises(LinkError, match="speaks version 2 of the protocol") as caught:
        find_board(pty.path)
    assert caught.value.hint == "Update edge-ecg"


def test_a_port_that_another_program_holds_is_told() -> None:
    with PtyBoard(Talker()) as pty, Serial(pty.path, exclusive=True), pytest.raises(LinkError, match="is in use by"):
        find_board(pty.path)


class Booting(Talker):
    """Says nothing for so long after it was plugged in."""

    def __init__(self, says: bytes, silent_s: float) -> None:
        super().__init__(says)
        self._awake_s = time.monotonic() + silent_s

    def advance(self, now_s: float) -> bytes:
        return super().advance(now_s) if now_s >= self._awake_s else b""


def test_a_board_is_given_the_time_that_it_boots() -> None:
    """An Olimex shield sits on an Arduino, which takes two seconds."""
    said = b"".join(frame for _, frame in list(frames("olimex", 6.0))[:512])
    with PtyBoard(Booting(said, 1.9)) as pty:
        (found,) = probe_module.probe(pty.path)
    assert (found.baud, found.boards) == (115200, ("olimex",))


def test_what_talks_is_not_disturbed() -> None:
    """A Chords board stops at any byte that it hears."""
    talker = Talker(b"".join(frame for _, frame in list(frames("chords", 6.0))[:512]))
    heard: list[bytes] = []
    talker.receive = lambda data, now_s: heard.append(data) or b""  # type: ignore[assignment, func-returns-value]
    with PtyBoard(talker) as pty:
        assert find_board(pty.path)[0] == "chords"
    assert heard == []


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
