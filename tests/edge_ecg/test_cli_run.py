"""`edge-ecg run`: a board on a serial port becomes labels, until it ends, is unplugged or Ctrl-C comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import serial

from edge_ecg.cli import run as run_module
from edge_ecg.cli.main import run
from edge_ecg.cli.report import link_line, stats_lines
from edge_ecg.infer.stub import StubClassifier
from edge_ecg.io import read_record
from edge_ecg.runner import Runner
from edge_ecg.sinks.beats import BeatList
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from edge_ecg.stats import RunStats
from edge_ecg.types import GapEvent, StreamInfo
from firmware_bridge import wire
from firmware_bridge.blocks import LinkStats
from firmware_bridge.ports import PortInfo
from firmware_bridge.simulator import PtyBoard, VirtualBoard

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(name="edge_ecg")
def edge_ecg_fixture(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `edge-ecg` in an empty directory; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str, str]:
        code = run(list(map(str, args)))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def beats_of(text: str) -> list[tuple[int, str]]:
    rows = map(json.loads, text.splitlines())
    return [(row["sample"], row["label"]) for row in rows if row["type"] == "beat"]


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def one_error(err: str) -> str:
    lines = [line for line in err.splitlines() if line.startswith("edge-ecg: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    assert "bug" not in lines[0]
    return lines[0]


@contextmanager
def terminal_that_says(reply: bytes) -> Iterator[str]:
    """A pseudo terminal that answers whatever it is told with the same bytes."""
    master, slave = os.openpty()
    tty.setraw(slave)

    def answer() -> None:
        while os.read(master, 1)[:1] != b"q" or not done.is_set():
            os.write(master, reply)

    done = threading.Event()
    thread = threading.Thread(target=answer, name="edge-ecg test terminal", daemon=True)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        done.set()
        os.write(slave, b"qq")
        thread.join(2.0)
        os.close(master)
        os.close(slave)


def test_the_first_run_says_what_electrodes_ask_for(
    edge_ecg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    told = []
    for _ in range(2):
        with PtyBoard(board_without_scale()) as board:
            told.append("isolated supply" in edge_ecg("run", "--port", board.path)[2])
    assert told == [True, False]
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    with PtyBoard(board_without_scale()) as board:
        code, _, err = edge_ecg("run", "--port", board.path)
    assert (code, "isolated supply" in err) == (0, True)


def test_a_board_gets_the_labels_that_its_recording_gets(edge_ecg: Run, tmp_path: Path) -> None:
    expected = beats_of(edge_ecg("replay", EXCERPT, "--jsonl", "-")[1])
    with PtyBoard(board_of_record(EXCERPT, 1e6)) as board:
        code, out, err = edge_ecg("run", "--port", board.path, "--jsonl", "-")
    assert code == 0
    assert beats_of(out) == expected
    rows = rows_of(out)
    assert [(row["state"]) for row in rows if row["type"] == "link"] == ["connected", "ended"]
    assert all(row["utc"].endswith("Z") for row in rows if row["type"] == "beat")
    assert len({row["stream"] for row in rows}) == 1
    assert f"labelled  {len(expected)} beats" in err
    assert "118800 samples, 0 lost" in err
    assert "not a medical device" in err

    file = tmp_path / "beats.jsonl"
    with PtyBoard(board_of_record(EXCERPT, 1e6)) as board:
        code, out, _ = edge_ecg("run", "--port", board.path, "--jsonl", file)
    assert code == 0
    assert beats_of(file.read_text()) == expected
    assert sum(" ms " in line and "/min" in line for line in out.splitlines()) >= len(expected) - 2
    assert "link connected: virtual board (mitdb_223)" in out


def test_lead_and_polarity(edge_ecg: Run) -> None:
    seen = {}
    for name, flags in {"plain": (), "v1": ("--lead", "V1"), "inverted": ("--lead", "0", "--invert")}.items():
        expected = beats_of(edge_ecg("replay", EXCERPT, "--jsonl", "-", *flags)[1])
        with PtyBoard(board_of_record(EXCERPT, 1e6)) as board:
            code, out, _ = edge_ecg("run", "--port", board.path, "--jsonl", "-", *flags)
        assert code == 0
        assert beats_of(out) == expected
        assert {row["lead"] for row in rows_of(out) if row["type"] == "beat"} == {"V1" if name == "v1" else "MLII"}
        seen[name] = expected
    assert seen["plain"] != seen["v1"]
    assert seen["plain"] != seen["inverted"]


def board_without_scale() -> VirtualBoard:
    """The excerpt from a board that does not know how large its counts are."""
    known = board_of_record(EXCERPT, 1e6)
    counts = read_record(EXCERPT).counts[:20_000] - 1024
    return VirtualBoard(replace(known.info, lsb_nv=None), counts, 1e6)


def test_the_user_may_know_the_size_of_a_count(edge_ecg: Run) -> None:
    for flags, calibrated in (((), False), (("--uv-per-lsb", "5"), True)):
        with PtyBoard(board_without_scale()) as board:
            code, out, _ = edge_ecg("run", "--port", board.path, "--jsonl", "-", *flags)
        assert code == 0
        (model,) = [row for row in rows_of(out) if row["type"] == "model"]
        assert model["calibrated"] is calibrated
    code, _, err = edge_ecg("run", "--port", "/dev/null", "--baud", "12345678901")
    assert code == 2
    assert "at most 20000000" in one_error(err)
    for wrong in ("0", "-1", "nan", "inf", "x"):
        code, _, err = edge_ecg("run", "--port", "/dev/null", "--uv-per-lsb", wrong)
        assert code == 2
        one_error(err)


def test_an_unplugged_board_leaves_its_labels_and_one_line(
    edge_ecg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = beats_of(edge_ecg("replay", EXCERPT, "--jsonl", "-")[1])
    file = tmp_path / "beats.jsonl"
    file.touch()
    board = PtyBoard(board_of_record(EXCERPT, 40.0))
    given_up = threading.Event()

    def pull_at_the_twentieth_beat() -> None:
        while file.read_text().count('"beat"') < 20 and not given_up.wait(0.02):
            pass
        board.close()  # closing is what the simulator has for pulling the cable

    thread = threading.Thread(target=pull_at_the_twentieth_beat, name="edge-ecg test cable")
    thread.start()
    try:
        monkeypatch.setenv("EDGE_ECG__LINK__WAIT_S", "0")
        code, out, err = edge_ecg("run", "--port", board.path, "--jsonl", file)
    finally:
        given_up.set()
        thread.join()
    assert code == 4
    assert one_error(err) == f"edge-ecg: the board went away: {board.path} is gone. Check cable and supply"
    kept = beats_of(file.read_text())
    assert len(kept) >= 20
    assert kept[:-2] == expected[: len(kept) - 2]
    assert [row["state"] for row in rows_of(file.read_text()) if row["type"] == "link"] == ["connected", "lost"]
    assert "link lost: the board went away" in out
    assert f"labelled  {len(kept)} beats" in err


def test_ports_that_cannot_be_used(edge_ecg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = edge_ecg("run", "--port", tmp_path / "ttyNONE", "--jsonl", tmp_path / "b.jsonl")
    assert code == 4
    assert "there is no port" in one_error(err)
    assert out == ""

    monkeypatch.setattr(run_module, "list_ports", lambda: [])
    code, _, err = edge_ecg("run")
    assert code == 4
    assert "edge-ecg simulate" in one_error(err)

    two = [PortInfo(f"/dev/ttyUSB{n}", "", None, None, None) for n in (0, 1)]
    monkeypatch.setattr(run_module, "list_ports", lambda: two)
    code, _, err = edge_ecg("run")
    assert code == 4
    assert "/dev/ttyUSB0, /dev/ttyUSB1" in one_error(err)

    with PtyBoard(board_of_record(EXCERPT, 1.0)) as board:
        monkeypatch.setattr(run_module, "list_ports", lambda: two[:1])
        with closing(serial.Serial(board.path, exclusive=True)):
            code, _, err = edge_ecg("run", "--port", board.path)
    assert code == 4
    assert "in use" in one_error(err)


def test_the_only_port_is_taken(edge_ecg: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with PtyBoard(board_without_scale()) as board:
        monkeypatch.setattr(run_module, "list_ports", lambda: [PortInfo(board.path, "", None, None, None)])
        assert edge_ecg("run")[0] == 0


@pytest.mark.parametrize("reply", [b"\x00\x13garbage\x00\xff" * 20, b"Hello from Arduino\r\n", b""])
def test_what_is_no_board_of_ours(edge_ecg: Run, monkeypatch: pytest.MonkeyPatch, reply: bytes) -> None:
    monkeypatch.setenv("EDGE_ECG__LINK__HANDSHAKE_TIMEOUT_S", "0.3")
    with terminal_that_says(reply) as path:
        code, out, err = edge_ecg("run", "--port", path)
    assert code == 4
    assert ". " in one_error(err)
    assert out == ""


def test_a_board_of_another_version(edge_ecg: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG__LINK__HANDSHAKE_TIMEOUT_S", "2")
    hello = wire.Hello.of(board_of_record(EXCERPT, None).info, 24, 0)
    with terminal_that_says(b"\0" + wire.encode(replace(hello, protocol_version=2), 0)) as path:
        code, _, err = edge_ecg("run", "--port", path)
    assert code == 4
    assert "version 2" in one_error(err)


@pytest.mark.parametrize("command", [("run",), ("capture", "a.ecgcap")])
def test_a_board_of_another_maker_is_not_asked_for_a_rate(
    edge_ecg: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("EDGE_ECG__LINK__FS_HZ", "500")
    code, _, err = edge_ecg(*command, "--port", "/dev/null", "--board", "cyton")
    assert code == 4
    assert "it samples at 250 Hz" in one_error(err)


def test_a_mistake_is_told_before_anything_streams(edge_ecg: Run) -> None:
    with PtyBoard(board_of_record(EXCERPT, 1e6)) as board:
        for flags, text in (
            (("--lead", "aVF"), "Its leads are: 0 MLII, 1 V1"),
            (("--jsonl", "/nonexistent/x"), "cannot write"),
        ):
            code, out, err = edge_ecg("run", "--port", board.path, *flags)
            assert code == 2
            assert text in one_error(err)
            assert out == ""
        # The port was given back each time.
        assert edge_ecg("run", "--port", board.path)[0] == 0


def test_a_full_disk_does_not_stop_the_labels(edge_ecg: Run) -> None:
    with PtyBoard(board_without_scale()) as board:
        code, out, err = edge_ecg("run", "--port", board.path, "--jsonl", "/dev/full")
    assert code == 5
    first, last = [line for line in err.splitlines() if line.startswith("edge-ecg: ")]
    assert "The labels go on" in first
    assert "events were not written" in last
    assert "/min" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_ends_in_order(number: signal.Signals) -> None:
    with PtyBoard(board_of_record(EXCERPT, 20.0)) as board:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "edge_ecg.cli.main", "run", "--port", board.path, "--jsonl", "-"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(5)]
            process.send_signal(number)
            rest, err = process.communicate()
    assert process.returncode == 0
    rows = rows_of("".join(lines) + rest)
    assert rows[-1]["type"] == "link"
    assert rows[-1]["state"] == "ended"
    assert rows[-2]["type"] == "beat", "what was heard is labelled before the end is told"
    n_beats = sum(row["type"] == "beat" for row in rows)
    assert f"labelled  {n_beats} beats" in err
    assert "frames, 0 bad frames" in err
    assert "Traceback" not in err
    assert "edge-ecg: " not in err


def test_a_stub_needs_no_model_to_try_a_board() -> None:
    from edge_ecg.sources.serial_link import SerialLinkSource

    beats = BeatList()
    with PtyBoard(board_without_scale()) as board:
        Runner(SerialLinkSource(board.path), StubClassifier(), [beats]).run()
    assert set(beats.labels) == {"N"}
    assert len(beats.samples) > 60


def test_bytes_that_nobody_read_in_time_are_told() -> None:
    assert "dropped" not in link_line(LinkStats())
    assert link_line(LinkStats(queue_drops=7)).endswith("0 overruns, 7 bytes dropped unread")


def test_what_the_signal_lacks_and_what_the_link_lost_are_told_apart() -> None:
    stats, stream = RunStats(), StreamInfo("s", 250.0, ("I",))
    stats.count(GapEvent(stream, 1000, 20, interpolated=False))
    assert (
        stats_lines(stats)[-1]
        == stats_lines(stats, LinkStats(samples_lost=20))[-1]
        == "gaps      1, 20 samples missing"
    )
    stats.count(GapEvent(stream, 5000, 700, interpolated=False))
    last = stats_lines(stats, LinkStats(samples_lost=20))[-1]
    assert last == "gaps      2, 720 samples missing: 20 lost by the link, 700 while the board was away"
