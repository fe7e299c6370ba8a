"""The daemon's recording: what lies where, and that each sample and label is at its place."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import FS_HZ, MODEL, NOON_UTC_S, STREAM, Clock, beat, blocks, names, records, signal_mv, sink
from wfdb_oracle import rows, signal
from wfdb_oracle import signal_mv as recorded_mv

from edge_ecg.errors import ConfigError
from edge_ecg.io import read_record
from edge_ecg.settings import RecordingSettings
from edge_ecg.sinks.recording import open_recording
from edge_ecg.types import (
    EpisodeEvent,
    GapEvent,
    LeadOffEvent,
    LinkEvent,
    OutputEvent,
    QualityEvent,
    RhythmEvent,
    SampleBlock,
    StateEvent,
    StreamInfo,
)

MIDNIGHT = replace(STREAM, start_utc_s=NOON_UTC_S + 43_200.0 - 10.0)
"""Sample 2500 is the first of another day."""


def feed(recording, stream, items) -> None:
    for item in items:
        if isinstance(item, SampleBlock):
            recording.take_samples(stream, item)
        else:
            recording.emit(item)


def assert_holds(stem: Path, first: int, n: int) -> None:
    """The record is exactly these samples of `signal_mv`."""
    assert np.allclose(recorded_mv(stem), signal_mv(first, n), atol=1e-6)
    assert read_record(stem).problem is None


def test_a_record_of_signal_and_labels(tmp_path: Path) -> None:
    recording = sink(tmp_path, subject="bed-3")
    feed(recording, STREAM, [*blocks(0, 50), MODEL, *blocks(50, 1000), beat(300), beat(500, "V", flags=("reject",))])
    feed(recording, STREAM, [*blocks(1000, 2013), beat(700, "F", confidence=0.5), LinkEvent("ended", "", STREAM)])
    stem = records(tmp_path)[0]
    assert names(tmp_path) == ["2026-01-01/bed-3_120000"]
    assert_holds(stem, 0, 2013)
    theirs = signal(stem)
    assert (theirs.fs, theirs.sig_name, theirs.units, theirs.fmt) == (250, ["I", "II"], ["mV"] * 2, ["16"] * 2)
    assert (theirs.adc_gain, theirs.base_datetime.isoformat()) == ([1000] * 2, "2026-01-01T12:00:00")
    told = "\n".join(theirs.comments)
    for text in (
        "not a medical device",
        "subject: bed-3",
        "labels: rhythm (sha256 abab",
        "balanced), lead II",
        "calib",
    ):
        assert text in told
    assert rows(stem) == [(300, "N", 0, 1, 93, ""), (500, "V", 1, 1, 93, ""), (700, "F", 0, 1, 50, "")]
    recording.close()


def test_what_came_is_in_the_files_at_once(tmp_path: Path) -> None:
    """A kill loses what the process has not seen, nothing else."""
    recording = sink(tmp_path)
    feed(recording, STREAM, blocks(0, 500))
    recording.emit(beat(420))
    for end in range(550, 1000, 50):
        feed(recording, STREAM, blocks(end - 50, end))
        stem = records(tmp_path)[0]
        assert len(signal(stem).d_signal) == len(read_record(stem).counts) == end
        assert rows(stem)[0][:2] == (420, "N")
    recording.close()


def test_a_record_shorter_than_a_second_is_kept(tmp_path: Path) -> None:
    recording = sink(tmp_path)
    feed(recording, STREAM, [*blocks(0, 100), beat(40)])
    recording.close()
    assert_holds(records(tmp_path)[0], 0, 100)
    assert rows(records(tmp_path)[0])[0][:2] == (40, "N")


def test_nothing_is_left_of_a_stream_without_samples(tmp_path: Path) -> None:
    recording = sink(tmp_path)
    recording.take_samples(STREAM, SampleBlock(np.empty((0, 2), np.float32), 0))
    feed(recording, STREAM, [LinkEvent("connected", "", STREAM), StateEvent("streaming", "", 0.0)])
    recording.tick()
    recording.close()
    assert not list(tmp_path.rglob("*.*"))


# Time


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 700), max_size=12))
def test_midnight_begins_another_record_wherever_blocks_are_cut(tmp_path_factory, sizes: list[int]) -> None:
    folder = tmp_path_factory.mktemp("days")
    recording = sink(folder)
    at = 0
    for size in [*sizes, 4000]:
        recording.take_samples(MIDNIGHT, SampleBlock(signal_mv(at, min(size, 4000 - at)), at))
        at = min(4000, at + size)
    recording.close()
    assert names(folder) == ["2026-01-01/subject_235950", "2026-01-02/subject_000000"]
    assert_holds(records(folder)[0], 0, 2500)
    assert_holds(records(folder)[1], 2500, 1500)


@pytest.mark.parametrize("fs_hz", [128.0, 249.97, 360.0, 1000.0 / 3.0])
@pytest.mark.parametrize("before_s", [3.0, 1.23456789])
def test_midnight_is_found_at_any_rate(tmp_path: Path, fs_hz: float, before_s: float) -> None:
    stream = replace(MIDNIGHT, fs_hz=fs_hz, start_utc_s=NOON_UTC_S + 43_200.0 - before_s)
    recording = sink(tmp_path)
    feed(recording, stream, blocks(0, 2000))
    recording.close()
    n_held = [len(read_record(stem).counts) for stem in records(tmp_path)]
    assert len(n_held) == 2
    assert n_held == [pytest.approx(before_s * fs_hz, abs=1.01), 2000 - n_held[0]]
    assert "first sample in the stream: " + str(n_held[0]) in signal(records(tmp_path)[1]).comments


def test_a_beat_that_becomes_known_after_midnight_stands_in_its_own_record(tmp_path: Path) -> None:
    recording = sink(tmp_path)
    feed(recording, MIDNIGHT, blocks(0, 2800))
    feed(recording, MIDNIGHT, [beat(2450), beat(2499, "V"), *blocks(2800, 2900), beat(2500), beat(2700)])
    recording.close()
    old, new = records(tmp_path)
    assert [row[:2] for row in rows(old)] == [(2450, "N"), (2499, "V")]
    assert [row[:2] for row in rows(new)] == [(0, "N"), (200, "N")]


def test_a_record_says_at_its_begin_what_lasts(tmp_path: Path) -> None:
    recording = sink(tmp_path)
    feed(recording, MIDNIGHT, blocks(0, 2000))
    feed(recording, MIDNIGHT, [LeadOffEvent(STREAM, 500, True), QualityEvent(STREAM, 700, 600, True, 0.1, ("mains",))])
    feed(recording, MIDNIGHT, [RhythmEvent(STREAM, 1900, 900, "af_suspected", 0.8), LeadOffEvent(STREAM, 1950, False)])
    feed(recording, MIDNIGHT, [*blocks(2000, 3000), RhythmEvent(STREAM, 2990, 2400, "sinus", 0.7)])
    recording.close()
    old, new = records(tmp_path)
    assert rows(old) == [
        (500, "~", -1, 0, 0, "lead off"),
        (600, "~", 1, 0, 0, "noise: mains"),
        (900, "+", 0, 0, 80, "(AFIB"),
        (1950, "~", 0, 0, 0, "lead on"),
        (2400, "+", 0, 0, 70, "(N"),
    ]
    assert rows(new) == [
        (0, "~", 1, 0, 0, "noise: mains"),
        (0, "+", 0, 0, 80, "(AFIB"),
        (0, "+", 0, 0, 70, "(N"),
    ]


def test_another_stream_is_another_record(tmp_path: Path) -> None:
    recording = sink(tmp_path)
    other = replace(STREAM, stream="s2", start_utc_s=NOON_UTC_S + 3.0, leads=("V1",), fs_hz=500.0)
    feed(recording, STREAM, [*blocks(0, 500), beat(100)])
    recording.take_samples(other, SampleBlock(signal_mv(0, 900)[:, :1], 0))
    feed(recording, STREAM, [beat(120), beat(50, stream=other)])  # one comes too late for its stream
    recording.close()
    assert names(tmp_path) == ["2026-01-01/subject_120000", "2026-01-01/subject_120003"]
    assert (signal(records(tmp_path)[1]).fs, signal(records(tmp_path)[1]).sig_name) == (500, ["V1"])
    assert [[row[0] for row in rows(stem)] for stem in records(tmp_path)] == [[100], [50]]


def test_records_of_one_second_have_names_of_their_own(tmp_path: Path) -> None:
    for k in range(3):
        recording = sink(tmp_path)
        feed(recording, replace(STREAM, stream=f"s{k}"), blocks(250 * k, 250 * k + 100))
        recording.close()
        (tmp_path / "2026-01-01").mkdir(exist_ok=True)
    feed(again := sink(tmp_path), STREAM, blocks(0, 100))
    again.close()
    assert names(tmp_path) == [
        "2026-01-01/subject_120000",
        "2026-01-01/subject_120000_2",
        "2026-01-01/subject_120001",
        "2026-01-01/subject_120002",
    ]


@pytest.mark.parametrize("start_utc_s", [None, 1e300])
def test_a_source_without_wall_time_is_dated_by_the_recorder(tmp_path: Path, start_utc_s: float | None) -> None:
    recording = sink(tmp_path, wall_utc_s=NOON_UTC_S + 60.0)
    feed(recording, replace(STREAM, start_utc_s=start_utc_s), blocks(0, 500))
    recording.close()
    assert names(tmp_path) == ["2026-01-01/subject_120100"]
    assert any("recorder's clock" in text for text in signal(records(tmp_path)[0]).comments)


def test_a_simulated_day_is_as_long_as_its_wall_time_says(tmp_path: Path) -> None:
    fast = replace(MIDNIGHT, time_scale=60.0)
    recording = sink(tmp_path)
    feed(recording, fast, blocks(0, 170_000, 1000))
    recording.close()
    assert [len(read_record(stem).counts) for stem in records(tmp_path)] == [150_000, 20_000]


# Losses


def test_lost_samples_keep_the_time(tmp_path: Path) -> None:
    recording = sink(tmp_path)
    feed(recording, STREAM, [*blocks(0, 600), *blocks(1000, 1500), GapEvent(STREAM, 1000, 400, False)])
    feed(recording, STREAM, [*blocks(1470, 1700), beat(1200), EpisodeEvent(STREAM, 1300, 1100, "v_run", True, 3, 1.2)])
    recording.close()
    assert len(records(tmp_path)) == 1
    held_mv = recorded_mv(records(tmp_path)[0])
    assert np.isnan(held_mv[600:1000]).all()
    whole = np.r_[0:600, 1000:1700]
    assert np.allclose(held_mv[whole], signal_mv(0, 1700)[whole], atol=1e-6)
    assert [row[::5] for row in rows(records(tmp_path)[0])] == [
        (600, "gap of 400 samples"),
        (1100, "v_run end, 3 beats, 1.20 s"),
        (1200, ""),
    ]


def test_too_much_lost_begins_a_record_at_its_own_time(tmp_path: Path) -> None:
    recording = sink(tmp_path)
    feed(recording, STREAM, [*blocks(0, 600), *blocks(600 + 15_000, 16_000)])
    feed(recording, STREAM, [*blocks(31_001, 31_300), GapEvent(STREAM, 31_001, 15_001, False), beat(31_100)])
    recording.close()
    assert names(tmp_path) == ["2026-01-01/subject_120000", "2026-01-01/subject_120204"]
    assert len(read_record(records(tmp_path)[0]).counts) == 16_000  # a minute is filled, one sample more is not
    assert signal(records(tmp_path)[1]).base_datetime.isoformat() == "2026-01-01T12:02:04.004000"
    assert_holds(records(tmp_path)[1], 31_001, 299)
    assert [row[::5] for row in rows(records(tmp_path)[1])] == [(1, "gap of 15001 samples"), (99, "")]


def test_a_loss_over_midnight_fills_neither_day(tmp_path: Path) -> None:
    recording = sink(tmp_path)
    feed(recording, MIDNIGHT, [*blocks(0, 2400), *blocks(2600, 3000)])
    recording.close()
    assert [len(read_record(stem).counts) for stem in records(tmp_path)] == [2400, 400]
    assert signal(records(tmp_path)[1]).base_datetime.isoformat() == "2026-01-02T00:00:00.400000"


def test_beats_whose_signal_did_not_come_stand_nowhere_and_are_counted(tmp_path: Path) -> None:
    """A queue that was full holds more events than blocks: none of them is moved to where signal is."""
    recording = sink(tmp_path)
    feed(recording, STREAM, [*blocks(0, 1000), beat(900)])
    feed(recording, STREAM, [beat(1000), beat(1200, "V"), EpisodeEvent(STREAM, 1400, 1300, "v_run", False, 3, 0.0)])
    assert recording.n_lost == 3
    feed(recording, STREAM, [*blocks(2000, 3000), beat(2500)])
    feed(recording, STREAM, [beat(20_000), *blocks(30_000, 31_000), beat(30_500)])
    recording.close()
    assert recording.n_lost == 4
    assert [[row[0] for row in rows(stem)] for stem in records(tmp_path)] == [[900, 2500], [500]]


def test_what_is_no_number_is_no_sample_and_what_is_too_large_is_clipped(tmp_path: Path) -> None:
    samples_mv = signal_mv(0, 1000)
    samples_mv[100, 0], samples_mv[101, 1], samples_mv[102] = np.nan, -np.inf, np.inf
    samples_mv[600], samples_mv[601] = 100.0, -1e30
    recording = sink(tmp_path)
    for at in (0, 500):
        recording.take_samples(STREAM, SampleBlock(samples_mv[at : at + 500], at))
    recording.close()
    counts = read_record(records(tmp_path)[0]).counts
    assert counts[600].tolist() == [32767] * 2
    assert counts[601].tolist() == [-32767] * 2
    held_mv = recorded_mv(records(tmp_path)[0])
    assert np.isnan(held_mv).sum() == 4
    assert np.isnan([held_mv[100, 0], held_mv[101, 1], *held_mv[102]]).all()


# Scale


def test_a_signal_on_a_large_offset_keeps_a_microvolt(tmp_path: Path) -> None:
    """Electrodes on a board that is coupled for direct voltage; what wanders off the scale gets a record that fits."""
    wave = np.sin(np.arange(50_000) / 40.0)
    samples_mv = np.stack([150.0 + wave, wave], axis=1).astype(np.float32)
    samples_mv[25_000:, 1] -= 80.0
    recording = sink(tmp_path)
    for at in range(0, 50_000, 50):
        recording.take_samples(STREAM, SampleBlock(samples_mv[at : at + 50], at))
    recording.close()
    old, new = records(tmp_path)
    assert signal(old).adc_gain == signal(new).adc_gain == [1000, 1000]
    n_old = len(read_record(old).counts)
    assert 25_000 + 5 * FS_HZ < n_old < 25_000 + 25 * FS_HZ
    assert np.abs(recorded_mv(old)[:25_000] - samples_mv[:25_000]).max() < 0.00051
    assert np.abs(recorded_mv(new) - samples_mv[n_old:]).max() < 0.00051


def test_a_wild_signal_costs_resolution_not_the_record(tmp_path: Path) -> None:
    noise_mv = np.random.default_rng(1).uniform(-400.0, 400.0, (60_000, 1)).astype(np.float32)
    recording = sink(tmp_path)
    for at in range(0, len(noise_mv), 50):
        recording.take_samples(replace(STREAM, leads=("I",)), SampleBlock(noise_mv[at : at + 50], at))
    recording.close()
    assert len(records(tmp_path)) == 1
    assert signal(records(tmp_path)[0]).adc_gain == [100]


def test_an_electrode_off_moves_no_scale(tmp_path: Path) -> None:
    recording = sink(tmp_path)
    feed(recording, STREAM, blocks(0, 20_000))
    for at in range(20_000, 30_000, 50):
        recording.take_samples(STREAM, SampleBlock(np.full((50, 2), 187.5, np.float32), at, lead_off=True))
    feed(recording, STREAM, blocks(30_000, 31_000))
    recording.close()
    assert len(records(tmp_path)) == 1
    assert np.allclose(recorded_mv(records(tmp_path)[0])[30_000:], signal_mv(30_000, 1000), atol=1e-6)


def test_without_a_known_size_the_units_are_arbitrary(tmp_path: Path) -> None:
    recording = sink(tmp_path)
    feed(recording, replace(STREAM, calibrated=False), blocks(0, 500))
    recording.close()
    stem = records(tmp_path)[0]
    assert signal(stem).units == ["au", "au"]
    assert not any(s.calibrated for s in read_record(stem).header.signals)
    assert np.allclose(read_record(stem).samples_mv(), signal_mv(0, 500), atol=1e-6)


# After a kill


def test_the_next_start_finishes_what_was_left(tmp_path: Path) -> None:
    killed = sink(tmp_path)
    feed(killed, STREAM, [*blocks(0, 1000), beat(800), RhythmEvent(STREAM, 900, 100, "sinus", 1.0)])
    killed._take._appender._close()  # as a kill does
    stem = records(tmp_path)[0]
    assert signal(stem).base_datetime is None
    recording = sink(tmp_path)
    feed(recording, replace(STREAM, stream="s2", start_utc_s=NOON_UTC_S + 10.0), [*blocks(0, 300)])
    assert signal(stem).base_datetime.isoformat() == "2026-01-01T12:00:00"
    assert [row[0] for row in rows(stem)] == [100, 800]
    recording.close()
    assert len(records(tmp_path)) == 2


# Settings


def test_the_folder_is_for_its_owner_and_group(tmp_path: Path) -> None:
    open_recording(RecordingSettings(folder=str(tmp_path / "a" / "b"))).close()
    assert not stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) & 0o007
    assert not list((tmp_path / "a" / "b").iterdir())


def test_a_folder_that_cannot_be_is_told_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"recording\.folder .*file/x cannot be written: Not a directory\. Name"):
        open_recording(RecordingSettings(folder=str(tmp_path / "file" / "x")))
    with pytest.raises(ConfigError, match="is not set"):
        open_recording(RecordingSettings())


@pytest.mark.parametrize("subject", ["a.b", "", "../x", "a b"])
def test_a_subject_that_names_no_record_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match=r"recording\.subject"):
        RecordingSettings(subject=subject)


def test_events_of_other_things_are_none_of_its_business(tmp_path: Path) -> None:
    clock = Clock()
    recording = sink(tmp_path, clock)
    feed(recording, STREAM, [OutputEvent("mqtt", "paused", "", 0.0), LinkEvent("lost", "", None), *blocks(0, 300)])
    feed(recording, STREAM, [LinkEvent("ended", "", StreamInfo("other", 1.0, ("I",))), *blocks(300, 600)])
    clock.now_s += 31.0
    recording.tick()
    recording.close()
    assert_holds(records(tmp_path)[0], 0, 600)
