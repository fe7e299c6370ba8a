"""The end of a stream from a board."""

from __future__ import annotations

import numpy as np
import pytest

from edge_ecg.sources import serial_link
from edge_ecg.sources.serial_link import SerialLinkSource
from edge_ecg.types import LinkEvent, SampleBlock
from firmware_bridge.blocks import BoardInfo
from firmware_bridge.simulator import PtyBoard, VirtualBoard

INFO = BoardInfo("Simulated", "1.0", "none", 360.0, ("MLII", "V1"), 5000.0, 1.0, 1)
COUNTS = np.stack([np.arange(5000), -np.arange(5000)], axis=1)


@pytest.mark.parametrize(("within_s", "some_left"), [(60.0, False), (0.0, True)], ids=["in time", "too late"])
def test_what_waits_when_it_is_stopped_is_handed_out_or_told_as_left(
    monkeypatch: pytest.MonkeyPatch, within_s: float, some_left: bool
) -> None:
    monkeypatch.setattr(serial_link, "_END_WITHIN_S", within_s)
    with PtyBoard(VirtualBoard(INFO, COUNTS, 500.0, loop=True)) as board:
        source = SerialLinkSource(board.path)
        n_handed_out = 0
        end = None
        for item in source.items():
            if isinstance(item, SampleBlock):
                n_handed_out += len(item.samples_mv)
                source.stop()
            elif isinstance(item, LinkEvent):
                end = item
        n_received = source.stats().samples_received
        source.close()
    assert end is not None
    assert end.state == "ended"
    left = f"stopped, {n_received - n_handed_out} samples too late for it"
    assert end.detail == (left if some_left else "stopped")
    assert (n_received > n_handed_out) == some_left
