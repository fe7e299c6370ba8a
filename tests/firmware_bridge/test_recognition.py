"""What bytes look like, by the bytes alone: every board that is known, and what is none."""

from __future__ import annotations

import numpy as np
import pytest
from board_captures import frames
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge import framing, wire
from firmware_bridge.boards import BOARDS
from firmware_bridge.recognition import recognise

TWINS = {
    "hpi3": ("hpi3", "hpi4"),
    "hpi4": ("hpi3", "hpi4"),
    "ads1293": ("ads1293", "max30003", "max30001"),
    "max30003": ("ads1293", "max30003", "max30001"),
    "max30001": ("ads1293", "max30003", "max30001"),
    "ad8232": ("ad8232", "eifwd"),
}
NAMES = sorted(BOARDS.keys() - {"edge"})


def said(name: str, n: int = 300) -> bytes:
    return b"".join(frame for _, frame in list(frames(name, 4.0))[:n])


def at_another_speed(data: bytes, sent_baud: int, read_baud: int) -> bytes:
    """What a UART makes of it: a start bit, eight bits from the lowest on, a stop bit, each read in its middle."""
    bits = np.ones((len(data) + 8, 10), int)
    bits[: len(data), 0] = 0
    bits[: len(data), 1:9] = np.array([[byte >> bit & 1 for bit in range(8)] for byte in data])
    levels = bits.ravel()
    ratio = sent_baud / read_baud  # bits of the sender in one of the reader
    out, at = bytearray(), 0.0
    while at + 9.5 * ratio < len(levels):
        if levels[int(at)]:
            at += ratio / 16
            continue
        out.append(sum(int(levels[int(at + ratio * (1.5 + bit))]) << bit for bit in range(8)))
        at += 9.5 * ratio
    return bytes(out)


@pytest.mark.parametrize("name", NAMES)
def test_every_board_is_known_by_its_bytes(name: str) -> None:
    seen = recognise(b"\x00boot\r\n" + said(name)[5:], 1)
    assert seen.boards == TWINS.get(name, (name,))
    assert BOARDS[name].title in seen.what
    assert f"--board {name}" in seen.hint


def test_a_board_of_ours_that_streams_is_known() -> None:
    data = b"".join(wire.encode(wire.Data(k, 0, np.full((1, 2), k, np.int32)), k) for k in range(20))
    assert recognise(data[7:], 115200).boards == ("edge",)


def test_our_own_firmware_of_another_version_is_told() -> None:
    seen = recognise(b"noise\0" + framing.encode(b"\x02\x81\0\0\x02hello"), 115200)
    assert (seen.kind, seen.hint) == ("version", "Update edge-ecg")
    assert "speaks version 2 of the protocol, this program speaks 1" in seen.what


@pytest.mark.parametrize(
    "says", [b"raspberrypi login: ", b"Password: ", b"pi@raspberrypi:~$ ls\r\n", b"\r\nDebian 12\r\nx login: "]
)
def test_a_console_is_told(says: bytes) -> None:
    for times in (1, 40):
        seen = recognise(says * times, 115200)
        assert seen.kind == "console"
        assert "another port" in seen.hint
        assert "raspi-config" in seen.hint


@pytest.mark.parametrize(
    ("name", "sent_baud", "read_baud"),
    [
        ("cyton", 115200, 57600),
        ("hpi3", 115200, 9600),
        ("ads1292r", 57600, 115200),
        ("olimex", 57600, 230400),
        ("ad8232", 9600, 115200),
        ("eifwd", 115200, 57600),
        ("chords", 230400, 115200),
    ],
)
def test_another_speed_is_noise(name: str, sent_baud: int, read_baud: int) -> None:
    candidates = [board for board in BOARDS.values() if read_baud in board.bauds]
    assert at_another_speed(said(name), sent_baud, sent_baud) == said(name), "the UART of the test is one"
    seen = recognise(at_another_speed(said(name), sent_baud, read_baud), read_baud, candidates)
    assert not seen.boards
    assert not seen.is_sure
    assert f"s {read_baud} the right baud rate?" in seen.hint


@pytest.mark.parametrize("noise", [b"\xa0", bytes(range(256)), b"\x0a\xfa", b"\xff" * 500])
def test_noise_is_no_board(noise: bytes) -> None:
    assert recognise(noise, 115200).kind == "noise"


def test_the_other_speeds_of_a_board_are_named() -> None:
    assert "try --baud 57600" in recognise(b"\x91\xfe\x80\x7f" * 9, 115200, [BOARDS["hpi3"]]).hint


@settings(deadline=None)
@given(st.binary(max_size=3000))
def test_any_bytes_look_like_something(data: bytes) -> None:
    seen = recognise(data, 115200)
    assert seen.what
    assert seen.hint
    assert "\n" not in seen.what + seen.hint
