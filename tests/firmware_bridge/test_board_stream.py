"""Bytes of boards of other makers as one stream: its counters say what was handed out, and of what it was made."""

from __future__ import annotations

import pytest
from board_captures import POLL_S, frames

from firmware_bridge.blocks import LinkStats, RawBlock
from firmware_bridge.board_stream import BoardStream
from firmware_bridge.boards import BOARDS

SILENT_S = (8.0, 10.5)
NAMES = sorted(BOARDS.keys() - {"edge", "spiker"})


def heard(name: str) -> tuple[list[RawBlock], LinkStats, int]:
    """Twenty seconds with a silence in them: what came out, the counters, and how many frames were sent."""
    stream, out, waiting, n_frames = BoardStream(BOARDS[name]), [], b"", 0
    polled_s = 0.0
    for at_s, frame in frames(name, 20.0):
        if not SILENT_S[0] <= at_s < SILENT_S[1]:
            waiting += frame
            n_frames += 1
            if at_s >= polled_s + POLL_S:
                out += stream.feed(waiting, 100.0 + at_s)
                waiting, polled_s = b"", at_s
    out += stream.feed(waiting, 120.0)
    return out + stream.flush(), stream.stats(), n_frames


@pytest.mark.parametrize("name", NAMES)
def test_received_and_lost_are_the_length_of_the_stream(name: str) -> None:
    blocks, stats, _ = heard(name)
    assert stats.samples_received == sum(len(block.counts) for block in blocks)
    assert stats.samples_lost == sum(block.lost_before for block in blocks)
    first, last = blocks[0], blocks[-1]
    length = last.first_sample + len(last.counts) - first.first_sample + first.lost_before
    assert stats.samples_received + stats.samples_lost == length
    fs_hz = 250.0 if stats.samples_resampled else BOARDS[name].fs_hz
    assert stats.samples_lost / fs_hz == pytest.approx(SILENT_S[1] - SILENT_S[0], abs=0.1)


@pytest.mark.parametrize("name", ["ad8232", "max30003"])
def test_of_a_board_without_a_rate_what_it_sent_is_told_too(name: str) -> None:
    _, stats, n_sent = heard(name)
    assert stats.samples_resampled == n_sent
    assert stats.fs_estimate_hz == pytest.approx(n_sent / (20.0 - 2.5), rel=0.02)


def test_of_a_board_with_a_rate_nothing_is_resampled() -> None:
    assert heard("cyton")[1].samples_resampled == 0
