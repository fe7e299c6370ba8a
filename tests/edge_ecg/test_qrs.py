"""The beat detector on a real recording: it finds every beat, at any rate, size and polarity, and in time."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from edge_ecg.detector import shipped_nets
from edge_ecg.dsp.qrs import MAX_DECISION_S, Detection, QrsDetector
from edge_ecg.io import BEAT_SYMBOLS, read_annotations, read_record
from edge_ecg.scoring.matching import match_beats

EXCERPT = Path(__file__).parents[2] / "edge_ecg" / "excerpts" / "mitdb_223"
FS_HZ = 360.0
RATES = [100, 125, 128, 250, 360, 500, 1000]
# Rates at which whole numbers of samples and the decimation fall worst for the delay.
AWKWARD_RATES = [179.0, 181.0, 222.4, 249.73, 299.9, 300.1, 533.4, 540.1, 900.5]


@pytest.fixture(scope="module")
def ecg_mv() -> np.ndarray:
    return read_record(EXCERPT).samples_mv()[:, 0].astype(np.float64)


@pytest.fixture(scope="module")
def beats() -> np.ndarray:
    annotations = read_annotations(EXCERPT)
    pairs = zip(annotations.sample, annotations.symbol, strict=True)
    return np.array([s for s, k in pairs if k in BEAT_SYMBOLS], dtype=np.float64)


def detect(x_mv: np.ndarray, fs_hz: float = FS_HZ) -> list[Detection]:
    detector = QrsDetector(fs_hz, shipped_nets())
    return detector.feed(x_mv) + detector.flush()


def positions(x_mv: np.ndarray, fs_hz: float = FS_HZ) -> np.ndarray:
    return np.array([d.r_pos for d in detect(x_mv, fs_hz)])


def at_rate(x_mv: np.ndarray, fs_hz: int) -> np.ndarray:
    ratio = Fraction(fs_hz, 360)
    return resample_poly(x_mv - x_mv[0], ratio.numerator, ratio.denominator) + x_mv[0]


@pytest.mark.parametrize("fs_hz", RATES)
def test_every_beat_is_found_none_is_invented_and_all_in_time(ecg_mv, beats, fs_hz):
    found = detect(at_rate(ecg_mv, fs_hz), fs_hz)
    match = match_beats(beats * fs_hz / FS_HZ, [d.r_pos for d in found], 0.15 * fs_hz)
    assert (match.missed, match.extra) == ((), ())
    assert max(d.decided_at - d.r_pos for d in found) <= MAX_DECISION_S * fs_hz
    errors_s = [abs(found[j].r_pos / fs_hz - beats[i] / FS_HZ) for i, j in match.pairs]
    assert np.median(errors_s) < 0.005


@pytest.mark.parametrize("fs_hz", AWKWARD_RATES)
def test_beats_at_awkward_rates_are_decided_in_time(ecg_mv, beats, fs_hz):
    n = int(len(ecg_mv) * fs_hz / FS_HZ)
    x_mv = np.interp(np.arange(n) / fs_hz, np.arange(len(ecg_mv)) / FS_HZ, ecg_mv)
    found = detect(x_mv, fs_hz)
    match = match_beats(beats * fs_hz / FS_HZ, [d.r_pos for d in found], 0.15 * fs_hz)
    assert len(match.missed) + len(match.extra) <= 1
    assert max(d.decided_at - d.r_pos for d in found) <= MAX_DECISION_S * fs_hz


@pytest.mark.parametrize(("gain", "offset_mv"), [(-1.0, 0.0), (0.2, 0.0), (5.0, 0.0), (1.0, 5.0), (-0.5, -8.0)])
def test_size_offset_and_polarity_change_nothing(ecg_mv, gain, offset_mv):
    original, changed = positions(ecg_mv), positions(gain * ecg_mv + offset_mv)
    assert len(changed) == len(original)
    assert np.abs(changed - original).max() <= 0.020 * FS_HZ


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 1000.0])
@pytest.mark.parametrize("kind", ["zero", "constant", "one bit of noise"])
def test_ten_minutes_without_a_heart_have_no_beat(fs_hz, kind):
    n = round(600 * fs_hz)
    noise = 0.005 * np.random.default_rng(0).integers(-1, 2, n)
    x_mv = {"zero": np.zeros(n), "constant": np.full(n, 3.3), "one bit of noise": noise}[kind]
    assert detect(x_mv, fs_hz) == []


@pytest.mark.parametrize("level_mv", [20.0, -20.0])
def test_beats_come_back_within_5_s_of_a_saturated_amplifier(ecg_mv, beats, level_mv):
    x_mv = ecg_mv.copy()
    x_mv[round(100 * FS_HZ) : round(105 * FS_HZ)] = level_mv
    found = positions(x_mv)
    inside = found[(found > 100.5 * FS_HZ) & (found < 104.5 * FS_HZ)]
    assert len(inside) == 0
    match = match_beats(beats[beats > 110 * FS_HZ], found[found > 110 * FS_HZ], 0.15 * FS_HZ)
    assert (match.missed, match.extra) == ((), ())


def test_beats_come_back_after_a_flat_minute(ecg_mv, beats):
    x_mv = ecg_mv.copy()
    a, b = round(100 * FS_HZ), round(160 * FS_HZ)
    x_mv[a:b] = x_mv[a]
    found = positions(x_mv)
    assert not ((found > a + 0.3 * FS_HZ) & (found < b - 0.3 * FS_HZ)).any()
    back = b + 5 * FS_HZ
    match = match_beats(beats[beats > back], found[found > back], 0.15 * FS_HZ)
    assert (match.missed, match.extra) == ((), ())


@pytest.mark.parametrize("flat_s", [0.5, 1.6, 2.0, 3.0, 10.0])
def test_beats_come_after_a_board_that_first_sends_one_value(ecg_mv, beats, flat_s):
    n = round(flat_s * FS_HZ)
    found = positions(np.concatenate([np.full(n, ecg_mv[0]), ecg_mv])) - n
    match = match_beats(beats[1:], found[found > 1.2 * FS_HZ - n].tolist(), 0.15 * FS_HZ)
    assert len(match.missed) <= 1
    assert len([k for k in match.extra if found[k] > beats[1]]) == 0


def test_beats_come_back_after_the_very_value_it_began_with(ecg_mv, beats):
    x_mv, a, b = ecg_mv.copy(), round(100 * FS_HZ), round(110 * FS_HZ)
    x_mv[a:b] = x_mv[0]
    found, back = positions(x_mv), b + 5 * FS_HZ
    match = match_beats(beats[beats > back], found[found > back], 0.15 * FS_HZ)
    assert (match.missed, match.extra) == ((), ())


@pytest.mark.parametrize("at_s", [0.0, 2.5, 30.0])
@pytest.mark.parametrize("width", [1, 10, 10_000])
def test_a_lone_step_or_spike_is_no_error(at_s, width):
    x_mv, at = np.zeros(round(60 * FS_HZ)), round(at_s * FS_HZ)
    x_mv[at : at + width] = 5.0
    assert len(detect(x_mv)) <= 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["flat", "ecg", "noise", "spike", "huge"]), st.integers(1, 1500)),
        min_size=1,
        max_size=8,
    )
)
def test_no_signal_is_an_error(ecg_mv, pieces):
    made = []
    for k, (kind, n) in enumerate(pieces):
        noise = np.random.default_rng(k).standard_normal(n)
        made.append(
            {"flat": np.zeros(n), "ecg": ecg_mv[:n], "noise": noise, "spike": 3.0 * (np.arange(n) == n // 2),
             "huge": 1e30 * noise}[kind]
        )  # fmt: skip
    found = detect(np.concatenate(made))
    assert all(np.isfinite([d.r_pos, d.likeness, d.gate]).all() for d in found)


def test_an_hour_at_once_takes_no_more_memory_than_a_minute(ecg_mv):
    hour_mv = np.tile(ecg_mv, 11)
    tracemalloc.start()
    n_found = len(detect(hour_mv))
    peak_mb = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    assert n_found > 5000
    assert peak_mb < 20.0


@pytest.mark.parametrize("fs_hz", [99.9, 1000.1, 0.0, -250.0, float("nan")])
def test_a_rate_it_was_not_made_for_is_refused(fs_hz):
    with pytest.raises(ValueError, match="100 to 1000 Hz"):
        QrsDetector(fs_hz, shipped_nets())


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=20))
def test_the_same_however_it_is_cut(ecg_mv, sizes):
    x_mv = ecg_mv[: round(60 * FS_HZ)]
    detector = QrsDetector(FS_HZ, shipped_nets())
    found = []
    for piece in np.split(x_mv, np.minimum(np.cumsum(sizes), len(x_mv)).astype(int)) if sizes else [x_mv]:
        found += detector.feed(piece)
    assert found + detector.flush() == detect(x_mv)


@pytest.mark.parametrize("fs_hz", [100, 250, 360])
def test_one_sample_at_a_time(ecg_mv, fs_hz):
    x_mv = at_rate(ecg_mv, fs_hz)[: 20 * fs_hz]
    detector = QrsDetector(fs_hz, shipped_nets())
    found = []
    for i in range(len(x_mv)):
        new = detector.feed(x_mv[i : i + 1])
        assert all(d.decided_at == i for d in new)
        found += new
    assert found + detector.flush() == detect(x_mv, fs_hz)


def test_an_impossible_value_is_the_last_possible_one(ecg_mv):
    broken, held = ecg_mv[:7200].copy(), ecg_mv[:7200].copy()
    broken[1000:1005] = [np.nan, np.inf, -np.inf, np.nan, np.nan]
    held[1000:1005] = held[999]
    assert detect(broken) == detect(held)


@given(st.integers(1, 7200))
@settings(max_examples=40, deadline=None)
def test_a_stretch_that_ends_anywhere_has_its_beats_within_it(ecg_mv, n):
    found = detect(ecg_mv[:n])
    assert all(0.0 <= d.r_pos <= n - 1 and d.r_pos <= d.decided_at <= n - 1 for d in found)
    assert all(0.0 <= d.gate <= 1.0 and 0.0 <= d.likeness <= 1.0 + 1e-9 for d in found)
    r = [d.r_pos for d in found]
    assert r == sorted(set(r))


@pytest.mark.parametrize(("gap_s", "learned"), [(1.0, True), (29.0, True), (31.0, False)])
def test_beats_go_on_at_once_behind_a_gap(ecg_mv, beats, gap_s, learned):
    begin, end = round(60 * FS_HZ), round(90 * FS_HZ)
    behind = end + round(gap_s * FS_HZ)
    detector = QrsDetector(FS_HZ, shipped_nets())
    detector.feed(ecg_mv[:begin])
    detector.flush()
    gate_before = detector.feed(np.empty(0)) == []
    detector.resume(behind, gap_s)
    found = detector.feed(ecg_mv[end : end + 7200]) + detector.flush()
    wanted = beats[(beats > end + 0.3 * FS_HZ) & (beats < end + 7200)] - end
    match = match_beats(wanted, [d.r_pos - behind for d in found], 0.15 * FS_HZ)
    assert gate_before
    assert match.missed == ()
    # A detector that starts anew has no shape to compare the first beat with.
    assert (found[0].likeness == 1.0) is not learned


def test_a_noise_stretch_is_told_and_passes(ecg_mv):
    x_mv = ecg_mv.copy()
    a, b = round(60 * FS_HZ), round(120 * FS_HZ)
    x_mv[a:b] = np.random.default_rng(2).standard_normal(b - a)
    found = detect(x_mv)
    assert not any(d.reject for d in found if d.r_pos < a)
    assert any(d.reject for d in found if a < d.r_pos < b)
    assert not any(d.reject for d in found if d.r_pos > b + 40 * FS_HZ)


@pytest.mark.parametrize("left", [0.3, 0.1, 0.03, 10.0, -1.0, -5.0])
def test_beats_that_suddenly_have_another_size_or_sign_come_back_within_5_s(ecg_mv, beats, left):
    x_mv, at = ecg_mv.copy(), round(100 * FS_HZ)
    x_mv[at:] = x_mv[at] + left * (x_mv[at:] - x_mv[at])
    found, back = positions(x_mv), at + 5 * FS_HZ
    match = match_beats(beats[beats > back], found[found > back], 0.15 * FS_HZ)
    assert (match.missed, match.extra) == ((), ())
