"""Signal quality through the pipeline: unusable intervals are told with their causes, their beats rejected."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import FS_HZ, STREAM, WindowSumClassifier, assert_in_order, cut, of, run

from edge_ecg.io import read_record
from edge_ecg.pipeline import Pipeline
from edge_ecg.sources.virtual import EXCERPT
from edge_ecg.types import Classified, ModelEvent, QualityEvent, SampleBlock

MINUTE = 21_600


@pytest.fixture(scope="module")
def ecg_mv() -> np.ndarray:
    return read_record(EXCERPT).samples_mv()


def test_noise_is_told_and_its_beats_are_rejected(ecg_mv):
    x_mv = ecg_mv[: MINUTE * 3].copy()
    a, b = MINUTE, 2 * MINUTE
    x_mv[a:b] = np.random.default_rng(2).standard_normal((b - a, 2))
    events = run(cut(x_mv, []))
    quality = of(QualityEvent, events)
    assert [q.noisy for q in quality] == [True, False] * (len(quality) // 2)
    assert a <= quality[0].sample < quality[0].at_index < b
    assert quality[-1].sample > b
    beats = of(Classified, events)
    assert not any("reject" in e.beat.flags for e in beats if e.beat.r_index < a)
    assert any("reject" in e.beat.flags for e in beats if a < e.beat.r_index < b)
    assert "reject" not in beats[-1].beat.flags
    assert all(0.0 <= e.beat.quality <= 1.0 for e in beats)


def disturbed(ecg_mv: np.ndarray, kind: str, begin: int, end: int) -> np.ndarray:
    """The excerpt with one fault in [begin, end)."""
    x_mv, t_s = ecg_mv.copy(), np.arange(end - begin)[:, None] / FS_HZ
    if kind == "flat":
        x_mv[begin:end] = x_mv[begin]
    elif kind == "mains":
        x_mv[begin:end] += np.float32(6.0) * np.sin(2 * np.pi * 50.0 * t_s)
    elif kind == "rail":
        x_mv[begin:end] = np.clip(x_mv[begin:end] + 4.0 * np.sin(2 * np.pi * 0.7 * t_s), -2.5, 2.5)
    else:
        x_mv[begin:end] += np.random.default_rng(1).standard_normal((end - begin, 2))
    return x_mv


@pytest.mark.parametrize("kind", ["flat", "mains", "rail", "muscle"])
def test_an_unusable_interval_is_told_with_its_cause_and_its_beats_are_rejected(ecg_mv, kind):
    a, b = 40 * 360, 70 * 360
    pipeline, events = Pipeline(WindowSumClassifier(), STREAM), []
    x_mv = disturbed(ecg_mv[: 100 * 360], kind, a, b)
    for i in range(0, len(x_mv), 36):
        new = pipeline.feed(SampleBlock(x_mv[i : i + 36], i))
        assert all(i <= e.at_index < i + 36 for e in new if not isinstance(e, ModelEvent)), "told as soon as known"
        events += new
    events += pipeline.flush()
    assert_in_order(events)
    begin, end = of(QualityEvent, events)
    assert (begin.noisy, end.noisy) == (True, False)
    assert a <= begin.sample <= a + 3 * 360
    assert b <= end.sample <= b + 20 * 360
    assert kind in begin.causes
    assert end.causes == ()
    assert begin.quality < 0.5 <= end.quality
    for e in of(Classified, events):
        inside = begin.sample <= e.beat.r_index < end.sample
        if inside and e.at_index > begin.at_index:
            assert "reject" in e.beat.flags
        elif e.beat.r_index < begin.sample or e.at_index > end.at_index + 360 * 2:
            assert "reject" not in e.beat.flags
        if a + 360 <= e.beat.r_index < b - 360:
            assert e.beat.quality < 0.5


def test_an_unusable_interval_lies_where_the_numbering_says(ecg_mv):
    x_mv = disturbed(ecg_mv[: 90 * 360], "mains", 40 * 360, 60 * 360)
    here, there = (of(QualityEvent, run(cut(x_mv, [], first))) for first in (0, 1_000_000))
    assert [(q.at_index, q.sample) for q in there] == [(q.at_index + 1_000_000, q.sample + 1_000_000) for q in here]
    assert len(here) == 2


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.integers(0, 2500), max_size=30),
    st.lists(st.sampled_from(["flat", "mains", "rail", "muscle", "gap"]), min_size=1, max_size=3),
    st.integers(0, 400),
)
def test_quality_is_the_same_however_the_stream_is_cut(ecg_mv, sizes, kinds, shift):
    x_mv, lost = ecg_mv[: 60 * 360], None
    for k, kind in enumerate(kinds):
        begin = 4000 + 6000 * k + shift
        if kind == "gap":
            lost = (begin, begin + 400)
        else:
            x_mv = disturbed(x_mv, kind, begin, begin + 2200)
    whole = [(0, x_mv)] if lost is None else [(0, x_mv[: lost[0]]), (lost[1], x_mv[lost[1] :])]
    events = run(SampleBlock(part, first) for first, part in whole)
    assert events == run(block for first, part in whole for block in cut(part, sizes, first))
    assert_in_order(events)
    told = of(QualityEvent, events)
    assert [q.noisy for q in told] == ([True, False] * len(told))[: len(told)]
    assert [q.sample for q in told] == sorted(q.sample for q in told)
    assert all(q.sample <= q.at_index and bool(q.causes) == q.noisy for q in told)


def test_a_clean_recording_is_usable_from_end_to_end(ecg_mv):
    events = run(cut(ecg_mv, []))
    assert of(QualityEvent, events) == []
    assert min(e.beat.quality for e in of(Classified, events)) > 0.5
    assert not any("reject" in e.beat.flags for e in of(Classified, events))
