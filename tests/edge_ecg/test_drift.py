"""Samples keep the wall clock's time, whatever a board's rate is."""

from __future__ import annotations

import time

import numpy as np
import pytest

from edge_ecg.sources import serial_link
from edge_ecg.sources.serial_link import SerialLinkSource
from edge_ecg.types import LinkEvent, SampleBlock, StreamInfo
from firmware_bridge.blocks import BoardInfo, RawBlock
from firmware_bridge.wire import Stopped

FS_HZ = 10.0
WALL_AHEAD_S = 1e9


class Clock:
    """The wall clock of this machine; the board begins when it is first read, however busy the machine is."""

    begun_s: float | None = None

    def __call__(self) -> float:
        now_s = time.monotonic()
        if self.begun_s is None:
            self.begun_s = now_s
        return WALL_AHEAD_S + now_s


class Board:
    """Sends a block each second of its own clock; seconds of the host are as long as ``second_s``."""

    def __init__(self, clock: Clock, second_s: float, late_s, n_blocks: int, time_scale: float = 1.0) -> None:
        self.info = BoardInfo("b", "", "", FS_HZ, ("I",), 1000.0, time_scale, 1, group_delay_ms=500.0)
        self._clock = clock
        self._sent_s = [(k + 1) * second_s + late_s(k) for k in range(n_blocks)]

    def read(self, timeout_s: float) -> list:
        counts = np.zeros((10, 1), np.int32)
        begun_s = self._clock.begun_s
        return [*(RawBlock(counts, 10 * k, None, 0, begun_s + s) for k, s in enumerate(self._sent_s)), Stopped(0)]


def run(monkeypatch: pytest.MonkeyPatch, second_s: float, late_s=lambda k: 0.0, **fields) -> list:
    clock = Clock()
    board = Board(clock, second_s, late_s, 10_000, **fields)
    monkeypatch.setattr(serial_link, "LastingLink", lambda *args, **kw: board)
    source = SerialLinkSource("port", wall_clock=clock)
    items = [item for item in source.items() if item is not None]
    return [clock.begun_s, *items]


def late_now_and_then(k: int) -> float:
    """Held up for up to 50 s, and then all at once."""
    return 50.0 - k % 100 if k % 100 < 50 else 0.0


@pytest.mark.parametrize("off", [2e-3, -2e-3])
@pytest.mark.parametrize("late_s", [lambda k: 0.0, late_now_and_then], ids=["in time", "late"])
def test_a_board_whose_rate_is_off_keeps_the_time_by_other_streams(monkeypatch, off: float, late_s) -> None:
    begun_s, *items = run(monkeypatch, 1.0 + off, late_s)
    streams = [item for item in items if isinstance(item, StreamInfo)]
    assert len(streams) == 3  # 10,000 s: one an hour at most
    why = next(item.detail for item in items if isinstance(item, LinkEvent) and item.state == "ended")
    assert why.startswith("its samples were 7.")
    assert ("s behind the clock" if off > 0 else "s ahead of the clock") in why
    stream, k = streams[0], 0
    for item in items:
        if isinstance(item, StreamInfo):
            stream = item
        elif isinstance(item, SampleBlock):
            taken_s = begun_s + k * (1.0 + off) - 0.5
            error_s = stream.utc_s(item.first_index) - WALL_AHEAD_S - taken_s
            assert abs(error_s) < 8.0
            assert item.first_index or abs(error_s) < 0.2  # each begins at the right time
            k += len(item.samples_mv) // 10
    assert k == 10_000


@pytest.mark.parametrize(
    ("second_s", "late_s", "fields"),
    [
        (1.0, late_now_and_then, {}),
        (1.0 + 50e-6, late_now_and_then, {}),
        (0.1, lambda k: 0.0, {"time_scale": 10.0}),
        (0.001, lambda k: 0.0, {"time_scale": float("inf")}),
    ],
    ids=["right", "50 ppm", "simulated", "without time"],
)
def test_a_board_that_is_right_or_keeps_no_time_goes_on(monkeypatch, second_s: float, late_s, fields) -> None:
    _, *items = run(monkeypatch, second_s, late_s, **fields)
    assert sum(isinstance(item, StreamInfo) for item in items) == 1
