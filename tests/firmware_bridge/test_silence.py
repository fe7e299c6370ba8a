"""A silence that nothing makes up for is a loss; one that is made up for, in whatever pieces, is none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from firmware_bridge.silence import SilenceMeter

FS_HZ = 125.0


def told(arrivals: list[tuple[int, float]], modulo: int | None = None) -> int:
    meter = SilenceMeter(FS_HZ, modulo)
    return sum(meter.lost(n, 0, at_s) for n, at_s in arrivals)


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
    meter = SilenceMeter(fs_hz, modulo)
    ends = [round(chunk_s * fs_hz * k) for k in range(1 + round(20.0 / chunk_s))]
    assert sum(meter.lost(b - a, 0, b / fs_hz) for a, b in pairwise(ends)) == 0


@pytest.mark.parametrize("chunk_s", [0.016, 0.064, 0.09])
def test_a_loss_is_told_short_by_up_to_a_chunk(chunk_s: float) -> None:
    taken_s = np.arange(0.0, 10.0, 0.001)
    taken_s = taken_s[(taken_s < 5.03) | (taken_s >= 6.03)]
    at_s, n = np.unique(np.ceil(taken_s / chunk_s) * chunk_s, return_counts=True)
    meter = SilenceMeter(1000.0, None)
    lost = sum(meter.lost(k, 0, t) for k, t in zip(n.tolist(), at_s.tolist(), strict=True))
    assert 1.0 - chunk_s - 0.002 < lost / 1000.0 < 1.002


def test_of_a_counter_only_whole_turns_are_left_to_time() -> None:
    meter = SilenceMeter(FS_HZ, 16)
    assert sum(meter.lost(n, 0, at_s) for n, at_s in steady(0.0, 5.0)) == 0
    # 125 samples are missing, 13 of which the counter tells.
    told = meter.lost(2, 13, 6.0) + sum(meter.lost(n, 0, at_s) for n, at_s in steady(6.016, 5.0))
    assert told == 112


@pytest.mark.parametrize("pieces", [1, 10])
def test_a_loss_that_a_counter_tells_is_no_sign_that_the_backlog_behind_it_is_lost_too(pieces: int) -> None:
    meter = SilenceMeter(1000.0, 16)
    for k in range(300):
        assert meter.lost(16, 0, 0.016 * k) == 0
    backlog = [(1000 // pieces - (not k), int(not k), 5.784 + 0.002 * k) for k in range(pieces)]
    behind = [(16, 0, 5.8 + 0.016 * k) for k in range(1, 100)]
    assert sum(meter.lost(*one) for one in backlog + behind) == 0
