"""Signal quality: each fault by its name, none in a clean recording, whatever the gain, rate, polarity or cut."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.dsp.quality import CAUSES, QualityMeter, SecondQuality, Shutdown
from edge_ecg.io import read_record
from edge_ecg.sources.synthetic import synthetic_ecg

EXCERPT = Path(__file__).parents[2] / "edge_ecg" / "excerpts" / "mitdb_223"
FS_HZ = 360.0
A_S, B_S, END_S = 30, 50, 75


@pytest.fixture(scope="module")
def ecg_mv() -> np.ndarray:
    return read_record(EXCERPT).samples_mv()[:, 0].astype(np.float64)


def resampled(x_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    t_s = np.arange(int(len(x_mv) / FS_HZ * fs_hz)) / fs_hz
    return np.interp(t_s, np.arange(len(x_mv)) / FS_HZ, x_mv)


def judge(x_mv: np.ndarray, fs_hz: float = FS_HZ) -> list[SecondQuality]:
    return QualityMeter(fs_hz).feed(x_mv)


def told(seconds: list[SecondQuality]) -> list[tuple[str, ...]]:
    return [s.causes for s in seconds]


def steps(n: int, fs_hz: float, size_mv: float) -> np.ndarray:
    """An electrode that jumps every 0.9 s, by more or less."""
    rng, n_steps = np.random.default_rng(3), 1 + int(n / fs_hz / 0.9)
    levels = size_mv * rng.choice([-1.0, 1.0], n_steps) * rng.uniform(0.6, 2.5, n_steps)
    return np.repeat(np.cumsum(levels), int(0.9 * fs_hz) + 1)[:n]


def with_fault(x_mv: np.ndarray, cause: str, fs_hz: float = FS_HZ) -> np.ndarray:
    """30 s of the recording, 20 s with a fault, 25 s of the recording."""
    a, b, end = (t * round(fs_hz) for t in (A_S, B_S, END_S))
    x_mv = x_mv[:end].copy()
    t_s = np.arange(b - a) / fs_hz
    within = slice(a, b)
    match cause:
        case "flat":
            x_mv[within] = x_mv[a]
        case "rail":
            x_mv[within] = np.clip(x_mv[within] + 4.0 * np.sin(2 * np.pi * 0.7 * t_s), -2.5, 2.5)
        case "muscle":
            x_mv[within] += 0.6 * np.random.default_rng(0).standard_normal(b - a)
        case "mains":
            x_mv[within] += 5.0 * np.sin(2 * np.pi * 50.0 * t_s)
        case "baseline":
            x_mv[within] += 8.0 * np.sin(2 * np.pi * 0.4 * t_s)
        case "motion":
            x_mv[within] += steps(b - a, fs_hz, 15.0)
    return x_mv


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("fs_hz", [125.0, 249.73, 360.0, 1000.0])
def test_each_fault_by_its_name_and_nothing_before_and_behind(ecg_mv, cause, fs_hz):
    seconds = judge(with_fault(resampled(ecg_mv, fs_hz), cause, fs_hz), fs_hz)
    causes = told(seconds)
    assert causes[:A_S] == [()] * A_S
    assert causes[B_S + 2 :] == [()] * (len(causes) - B_S - 2)
    inside = causes[A_S + 1 : B_S - 1]
    wanted = 0.5 if cause == "motion" else 0.9
    assert sum(cause in c for c in inside) >= wanted * len(inside)
    if cause != "motion":
        first = [c[0] for c in inside if c]
        assert first.count(cause) > 0.8 * len(first)
    for s in seconds:
        assert 0.0 <= s.quality <= 1.0
        assert s.bad == (s.quality <= 0.5)


@pytest.mark.parametrize("cause", ["muscle", "baseline", "motion"])
def test_100_hz_has_no_mains_to_measure_and_the_other_faults_still(ecg_mv, cause):
    causes = told(judge(with_fault(resampled(ecg_mv, 100.0), cause, 100.0), 100.0))
    assert sum(cause in c for c in causes[A_S + 1 : B_S - 1]) >= 9
    assert not any("mains" in c for c in causes)
    assert not any(causes[:A_S])


@pytest.mark.parametrize("fs_hz", [100.0, 125.0, 128.0, 249.73, 360.0, 500.0, 1000.0])
def test_a_clean_recording_has_no_unusable_second_at_any_rate(ecg_mv, fs_hz):
    assert not any(told(judge(resampled(ecg_mv, fs_hz), fs_hz)))
    made_up, _, _ = synthetic_ecg(fs_hz, 60.0)
    assert not any(told(judge(made_up.astype(np.float64), fs_hz)))


@pytest.mark.parametrize("hz", [50.0, 60.0, 49.9, 60.05])
def test_hum_counts_by_its_size_beside_the_waves(ecg_mv, hz):
    t_s = np.arange(60 * 360) / FS_HZ
    height = np.median(np.ptp(ecg_mv[: 60 * 360].reshape(60, 360), axis=1))

    def share(level: float) -> float:
        hum = 0.5 * level * height * np.sin(2 * np.pi * hz * t_s)
        return float(np.mean(["mains" in c for c in told(judge(ecg_mv[: 60 * 360] + hum))]))

    assert share(0.2) == 0.0
    assert share(5.0) == 1.0


@pytest.mark.parametrize("cause", [None, *CAUSES])
@pytest.mark.parametrize("gain", [10.0, 0.1, -1.0])
def test_gain_and_polarity_do_not_matter(ecg_mv, cause, gain):
    x_mv = ecg_mv[: END_S * 360] if cause is None else with_fault(ecg_mv, cause)
    one, other = judge(x_mv), judge(gain * x_mv)
    assert told(one) == told(other)
    assert [s.quality for s in one] == pytest.approx([s.quality for s in other], rel=1e-6)


@pytest.mark.parametrize("gain", [10.0, 0.1])
def test_another_gain_in_mid_stream_is_got_used_to(ecg_mv, gain):
    x_mv = ecg_mv[: 100 * 360].copy()
    x_mv[40 * 360 :] *= gain
    causes = told(judge(x_mv))
    assert not any(causes[:40])
    assert not any(causes[40 + 12 :])


def test_noise_does_not_become_usual(ecg_mv):
    x_mv = ecg_mv[: 300 * 360].copy()
    n = len(x_mv) - 30 * 360
    loudness = np.interp(np.arange(n), [0, n // 2, n], [0.1, 3.0, 1.5])
    x_mv[30 * 360 :] += loudness * np.random.default_rng(4).standard_normal(n)
    causes = told(judge(x_mv))
    assert all("muscle" in c for c in causes[60:])


def test_a_moving_electrode_does_not_become_usual(ecg_mv):
    x_mv = ecg_mv[: 120 * 360].copy()
    x_mv[30 * 360 :] += steps(90 * 360, FS_HZ, 15.0)
    causes = told(judge(x_mv))
    assert sum("motion" in c for c in causes[90:]) >= 15


def test_a_jump_right_between_two_seconds_is_seen(ecg_mv):
    x_mv = ecg_mv[: 40 * 360].copy()
    x_mv[30 * 360 :] += 40.0
    causes = told(judge(x_mv))
    assert "motion" in causes[30]
    assert not any(causes[:30] + causes[31:])


def test_noise_from_the_very_start_is_noise():
    causes = told(judge(np.random.default_rng(5).standard_normal(60 * 360)))
    assert all(c[:1] == ("muscle",) for c in causes)


@pytest.mark.parametrize("level_mv", [0.0, -1.65, 3e38])
def test_a_constant_is_flat(level_mv):
    assert set(told(judge(np.full(3600, level_mv)))) == {("flat",)}


def test_a_converter_that_wavers_by_one_step_is_flat_whatever_a_step_is():
    wavering = np.random.default_rng(6).integers(-1, 2, 3600)
    for lsb_mv in (1e-4, 0.005, 1.0):
        assert all("flat" in c for c in told(judge(lsb_mv * wavering)))


@given(st.integers(0, 359), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_one_sample_anywhere_that_takes_a_fourth_value_is_more_than_wavering(at, seed):
    wavering = np.random.default_rng(seed).integers(-1, 2, 3 * 360).astype(np.float64)
    assert "flat" in told(judge(wavering))[-1]
    wavering[2 * 360 + at] = 0.5
    assert "flat" not in told(judge(wavering))[-1]


@given(st.data(), st.sampled_from([100.0, 125.0, 249.73, 360.0, 1000.0]))
@settings(max_examples=60, deadline=None)
def test_runs_of_40_ms_at_an_extreme_are_a_rail_wherever_they_lie_and_shorter_ones_never(data, fs_hz):
    n, longest = round(fs_hz), max(4, round(0.04 * fs_hz))
    starts = [data.draw(st.integers(k * n // 4, (k + 1) * n // 4 - longest - 1)) for k in range(4)]
    levels = data.draw(st.lists(st.sampled_from([-4.0, 4.0]), min_size=4, max_size=4))

    def second(run: int) -> SecondQuality:
        x_mv = np.random.default_rng(8).uniform(-1.0, 1.0, n)
        for start, level in zip(starts, levels, strict=True):
            x_mv[start : start + run] = level
        (only,) = judge(x_mv, fs_hz)
        return only

    assert "rail" in second(longest).causes
    assert "rail" not in second(longest - 1).causes


def test_a_pause_of_the_heart_is_not_flat(ecg_mv):
    x_mv = ecg_mv[: 60 * 360].copy()
    a, b = 30 * 360, 34 * 360
    t_s = np.arange(b - a) / FS_HZ
    p_waves = 0.1 * np.exp(-0.5 * (((t_s + 0.4) % 0.8 - 0.4) / 0.03) ** 2)
    x_mv[a:b] = x_mv[a] + p_waves + 0.005 * np.random.default_rng(7).standard_normal(b - a)
    assert not any(told(judge(x_mv)))


def test_clipped_r_peaks_alone_are_no_rail(ecg_mv):
    x_mv = np.minimum(ecg_mv, np.percentile(ecg_mv, 99))
    assert not any("rail" in c for c in told(judge(x_mv)))


def test_next_to_nothing_gives_no_second():
    meter = QualityMeter(FS_HZ)
    assert meter.feed(np.empty(0)) == []
    assert meter.feed(np.array([1.0])) == []
    assert meter.feed(np.zeros(358)) == []
    (second,) = meter.feed(np.zeros(1))
    assert (second.first_index, second.n, second.last_index) == (0, 360, 359)


@pytest.mark.parametrize("fs_hz", [99.9, 1000.1])
def test_a_rate_outside_is_refused(fs_hz):
    with pytest.raises(ValueError, match="100 to 1000"):
        QualityMeter(fs_hz)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.integers(0, 3000), st.integers(3000, 60_000)), max_size=30),
    st.sampled_from(CAUSES),
    st.sampled_from([100.0, 128.0, 249.73, 360.0, 1000.0]),
)
def test_the_same_seconds_however_the_stream_is_cut(ecg_mv, sizes, cause, fs_hz):
    x_mv = with_fault(resampled(ecg_mv[: 80 * 360], fs_hz), cause, fs_hz)
    meter, seconds, at = QualityMeter(fs_hz), [], 0
    for size in [*sizes, len(x_mv)]:
        seconds += meter.feed(x_mv[at : at + size])
        at += size
    assert seconds == judge(x_mv, fs_hz)
    assert all(a.last_index + 1 == b.first_index for a, b in pairwise(seconds))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 2000), min_size=1, max_size=20),
    st.integers(0, 2**32 - 1),
    st.floats(-6.0, 6.0),
    st.sampled_from([100.0, 125.0, 131.0, 360.0]),
)
def test_no_last_bit_hangs_on_the_cut(sizes, seed, decades, fs_hz):
    """Noise of any size on a large offset: sums in another order would differ in their last bits."""
    rng = np.random.default_rng(seed)
    x_mv = 10.0**decades * (100.0 + rng.standard_normal(sum(sizes)) * rng.uniform(0.1, 3.0, sum(sizes)))
    meter, at = QualityMeter(fs_hz), 0
    seconds = []
    for size in sizes:
        seconds += meter.feed(x_mv[at : at + size])
        at += size
    assert seconds == judge(x_mv, fs_hz)


@pytest.mark.parametrize("cause", CAUSES)
def test_the_same_seconds_one_sample_at_a_time(ecg_mv, cause):
    meter = QualityMeter(FS_HZ)
    x_mv = with_fault(ecg_mv, cause)[20 * 360 : 56 * 360 + 17]
    single = []
    for i in range(len(x_mv)):
        new = meter.feed(x_mv[i : i + 1])
        assert all(s.last_index == i for s in new)
        single += new
    assert single == judge(x_mv)


def test_a_block_may_be_written_over_once_it_is_fed(ecg_mv):
    meter, block, seconds = QualityMeter(FS_HZ), np.empty(500), []
    for at in range(0, 20 * 500, 500):
        block[:] = ecg_mv[at : at + 500]
        seconds += meter.feed(block)
        block[:] = 1e6
    assert seconds == judge(ecg_mv[: 20 * 500])


@given(st.lists(st.floats(-3e38, 3e38), min_size=100, max_size=400))
@settings(max_examples=50, deadline=None)
def test_any_finite_values_give_a_quality(values):
    for s in judge(np.array(values, dtype=np.float64), 100.0):
        assert 0.0 <= s.quality <= 1.0
        assert set(s.causes) <= set(CAUSES)


def test_behind_a_gap_the_grid_begins_anew_and_what_was_usual_stays(ecg_mv):
    meter = QualityMeter(FS_HZ)
    meter.feed(ecg_mv[: 30 * 360 + 100])
    meter.resume(40 * 360 + 7, 10.0)
    behind = meter.feed(ecg_mv[40 * 360 + 7 : 60 * 360] + 5.0)
    assert [s.first_index for s in behind[:2]] == [40 * 360 + 7, 41 * 360 + 7]
    assert not any(told(behind)), "another offset is no jump: the stretch begins with it"
    meter.resume(70 * 360, 10.0)
    weak = meter.feed(0.015 * ecg_mv[70 * 360 : 80 * 360])
    assert any("flat" in c for c in told(weak))
    meter.resume(80 * 360, 3600.0)
    assert not any(told(meter.feed(0.015 * ecg_mv[80 * 360 : 90 * 360]))), "an hour later it may be another lead"


def states(bad: str) -> list[tuple[int, int, bool]]:
    """The changes that good (.) and bad (x) seconds bring: known with second, from second, unusable."""
    shutdown = Shutdown()
    seconds = [SecondQuality(10 * k, 10, 0.1 if c == "x" else 0.9, ("rail",) * (c == "x")) for k, c in enumerate(bad)]
    changes = [c for c in map(shutdown.feed, seconds) if c]
    assert all((c.causes == ("rail",)) == c.unusable for c in changes)
    return [((c.at_index - 9) // 10, c.sample // 10, c.unusable) for c in changes]


@pytest.mark.parametrize(
    ("bad", "wanted"),
    [
        ("", []),
        (".....", []),
        ("..x..x..x..x", []),
        ("..xx", [(3, 2, True)]),
        ("..x.x", [(4, 2, True)]),
        ("xx.....", [(1, 0, True), (6, 2, False)]),
        ("xx....x....x.....", [(1, 0, True), (16, 12, False)]),
        ("xx.....xx", [(1, 0, True), (6, 2, False), (8, 7, True)]),
    ],
)
def test_two_bad_of_three_begin_an_interval_and_five_good_ones_end_it(bad, wanted):
    assert states(bad) == wanted


@pytest.mark.parametrize(("name", "share"), [("bw", 0.95), ("ma", 0.5)])
def test_recorded_noise_without_a_heart_is_unusable(data_dir, missing, name, share):
    if not (data_dir / "nstdb" / f"{name}.hea").exists():
        missing("nstdb is not here")
    noise_mv = read_record(data_dir / "nstdb" / name).samples_mv()[:, 0].astype(np.float64)
    shutdown, unusable = Shutdown(), []
    for s in judge(noise_mv[: 600 * 360]):
        shutdown.feed(s)
        unusable.append(shutdown.unusable)
    assert np.mean(unusable) > share
