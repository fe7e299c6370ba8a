"""The pipeline: the same events however the stream is cut, one event a beat, and every loss told."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import FS_HZ, STREAM, WindowSumClassifier, assert_in_order, cut, of, run

from edge_ecg.detector import shipped_nets
from edge_ecg.dsp.qrs import QrsDetector
from edge_ecg.dsp.segment import WindowShape
from edge_ecg.errors import SourceError
from edge_ecg.infer import open_classifier
from edge_ecg.infer.stub import StubClassifier
from edge_ecg.io import BEAT_SYMBOLS, read_annotations, read_record
from edge_ecg.pipeline import BRIDGE_S, Pipeline
from edge_ecg.scoring.matching import match_beats
from edge_ecg.sources.synthetic import synthetic_ecg
from edge_ecg.sources.virtual import EXCERPT
from edge_ecg.types import (
    Classified,
    Event,
    GapEvent,
    LeadOffEvent,
    ModelEvent,
    QualityEvent,
    SampleBlock,
    StreamInfo,
)

BRIDGED = int(BRIDGE_S * FS_HZ)
MINUTE = 21_600


@pytest.fixture(scope="module")
def ecg_mv() -> np.ndarray:
    return read_record(EXCERPT).samples_mv()


def window_end(event: Classified, fs_hz: float = FS_HZ) -> float:
    """Where the window of a beat would end, in samples."""
    rr_s = WindowShape().rr_default_s if event.beat.rr_median_s is None else event.beat.rr_median_s
    return event.beat.t_s * fs_hz + WindowShape().n_wanted(rr_s) * fs_hz / 125.0


def assert_lag_is_honest(events: list[Event], fs_hz: float = FS_HZ) -> None:
    for e in of(Classified, events):
        assert e.lag_s >= 0.0
        assert e.beat.t_s + e.lag_s == pytest.approx(e.at_index / fs_hz, rel=0, abs=1e-6)
        if "short" not in e.beat.flags:
            # Two output samples: the window begins at the nearest one and ends on its last.
            assert e.at_index >= window_end(e, fs_hz) - 2 * fs_hz / 125.0


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 4000), max_size=25), st.sampled_from([0, 1, 12_345, 10**9]))
def test_the_same_events_however_the_stream_is_cut(ecg_mv, sizes, first):
    x_mv = ecg_mv[:MINUTE]
    events = run(cut(x_mv, sizes, first))
    assert events == run(cut(x_mv, [], first))
    assert_in_order(events)
    assert_lag_is_honest(events)


def test_the_same_events_one_sample_at_a_time_through_noise_loss_and_lead_off(ecg_mv):
    noisy = ecg_mv[:14_400].copy()
    noisy[4000:9000] = np.random.default_rng(0).standard_normal((5000, 2))
    parts = [
        SampleBlock(noisy[:3000], 0, False),
        SampleBlock(noisy[3010:9500], 3010, False),
        SampleBlock(noisy[9500:9900], 9500, True),
        SampleBlock(noisy[9900:11_000], 9900, False),
        SampleBlock(noisy[11_500:], 11_500, None),
    ]
    single = [
        SampleBlock(p.samples_mv[i : i + 1], p.first_index + i, p.lead_off)
        for p in parts
        for i in range(len(p.samples_mv))
    ]
    events = run(parts)
    assert events == run(single)
    assert {type(e) for e in events} == {ModelEvent, Classified, GapEvent, LeadOffEvent, QualityEvent}
    assert_in_order(events)
    assert_lag_is_honest(events)


def test_a_label_comes_with_the_very_sample_that_it_says(ecg_mv):
    pipeline = Pipeline(WindowSumClassifier(), STREAM)
    n_beats = 0
    for i in range(7200):
        for event in of(Classified, pipeline.feed(SampleBlock(ecg_mv[i : i + 1], i))):
            assert event.at_index == i
            n_beats += 1
    assert n_beats > 20


def test_a_heart_so_fast_that_the_decision_comes_after_the_window():
    t_s = np.arange(10_800) / FS_HZ
    x_mv = np.exp(-0.5 * (((t_s + 0.1) % 0.215 - 0.1) / 0.010) ** 2).astype(np.float32)[:, None]
    stream = StreamInfo("fast", FS_HZ, ("made up",))
    pipeline, beats = Pipeline(WindowSumClassifier(), stream), []
    for i in range(len(x_mv)):
        new = of(Classified, pipeline.feed(SampleBlock(x_mv[i : i + 1], i)))
        assert all(e.at_index == i for e in new)
        beats += new
    assert len(beats) > 100
    assert any(e.at_index > window_end(e) + 0.06 * FS_HZ for e in beats)


def test_the_shipped_model_says_the_same_however_the_stream_is_cut(ecg_mv):
    classifier = open_classifier("mitdb-baseline-int8")
    sizes = np.random.default_rng(0).integers(1, 500, 2000).tolist()
    events = run(cut(ecg_mv, sizes), classifier)
    assert events == run(cut(ecg_mv, []), classifier)
    beats = of(Classified, events)
    annotations = read_annotations(EXCERPT)
    truth = [(s, k) for s, k in zip(annotations.sample, annotations.symbol, strict=True) if k in BEAT_SYMBOLS]
    match = match_beats([s for s, _ in truth], [b.beat.r_index for b in beats], 54)
    assert (match.missed, match.extra) == ((), ())
    v = [beats[j].label == "V" for i, j in match.pairs if truth[i][1] == "V"]
    n = [beats[j].label == "N" for i, j in match.pairs if truth[i][1] == "N"]
    assert sum(v) / len(v) > 0.85
    assert sum(n) / len(n) > 0.95
    assert all(b.model_id == classifier.model_id and b.labels == classifier.labels for b in beats)
    assert all(b.label == b.labels[int(np.argmax(b.probs))] for b in beats)


@pytest.mark.parametrize("fs_hz", [100.0, 125.0, 249.73, 1000.0])
def test_any_rate(fs_hz):
    x_mv, r_s, _ = synthetic_ecg(fs_hz, 30.0)
    stream = StreamInfo("made up", fs_hz, ("synthetic",))
    events = run(cut(x_mv[:, None], [7] * 100), stream=stream)
    assert events == run(cut(x_mv[:, None], []), stream=stream)
    beats = of(Classified, events)
    # Until it has seen its first QRS the detector may take noise for one.
    match = match_beats(r_s, [b.beat.t_s for b in beats if b.beat.t_s > 0.3], 0.05)
    assert (match.missed, match.extra) == ((), ())
    assert_lag_is_honest(events, fs_hz)
    assert_in_order(events)


@pytest.mark.parametrize("fs_hz", [50.0, 99.9, 2000.0])
def test_a_rate_outside_is_refused_with_the_next_step(fs_hz):
    with pytest.raises(SourceError, match="from 100 to 1000 Hz") as caught:
        Pipeline(StubClassifier(), StreamInfo("x", fs_hz, ("a",)))
    assert caught.value.hint


def detected_with_gaps(x_mv: np.ndarray, lost: list[tuple[int, int]]) -> list[int]:
    """R peaks by the detector alone, with short losses interpolated and long ones cut out."""
    detector, found, at = QrsDetector(FS_HZ, shipped_nets()), [], 0
    for begin, end in lost:
        found += detector.feed(x_mv[at:begin])
        if end - begin <= BRIDGED:
            found += detector.feed(np.linspace(x_mv[begin - 1], x_mv[end], end - begin + 2)[1:-1])
        else:
            found += detector.flush()
            detector.resume(end, (end - begin) / FS_HZ)
        at = end
    return [round(d.r_pos) for d in found + detector.feed(x_mv[at:]) + detector.flush()]


LOSS = st.tuples(st.integers(1, 1500), st.one_of(st.integers(1, BRIDGED + 2), st.integers(BRIDGED + 1, 2000)))


@settings(max_examples=40, deadline=None)
@given(st.lists(LOSS, min_size=1, max_size=8), st.lists(st.integers(1, 900), max_size=10))
def test_every_loss_is_told_and_every_detection_is_one_beat(ecg_mv, steps, sizes):
    lost, at = [], 0
    for kept, n_lost in steps:
        lost.append((at + kept, at + kept + n_lost))
        at += kept + n_lost
    n = at + 1500
    ends = [0, *(b for _, b in lost)]
    begins = [*(a for a, _ in lost), n]
    x_mv = ecg_mv[:n]
    blocks = [block for a, b in zip(ends, begins, strict=True) for block in cut(x_mv[a:b], sizes, a)]
    events = run(blocks)
    assert events == run([SampleBlock(x_mv[a:b], a) for a, b in zip(ends, begins, strict=True)])
    assert_in_order(events)
    assert_lag_is_honest(events)
    told = [(e.at_index, e.n_lost, e.interpolated) for e in of(GapEvent, events)]
    assert told == [(b, b - a, b - a <= BRIDGED) for a, b in lost]
    beats = of(Classified, events)
    assert [e.beat.r_index for e in beats] == detected_with_gaps(x_mv[:, 0].astype(np.float64), lost)
    for e in beats:
        r, end = round(e.beat.t_s * FS_HZ, 6), window_end(e)
        # Behind the window the resampler looks 48 ms ahead; the window lies on its own grid of 8 ms.
        touched = any(a < end - 0.008 * FS_HZ and r < b for a, b in lost)
        near = any(a <= end + 0.06 * FS_HZ and r < b for a, b in lost)
        stops = [a for a, b in [*lost, (n, n + MINUTE)] if b - a > BRIDGED and r < a]
        assert not touched or "gap" in e.beat.flags
        assert near or "gap" not in e.beat.flags
        assert min(stops) > end - 0.008 * FS_HZ or "short" in e.beat.flags
        assert min(stops) <= end + 0.06 * FS_HZ or "short" not in e.beat.flags
        assert not any(a <= e.beat.r_index < b for a, b in lost if b - a > BRIDGED), "a beat in what was lost"


def test_detection_goes_on_at_once_behind_a_loss(ecg_mv):
    annotations = read_annotations(EXCERPT)
    truth = [s for s, k in zip(annotations.sample, annotations.symbol, strict=True) if k in BEAT_SYMBOLS]
    begin, end, n = 20_000, 24_000, 43_200
    events = run([SampleBlock(ecg_mv[:begin], 0), SampleBlock(ecg_mv[end:n], end)])
    beats = of(Classified, events)
    wanted = [r for r in truth if r < begin - 30 or end + 60 < r < n - 30]
    match = match_beats(wanted, [b.beat.r_index for b in beats], 54)
    assert match.missed == ()
    behind = [b.beat for b in beats if b.beat.r_index >= end]
    assert behind[0].rr_prev_s is None
    assert behind[1].rr_prev_s == pytest.approx((behind[1].r_index - behind[0].r_index) / FS_HZ, abs=0.006)
    # The gap is longer than the 10 s that T remembers: no heart rate is better than an invented one.
    assert (behind[0].rr_median_s, behind[0].hr_bpm) == (None, None)
    assert behind[1].hr_bpm == pytest.approx(60.0 / behind[1].rr_prev_s)
    # The scale needs its 10 s of history anew.
    assert all(
        ("learning" in b.flags) == (b.r_index + 1.0 * FS_HZ < end + 10 * FS_HZ) for b in behind[:5] + behind[-5:]
    )


def test_the_first_beats_are_learning_and_have_no_interval(ecg_mv):
    beats = [e.beat for e in of(Classified, run(cut(ecg_mv[:MINUTE], [])))]
    assert (beats[0].rr_prev_s, beats[0].rr_median_s, beats[0].hr_bpm) == (None, None, None)
    assert beats[1].rr_prev_s is not None
    assert "learning" in beats[5].flags
    assert beats[-1].flags == ("short",)
    assert beats[-3].flags == ()
    assert 50 < beats[-3].hr_bpm < 130


def test_an_overlapping_block_repeats_nothing(ecg_mv):
    x_mv = ecg_mv[:MINUTE]
    overlapping = [SampleBlock(x_mv[max(0, a - 100) : a + 360], max(0, a - 100)) for a in range(0, MINUTE, 360)]
    assert run(overlapping) == run(cut(x_mv, []))
    assert run([*cut(x_mv, []), SampleBlock(x_mv[:500], 0), SampleBlock(x_mv[:500], 9000)]) == run(cut(x_mv, []))


@pytest.mark.parametrize("n_lost", [1, BRIDGED, BRIDGED + 1, 5000])
def test_a_loss_at_the_tail_is_told_at_once(ecg_mv, n_lost):
    pipeline = Pipeline(WindowSumClassifier(), STREAM)
    before = pipeline.feed(SampleBlock(ecg_mv[:7200], 0))
    told = pipeline.feed(SampleBlock(ecg_mv[:0], 7200 + n_lost))
    gaps = of(GapEvent, told)
    assert [(g.at_index, g.n_lost, g.interpolated) for g in gaps] == [(7200 + n_lost, n_lost, n_lost <= BRIDGED)]
    assert_in_order(before + told)
    rest = pipeline.flush()
    assert of(GapEvent, rest) == []
    beats = of(Classified, before + told + rest)
    assert len(beats) == len(of(Classified, run(cut(ecg_mv[:7200], []))))
    assert "gap" in beats[-1].beat.flags


@pytest.mark.parametrize("n_lost", [5, 5000])
def test_a_loss_told_by_an_empty_block_is_told_once_and_the_stream_goes_on(ecg_mv, n_lost):
    begin = 7200 + n_lost
    empty = SampleBlock(ecg_mv[:0], begin)
    events = run([SampleBlock(ecg_mv[:7200], 0), empty, empty, SampleBlock(ecg_mv[begin : begin + 7200], begin)])
    assert [g.n_lost for g in of(GapEvent, events)] == [n_lost]
    r = [e.beat.r_index for e in of(Classified, events)]
    direct = run([SampleBlock(ecg_mv[:7200], 0), SampleBlock(ecg_mv[begin : begin + 7200], begin)])
    assert r == [e.beat.r_index for e in of(Classified, direct)]


def test_a_numbering_that_begins_elsewhere_shifts_everything(ecg_mv):
    here, there = run(cut(ecg_mv[:MINUTE], [])), run(cut(ecg_mv[:MINUTE], [], 1_000_000))
    assert of(GapEvent, there) == []
    for a, b in zip(here, there, strict=True):
        assert b.at_index == a.at_index + 1_000_000
        if isinstance(a, Classified):
            assert b.beat.r_index == a.beat.r_index + 1_000_000
            assert b.probs == a.probs
            assert b.beat.flags == a.beat.flags


def test_streams_of_nothing_and_of_next_to_nothing():
    pipeline = Pipeline(WindowSumClassifier(), STREAM)
    assert pipeline.flush() == []
    for n in (0, 1, 2, 50):
        events = run([SampleBlock(np.zeros((n, 2), dtype=np.float32), 0)])
        assert [type(e) for e in events] == [ModelEvent] * bool(n)


@given(st.integers(1, 3000))
@settings(max_examples=40, deadline=None)
def test_a_stream_that_ends_anywhere_labels_every_detection(ecg_mv, n):
    events = run(cut(ecg_mv[:n], [100] * 30))
    beats = of(Classified, events)
    assert [e.beat.r_index for e in beats] == detected_with_gaps(ecg_mv[:n, 0].astype(np.float64), [])
    assert all(e.at_index < n for e in events)
    assert_lag_is_honest(events)
    assert_in_order(events)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7199), st.integers(1, 400)), max_size=6), st.lists(st.integers(0, 900)))
def test_values_that_are_none_never_come_out_however_the_stream_is_cut(ecg_mv, holes, sizes):
    x_mv = ecg_mv[:7200].copy()
    for at, length in holes:
        x_mv[at : at + length] = np.random.default_rng(at).choice([np.nan, np.inf, -np.inf])
    events = run(cut(x_mv, sizes))
    assert events == run(cut(x_mv, []))
    assert all(np.isfinite(e.probs).all() for e in of(Classified, events))


def test_samples_that_are_invalid_to_the_end_are_told(ecg_mv):
    samples_mv = ecg_mv[: 60 * 360].astype(np.float32)
    samples_mv[30 * 360 :] = np.nan
    events = run([SampleBlock(samples_mv, 0)])
    last = events[-1]
    assert isinstance(last, GapEvent)
    assert (last.at_index, last.n_lost, last.interpolated) == (60 * 360, 30 * 360, False)
    assert len(of(Classified, events)) > 30


def test_nothing_but_nan_has_no_beat():
    events = run([SampleBlock(np.full((7200, 2), np.nan, dtype=np.float32), 0)])
    assert [type(e) for e in events] == [ModelEvent, GapEvent]
    assert events[1].n_lost == 7200


def test_a_long_run_of_invalid_samples_is_a_gap_like_any_other(ecg_mv):
    begin, end = 10_000, 20_000
    x_mv = ecg_mv[:30_000].copy()
    x_mv[begin:end] = np.nan
    with_nan = run(cut(x_mv, []))
    lost = run([SampleBlock(ecg_mv[:begin], 0), SampleBlock(ecg_mv[end:30_000], end)])
    assert with_nan == lost == run(cut(x_mv, [37] * 900))
    assert [(e.at_index, e.n_lost, e.interpolated) for e in of(GapEvent, with_nan)] == [(end, end - begin, False)]
    assert not [b for b in of(Classified, with_nan) if begin <= b.beat.r_index < end]


def test_invalid_samples_at_the_start_are_no_signal(ecg_mv):
    x_mv = ecg_mv[:20_000].copy() + 5.0
    x_mv[:5000] = np.nan
    beats = of(Classified, run(cut(x_mv, [])))
    wanted = of(Classified, run([SampleBlock(ecg_mv[5000:20_000] + np.float32(5.0), 5000)]))
    assert [b.beat.r_index for b in beats] == [b.beat.r_index for b in wanted]


def test_lead_off_is_told_when_it_changes(ecg_mv):
    states = [None, False, False, True, True, None, True, False, None, False, True, None, False]
    blocks = [SampleBlock(ecg_mv[k * 360 : k * 360 + 360], k * 360, off) for k, off in enumerate(states)]
    told = [(e.at_index // 360, e.off) for e in of(LeadOffEvent, run(blocks))]
    assert told == [(3, True), (7, False), (10, True), (12, False)]


def test_lead_off_from_the_first_sample_is_told(ecg_mv):
    events = run(cut(ecg_mv[:3600], [], lead_off=True))
    assert [(e.at_index, e.off) for e in of(LeadOffEvent, events)] == [(0, True)]
    assert all({"lead_off", "reject"} <= set(e.beat.flags) for e in of(Classified, events))


def test_lead_off_before_the_first_sample_is_told(ecg_mv):
    """A board that sends nothing else until the electrode is on."""
    off = SampleBlock(np.zeros((0, 2), np.float32), 0, True)
    on = [SampleBlock(ecg_mv[:7200], 10_800, False)]
    events = run([off, *on])
    assert isinstance(events[0], ModelEvent)
    assert [(e.at_index, e.off) for e in of(LeadOffEvent, events)] == [(0, True), (10_800, False)]
    assert [(e.at_index, e.n_lost) for e in of(GapEvent, events)] == [(10_800, 10_800)]
    alone = of(Classified, run(on))
    assert [e.beat.r_index for e in of(Classified, events)] == [e.beat.r_index for e in alone]
    assert len(alone) > 10


def test_beats_that_touch_lead_off_are_rejected_and_no_others(ecg_mv):
    blocks = [
        SampleBlock(ecg_mv[:7200], 0, False),
        SampleBlock(ecg_mv[7200:9000], 7200, True),
        SampleBlock(ecg_mv[9000:14_400], 9000, False),
    ]
    beats = of(Classified, run(blocks))
    assert len(beats) == len(of(Classified, run(cut(ecg_mv[:14_400], []))))
    n_touched = 0
    for e in beats:
        touched = e.beat.t_s * FS_HZ < 9000 and e.at_index >= 7199
        assert ("lead_off" in e.beat.flags) == touched
        if touched:
            n_touched += 1
            assert "reject" in e.beat.flags
            assert e.beat.quality == 0.0
    assert 5 <= n_touched <= 12


def test_an_electrode_off_for_hours_takes_no_memory():
    pipeline = Pipeline(WindowSumClassifier(), StreamInfo("x", 100.0, ("a",)))
    flat = np.zeros((10, 1), dtype=np.float32)

    def feed(first_block: int, last_block: int) -> int:
        for k in range(first_block, last_block):
            pipeline.feed(SampleBlock(flat, 10 * k, True))
            if k % 50 == 0:
                pipeline.feed(SampleBlock(flat[:0], 10 * k + 10, False))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = feed(0, 400)
        assert feed(400, 4400) - before < 60_000
    finally:
        tracemalloc.stop()


def test_the_lead_that_was_asked_for_is_labelled(ecg_mv):
    second = run(cut(ecg_mv[:7200], []), lead=1)
    alone = run(cut(ecg_mv[:7200, 1:], []), stream=StreamInfo("test", FS_HZ, ("V1",)))
    assert {e.lead for e in of(Classified, second)} == {"V1"}
    assert [e.probs for e in of(Classified, second)] == [e.probs for e in of(Classified, alone)]
    assert [e.probs for e in of(Classified, second)] != [e.probs for e in of(Classified, run(cut(ecg_mv[:7200], [])))]


def test_an_inverted_lead_is_labelled_as_if_it_were_upright(ecg_mv):
    upright, turned = run(cut(ecg_mv[:7200], [])), run(cut(-ecg_mv[:7200], []), invert=True)
    assert turned == upright
    assert run(cut(-ecg_mv[:7200], [])) != upright


def test_the_model_is_told_first(ecg_mv):
    events = run(cut(ecg_mv[:3600], [], 77))
    assert events[0] == ModelEvent(STREAM, 77, "MLII", "window-sum", "0")
    assert len(of(ModelEvent, events)) == 1


def test_the_callers_samples_are_left_alone(ecg_mv):
    x_mv = ecg_mv[:3600].copy()
    x_mv[100] = np.nan
    x_mv.flags.writeable = False
    run(cut(x_mv, [500] * 4))


def test_events_say_the_stream_they_belong_to_and_its_wall_time():
    stream = StreamInfo("bed 3", FS_HZ, ("MLII",), start_utc_s=1_000.0)
    x_mv, _, _ = synthetic_ecg(FS_HZ, 20.0)
    beats = of(Classified, run(cut(x_mv[:, None], []), stream=stream))
    assert {e.stream for e in beats} == {stream}
    assert all(a.beat.t_s < b.beat.t_s for a, b in pairwise(beats))
    assert all(e.stream.utc_s(e.beat.r_index) == pytest.approx(1_000.0 + e.beat.t_s, abs=0.002) for e in beats)
