"""Rhythms through the whole pipeline: told in order, the same however the stream is cut, on real records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import STREAM, WindowSumClassifier, assert_in_order, cut, of, run

from edge_ecg.context.memory import PatientMemory
from edge_ecg.context.tracker import ContextParams
from edge_ecg.infer import largest
from edge_ecg.io import read_record
from edge_ecg.sources.virtual import EXCERPT
from edge_ecg.types import Classified, EpisodeEvent, RhythmEvent, SampleBlock, StreamInfo


class Following:
    """Follows the patient, and calls every beat that comes early V, as a rhythm model might."""

    model_id, sha256, labels, preprocessing = "following", "0", ("N", "S", "V"), ContextParams()
    operating_point = None

    def classify_many(self, inputs: np.ndarray) -> np.ndarray:
        early = inputs[:, ContextParams().columns.index("pre-median32")] < -0.15
        return np.where(early[:, None], [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]]).astype(np.float32)

    def classify(self, inputs: np.ndarray) -> np.ndarray:
        return self.classify_many(inputs[None])[0]

    def decide(self, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return largest(probs)


def excerpt() -> np.ndarray:
    return read_record(EXCERPT).samples_mv()[:, :1]


def lead(data_dir: Path, database: str, name: str, begin_s: float, end_s: float) -> tuple[np.ndarray, StreamInfo]:
    record = read_record(data_dir / database / name)
    fs_hz = record.header.fs_hz
    x = record.samples_mv([0])[round(begin_s * fs_hz) : round(end_s * fs_hz)]
    return np.nan_to_num(x).astype(np.float32), StreamInfo(name, fs_hz, ("MLII",))


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 2500), min_size=3, max_size=40), st.data())
def test_rhythms_are_told_alike_however_the_stream_is_cut(sizes: list[int], data: st.DataObject) -> None:
    x = np.concatenate([excerpt(), np.zeros((4000, 1), np.float32), excerpt()])
    lost = data.draw(st.integers(1000, len(x) - 4000))
    told = []
    for pieces in ([lost], sizes):
        first, second = cut(x[:lost], pieces), cut(x[lost + 1500 :], pieces, lost + 1500, lead_off=False)
        events = run([*first, *second], Following())
        assert_in_order(events)
        told.append([*of(RhythmEvent, events), *of(EpisodeEvent, events)])
    assert told[0] == told[1]
    assert told[0], "there is something to tell"


def test_where_fibrillation_comes_and_goes_beats_are_as_sure_however_the_stream_is_cut() -> None:
    t_s = np.arange(60 * 250) / 250.0
    waves = 0.8 * np.sin(2 * np.pi * 4.0 * t_s) + 1.5 * np.sin(2 * np.pi * 27.0 * t_s) * (t_s % 3.0 < 0.3)
    stream = StreamInfo("s", 250.0, ("MLII",))
    told = [
        of(Classified, run(cut(waves[:, None].astype(np.float32), sizes), stream=stream))
        for sizes in ([len(t_s)], [250] * 60)
    ]
    assert told[0] == told[1]
    assert {"unsure" in event.beat.flags for event in told[0]} == {True, False}


def states(events: list) -> list[str]:
    return [e.state for e in of(RhythmEvent, events)]


def afterwards(x: np.ndarray, stream: StreamInfo, begin_s: float, end_s: float, **more: object) -> list[SampleBlock]:
    """The stream in three blocks; of the middle one more is said, or it is louder."""
    a, b = (round(t * stream.fs_hz) for t in (begin_s, end_s))
    noise = np.random.default_rng(0).normal(0.0, 3.0, (b - a, 1)).astype(np.float32) if "noise" in more else 0.0
    lead_off = more.get("lead_off")
    return [
        SampleBlock(x[:a], 0, None if lead_off is None else False),
        SampleBlock(x[a:b] + noise, a, lead_off),
        SampleBlock(x[b:], b, None if lead_off is None else False),
    ]


@pytest.mark.parametrize("what", ["lead_off", "noise"])
def test_what_cannot_be_heard_has_no_rhythm(data_dir: Path, what: str) -> None:
    x, stream = lead(data_dir, "mitdb", "100", 0.0, 180.0)
    blocks = afterwards(x, stream, 100.0, 120.0, **{what: True})
    events = run(blocks, Following(), stream)
    assert states(events) == ["sinus", "unknown", "sinus"]
    unknown = of(RhythmEvent, events)[1]
    assert 98.0 < unknown.sample / stream.fs_hz < 104.0


def test_doubt_of_labels_changes_no_rhythm(data_dir: Path) -> None:
    x, stream = lead(data_dir, "mitdb", "203", 0.0, 330.0)
    told = []
    for limit in (0.0, 1.0):
        blocks = afterwards(x, stream, 260.0, 270.0, lead_off=True)
        events = run(blocks, Following(), stream, min_confidence=limit)
        told.append([*of(RhythmEvent, events), *of(EpisodeEvent, events)])
    assert told[0] == told[1]
    assert told[0]


def test_the_rhythm_of_a_patient_who_is_known_is_named_in_seconds(data_dir: Path) -> None:
    x, stream = lead(data_dir, "mitdb", "201", 0.0, 300.0)
    half = len(x) * 4 // 5
    memory = PatientMemory()
    run([SampleBlock(x[:half], 0)], Following(), stream, memory=memory)
    again = PatientMemory.of({name: array.copy() for name, array in memory.state().items()})
    events = run([SampleBlock(x[half:], 0)], Following(), stream, memory=again)
    first = of(RhythmEvent, events)[0]
    assert first.state == "af_suspected"
    assert first.at_index / stream.fs_hz < 15.0
    assert "af_suspected" not in states(run([SampleBlock(x[half:], 0)], Following(), stream))


def test_runs_and_pauses_are_told_where_they_are() -> None:
    # 223 has V in a row; then two seconds and more without a beat.
    x = excerpt()
    # Not flat: that would be an electrode.
    still = (x[-1] + np.cumsum(np.random.default_rng(0).normal(0.0, 0.008, (1000, 1)), axis=0)).astype(np.float32)
    events = run([SampleBlock(np.concatenate([x, still, x]), 0)], Following())
    pauses = [e for e in of(EpisodeEvent, events) if e.kind == "pause" and e.over]
    assert any(abs(e.sample - len(x)) < 400 and 2.0 < e.length_s < 5.0 for e in pauses)


class Ventricular(Following):
    """Calls every beat V."""

    def classify_many(self, inputs: np.ndarray) -> np.ndarray:
        return np.tile(np.array([0.0, 0.0, 1.0], np.float32), (len(inputs), 1))


def test_a_run_is_told_with_its_third_beat_and_when_a_gap_ends_it() -> None:
    x = excerpt()
    events = run([SampleBlock(x, 0), SampleBlock(x, len(x) + 1000)], Ventricular())
    runs = [e for e in of(EpisodeEvent, events) if e.kind == "v_run"]
    assert [(e.over, e.n_beats) for e in runs[:1]] == [(False, 3)]
    assert runs[1].over
    assert runs[1].n_beats > 20
    assert runs[1].at_index <= len(x) + 1000


def test_fibrillation_of_the_ventricles_makes_no_label_sure(data_dir: Path) -> None:
    # The episode of cu01 begins 208 s into the record.
    x, stream = lead(data_dir, "cudb", "cu01", 180.0, 250.0)
    events = run([SampleBlock(x, 0)], WindowSumClassifier(), stream)
    begin = next(e for e in of(RhythmEvent, events) if e.state == "fibrillation_suspected")
    assert 20.0 < begin.sample / stream.fs_hz < 40.0
    within = [e for e in of(Classified, events) if e.at_index >= begin.at_index and e.beat.r_index >= begin.sample]
    assert len(within) > 10
    for event in within:
        assert {"unsure", "reject"} <= set(event.beat.flags)
        assert event.confidence <= 0.5
    before = [e for e in of(Classified, events) if e.at_index < begin.at_index]
    assert not any("unsure" in e.beat.flags for e in before)


@pytest.mark.parametrize(("name", "state"), [("201", "af_suspected"), ("100", "sinus")])
def test_the_rhythm_of_real_people(data_dir: Path, name: str, state: str) -> None:
    x, stream = lead(data_dir, "mitdb", name, 0.0, 240.0)
    events = run([SampleBlock(x, 0)], Following(), stream)
    assert_in_order(events)
    assert of(RhythmEvent, events)[-1].state == state


def test_a_network_tells_of_nothing_but_fibrillation() -> None:
    x = np.concatenate([excerpt(), np.zeros((1500, 1), np.float32), excerpt()])
    events = run([SampleBlock(x, 0)], WindowSumClassifier(), STREAM)
    assert not of(EpisodeEvent, events)
    assert not of(RhythmEvent, events)
