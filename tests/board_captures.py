"""The shipped excerpt as boards of other makers would send it: bytes, and when a host read them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from board_streams import STREAMS, BoardStream
from numpy.typing import NDArray
from scipy.signal import resample_poly

from edge_ecg.io import read_record
from edge_ecg.sources.virtual import EXCERPT
from firmware_bridge.boards import BOARDS
from firmware_bridge.capture import About, CaptureWriter

RATES_HZ = {"ad8232": 192.0, "eifwd": 100.0, "spiker": 10_000.0 / 3.0}
"""Of boards that keep none, or have one by the number of channels."""
NOMINAL_UV = 5.0
POLL_S = 0.016
"""How often USB adapters hand over what has come."""


def stream_of(name: str) -> BoardStream:
    """The largest set of channels that a board has here."""
    return max((one for one in STREAMS if one.name == name and not one.options), key=lambda one: one.n_leads)


def millivolts(fs_hz: float, seconds: float) -> NDArray[np.float64]:
    """The first lead of the excerpt at another rate."""
    ratio = Fraction(fs_hz / 360.0).limit_denominator(400)
    whole = read_record(EXCERPT).samples_mv()[: round(seconds * 360), 0].astype(np.float64)
    return resample_poly(whole, ratio.numerator, ratio.denominator)


def frames(name: str, seconds: float, column: int | None = None) -> Iterator[tuple[float, bytes]]:
    """When each frame is sent, s, and its bytes; all channels hold the same, or one of them all there is."""
    board, how = BOARDS[name], stream_of(name)
    fs_hz = RATES_HZ.get(name) or board.fs_hz
    assert fs_hz is not None
    lsb_uv = NOMINAL_UV if board.lsb_nv is None else 1e-3 * board.lsb_nv
    middle = 512 if how.lowest == 0 else 0
    counts = middle + np.rint(1e3 * millivolts(fs_hz, seconds) / lsb_uv / how.step).astype(int) * how.step
    counts = np.clip(counts, how.lowest, how.highest).tolist()
    n = how.samples_per_frame
    for k in range(len(counts) // n):
        rows = [
            [count if column in (None, at) else middle for at in range(how.n_leads)]
            for count in counts[k * n : (k + 1) * n]
        ]
        yield (k + 1) * n / fs_hz, how.frame(k, rows)


def write_capture(
    name: str, file: Path, seconds: float = 30.0, silent: tuple[float, float] = (0.0, 0.0), meanwhile: bytes = b""
) -> None:
    """What a host keeps of a board that falls silent from one second to another, or says something else."""
    held = io.BytesIO()
    writer = CaptureWriter(held, About(name, "/dev/ttyUSB0", BOARDS[name].bauds[0], 1e9), 0.0)
    waiting, polled_s = b"", 0.0
    for at_s, frame in frames(name, seconds):
        waiting += meanwhile if silent[0] <= at_s < silent[1] else frame
        if at_s >= polled_s + POLL_S and waiting:
            writer.write(waiting, at_s)
            waiting, polled_s = b"", at_s
    file.write_bytes(held.getvalue())
