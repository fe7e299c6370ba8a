"""A stream for the recording sink whose every sample and beat is known, and what its folder holds afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edge_ecg.settings import RecordingSettings
from edge_ecg.sinks.recording import RecordingSink
from edge_ecg.sinks.shelf import Shelf
from edge_ecg.types import Beat, Classified, ModelEvent, SampleBlock, StreamInfo

FS_HZ = 250.0
NOON_UTC_S = 1_767_268_800.0
"""2026-01-01 12:00."""
STREAM = StreamInfo("s1", FS_HZ, ("I", "II"), start_utc_s=NOON_UTC_S)
MODEL = ModelEvent(STREAM, 0, "II", "rhythm", "ab" * 32, "balanced")


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def signal_mv(first: int, n: int) -> np.ndarray:
    """Samples whose value tells their index."""
    at = np.arange(first, first + n)
    return np.stack([(at % 4001 - 2000) / 1000.0, (at // 4001 % 4001 - 2000) / 1000.0], axis=1).astype(np.float32)


def blocks(first: int, end: int, size: int = 50, **fields) -> Iterable[SampleBlock]:
    for at in range(first, end, size):
        yield SampleBlock(signal_mv(at, min(size, end - at)), at, **fields)


def beat(r_index: int, label: str = "N", stream: StreamInfo = STREAM, flags=(), confidence: float = 0.93) -> Classified:
    body = Beat(r_index, r_index / stream.fs_hz, 0.8, 0.8, 1.0, flags)
    return Classified(stream, "II", body, label, ("N", "V"), (0.5, 0.5), confidence, "rhythm", 1.3, r_index + 325)


def sink(folder: Path, clock: Clock | None = None, wall_utc_s: float = NOON_UTC_S, **settings) -> RecordingSink:
    made = RecordingSettings(folder=str(folder), **{"min_free_gb": 0.0, **settings})
    shelf = Shelf(folder, made.max_gb, made.min_free_gb)
    return RecordingSink(made, shelf, clock=clock or Clock(), wall_clock=lambda: wall_utc_s)


def records(folder: Path) -> list[Path]:
    """Records in the order of their names, without suffix."""
    return sorted(file.with_suffix("") for file in folder.glob("*/*.hea"))


def names(folder: Path) -> list[str]:
    return [f"{stem.parent.name}/{stem.name}" for stem in records(folder)]
