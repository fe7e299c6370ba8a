"""Boards of other makers, from bytes to beats: each sends the shipped excerpt as its firmware would."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import resample_poly

from edge_ecg.cli.main import run
from edge_ecg.io import read_record
from edge_ecg.sources.virtual import EXCERPT
from firmware_bridge.boards import BOARDS
from firmware_bridge.capture import About, CaptureWriter

SECONDS = 60


def millivolts(fs_hz: float) -> NDArray[np.float64]:
    """A minute of the excerpt at another rate."""
    ratio = Fraction(fs_hz / 360.0).limit_denominator(400)
    whole = read_record(EXCERPT).samples_mv()[: SECONDS * 360, 0].astype(np.float64)
    return resample_poly(whole, ratio.numerator, ratio.denominator)


def openview(payload: bytes) -> bytes:
    return b"\x0a\xfa" + len(payload).to_bytes(2, "little") + b"\x02" + payload + b"\x00\x0b"


def hpi3(uv: float, k: int) -> bytes:
    return openview(round(uv / 24.6).to_bytes(2, "little", signed=True) + bytes(17) + b"\x00")


def hpi5(uv: float, k: int) -> bytes:
    return openview((round(1e3 * uv / 95.37) << 6).to_bytes(4, "little", signed=True) + bytes(18))


def cyton(uv: float, k: int) -> bytes:
    count = round(uv / 0.022352).to_bytes(3, "big", signed=True)
    return bytes([0xA0, k % 256]) + count + bytes(21) + bytes(6) + b"\xc0"


def chords(uv: float, k: int) -> bytes:
    counts = [512 + round(uv / 5.0)] + [512] * 5
    return b"\xc7\x7c" + bytes([k % 256]) + b"".join(c.to_bytes(2, "big") for c in counts) + b"\x01"


def olimex(uv: float, k: int) -> bytes:
    counts = [512 + round(uv / 5.0)] + [512] * 5
    return b"\xa5\x5a\x02" + bytes([k % 256]) + b"".join(c.to_bytes(2, "big") for c in counts) + b"\x01"


def ad8232(uv: float, k: int) -> bytes:
    return b"%d\r\n" % (512 + round(uv / 5.0))


def eifwd(uv: float, k: int) -> bytes:
    return b"%.3f,0\n" % (uv * 1e-3)


SENT: dict[str, tuple[float, Callable[[float, int], bytes]]] = {
    "hpi3": (125.0, hpi3), "hpi5": (128.0, hpi5), "cyton": (250.0, cyton), "chords": (250.0, chords),
    "olimex": (256.0, olimex), "ad8232": (192.0, ad8232), "eifwd": (100.0, eifwd),
}  # fmt: skip


def capture(name: str, file: Path, *, silent: tuple[float, float] = (0.0, 0.0)) -> None:
    """What a host keeps of it: polls every 16 ms, as USB adapters do."""
    fs_hz, frame = SENT[name]
    held = io.BytesIO()
    writer = CaptureWriter(held, About(name, "/dev/ttyUSB0", BOARDS[name].bauds[0], 1e9))
    waiting, polled_s = b"", 0.0
    for k, uv in enumerate(1e3 * millivolts(fs_hz)):
        at_s = k / fs_hz
        if not silent[0] <= at_s < silent[1]:
            waiting += frame(float(uv), k)
        if at_s >= polled_s + 0.016 and waiting:
            writer.write(waiting, at_s)
            waiting, polled_s = b"", at_s
    file.write_bytes(held.getvalue())


def heard(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[list[dict], str]:
    assert run(["replay", *map(str, args), "--jsonl", "-"]) == 0
    captured = capsys.readouterr()
    return [json.loads(line) for line in captured.out.splitlines()], captured.err


def beats_s(rows: list[dict]) -> NDArray[np.float64]:
    return np.array([row["t_s"] for row in rows if row["type"] == "beat"])


@pytest.mark.parametrize("name", SENT)
def test_every_beat_of_the_recording_is_found(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = beats_s(heard(capsys, EXCERPT)[0])
    expected = expected[expected < SECONDS - 1.0]
    capture(name, tmp_path / "a.ecgcap")
    if name == "eifwd":  # it sends millivolts here, which nobody can know
        monkeypatch.setenv("EDGE_ECG__SIGNAL__UV_PER_LSB", "1000")
    rows, _ = heard(capsys, tmp_path / "a.ecgcap")
    # A board that keeps no rate is heard from its second second on; its clock is the host's.
    found = beats_s(rows)
    shift_s = np.median([t - expected[np.abs(expected - t).argmin()] for t in found])
    missed = [t for t in expected[2:] if np.abs(found - shift_s - t).min() > 0.05]
    assert not missed
    assert len(found) <= len(expected) + 1
    (model,) = [row for row in rows if row["type"] == "model"]
    assert model["calibrated"] == (BOARDS[name].lsb_nv is not None or name == "eifwd")


def test_the_delay_of_a_boards_own_filter_is_taken_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture("hpi3", tmp_path / "a.ecgcap")
    rows = [row for row in heard(capsys, tmp_path / "a.ecgcap")[0] if row["type"] == "beat"]
    # The capture began at 10^9 s: what came then had entered the filter 640 ms before.
    assert rows[0]["utc"].startswith("2001-09-09T01:46:3")
    seconds = float(rows[0]["utc"][17:-1]) - 40.0
    assert seconds == pytest.approx(rows[0]["t_s"] - 0.640, abs=0.01)
    assert min(row["lag_ms"] for row in rows) > 640.0


@pytest.mark.parametrize("name", ["hpi5", "cyton", "ad8232"])
def test_a_silence_is_a_gap(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a counter, by time; with one of 8 bits, by both."""
    capture(name, tmp_path / "a.ecgcap", silent=(20.0, 22.5))
    rows, _ = heard(capsys, tmp_path / "a.ecgcap")
    (gap,) = [row for row in rows if row["type"] == "gap"]
    fs_hz = next(row["fs_hz"] for row in rows if row["type"] == "model")
    assert gap["lost_samples"] / fs_hz == pytest.approx(2.5, abs=0.1)
    assert beats_s(rows)[-1] > 55.0
