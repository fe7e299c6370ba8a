"""Boards of other makers, from bytes to beats: each sends the shipped excerpt as its firmware would."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from board_captures import write_capture
from numpy.typing import NDArray

from edge_ecg.cli.main import run
from edge_ecg.sources.virtual import EXCERPT
from firmware_bridge.boards import BOARDS

SECONDS = 30.0
NAMES = sorted(BOARDS.keys() - {"edge"})


def heard(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[list[dict], str]:
    assert run(["replay", *map(str, args), "--jsonl", "-"]) == 0
    captured = capsys.readouterr()
    return [json.loads(line) for line in captured.out.splitlines()], captured.err


def beats_s(rows: list[dict]) -> NDArray[np.float64]:
    return np.array([row["t_s"] for row in rows if row["type"] == "beat"])


@pytest.mark.parametrize("name", NAMES)
def test_every_beat_of_the_recording_is_found(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = beats_s(heard(capsys, EXCERPT)[0])
    expected = expected[expected < SECONDS - 1.0]
    write_capture(name, tmp_path / "a.ecgcap")
    if name == "eifwd":  # it sends eighths here, which nobody can know
        monkeypatch.setenv("EDGE_ECG__SIGNAL__UV_PER_LSB", "40")
    rows, _ = heard(capsys, tmp_path / "a.ecgcap")
    # A board that keeps no rate is heard from its second second on; its clock is the host's.
    found = beats_s(rows)
    shift_s = np.median([t - expected[np.abs(expected - t).argmin()] for t in found])
    missed = [t for t in expected[2:] if np.abs(found - shift_s - t).min() > 0.05]
    assert not missed
    assert len(found[found - shift_s < SECONDS - 1.0]) <= len(expected)
    (model,) = [row for row in rows if row["type"] == "model"]
    assert model["calibrated"] == (BOARDS[name].lsb_nv is not None or name == "eifwd")


def test_the_delay_of_a_boards_own_filter_is_taken_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_capture("hpi3", tmp_path / "a.ecgcap")
    rows = [row for row in heard(capsys, tmp_path / "a.ecgcap")[0] if row["type"] == "beat"]
    # The capture began at 10^9 s: what came then had entered the filter 640 ms before.
    assert rows[0]["utc"].startswith("2001-09-09T01:46:3")
    seconds = float(rows[0]["utc"][17:-1]) - 40.0
    assert seconds == pytest.approx(rows[0]["t_s"] - 0.640, abs=0.01)
    assert min(row["lag_ms"] for row in rows) > 640.0


@pytest.mark.parametrize("name", ["hpi5", "cyton", "ad8232"])
def test_a_silence_is_a_gap(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a counter, by time; with one of 8 bits, by both."""
    write_capture(name, tmp_path / "a.ecgcap", silent=(15.0, 17.5))
    rows, _ = heard(capsys, tmp_path / "a.ecgcap")
    (gap,) = [row for row in rows if row["type"] == "gap"]
    fs_hz = next(row["fs_hz"] for row in rows if row["type"] == "model")
    assert gap["lost_samples"] / fs_hz == pytest.approx(2.5, abs=0.1)
    assert beats_s(rows)[-1] > 28.0


def test_an_electrode_that_comes_off_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An AD8232 sends `!` in the place of samples."""
    write_capture("ad8232", tmp_path / "a.ecgcap", silent=(12.0, 15.0), meanwhile=b"!\r\n")
    rows, _ = heard(capsys, tmp_path / "a.ecgcap")
    told = [(row["off"], row["t_s"]) for row in rows if row["type"] == "lead_off"]
    assert [off for off, _ in told] == [True, False]
    assert [t_s for _, t_s in told] == [pytest.approx(12.0, abs=0.2), pytest.approx(15.0, abs=0.2)]
    (gap,) = [row for row in rows if row["type"] == "gap"]
    assert gap["lost_samples"] / 250.0 == pytest.approx(3.0, abs=0.2)


def test_an_electrode_that_is_off_at_the_start_takes_its_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = beats_s(heard(capsys, EXCERPT)[0])
    write_capture("ad8232", tmp_path / "a.ecgcap", silent=(0.0, 10.0), meanwhile=b"!\r\n")
    rows, _ = heard(capsys, tmp_path / "a.ecgcap")
    told = [(row["off"], row["t_s"]) for row in rows if row["type"] == "lead_off"]
    assert told == [(True, 0.0), (False, pytest.approx(10.0, abs=0.2))]
    # The recording began at 10^9 s.
    utc = [datetime.fromisoformat(row["utc"]).timestamp() - 1e9 for row in rows if row["type"] == "beat"]
    assert len(utc) > 15
    assert max(np.abs(expected - at_s).min() for at_s in utc) < 0.05
