"""Noise of a known strength, by the protocol of `nst`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ecg.errors import DataError, UsageError
from edge_ecg.io import read_annotations, read_record, write_record
from edge_ecg.sources.synthetic import synthetic_ecg
from edge_ecg.sources.virtual import EXCERPT
from train.noise import (
    NORMAL_SYMBOLS,
    noisy_stretches,
    nst_mix,
    read_noise,
    resample_noise,
    scale_for_snr,
    second_half,
)

FS_HZ = 100.0


def pulses(duration_s: float, height_mv: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A line with a triangle of a known height each second."""
    at = np.arange(50, int(duration_s * FS_HZ) - 50, 100)
    x = np.zeros(int(duration_s * FS_HZ))
    for k, v in ((-1, 0.5), (0, 1.0), (1, 0.5)):
        x[at + k] = v * height_mv
    return x, at


def noise(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.3, n)


def test_noise_comes_after_five_minutes_for_two_minutes_in_four() -> None:
    assert noisy_stretches(1800, 1.0) == [(300, 420), (540, 660), (780, 900), (1020, 1140), (1260, 1380), (1500, 1620),
                                          (1740, 1800)]
    assert noisy_stretches(300, 1.0) == []
    assert noisy_stretches(301, 1.0) == [(300, 301)]


@pytest.mark.parametrize("snr_db", [24.0, 6.0, -6.0])
def test_the_ratio_is_that_of_beat_power_over_noise_power(snr_db: float) -> None:
    x, at = pulses(60.0, height_mv=2.0)
    n = noise(6000)
    scale = scale_for_snr(x, at, n, FS_HZ, snr_db)
    seconds = (scale * n).reshape(-1, 100)
    assert 10 * np.log10(2.0**2 / 8 / np.median(seconds.var(axis=1))) == pytest.approx(snr_db, abs=0.2)


def test_the_extreme_beats_and_seconds_do_not_count() -> None:
    x, at = pulses(60.0)
    x[at[:2]] = 50.0
    n = noise(6000)
    plain = scale_for_snr(*pulses(60.0), n, FS_HZ, 6.0)
    n[:200] *= 100.0
    assert scale_for_snr(x, at, n, FS_HZ, 6.0) == pytest.approx(plain, rel=0.03)


@given(gain=st.floats(0.1, 10.0), offset=st.floats(-5.0, 5.0))
def test_the_scale_follows_the_gain_of_the_record_and_no_offset(gain: float, offset: float) -> None:
    x, at = pulses(20.0)
    n = noise(2000)
    one = scale_for_snr(x, at, n, FS_HZ, 12.0)
    assert scale_for_snr(gain * x + offset, at, n + offset, FS_HZ, 12.0) == pytest.approx(gain * one, rel=1e-6)
    assert scale_for_snr(x, at, gain * n, FS_HZ, 12.0) == pytest.approx(one / gain, rel=1e-6)


def test_outside_the_noisy_stretches_the_record_is_as_it_was() -> None:
    x, at = pulses(800.0)
    mixed = nst_mix(x, noise(7000), at, FS_HZ, 6.0)
    (a, b), (c, d) = noisy_stretches(len(x), FS_HZ)[:2]
    assert np.array_equal(mixed[:a], x[:a])
    assert (mixed - x)[a:b].std() > 0.1
    # Between them only the offset that the noise ended with is left.
    assert np.ptp((mixed - x)[b:c]) < 1e-9
    assert (mixed - x)[c:d].std() > 0.1


def test_neither_a_switch_nor_the_end_of_the_noise_is_a_jump() -> None:
    x, at = pulses(800.0)
    ramp = np.arange(1000.0) / 100.0 + 0.01 * noise(1000)
    added = nst_mix(x, ramp, at, FS_HZ, 6.0) - x
    largest = np.abs(np.diff(ramp)).max() * scale_for_snr(x, at, ramp, FS_HZ, 6.0)
    assert np.abs(np.diff(added)).max() <= largest * 1.001


def test_a_noise_of_another_rate_lasts_as_long() -> None:
    t_s = np.arange(3600) / 360.0
    slow = resample_noise(np.sin(2 * np.pi * t_s), 360.0, 125.0)
    assert len(slow) / 125.0 == pytest.approx(10.0, abs=0.01)
    assert slow == pytest.approx(np.sin(2 * np.pi * np.arange(len(slow)) / 125.0), abs=1e-3)
    x, at = pulses(400.0)
    n = noise(36_000)
    assert np.array_equal(
        nst_mix(x, n, at, FS_HZ, 6.0, noise_fs_hz=360.0), nst_mix(x, resample_noise(n, 360.0, FS_HZ), at, FS_HZ, 6.0)
    )


def test_what_cannot_be_scaled_is_told() -> None:
    x, at = pulses(20.0)
    with pytest.raises(DataError, match="no normal beat"):
        scale_for_snr(x, [], noise(2000), FS_HZ, 6.0)
    with pytest.raises(DataError, match="no normal beat"):
        scale_for_snr(np.zeros(2000), at, noise(2000), FS_HZ, 6.0)
    for silence in (np.zeros(2000), np.zeros(0), np.full(2000, np.nan)):
        with pytest.raises(DataError, match="no power"):
            scale_for_snr(x, at, silence, FS_HZ, 6.0)


def test_a_real_record_and_a_record_as_noise(tmp_path: Path) -> None:
    record, notes = read_record(EXCERPT), read_annotations(EXCERPT)
    x = record.samples_mv([0])[:, 0].astype(np.float64)
    normal = notes.sample[[s in NORMAL_SYMBOLS for s in notes.symbol]]
    hum, _, _ = synthetic_ecg(250.0, 30.0, 60.0)
    write_record(tmp_path / "hum", np.rint(200 * hum).astype(int)[:, None], 250.0, ["hum"])
    n, fs_hz = read_noise(tmp_path / "hum")
    assert (n.shape[1], fs_hz) == (1, 250.0)
    assert len(second_half(n)) == len(n) // 2
    mixed = nst_mix(x, n[:, 0], normal, 360.0, 12.0, noise_fs_hz=fs_hz)
    assert np.array_equal(mixed[:108_000], x[:108_000])
    assert not np.array_equal(mixed[108_000:], x[108_000:])


def test_an_unknown_or_absent_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_DATA", str(tmp_path))
    with pytest.raises(UsageError, match="bw, ma, em"):
        read_noise("muscle")
    with pytest.raises(DataError, match="data fetch nstdb"):
        read_noise("ma")
