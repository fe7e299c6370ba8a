"""A silence that nothing makes up for is a loss; one that is made up for, in whatever pieces, is none."""

from __future__ import annotations

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


def test_of_a_counter_only_whole_turns_are_left_to_time() -> None:
    meter = SilenceMeter(FS_HZ, 16)
    for n, at_s in steady(0.0, 5.0):
        assert meter.lost(n, 0, at_s) == 0
    # 125 samples are missing, 13 of which the counter tells.
    assert meter.lost(2, 13, 6.0) == 112
