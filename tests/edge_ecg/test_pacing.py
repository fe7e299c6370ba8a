"""A pacemaker's spikes are noticed on the people of mitdb who have one, and on nobody else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import WindowSumClassifier, assert_in_order, cut, of, run

from edge_ecg.io import read_record
from edge_ecg.types import Classified, RhythmEvent, StreamInfo

FS_HZ = 360.0


def told_of(x_mv: np.ndarray, fs_hz: float = FS_HZ) -> list[RhythmEvent]:
    stream = StreamInfo("test", fs_hz, ("MLII",))
    events = run(cut(x_mv.astype(np.float32)[:, None], []), WindowSumClassifier(), stream)
    assert_in_order(events)
    return of(RhythmEvent, events)


def record(data_dir: Path, name: str, length_s: float, begin_s: float = 0.0) -> np.ndarray:
    begin, end = round(begin_s * FS_HZ), round((begin_s + length_s) * FS_HZ)
    return np.nan_to_num(read_record(data_dir / "mitdb" / name).samples_mv([0])[begin:end, 0])


def paced(fs_hz: float, duration_s: float, is_paced=lambda t_s: True, spike_mv: float = 0.6) -> np.ndarray:
    """A slow wide beat each second behind a spike of one sample, between narrow beats where it is not paced."""
    x = 0.002 * np.random.default_rng(0).standard_normal(round(duration_s * fs_hz))
    t_ms = np.arange(round(0.6 * fs_hz)) / fs_hz * 1e3
    wide = 1.2 * np.exp(-(((t_ms - 120.0) / 40.0) ** 2)) - 0.4 * np.exp(-(((t_ms - 350.0) / 70.0) ** 2))
    narrow = 1.2 * np.exp(-(((t_ms - 120.0) / 12.0) ** 2)) + 0.3 * np.exp(-(((t_ms - 350.0) / 70.0) ** 2))
    for t_s in np.arange(1.0, duration_s - 1.0):
        at = round(t_s * fs_hz)
        x[at : at + len(t_ms)] += wide if is_paced(t_s) else narrow
        if is_paced(t_s):
            x[at + round(0.07 * fs_hz)] += spike_mv
    return x


@pytest.mark.parametrize(("name", "within_s"), [("102", 15), ("104", 15), ("107", 60), ("217", 30)])
def test_it_is_noticed_within_a_minute(data_dir: Path, name: str, within_s: float) -> None:
    first = told_of(record(data_dir, name, 70.0))[0]
    assert first.state == "paced_suspected"
    assert first.at_index < within_s * FS_HZ
    assert first.sample < first.at_index


@pytest.mark.parametrize("name", ["100", "108", "113", "118", "207", "220"])
def test_a_narrow_or_blocked_beat_is_not_taken_for_one(data_dir: Path, name: str) -> None:
    assert "paced_suspected" not in [e.state for e in told_of(record(data_dir, name, 300.0))]


@pytest.mark.parametrize("fs_hz", [250.0, 360.0, 500.0, 1000.0])
def test_told_when_it_begins_and_when_it_is_over(fs_hz: float) -> None:
    x = paced(fs_hz, 300.0, lambda t_s: 60.0 <= t_s < 120.0)
    begin, end = told_of(x, fs_hz)
    assert (begin.state, end.state) == ("paced_suspected", "unknown")
    assert 60.0 < begin.sample / fs_hz < 80.0
    assert 240.0 < end.sample / fs_hz < 260.0


def test_below_240_hz_nothing_is_said() -> None:
    assert told_of(paced(200.0, 60.0), 200.0) == []


def test_an_inverted_or_amplified_lead_tells_the_same() -> None:
    x = paced(FS_HZ, 60.0)
    usual = [(e.sample, e.state) for e in told_of(x)]
    assert usual
    assert [(e.sample, e.state) for e in told_of(5.0 * x)] == usual


def test_a_wide_beat_with_a_glitch_is_not_taken_for_one() -> None:
    assert told_of(paced(FS_HZ, 60.0, spike_mv=0.03)) == []
    assert told_of(paced(FS_HZ, 60.0, spike_mv=0.1)) != []


def test_it_is_seen_behind_a_gap_too() -> None:
    x, n_lost = paced(FS_HZ, 60.0).astype(np.float32)[:, None], 5000
    n_first = round(4.0 * FS_HZ)
    blocks = [*cut(x[:n_first], []), *cut(x[n_first:], [], n_first + n_lost)]
    begin = of(RhythmEvent, run(blocks, WindowSumClassifier(), StreamInfo("test", FS_HZ, ("MLII",))))[0]
    assert begin.state == "paced_suspected"
    assert begin.sample < n_first + n_lost + 20.0 * FS_HZ


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 4000), max_size=30), st.integers(8000, 20_000))
def test_told_alike_however_the_stream_is_cut(sizes: list[int], n_first: int) -> None:
    x = paced(FS_HZ, 120.0, lambda t_s: t_s < 50.0)
    told = []
    for pieces in ([], sizes):
        stream = StreamInfo("test", FS_HZ, ("MLII",))
        first = cut(x.astype(np.float32)[:n_first, None], pieces)
        second = cut(x.astype(np.float32)[n_first + 700 :, None], pieces, n_first + 700)
        events = run([*first, *second], WindowSumClassifier(), stream)
        told.append([*of(RhythmEvent, events), *of(Classified, events)])
    assert told[0] == told[1]


def test_beats_of_a_pacemaker_are_not_sure(data_dir: Path) -> None:
    stream = StreamInfo("104", FS_HZ, ("MLII",))
    events = run(cut(record(data_dir, "104", 60.0)[:, None], []), WindowSumClassifier(), stream)
    begin = of(RhythmEvent, events)[0]
    later = [e.beat for e in of(Classified, events) if e.at_index > begin.at_index]
    assert len(later) > 30
    assert all("unsure" in beat.flags and "reject" in beat.flags for beat in later)
