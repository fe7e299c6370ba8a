"""A silence that nothing makes up for is a loss; one that is made up for, in whatever pieces, is none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from firmware_bridge.blocks import RawBlock
from firmware_bridge.silence import SilenceMeter

FS_HZ = 125.0


def told(
    arrivals: list[tuple[int, float]],
    modulo: int | None = None,
    fs_hz: float = FS_HZ,
    known: dict[int, int] | None = None,
) -> int:
    """How many samples are lost, of which a counter knows some before one of the arrivals."""
    meter, out, first_sample = SilenceMeter(fs_hz, modulo), [], 0
    for k, (n, at_s) in enumerate(arrivals):
        n_known = (known or {}).get(k, 0)
        first_sample += n_known
        out += meter.feed([RawBlock(np.zeros((n, 1), np.int32), first_sample, None, n_known, at_s)])
        first_sample += n
    out += meter.flush()
    assert sum(len(block.counts) for block in out) == sum(n for n, _ in arrivals)
    for before, block in pairwise(out):
        assert block.first_sample == before.first_sample + len(before.counts) + block.lost_before
    return sum(block.lost_before for block in out)


def steady(first_s: float, seconds: float) -> list[tuple[int, float]]:
    return [(2, first_s + t) for t in np.arange(0.0, seconds, 2 / FS_HZ)]


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_a_backlog_in_pieces_is_late_not_lost(pieces: int) -> None:
    stalled = round(0.3 * FS_HZ)
    backlog = [(stalled // pieces, 5.3 + 0.005 * k) for k in range(pieces)]
    assert told([*steady(0.0, 5.0), *backlog, *steady(5.33, 5.0)]) == 0


def test_what_never_comes_is_lost() -> None:
    lost = told([*steady(0.0, 5.0), *steady(6.0, 5.0)])
    assert lost / FS_HZ == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("chunk_s", [0.05, 0.1024, 0.12, 0.15, 0.19, 0.3])
@pytest.mark.parametrize(("fs_hz", "modulo"), [(125.0, None), (250.0, 256), (1000.0, 16)])
def test_a_line_that_hands_over_in_long_chunks_loses_nothing(chunk_s: float, fs_hz: float, modulo: int | None) -> None:
    """A bridge over Wi-Fi or Bluetooth, or a computer that is busy."""
    ends = [round(chunk_s * fs_hz * k) for k in range(1 + round(20.0 / chunk_s))]
    assert told([(b - a, b / fs_hz) for a, b in pairwise(ends)], modulo, fs_hz) == 0


def test_what_makes_up_for_a_silence_need_not_wait() -> None:
    meter = SilenceMeter(FS_HZ, None)
    for k in range(100):
        (block,) = meter.feed([RawBlock(np.zeros((15, 1), np.int32), 15 * k, None, 0, 0.12 * k)])
        assert block.first_sample == 15 * k


@pytest.mark.parametrize("chunk_s", [0.016, 0.064, 0.09])
def test_a_loss_is_told_short_by_up_to_a_chunk(chunk_s: float) -> None:
    taken_s = np.arange(0.0, 10.0, 0.001)
    taken_s = taken_s[(taken_s < 5.03) | (taken_s >= 6.03)]
    at_s, n = np.unique(np.ceil(taken_s / chunk_s) * chunk_s, return_counts=True)
    lost = told(list(zip(n.tolist(), at_s.tolist(), strict=True)), fs_hz=1000.0)
    assert 1.0 - chunk_s - 0.002 < lost / 1000.0 < 1.002


def test_of_a_counter_only_whole_turns_are_left_to_time() -> None:
    before = steady(0.0, 5.0)
    # 125 samples are missing, 13 of which the counter tells.
    assert told([*before, *steady(6.0, 5.0)], 16, known={len(before): 13}) == 125


@pytest.mark.parametrize("pieces", [1, 10])
def test_a_loss_that_a_counter_tells_is_no_sign_that_the_backlog_behind_it_is_lost_too(pieces: int) -> None:
    before = [(16, 0.016 * k) for k in range(300)]
    backlog = [(1000 // pieces - (not k), 5.784 + 0.002 * k) for k in range(pieces)]
    behind = [(16, 5.8 + 0.016 * k) for k in range(1, 100)]
    assert told(before + backlog + behind, 16, 1000.0, known={len(before): 1}) == 1
