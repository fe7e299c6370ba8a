"""A board's clock against the host's: found through bursts, stalls and losses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.clock import LEAST_S, SampleClock

FS_HZ = 500.0


def arrivals(clock: SampleClock, ppm: float, burst_s: float, minutes: float, seed: int = 0) -> None:
    """Blocks of 20 samples as a USB adapter hands them over, with losses and a host that stalls."""
    rng = np.random.default_rng(seed)
    busy_s = number = 0
    for _ in range(int(minutes * 60 * FS_HZ / 20)):
        number += 20
        taken_s = 100.0 + number / (FS_HZ * (1 + 1e-6 * ppm))
        came_s = taken_s + 0.001
        if burst_s:
            came_s = np.ceil(came_s / burst_s) * burst_s
        if rng.random() < 0.002:
            busy_s = came_s + rng.exponential(0.5)
        if rng.random() > 0.02:
            clock.push(number, max(came_s, busy_s))


@pytest.mark.parametrize("burst_s", [0.0, 0.016])
@pytest.mark.parametrize("ppm", [-500.0, -30.0, 0.0, 80.0, 500.0])
def test_the_drift_is_found(ppm: float, burst_s: float) -> None:
    clock = SampleClock(FS_HZ)
    arrivals(clock, ppm, burst_s, 10.0)
    assert clock.drift_ppm == pytest.approx(ppm, abs=10.0)
    assert clock.fs_estimate_hz == pytest.approx(FS_HZ * (1 + 1e-6 * ppm), rel=1e-5)


def test_nothing_is_told_too_early() -> None:
    clock = SampleClock(FS_HZ)
    assert (clock.drift_ppm, clock.fs_estimate_hz) == (None, None)
    arrivals(clock, 300.0, 0.0, 0.9 * LEAST_S / 60)
    assert clock.drift_ppm is None


def test_a_board_that_begins_anew_is_measured_anew() -> None:
    clock = SampleClock(FS_HZ)
    arrivals(clock, 300.0, 0.0, 2.0)
    clock.push(20, 1000.0)
    assert clock.drift_ppm is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.floats(0.0, 5.0)), min_size=1, max_size=200))
def test_any_arrivals_give_finite_figures(steps: list[tuple[int, float]]) -> None:
    clock = SampleClock(FS_HZ)
    number, now_s = 0, 0.0
    for n, s in steps:
        number, now_s = number + n, now_s + s
        clock.push(number, now_s)
        for told in (clock.drift_ppm, clock.fs_estimate_hz):
            assert told is None or np.isfinite(told)


@pytest.mark.parametrize("fs_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none(fs_hz: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        SampleClock(fs_hz)
