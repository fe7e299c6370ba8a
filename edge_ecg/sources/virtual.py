"""A record as a board: what `simulate` and `demo` put behind a pseudo terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg import __version__
from edge_ecg.errors import DataError, UsageError
from edge_ecg.io import Record, read_record
from edge_ecg.sources.synthetic import synthetic_ecg
from firmware_bridge.blocks import BoardInfo
from firmware_bridge.simulator import VirtualBoard
from firmware_bridge.wire import MAX_LEADS

__all__ = ["EXCERPT", "board_of_record", "synthetic_board"]

EXCERPT = Path(__file__).parent.parent / "excerpts" / "mitdb_223"
"""The shipped excerpt of record 223 of the MIT-BIH Arrhythmia Database (ODC-By, ATTRIBUTION.md beside it)."""


def board_of_record(
    path: str | Path, speed: float | None, *, loop: bool = False, drift_ppm: float = 0.0, first_sample: int = 0
) -> VirtualBoard:
    """A board that plays a WFDB record as its ADC would count it, once or over and over; the rest as of `VirtualBoard`.

    Raises
    ------
    DataError
        The record cannot be read, or is not what its header says.
    UsageError
        A board cannot play it: too many leads, a speed that is no number.
    """
    record: Record = read_record(path)
    if record.problem:
        raise DataError(record.problem)
    signals = record.header.signals
    gains = {s.gain_per_mv for s in signals}
    counts = record.counts - np.array([s.baseline for s in signals], dtype=np.int64)
    lsb_nv: float | None = None
    if len(gains) == 1 and all(s.calibrated for s in signals):
        gain_per_mv = gains.pop()
        lsb_nv = 1e6 / abs(gain_per_mv)
        counts = counts if gain_per_mv > 0 else -counts
    info = _info(record.header.name, record.header.fs_hz, record.header.leads, lsb_nv)
    return _board(info, counts, speed, loop=loop, drift_ppm=drift_ppm, first_sample=first_sample)


def synthetic_board(
    hr_bpm: float, speed: float | None, fs_hz: float = 250.0, duration_s: float = 3600.0, *,
    drift_ppm: float = 0.0, first_sample: int = 0,
) -> VirtualBoard:  # fmt: skip
    """A board on a made-up heart that beats ``hr_bpm`` times a minute, 1 uV a count."""
    samples_mv, _, _ = synthetic_ecg(fs_hz, duration_s, hr_bpm)
    counts = np.rint(samples_mv * 1e3).astype(np.int32)[:, None]
    info = _info("synthetic", fs_hz, ("synthetic",), 1e3)
    return _board(info, counts, speed, drift_ppm=drift_ppm, first_sample=first_sample)


def _board(info: BoardInfo, counts: NDArray[np.integer], speed: float | None, **how: Any) -> VirtualBoard:
    if len(info.leads) > MAX_LEADS:
        raise UsageError(
            f"{info.name} would have {len(info.leads)} leads, a board has at most {MAX_LEADS}",
            "Play a record of fewer leads",
        )
    try:
        return VirtualBoard(info, counts, speed, **how)
    except ValueError as error:
        raise UsageError(f"{info.name} cannot be made: {error}", "Try another record or --speed") from None


def _info(name: str, fs_hz: float, leads: tuple[str, ...], lsb_nv: float | None) -> BoardInfo:
    return BoardInfo(
        name=f"virtual board ({name})",
        firmware=f"edge-ecg {__version__}",
        adc="recording",
        fs_hz=fs_hz,
        leads=leads,
        lsb_nv=lsb_nv,
        time_scale=1.0,
        protocol_version=1,
    )
