"""The filters: equal to the textbook, and the same bits however the stream is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from edge_ecg.dsp.envelopes import EnvelopeFrontEnd
from edge_ecg.dsp.filters import FirStream, HighPass, windowed_sinc

CUTS = st.lists(st.integers(0, 90), max_size=30)


def walk(n: int, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).standard_normal(n)) * 0.01


ORDERS = pytest.mark.parametrize("order", [1, 2])


def cut(x: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(x, np.minimum(np.cumsum(sizes), len(x)).astype(int)) if sizes else [x]


def in_pieces(stage, x: np.ndarray, sizes: list[int]) -> np.ndarray:
    return np.concatenate([stage.feed(piece) for piece in cut(x, sizes)])


@pytest.mark.parametrize(("cutoff_hz", "fs_hz"), [(0.5, 125.0), (0.05, 125.0), (0.5, 1000.0), (5.0, 100.0)])
def test_high_pass_is_scipys_butterworth(cutoff_hz, fs_hz):
    x = walk(5000) + 3.0
    b, a = signal.butter(2, cutoff_hz, "highpass", fs=fs_hz)
    expected, _ = signal.lfilter(b, a, x, zi=signal.lfilter_zi(b, a) * x[0])
    assert np.abs(HighPass(cutoff_hz, fs_hz).feed(x) - expected).max() < 1e-10


@pytest.mark.parametrize(("cutoff_hz", "fs_hz"), [(0.5, 128.0), (0.05, 125.0)])
def test_high_pass_of_first_order_is_one_pole(cutoff_hz, fs_hz):
    x = walk(5000) + 3.0
    pole = np.exp(-2.0 * np.pi * cutoff_hz / fs_hz)
    gain = 0.5 * (1.0 + pole)
    expected = signal.lfilter([gain, -gain], [1.0, -pole], x - x[0])
    assert np.abs(HighPass(cutoff_hz, fs_hz, order=1).feed(x) - expected).max() < 1e-10


@ORDERS
def test_high_pass_of_a_constant_is_zero_from_the_first_sample(order):
    assert np.abs(HighPass(0.5, 125.0, order).feed(np.full(2000, -7.5))).max() < 1e-12


def test_high_pass_keeps_the_callers_samples():
    x = walk(100)
    before = x.copy()
    HighPass(0.5, 125.0).feed(x)
    assert np.array_equal(x, before)


@ORDERS
@settings(deadline=None)
@given(CUTS)
def test_high_pass_is_the_same_however_it_is_cut(order, sizes):
    x = walk(700)
    assert np.array_equal(in_pieces(HighPass(0.5, 125.0, order), x, sizes), HighPass(0.5, 125.0, order).feed(x))


@ORDERS
def test_high_pass_one_sample_at_a_time(order):
    x = walk(700) - 40.0
    assert np.array_equal(in_pieces(HighPass(0.5, 125.0, order), x, [1] * 700), HighPass(0.5, 125.0, order).feed(x))


@ORDERS
def test_high_pass_does_not_see_what_comes_after(order):
    x = walk(300)
    wild = np.concatenate([x[:150], np.full(150, 1e9)])
    seen, known = HighPass(0.5, 125.0, order).feed(wild), HighPass(0.5, 125.0, order).feed(x)
    assert np.array_equal(seen[:150], known[:150])


@settings(deadline=None)
@given(CUTS, st.sampled_from([0, 1, 5, 12, 45]), st.booleans())
def test_fir_is_the_same_however_it_is_cut(sizes, half, even):
    taps = windowed_sinc(half, 40.0, 360.0) if even else np.random.default_rng(1).standard_normal(2 * half + 1)
    x = walk(700)
    assert np.array_equal(in_pieces(FirStream(taps), x, sizes), FirStream(taps).feed(x))


def test_fir_one_sample_at_a_time():
    taps, x = windowed_sinc(12, 40.0, 360.0), walk(500)
    assert np.array_equal(in_pieces(FirStream(taps), x, [1] * 500), FirStream(taps).feed(x))


def test_fir_output_is_centred_on_its_input():
    taps = np.array([1.0, 2.0, 3.0, 5.0, 8.0])
    x = walk(50)
    y = FirStream(taps).feed(x)
    assert len(y) == 48
    expected = signal.lfilter(taps, 1.0, np.concatenate([np.full(2, x[0]), x]))[4:]
    np.testing.assert_allclose(y, expected, atol=1e-12)


def test_fir_takes_the_past_to_be_the_first_sample():
    np.testing.assert_allclose(FirStream(windowed_sinc(9, 40.0, 360.0)).feed(np.full(100, 4.0)), 4.0, atol=1e-12)


def test_fir_without_a_centre_is_refused():
    with pytest.raises(ValueError, match="odd number of taps, not 4"):
        FirStream(np.ones(4))


@settings(max_examples=25, deadline=None)
@given(CUTS, st.sampled_from([100.0, 181.0, 360.0, 1000.0]))
def test_envelopes_are_the_same_however_they_are_cut(sizes, fs_hz):
    x = walk(1500) + 0.3
    whole = EnvelopeFrontEnd(fs_hz).feed(x)
    front = EnvelopeFrontEnd(fs_hz)
    parts = [front.feed(piece) for piece in cut(x, sizes)]
    for name in ("decimated", "low", "qrs", "high"):
        assert np.array_equal(np.concatenate([getattr(p, name) for p in parts]), getattr(whole, name)), name


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 360.0, 1000.0])
def test_qrs_envelope_of_its_own_tone_is_half_the_tones_height(fs_hz):
    t_s = np.arange(round(4 * fs_hz)) / fs_hz
    qrs = EnvelopeFrontEnd(fs_hz).feed(0.7 * np.sin(2 * np.pi * 13.5 * t_s) + 2.0).qrs
    np.testing.assert_allclose(qrs[len(qrs) // 2 :], 0.35, rtol=0.1)
