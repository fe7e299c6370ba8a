"""Beat windows: golden bytes, the same on the device as in training, and what they promise a network.

Run as a script, this file writes the golden windows anew.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.dsp.preprocess import PREPROCESSING_VERSION, BeatWindow, Preprocessor, PreprocessParams
from edge_ecg.dsp.segment import RrHistory, WindowShape, cut_windows
from edge_ecg.front import inputs_of_record
from edge_ecg.io import BEAT_SYMBOLS, read_annotations, read_record

EXCERPT = Path(__file__).parents[2] / "edge_ecg" / "excerpts" / "mitdb_223"
GOLDEN = Path(__file__).parent / "golden" / "beat_windows.json"
GOLDEN_BEATS = (0, 1, 17, 18, 19, 250, 251, 499)
FS_HZ = 360.0
PARAMS = PreprocessParams()
SHAPE = WindowShape()


def excerpt() -> tuple[np.ndarray, np.ndarray]:
    annotations = read_annotations(EXCERPT)
    pairs = zip(annotations.sample, annotations.symbol, strict=True)
    r_pos = np.array([s for s, k in pairs if k in BEAT_SYMBOLS], dtype=np.float64)
    return read_record(EXCERPT).samples_mv()[:, 0].astype(np.float64), r_pos


@pytest.fixture(scope="module", name="excerpt")
def excerpt_fixture() -> tuple[np.ndarray, np.ndarray]:
    return excerpt()


def cut_window(past_mv: np.ndarray, n_window: int, shape: WindowShape) -> np.ndarray:
    return cut_windows(past_mv[None], [n_window], shape)[0]


def assert_same(a: list[BeatWindow], b: list[BeatWindow]) -> None:
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert one.inputs.tobytes() == other.inputs.tobytes()
        for name in ("r_pos", "rr_s", "rr_median_s", "needed_index", "short"):
            assert getattr(one, name) == getattr(other, name), name


def write_golden() -> None:
    windows = inputs_of_record(excerpt()[0], FS_HZ, excerpt()[1], PARAMS)
    rows = [
        {"beat": k, "r_pos": windows[k].r_pos, "window": [round(float(v), 6) for v in windows[k].inputs]}
        for k in GOLDEN_BEATS
    ]
    lines = ",\n    ".join(json.dumps(row) for row in rows)
    text = f'{{\n  "preprocessing_version": {PREPROCESSING_VERSION},\n  "beats": [\n    {lines}\n  ]\n}}\n'
    GOLDEN.write_text(text, encoding="utf-8")


def test_windows_are_the_golden_ones(excerpt):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    windows = inputs_of_record(excerpt[0], FS_HZ, excerpt[1], PARAMS)
    what_now = (
        "the windows of the same parameters changed: every model made before is then fed what it did not learn. "
        "If it is meant, raise PREPROCESSING_VERSION and write the golden windows anew: python " + __file__
    )
    for beat in golden["beats"]:
        window = windows[beat["beat"]]
        assert window.r_pos == beat["r_pos"], what_now
        # Not bit for bit: the last bits of a sine differ from processor to processor.
        assert np.abs(window.inputs - np.array(beat["window"])).max() < 1e-5, what_now
    assert golden["preprocessing_version"] == PREPROCESSING_VERSION, "write the golden windows of this version"


def test_the_fingerprint_is_that_of_the_released_models():
    assert (PREPROCESSING_VERSION, PARAMS.fingerprint()) == (1, "13fba20f17218900")


@pytest.mark.parametrize(
    "changed",
    [
        replace(PARAMS, highpass_hz=0.4),
        replace(PARAMS, window=replace(SHAPE, length_rr=1.1)),
        replace(PARAMS, window=replace(SHAPE, rr_history_s=9.0)),
        replace(PARAMS, window=replace(SHAPE, rr_default_s=0.7)),
        replace(PARAMS, window=replace(SHAPE, rr_longest_s=0.6)),
        replace(PARAMS, window=replace(SHAPE, scale_history_s=9.0)),
        replace(PARAMS, window=replace(SHAPE, fs_hz=124.0)),
        replace(PARAMS, window=replace(SHAPE, n_samples=188)),
    ],
)
def test_every_parameter_is_in_the_fingerprint_and_in_the_windows(excerpt, changed):
    assert changed.fingerprint() != PARAMS.fingerprint()
    x_mv, r_pos = excerpt[0][:14400], excerpt[1][excerpt[1] < 14400]
    ours = inputs_of_record(x_mv, FS_HZ, r_pos, PARAMS)
    theirs = inputs_of_record(x_mv, FS_HZ, r_pos, changed)
    assert any(a.inputs.tobytes() != b.inputs.tobytes() for a, b in zip(ours, theirs, strict=True))


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3600), min_size=1, max_size=60),
    late_s=st.floats(0.25, 0.36),
    n=st.integers(3600, 21600),
)
def test_the_device_cuts_the_same_bytes_as_training(excerpt, sizes, late_s, n):
    x_mv, r_pos = excerpt[0][:n], excerpt[1][excerpt[1] < n]
    device, windows, waiting, fed = Preprocessor(FS_HZ, PARAMS), [], list(r_pos), 0
    for piece in np.split(x_mv, np.minimum(np.cumsum(sizes), n).astype(int)):
        device.feed(piece)
        fed += len(piece)
        while waiting and waiting[0] + late_s * FS_HZ < fed:
            device.push_r(waiting.pop(0))
        windows += device.ready()
    for r in waiting:
        device.push_r(r)
    assert_same(windows + device.ready() + device.flush(), inputs_of_record(x_mv, FS_HZ, r_pos, PARAMS))


@pytest.mark.parametrize("fs_hz", [125.0, 250.0, 249.73])
def test_one_sample_at_a_time_is_the_same_at_any_rate(excerpt, fs_hz):
    n = round(25 * fs_hz)
    x_mv = np.interp(np.arange(n) / fs_hz, np.arange(len(excerpt[0])) / FS_HZ, excerpt[0])
    r_pos = excerpt[1][excerpt[1] < 24.5 * FS_HZ] * fs_hz / FS_HZ
    device, windows, waiting = Preprocessor(fs_hz, PARAMS), [], list(r_pos)
    for i in range(n):
        device.feed(x_mv[i : i + 1])
        if waiting and waiting[0] + 0.3 * fs_hz < i:
            device.push_r(waiting.pop(0))
        for window in device.ready():
            assert window.needed_index <= i
            windows.append(window)
    assert_same(windows + device.flush(), inputs_of_record(x_mv, fs_hz, r_pos, PARAMS))


def test_windows_are_what_a_network_expects(excerpt):
    windows = inputs_of_record(excerpt[0], FS_HZ, excerpt[1], PARAMS)
    assert len(windows) == len(excerpt[1])
    for w in windows:
        assert w.inputs.shape == (187,)
        assert w.inputs.dtype == np.float32
        assert w.inputs.min() >= 0.0
        assert w.inputs.max() <= 1.0
        filled = SHAPE.n_wanted(w.rr_median_s)
        assert not w.inputs[filled:].any()
        if not w.short:
            assert w.inputs[:filled].any()
            # Causal: what it needed lies at the window's end, at most the resampler's half kernel behind it.
            end_s = w.r_pos / FS_HZ + filled / 125.0
            assert end_s - 0.02 <= w.needed_index / FS_HZ <= end_s + 0.06


def test_a_window_does_not_see_what_comes_after_it(excerpt):
    x_mv, r_pos = excerpt[0][:18000].copy(), excerpt[1][excerpt[1] < 18000]
    before = inputs_of_record(x_mv, FS_HZ, r_pos, PARAMS)
    x_mv[before[20].needed_index + 1 :] = 50.0
    after = inputs_of_record(x_mv, FS_HZ, r_pos, PARAMS)
    assert_same(before[:21], after[:21])
    assert before[25].inputs.tobytes() != after[25].inputs.tobytes()


def test_size_and_offset_of_the_signal_do_not_matter(excerpt):
    x_mv, r_pos = excerpt[0][:18000], excerpt[1][excerpt[1] < 18000]
    original = inputs_of_record(x_mv, FS_HZ, r_pos, PARAMS)
    changed = inputs_of_record(3.0 * x_mv + 5.0, FS_HZ, r_pos, PARAMS)
    for a, b in zip(original, changed, strict=True):
        np.testing.assert_allclose(a.inputs, b.inputs, atol=1e-4)


def test_a_window_cut_by_the_end_is_padded_and_says_so(excerpt):
    x_mv, r_pos = excerpt
    r = r_pos[100]
    n = round(r + 0.5 * FS_HZ)
    *_, last = inputs_of_record(x_mv[:n], FS_HZ, r_pos[:101], PARAMS)
    assert last.short
    n_there = int(np.flatnonzero(last.inputs)[-1]) + 1
    # The resampler's half kernel is the part of the half second that never comes out.
    assert 0.44 * 125 <= n_there <= 0.5 * 125
    assert n - 4 < last.needed_index < n
    assert not last.inputs[n_there:].any()


def test_an_r_peak_on_the_last_sample_still_gets_its_window(excerpt):
    x_mv, r_pos = excerpt[0][:7200], [*excerpt[1][excerpt[1] < 7100], 7199.0]
    *_, last = inputs_of_record(x_mv, FS_HZ, np.array(r_pos), PARAMS)
    assert last.short
    assert last.needed_index == 7199
    assert not last.inputs.any()


def test_behind_a_gap_the_rhythm_is_known_and_the_interval_is_not(excerpt):
    x_mv, r_pos = excerpt
    device = Preprocessor(FS_HZ, PARAMS)
    device.feed(x_mv[:3600])
    for r in r_pos[r_pos < 3600]:
        device.push_r(r)
    before = device.ready() + device.flush()
    device.resume(10_000)
    device.feed(x_mv[10_000:13_600])
    for r in r_pos[(r_pos >= 10_000) & (r_pos < 13_600)]:
        device.push_r(r)
    behind = device.ready() + device.flush()
    assert before[0].rr_s is None
    assert before[0].rr_median_s is None
    assert behind[0].rr_s is None
    assert behind[1].rr_s == pytest.approx(np.diff(r_pos[r_pos >= 10_000])[0] / FS_HZ)
    assert all(10_000 <= w.needed_index < 13_600 for w in behind)
    # Filters and scale know nothing of the time before the gap.
    fresh = inputs_of_record(x_mv[10_000:13_600], FS_HZ, r_pos[(r_pos >= 10_000) & (r_pos < 13_600)] - 10_000, PARAMS)
    n = [SHAPE.n_wanted(w.rr_median_s) for w in behind]
    assert any(n[k] == SHAPE.n_wanted(w.rr_median_s) for k, w in enumerate(fresh))
    for k, w in enumerate(fresh):
        if n[k] == SHAPE.n_wanted(w.rr_median_s):
            assert w.inputs.tobytes() == behind[k].inputs.tobytes()


def test_the_scale_is_the_median_of_the_seconds_extremes():
    past = np.tile(np.concatenate([np.full(60, -1.0), np.full(65, 3.0)]), 10).astype(np.float32)
    past[300], past[900] = 400.0, -400.0
    window = cut_window(past, 100, SHAPE)
    np.testing.assert_allclose(window[:100], np.where(past[-100:] > 0, 1.0, 0.0))
    half = past.copy()
    half[-5] = 1.0
    assert cut_window(half, 100, SHAPE)[95] == pytest.approx(0.5)


def test_the_scale_of_less_than_a_second_is_what_there_is():
    np.testing.assert_allclose(cut_window(np.arange(51, dtype=np.float32), 51, SHAPE)[:51], np.arange(51) / 50.0)


@pytest.mark.parametrize("level", [0.0, 4.0, -0.001])
def test_a_signal_without_range_gives_zeros(level):
    assert not cut_window(np.full(1250, level, dtype=np.float32), 120, SHAPE).any()


def test_t_is_the_median_of_the_intervals_of_the_past_10_s():
    history = RrHistory(SHAPE)
    assert history.median_s() is None
    assert history.push(1.0) is None
    assert history.push(2.0) == 1.0
    assert history.push(4.0) == 2.0
    assert history.median_s() == 1.5
    history.push(4.5)
    assert history.median_s() == 1.0
    history.push(9.2)
    history.push(14.2)
    assert history.median_s() == pytest.approx(np.median([0.5, 4.7, 5.0]))
    history.forget_last()
    assert history.push(15.0) is None


def test_t_leaves_out_an_interval_in_which_beats_went_unseen():
    history = RrHistory(SHAPE)
    for r_s in (1.0, 1.8):
        history.push(r_s)
    assert history.push(9.0) == 7.2
    assert history.median_s() == pytest.approx(0.8)
    assert history.push(100.0) == 91.0
    assert history.median_s() is None


@pytest.mark.parametrize(("rr_s", "n"), [(0.0, 1), (0.8, 120), (1.24, 186), (1.3, 187), (9.0, 187)])
def test_a_window_is_one_and_a_fifth_intervals_long_and_bounded(rr_s, n):
    assert SHAPE.n_wanted(rr_s) == n


if __name__ == "__main__":
    write_golden()
