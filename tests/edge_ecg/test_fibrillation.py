"""Fibrillation is noticed in time, nothing else is taken for it, and the cut of the stream changes no bit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.context.fibrillation import BEGIN_ABOVE, END_BELOW, FibrillationChange, FibrillationWatch, Verdict
from edge_ecg.io import read_record
from edge_ecg.sources.synthetic import synthetic_ecg

EXCERPT = Path(__file__).parents[2] / "edge_ecg" / "excerpts" / "mitdb_223"
RATES = (100.0, 128.0, 249.73, 250.0, 360.0, 500.0, 1000.0)
BEGIN_S, END_S, LENGTH_S = 30.0, 60.0, 90.0


def fibrillation(fs_hz: float, duration_s: float, seed: int = 0) -> np.ndarray:
    """A wave of about 5 Hz whose pace and height wander."""
    rng, n = np.random.default_rng(seed), round(duration_s * fs_hz)
    t_s, knots_s = np.arange(n) / fs_hz, np.arange(0.0, duration_s + 1.0, 0.5)
    pace_hz = np.interp(t_s, knots_s, 5.0 + 0.8 * rng.standard_normal(len(knots_s)))
    height_mv = np.interp(t_s, knots_s, rng.uniform(0.3, 0.7, len(knots_s)))
    return height_mv * np.sin(2 * np.pi * np.cumsum(pace_hz) / fs_hz) + 0.01 * rng.standard_normal(n)


def heart(fs_hz: float, duration_s: float, hr_bpm: float = 70.0, pvc_every: int = 12) -> np.ndarray:
    return synthetic_ecg(fs_hz, duration_s, hr_bpm, pvc_every)[0].astype(np.float64)


def arrest(fs_hz: float = 250.0) -> np.ndarray:
    """30 s of a heart, 30 s of fibrillation, 30 s of a heart."""
    x = heart(fs_hz, LENGTH_S)
    a, b = round(BEGIN_S * fs_hz), round(END_S * fs_hz)
    x[a:b] = fibrillation(fs_hz, END_S - BEGIN_S)[: b - a]
    return x


def watch(x_mv: np.ndarray, fs_hz: float = 250.0) -> list[FibrillationChange]:
    return FibrillationWatch(fs_hz).feed(x_mv)


@pytest.mark.parametrize("fs_hz", RATES)
def test_noticed_within_10_s_and_over_soon_after_at_any_rate(fs_hz):
    begin, end = watch(arrest(fs_hz), fs_hz)
    assert (begin.suspected, end.suspected) == (True, False)
    assert BEGIN_S < begin.at_index / fs_hz < BEGIN_S + 10.0
    assert END_S < end.at_index / fs_hz < END_S + 10.0
    assert begin.sample / fs_hz == pytest.approx(BEGIN_S, abs=3.0)
    assert end.sample / fs_hz == pytest.approx(END_S, abs=3.0)
    assert begin.score > 0.9 > end.score


@pytest.mark.parametrize("change", [lambda x: -x, lambda x: 3.0 * x, lambda x: x + 40.0, lambda x: 0.3 * x])
def test_gain_polarity_and_offset_do_not_matter(change):
    changed, usual = watch(change(arrest())), watch(arrest())
    assert [(c.at_index, c.sample) for c in changed] == [(c.at_index, c.sample) for c in usual]


@pytest.mark.parametrize("hz", [49.9, 50.0, 60.0])
@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 500.0])
def test_noticed_beside_mains_hum_of_its_own_size(fs_hz, hz):
    x = arrest(fs_hz)
    changes = watch(x + 0.5 * np.sin(2 * np.pi * hz * np.arange(len(x)) / fs_hz), fs_hz)
    assert [c.suspected for c in changes] == [True, False]
    assert changes[0].at_index < (BEGIN_S + 10.0) * fs_hz


@pytest.mark.parametrize("pvc_every", [0, 2, 3])
@pytest.mark.parametrize("hr_bpm", [35.0, 70.0, 120.0, 180.0, 210.0])
def test_no_heart_that_beats(hr_bpm, pvc_every):
    assert watch(heart(250.0, 60.0, hr_bpm, pvc_every)) == []


def test_no_real_heart_with_runs_of_ventricular_beats():
    record = read_record(EXCERPT)
    for x in record.samples_mv().astype(np.float64).T:
        assert watch(x, record.header.fs_hz) == []


def test_no_paced_heart():
    x = heart(500.0, 60.0)
    for k in range(200, len(x) - 2, 400):
        x[k : k + 2] += 4.0
    assert watch(x, 500.0) == []


def no_heart(kind: str, fs_hz: float) -> np.ndarray:
    rng, t_s = np.random.default_rng(1), np.arange(round(60 * fs_hz)) / fs_hz
    white = rng.standard_normal(len(t_s))
    return {
        "flat": np.full(len(t_s), 1.7),
        "fine noise": 0.015 * white,
        "muscle": 0.4 * white,
        "hum 50": np.sin(2 * np.pi * 50.0 * t_s),
        "hum 59.9": 5.0 * np.sin(2 * np.pi * 59.9 * t_s) + 0.02 * white,
        "breath": 2.0 * np.sin(2 * np.pi * 0.3 * t_s) + 0.01 * white,
        "sway": 0.5 * np.sin(2 * np.pi * 0.9 * t_s) * np.sin(2 * np.pi * 0.11 * t_s) + 0.01 * white,
        "steps": np.repeat(rng.standard_normal(60), round(fs_hz))[: len(t_s)],
        "one bump": 3.0 * np.exp(-(((t_s - 30.0) / 0.2) ** 2)) + 0.01 * white,
        "rail": np.sign(np.sin(2 * np.pi * 0.4 * t_s)) * 3.3,
    }[kind]


@pytest.mark.parametrize("fs_hz", [100.0, 250.0])
@pytest.mark.parametrize(
    "kind", ["flat", "fine noise", "muscle", "hum 50", "hum 59.9", "breath", "sway", "steps", "one bump", "rail"]
)
def test_no_electrode_without_a_heart(kind, fs_hz):
    assert watch(no_heart(kind, fs_hz), fs_hz) == []


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(RATES), st.lists(st.integers(0, 4000), max_size=30), st.integers(0, 40_000))
def test_the_same_however_it_is_cut(fs_hz, sizes, shift):
    x = np.roll(arrest(fs_hz), -shift)[: round(60 * fs_hz)]
    cut, pieces = FibrillationWatch(fs_hz), np.split(x, np.minimum(np.cumsum(sizes), len(x)).astype(int))
    assert [c for piece in pieces for c in cut.feed(piece)] == watch(x, fs_hz)


def test_one_sample_at_a_time_tells_each_change_with_the_sample_it_names():
    x, alone = arrest(100.0), FibrillationWatch(100.0)
    told = [(k, c) for k in range(len(x)) for c in alone.feed(x[k : k + 1])]
    assert [c for _, c in told] == watch(x, 100.0)
    assert [k for k, _ in told] == [c.at_index for _, c in told]
    assert len(told) == 2


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(RATES),
    st.lists(st.tuples(st.integers(0, 1200), st.sampled_from(
        [0.0, 5e-324, 1e-310, 1e-9, 1.0, 1e6, -1e6, 1e300, -1.7e308])), max_size=8),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_finite_input_of_any_size_is_survived(fs_hz, stretches, seed):
    rng, survivor = np.random.default_rng(seed), FibrillationWatch(fs_hz)
    changes = []
    for n, size in stretches:
        changes += survivor.feed(size * rng.choice([-1.0, 0.3, 1.0], n))
        changes += survivor.feed(np.full(n, size))
    assert all(0.0 <= c.score <= 1.0 and 0 <= c.sample <= c.at_index for c in changes)
    assert all(a.suspected != b.suspected and a.sample <= b.sample for a, b in pairwise(changes))
    # And it still does its work.
    survivor.feed(np.zeros(round(20 * fs_hz)))
    assert not survivor.suspected
    assert [c.suspected for c in survivor.feed(fibrillation(fs_hz, 30.0))] == [True]


def test_between_the_limits_nothing_changes_and_one_loud_second_is_outvoted():
    between = 0.5 * (BEGIN_ABOVE + END_BELOW)
    verdict = Verdict()
    assert [verdict.feed(z) for z in [between] * 8 + [-1.0] * 3 + [1e9, -1.0, -1.0]] == [None] * 14
    assert [verdict.feed(5.0) for _ in range(4)].count(None) == 3
    assert verdict.suspected
    assert [verdict.feed(z) for z in [between] * 8] == [None] * 8
    assert [verdict.feed(END_BELOW - 1.0) for _ in range(4)].count(None) == 3
    assert not verdict.suspected


def test_a_change_counts_from_the_first_second_that_spoke_for_it():
    verdict = Verdict()
    assert [verdict.feed(z) for z in [0.0, 0.0, 0.0, 4.0, 4.0, 4.0]] == [None] * 5 + [2]


def test_behind_a_gap_it_takes_7_s_to_know_and_positions_go_on():
    x, fs_hz = fibrillation(250.0, 30.0), 250.0
    torn = FibrillationWatch(fs_hz)
    assert torn.feed(x[: round(6.5 * fs_hz)]) == []
    torn.resume(100_000)
    assert torn.feed(x[: round(6.5 * fs_hz)]) == []
    (change,) = torn.feed(x[round(6.5 * fs_hz) :])
    assert 100_000 < change.sample < change.at_index < 100_000 + 8 * fs_hz


def test_what_is_suspected_outlasts_a_gap_until_the_heart_beats_again():
    fs_hz, torn = 250.0, FibrillationWatch(250.0)
    assert [c.suspected for c in torn.feed(fibrillation(fs_hz, 20.0))] == [True]
    torn.resume(50_000)
    assert torn.suspected
    (change,) = torn.feed(heart(fs_hz, 30.0))
    assert not change.suspected
    assert not torn.suspected
    assert 50_000 <= change.sample <= 50_000 + 5 * fs_hz


@pytest.mark.parametrize("fs_hz", [0.0, 99.0, 1001.0, float("nan")])
def test_a_rate_outside_is_refused_in_one_line(fs_hz):
    with pytest.raises(ValueError, match="100 to 1000 Hz"):
        FibrillationWatch(fs_hz)


def test_what_is_held_does_not_grow():
    watcher = FibrillationWatch(1000.0)
    for _ in range(20):
        watcher.feed(fibrillation(1000.0, 5.0))
    held = [v for v in vars(watcher).values() if isinstance(v, np.ndarray)]
    assert sum(v.size for v in held) < 2 * 4 * 128


def test_real_fibrillation_of_the_fitting_people_is_noticed(data_dir):
    record = read_record(data_dir / "cudb" / "cu01")
    x = np.nan_to_num(record.samples_mv()[:, 0].astype(np.float64))
    changes = watch(x, record.header.fs_hz)
    assert changes[0].suspected
    assert 212.0 < changes[0].at_index / record.header.fs_hz < 224.0
