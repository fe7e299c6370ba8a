"""`edge-ecg capture`: what is kept is what came, and replays as what it was."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_boards import Talker
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.cli.main import run
from edge_ecg.errors import DataError
from edge_ecg.io import read_record
from edge_ecg.sources.replay import open_replay
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from edge_ecg.types import SampleBlock
from firmware_bridge.simulator import PtyBoard, VirtualBoard

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(name="edge_ecg")
def edge_ecg_fixture(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str, str]:
        code = run([str(a) for a in args])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def minute() -> VirtualBoard:
    return VirtualBoard(board_of_record(EXCERPT, None).info, read_record(EXCERPT).counts[:21_600] - 1024, 1e6)


def beats_of(lines: str) -> list[tuple[int, str]]:
    rows = map(json.loads, lines.splitlines())
    return [(row["sample"], row["label"]) for row in rows if row["type"] == "beat"]


def test_a_capture_replays_as_the_board_was_labelled(edge_ecg: Run, tmp_path: Path) -> None:
    with PtyBoard(minute()) as board:
        code, out, err = edge_ecg("capture", "--port", board.path, "minute.ecgcap")
    assert code == 0
    assert "Next: edge-ecg replay minute.ecgcap" in out
    assert "21600 samples, 0 lost" in err
    with PtyBoard(minute()) as board:
        live = beats_of(edge_ecg("run", "--port", board.path, "--jsonl", "-")[1])
    assert beats_of(edge_ecg("replay", "minute.ecgcap", "--jsonl", "-")[1]) == live
    assert len(live) > 80
    code, _, err = edge_ecg("capture", "--port", board.path, "minute.ecgcap")
    assert code == 2
    assert "is not empty" in err


def test_a_capture_ends_when_it_was_asked_to(edge_ecg: Run) -> None:
    with PtyBoard(board_of_record(EXCERPT, 1.0)) as board:
        assert edge_ecg("capture", "--port", board.path, "--for", "0.5", "a.ecgcap")[0] == 0
    n = sum(len(item.samples_mv) for item in open_replay("a.ecgcap").items() if isinstance(item, SampleBlock))
    assert 0.3 * 360 < n < 2.5 * 360


@pytest.mark.parametrize("is_there", [False, True])
def test_where_no_board_answers_nothing_is_left(
    is_there: bool, edge_ecg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_ECG__LINK__HANDSHAKE_TIMEOUT_S", "0.5")
    file = tmp_path / "a.ecgcap"
    if is_there:
        file.touch()
    with PtyBoard(Talker(b"hello text\r\n")) as board:
        code, _, err = edge_ecg("capture", "--port", board.path, "--board", "hpi5", file)
    assert code == 4
    assert "are none of a ProtoCentral HealthyPi 5" in err
    assert file.exists() == is_there
    with PtyBoard(minute()) as board:
        assert edge_ecg("capture", "--port", board.path, file)[0] == 0


def test_a_full_disk_ends_it_and_what_was_kept_replays(tmp_path: Path) -> None:
    file = tmp_path / "full.ecgcap"
    with PtyBoard(minute()) as board:
        done = subprocess.run(
            [sys.executable, "-m", "edge_ecg.cli.main", "capture", "--port", board.path, str(file)],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "cannot be written" in done.stderr
    items = []
    with pytest.raises(DataError, match="cut short"):
        items.extend(open_replay(file).items())
    assert sum(len(item.samples_mv) for item in items if isinstance(item, SampleBlock)) > 1000


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("captures") / "a.ecgcap"
    with PtyBoard(minute()) as board:
        assert run(["capture", "--port", board.path, str(file)]) == 0
    return file.read_bytes()


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_damaged_capture_is_told_in_a_line(
    tmp_path_factory: pytest.TempPathFactory, captured: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(captured)
    at = data.draw(st.integers(0, len(damaged) - 1))
    if data.draw(st.booleans()):
        del damaged[at:]
    else:
        damaged[at] ^= data.draw(st.integers(1, 255))
    file = tmp_path_factory.getbasetemp() / "damaged.ecgcap"
    file.write_bytes(damaged)
    items, told = [], ""
    try:
        items.extend(open_replay(file).items())
    except DataError as error:
        told = error.message
    assert "\n" not in told
    assert sum(len(item.samples_mv) for item in items if isinstance(item, SampleBlock)) <= 21_600
