"""`edge-ecg boards`: what is known of boards, and the samples in their bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_ecg.cli.main import run
from firmware_bridge import wire
from firmware_bridge.boards import BOARDS

HPI3 = bytes.fromhex("0AFA1400027B00D3FF0034120078560400440E0F6248500000000B")
HPI3_OFF = bytes.fromhex("0AFA140002000000000034120078560400440E00620050000100 0B")
CYTON = bytes.fromhex("A02A00AEC3FF513D" + "00" * 22 + "2000C0")


@pytest.fixture
def decoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Run `boards decode NAME` on bytes in a file: the objects, and what stands on stderr."""

    def decode(name: str, data: bytes, *options: str) -> tuple[list[object], str]:
        file = tmp_path / "capture.bin"
        file.write_bytes(data)
        assert run(["boards", "decode", name, str(file), "--json", *options]) == 0
        out, err = capsys.readouterr()
        return [json.loads(line) for line in out.splitlines()], err

    return decode


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["boards", "list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(BOARDS)
    assert run(["boards", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(BOARDS)
    for name, board in BOARDS.items():
        assert run(["boards", "show", name]) == 0
        shown = capsys.readouterr().out
        assert board.title in shown
        assert all(note in shown for note in board.notes)
        assert run(["boards", "show", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(board.as_dict()))


def test_decode_gives_an_object_a_sample(decoded) -> None:
    rows, err = decoded("hpi3", b"boot\r\n" + HPI3 * 3 + HPI3_OFF)
    assert rows == [{"counts": [123], "lead_off": False}] * 3 + [{"counts": [0], "lead_off": True}]
    assert "114 bytes, 4 frames, 4 samples, 0 lost; 6 bytes skipped, 0 bad frames, 0 bad CRC" in err
    rows, _ = decoded("cyton", CYTON)
    assert rows == [{"counts": [44739, -44739, 0, 0, 0, 0, 0, 0]}]


def test_whole_numbers_stay_whole(decoded, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_bytes(b"-0.12,512\n0.5,513\n")
    assert run(["boards", "decode", "eifwd", str(file), "--json"]) == 0
    assert capsys.readouterr().out == '{"counts": [-0.12, 512]}\n{"counts": [0.5, 513]}\n'
    assert decoded("eifwd", b"1,512\n2,513\n", "--columns", "2")[0] == [{"counts": [512]}, {"counts": [513]}]


def test_lead_off_in_the_place_of_samples(decoded) -> None:
    rows, _ = decoded("ad8232", b"512\r\n!\r\n!\r\n513\r\n")
    assert rows == [
        {"counts": [512], "lead_off": False},
        {"counts": [], "lead_off": True},
        {"counts": [513], "lead_off": False},
    ]


def test_our_own_protocol_without_hello(decoded) -> None:
    data = wire.encode(wire.Data(70, 0x80, np.array([[1, -2], [3, -4]], np.int32)), 9)
    assert decoded("edge", data)[0] == [{"counts": [1, -2], "lead_off": False}, {"counts": [3, -4], "lead_off": False}]


def test_the_number_of_channels_may_be_said(decoded) -> None:
    frame = bytes.fromhex("58029858")
    assert decoded("bitalino", frame)[0] == decoded("bitalino", frame, "--channels", "2")[0] == [{"counts": [512, 600]}]


def test_a_table_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "capture.bin"
    later = bytes([CYTON[0], CYTON[1] + 3]) + CYTON[2:]
    file.write_bytes(CYTON + later + b"".join(bytes([0xA0, CYTON[1] + 4 + k]) + CYTON[2:] for k in range(2)))
    assert run(["boards", "decode", "cyton", str(file)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["sample", *BOARDS["cyton"].leads]
    assert lines[1] == ["0", "44739", "-44739", *["0"] * 6]
    assert lines[2] == ["--", "2", "samples", "lost", "--"]
    assert [line[0] for line in lines[3:]] == ["3", "4", "5"]
    file.write_bytes(HPI3_OFF)
    assert run(["boards", "decode", "hpi3", str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["0", "0", "electrode", "off"]


def test_the_wrong_board_is_suspected(decoded) -> None:
    rows, err = decoded("cyton", HPI3 * 10)
    assert rows == []
    assert "Is it this board?" in err


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["show", "cytn"], 2, ['no board is called "cytn"', 'Did you mean "cyton"?']),
        (["decode", "cytn", "-"], 2, ['Did you mean "cyton"?']),
        (["decode", "cyton", "absent.bin"], 5, ["cannot read absent.bin: No such file"]),
        (["decode", "cyton", "/dev/null", "--channels", "3"], 2, ["--channels is for bitalino, chords and spiker"]),
        (["decode", "bitalino", "/dev/null", "--channels", "9"], 2, ["1 to 6 channels, not 9"]),
        (["decode", "eifwd", "/dev/null", "--columns", "0"], 2, ["The first column is 1"]),
    ],
)
def test_mistakes_are_answered_with_the_next_step(
    arguments: list[str], code: int, parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["boards", *arguments]) == code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert all(part in err for part in parts)


def test_bytes_from_a_pipe_come_out_before_the_pipe_ends() -> None:
    command = [sys.executable, "-m", "edge_ecg.cli.main", "boards", "decode", "ad8232", "-", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"512\n513\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == {"counts": [512], "lead_off": False}
        process.stdin.close()
        assert json.loads(process.stdout.read()) == {"counts": [513], "lead_off": False}
        assert process.wait() == 0
