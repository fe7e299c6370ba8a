"""A disk without room: recording pauses and says why, goes on when there is room, and removes what is too old."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import numpy as np
import pytest
from recorded import NOON_UTC_S, STREAM, Clock, beat, blocks, names, records, signal_mv, sink
from wfdb_oracle import rows, signal
from wfdb_oracle import signal_mv as recorded_mv

from edge_ecg.io import read_record
from edge_ecg.io.append import RecordAppender
from edge_ecg.settings import RecordingSettings
from edge_ecg.sinks.queued import QueuedSink
from edge_ecg.sinks.recording import RecordingSink, open_recording
from edge_ecg.sinks.shelf import Shelf
from edge_ecg.types import LeadOffEvent, LinkEvent, OutputEvent, QualityEvent, RhythmEvent, StateEvent


@pytest.fixture
def small_disk(tmp_path: Path, missing: Callable[[str], None]) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, text=True)
    if done.returncode:
        missing(f"no file system can be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(recording: RecordingSink, first: int, end: int) -> list[OSError]:
    """Give it blocks, and every second a beat; return what it raised."""
    raised = []
    for block in blocks(first, end, 250):
        try:
            recording.take_samples(STREAM, block)
        except OSError as error:
            raised.append(error)
        try:
            recording.emit(beat(block.first_index))
        except OSError as error:
            raised.append(error)
    return raised


def assert_true(stem: Path) -> None:
    """What the record holds is what was there at its time."""
    told = next(text for text in signal(stem).comments if text.startswith("first sample"))
    first = int(told.split(": ")[1])
    held_mv = recorded_mv(stem)
    assert np.allclose(held_mv, signal_mv(first, len(held_mv)), atol=1e-6)
    seconds_s = signal(stem).base_datetime.replace(tzinfo=UTC).timestamp() - NOON_UTC_S
    assert seconds_s == first / 250.0
    beats = [at - first for at in range(first, first + len(held_mv)) if at % 250 == 0]
    assert [row[0] for row in rows(stem)] in (beats, beats[:-1])  # the last may have met a pause


def test_a_full_disk_pauses_the_recording_until_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 400_000)
    clock = Clock()
    recording = sink(small_disk, clock)
    raised = fill(recording, 0, 250_000)
    assert raised
    assert {error.errno for error in raised} == {errno.ENOSPC}
    stem = records(small_disk)[0]
    n_held = len(read_record(stem).counts)
    assert 100_000 < n_held < 250_000
    assert np.allclose(recorded_mv(stem), signal_mv(0, n_held), atol=1e-6)

    clock.now_s += 60.0
    assert fill(recording, 250_000, 251_000)  # looked again: still full
    ballast.unlink()
    assert fill(recording, 251_000, 251_250)  # not yet looked at again
    clock.now_s += 60.0
    assert not fill(recording, 251_250, 260_000)
    recording.close()
    assert len(records(small_disk)) == 2
    for each in records(small_disk):
        assert_true(each)
    assert signal(records(small_disk)[0]).sig_len == n_held
    assert not list(small_disk.rglob("*.part"))


def test_a_disk_that_is_read_only_for_a_while(small_disk: Path) -> None:
    clock = Clock()
    recording = sink(small_disk, clock)
    assert not fill(recording, 0, 5_000)
    recording.close()
    remount = ["mount", "-o", "remount,size=1m"]
    subprocess.run([*remount, "-o", "ro", str(small_disk)], check=True)
    raised = fill(recording, 20_000, 30_000)
    assert {error.errno for error in raised} == {errno.EROFS}
    recording.close()
    # A daemon that starts on such a disk waits as well.
    started = open_recording(RecordingSettings(folder=str(small_disk), min_free_gb=0.0))
    assert fill(started, 0, 500)
    started.close()
    subprocess.run([*remount, "-o", "rw", str(small_disk)], check=True)
    clock.now_s += 60.0
    assert not fill(recording, 30_000, 31_000)
    recording.close()
    for each in records(small_disk):
        assert_true(each)
    assert [len(read_record(stem).counts) for stem in records(small_disk)] == [5_000, 1_000]


def test_less_free_than_is_wanted_pauses_too(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    recording = sink(tmp_path, min_free_gb=2.0 * found.f_bavail * found.f_frsize / 1e9)
    raised = fill(recording, 0, 1_000)
    assert len(raised) == 8
    assert "less than min_free_gb" in str(raised[0])
    recording.close()
    assert not records(tmp_path)


def test_a_write_that_ends_half_way_leaves_a_whole_record(tmp_path: Path) -> None:
    """A limit on the size of a file cuts a write anywhere."""
    clock = Clock()
    recording = sink(tmp_path, clock)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_003, before[1]))
    try:
        raised = fill(recording, 0, 40_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {error.errno for error in raised} == {errno.EFBIG}
    assert_true(records(tmp_path)[0])
    assert len(read_record(records(tmp_path)[0]).counts) == 25_000
    clock.now_s += 60.0
    assert not fill(recording, 40_000, 41_000)
    recording.close()
    assert_true(records(tmp_path)[1])


def test_after_a_pause_a_record_says_what_lasts(tmp_path: Path) -> None:
    """What began before it, or within it; not what ended in it."""
    clock = Clock()
    recording = sink(tmp_path, clock)
    fill(recording, 0, 1_000)
    recording.emit(LeadOffEvent(STREAM, 500, True))
    recording.emit(QualityEvent(STREAM, 600, 590, True, 0.1, ("mains",)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, before[1]))
    try:
        assert fill(recording, 1_000, 3_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    for event in (
        QualityEvent(STREAM, 2_000, 1_990, False, 0.9),
        RhythmEvent(STREAM, 2_100, 2_050, "af_suspected", 0.8),
    ):
        with pytest.raises(OSError, match="File too large"):
            recording.emit(event)
    clock.now_s += 60.0
    assert not fill(recording, 3_000, 4_000)
    recording.close()
    lasting = [row for row in rows(records(tmp_path)[1]) if row[1] in "~+"]
    assert [(row[0], row[1], row[5]) for row in lasting] == [(0, "~", "lead off"), (0, "+", "(AFIB")]


def test_the_pause_is_told_once_and_so_is_its_end(tmp_path: Path) -> None:
    """Behind its queue, as the daemon has it: the events of the pause itself must not end it."""
    clock, told, seen = Clock(), [], threading.Event()
    folder = tmp_path / "r"
    folder.mkdir()
    blocked = folder / "2026-01-01"
    blocked.touch()  # in the way of the day's folder

    def tell(state: str) -> Callable[[QueuedSink], None]:
        def on_change(queued: QueuedSink) -> None:
            told.append((state, queued.failure))
            queued.emit(OutputEvent("recording", state, "", 0.0))
            seen.set()

        return on_change

    queued = QueuedSink("recording", sink(folder, clock), on_failure=tell("paused"), on_recovery=tell("back"))
    for block in blocks(0, 2_000):
        queued.take_samples(STREAM, block)
    for at in range(100):
        queued.emit(beat(10 * at))
        queued.emit(StateEvent("streaming", "", 0.0))
    assert seen.wait(10.0)
    until_s = time.monotonic() + 10.0
    while queued.n_waiting and time.monotonic() < until_s:
        time.sleep(0.01)
    seen.clear()
    blocked.unlink()
    clock.now_s += 60.0
    for block in blocks(2_000, 4_000):
        queued.take_samples(STREAM, block)
    queued.emit(beat(3_000))
    assert seen.wait(10.0)
    queued.emit(LinkEvent("ended", "", STREAM))
    queued.close()
    assert [state for state, _ in told] == ["paused", "back"]
    assert told[0][1] == "File exists"
    assert [row[0] for row in rows(records(folder)[0])] == [1_000]
    assert queued.n_dropped >= 100


# What is too old


def put_record(folder: Path, start_s: float, n_samples: int = 25_000) -> Path:
    """A record of 100 kB."""
    recording = sink(folder)
    stream = replace(STREAM, start_utc_s=NOON_UTC_S + start_s, stream=f"s{start_s:g}")
    for block in blocks(0, n_samples, 5000):
        recording.take_samples(stream, block)
    recording.close()
    return records(folder)[-1]


def test_the_oldest_records_go_first_and_empty_days_with_them(tmp_path: Path) -> None:
    for start_s in (-86_400.0, -80_000.0, 0.0, 500.0):
        put_record(tmp_path, start_s)
    note = tmp_path / "2026-01-01" / "subject_120000.txt"
    note.write_text("mine")
    other = tmp_path / "2025-01-01"
    other.mkdir()
    (other / "mine.dat").write_bytes(b"\0" * 500_000)
    clock = Clock()
    recording = sink(tmp_path, clock, max_gb=330_000 / 1e9)
    for block in blocks(0, 500):
        recording.take_samples(replace(STREAM, start_utc_s=NOON_UTC_S + 900.0), block)
    assert names(tmp_path) == [
        "2025-12-31/subject_134640",
        "2026-01-01/subject_120000",
        "2026-01-01/subject_120820",
        "2026-01-01/subject_121500",
    ]
    for block in blocks(500, 60_000, 500):
        recording.take_samples(replace(STREAM, start_utc_s=NOON_UTC_S + 900.0), block)
        clock.now_s += 2.0
        recording.tick()
    clock.now_s += 60.0
    recording.tick()
    assert min(names(tmp_path)) >= "2026-01-01/subject_121500"
    assert not (tmp_path / "2025-12-31").exists()
    assert note.read_text() == "mine"
    assert (other / "mine.dat").exists()
    recording.close()


def test_the_limit_holds_for_a_record_that_grows(tmp_path: Path) -> None:
    """It ends at a tenth of it; what begins then goes on at the next sample."""
    clock = Clock()
    recording = sink(tmp_path, clock, max_gb=1e-3)
    for block in blocks(0, 600_000, 500):
        recording.take_samples(STREAM, block)
        clock.now_s += 2.0
        recording.tick()
        n_bytes = sum(file.stat().st_size for file in tmp_path.rglob("*.*") if file.is_file())
        assert n_bytes < 1e6 + 35 * 250 * 4  # at each sync it is no more
    recording.close()
    kept = records(tmp_path)
    first = [int(signal(stem).comments[3].split(": ")[1]) for stem in kept]
    n_held = [len(read_record(stem).counts) for stem in kept]
    assert 8 <= len(kept) <= 10
    assert max(n_held) < 25_000 + 35 * 250
    assert [at + n for at, n in zip(first, n_held, strict=True)] == [*first[1:], 600_000]


def test_what_another_recorder_still_writes_is_not_removed(tmp_path: Path) -> None:
    other = sink(tmp_path, subject="a")
    for block in blocks(0, 50_000, 5_000):
        other.take_samples(STREAM, block)
    Shelf(tmp_path, 1e-6, 0.0).remove_oldest()
    assert names(tmp_path) == ["2026-01-01/a_120000"]
    other.close()
    Shelf(tmp_path, 1e-6, 0.0).remove_oldest()
    assert not list(tmp_path.iterdir())


def test_files_are_synced_as_often_as_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_synced = []
    sync = RecordAppender.sync
    monkeypatch.setattr(RecordAppender, "sync", lambda self: (n_synced.append(self.n_samples), sync(self))[1])
    clock = Clock()
    recording = sink(tmp_path, clock, sync_every_s=5.0)
    for second, block in enumerate(blocks(0, 250 * 21, 250)):
        recording.take_samples(STREAM, block)
        clock.now_s = 1000.0 + second
        recording.tick()
    assert n_synced[1:] == [250 * 6, 250 * 11, 250 * 16, 250 * 21]
    recording.close()
