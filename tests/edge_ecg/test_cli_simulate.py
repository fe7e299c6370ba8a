"""`edge-ecg simulate` and `edge-ecg ports`: a board without hardware, and what is plugged in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_ecg.cli import ports as ports_module
from edge_ecg.cli.main import run
from edge_ecg.io import write_record
from edge_ecg.sources.serial_link import SerialLinkSource
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from edge_ecg.types import SampleBlock
from firmware_bridge.ports import PortInfo


def simulate(*args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "edge_ecg.cli.main", "simulate", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run under nohup hands its deafness to SIGHUP on.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )


def first_samples(port: str, n: int) -> list[float]:
    """Open the board as a client does, take ``n`` samples of the first lead, go away."""
    source = SerialLinkSource(port)
    got: list[float] = []
    try:
        for item in source.items():
            if isinstance(item, SampleBlock):
                got += item.samples_mv[:, 0].tolist()
            if len(got) >= n:
                source.stop()
    finally:
        source.close()
    return got[:n]


def test_a_client_may_come_twice_and_the_link_goes_at_the_end(tmp_path: Path) -> None:
    link = tmp_path / "board"
    with simulate("--pty-link", link, "--speed", 20) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == f"{link}\n"
        said = process.stderr.readline()
        assert "360 Hz, leads MLII, V1" in said
        assert f"edge-ecg run --port {link}" in said
        assert link.is_symlink()
        first = first_samples(str(link), 400)
        assert first_samples(str(link), 400) == first, "it plays from the beginning for each client"
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate()
    assert process.returncode == 0
    assert (rest, err) == ("", "")
    assert not link.is_symlink()


def test_a_made_up_heart_and_the_end_of_the_record(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_record(tmp_path / "short", rng.integers(-99, 99, (720, 1)), 360.0, ["II"])
    with simulate("--record", tmp_path / "short", "--speed", 100) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert len(first_samples(port, 720)) == 720
        _, err = process.communicate()
    assert process.returncode == 0, "the record has been played, so there is nothing left to do"
    assert "Traceback" not in err
    with simulate("--synthetic", 75, "--speed", 50) as process:
        assert process.stdout is not None
        assert len(first_samples(process.stdout.readline().strip(), 500)) == 500
        process.send_signal(signal.SIGHUP)
        process.communicate()
    assert process.returncode == 0


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("keep me")
    rng = np.random.default_rng(0)
    write_record(tmp_path / "wide", rng.integers(-99, 99, (720, 15)), 360.0, [f"L{k}" for k in range(15)])
    for code, args in (
        (4, ("--pty-link", file)),
        (4, ("--pty-link", tmp_path / "absent" / "board")),
        (5, ("--record", tmp_path / "absent")),
        (2, ("--record", tmp_path / "wide")),
        (2, ("--record", EXCERPT, "--synthetic", "70")),
        (2, ("--synthetic", "1000")),
        (2, ("--speed", "0")),
        (2, ("--speed", "nan")),
        (2, ("--speed", "1e9")),
        (2, ("--speed", "1e-7")),
        (2, ("--synthetic", "nan")),
    ):
        assert run(["simulate", *map(str, args)]) == code, args
        err = capsys.readouterr().err
        assert err.startswith("edge-ecg: ")
        assert len(err.splitlines()) == 1
        assert "bug" not in err
    assert file.read_text() == "keep me"


def test_a_record_with_a_negative_gain_is_played_the_right_way_up(tmp_path: Path) -> None:
    for suffix in (".hea", ".dat"):
        (tmp_path / f"mitdb_223{suffix}").write_bytes(EXCERPT.with_suffix(suffix).read_bytes())
    header = tmp_path / "mitdb_223.hea"
    header.write_text(header.read_text().replace("200(1024)", "-200(1024)"))
    turned, plain = board_of_record(tmp_path / "mitdb_223", None), board_of_record(EXCERPT, None)
    assert turned.info.lsb_nv == plain.info.lsb_nv == 5000.0
    assert np.array_equal(turned._counts, -plain._counts)


def test_ports_are_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        PortInfo("/dev/ttyACM0", "Some board", 0x2341, 0x0043, "123"),
        PortInfo("/dev/ttyS0", "n/a", None, None, None),
    ]
    monkeypatch.setattr(ports_module, "list_ports", lambda: found)
    assert run(["ports"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "/dev/ttyACM0  Some board  USB 2341:0043  serial 123"
    assert second.startswith("/dev/ttyS0")
    assert run(["ports", "--json"]) == 0
    assert [row["device"] for row in json.loads(capsys.readouterr().out)] == ["/dev/ttyACM0", "/dev/ttyS0"]
    monkeypatch.setattr(ports_module, "list_ports", lambda: [])
    assert run(["ports"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "edge-ecg simulate" in captured.err
    assert run(["ports", "--json"]) == 0
    assert capsys.readouterr().out == "[]\n"
