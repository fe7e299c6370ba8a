"""The resampler: true in height and time at any rate, and the same bits however the stream is cut."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.dsp.resample import Resampler

RATES = [100.0, 125.0, 128.0, 249.73, 250.0, 256.0, 333.333, 360.0, 500.0, 777.777, 1000.0]


def sine(n: int, fs_hz: float, hz: float = 7.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(n) / fs_hz)


@pytest.mark.parametrize("fs_hz", RATES)
def test_a_sine_comes_out_as_high_and_on_time(fs_hz):
    y = Resampler(fs_hz, 125.0).feed(sine(round(8 * fs_hz), fs_hz))
    inner = slice(125, len(y) - 1)
    assert np.abs(y - sine(len(y), 125.0))[inner].max() < 0.01


@pytest.mark.parametrize("fs_hz", [249.73, 360.007])
def test_time_does_not_drift_over_two_hours(fs_hz):
    resampler = Resampler(fs_hz, 125.0)
    x = sine(round(7200 * fs_hz), fs_hz)
    y = np.concatenate([resampler.feed(piece) for piece in np.array_split(x, 20)])
    assert np.abs(y - sine(len(y), 125.0))[125:].max() < 0.01
    assert abs(len(y) - 7200 * 125) <= 8


@pytest.mark.parametrize("fs_hz", RATES)
def test_a_minute_at_once_is_the_same_as_in_small_pieces(fs_hz):
    x = np.random.default_rng(6).standard_normal(round(60 * fs_hz))
    whole, resampler = Resampler(fs_hz, 125.0).feed(x), Resampler(fs_hz, 125.0)
    assert np.array_equal(np.concatenate([resampler.feed(x[i : i + 31]) for i in range(0, len(x), 31)]), whole)
    assert len(whole) > 7400


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(RATES), st.lists(st.integers(0, 400), max_size=20))
def test_the_same_however_it_is_cut(fs_hz, sizes):
    x = np.random.default_rng(3).standard_normal(2000)
    resampler = Resampler(fs_hz, 125.0)
    pieces = np.split(x, np.minimum(np.cumsum(sizes), len(x)).astype(int)) if sizes else [x]
    assert np.array_equal(np.concatenate([resampler.feed(p) for p in pieces]), Resampler(fs_hz, 125.0).feed(x))


@pytest.mark.parametrize("fs_hz", RATES)
def test_one_sample_at_a_time_and_the_last_input_needed_is_exactly_that_sample(fs_hz):
    x = np.random.default_rng(4).standard_normal(round(3 * fs_hz))
    resampler, y, done = Resampler(fs_hz, 125.0), [], []
    for i in range(len(x)):
        for value in resampler.feed(x[i : i + 1]):
            done.append(i)
            y.append(value)
    assert done == [resampler.last_input_needed(k) for k in range(len(done))]
    assert np.array_equal(np.array(y), Resampler(fs_hz, 125.0).feed(x))


@settings(deadline=None)
@given(st.integers(100_000, 1_000_000), st.integers(0, 10**9))
def test_the_input_needed_follows_any_rate_in_millihertz_exactly(millihertz, k):
    fs_hz = millihertz / 1000.0
    half = Resampler(fs_hz, 125.0).last_input_needed(0)
    expected = int(k * Fraction(millihertz, 125_000)) + half
    assert Resampler(fs_hz, 125.0).last_input_needed(k) == expected


def test_equal_rates_pass_through():
    x = np.random.default_rng(5).standard_normal(100)
    assert np.array_equal(Resampler(125.0, 125.0).feed(x), x)
    assert Resampler(125.0, 125.0).last_input_needed(42) == 42


@pytest.mark.parametrize("fs_hz", RATES)
def test_a_constant_stays_that_constant_from_the_first_sample(fs_hz):
    np.testing.assert_allclose(Resampler(fs_hz, 125.0).feed(np.full(2000, 5.0)), 5.0, rtol=1e-12)


def test_mains_hum_beyond_the_band_is_taken_away():
    fs_hz = 500.0
    y = Resampler(fs_hz, 125.0).feed(sine(4000, fs_hz, hz=90.0))
    assert np.abs(y[125:]).max() < 0.02


def test_nothing_in_nothing_out():
    resampler = Resampler(360.0, 125.0)
    assert len(resampler.feed(np.empty(0))) == 0
    assert len(resampler.feed(np.ones(3))) == 0
