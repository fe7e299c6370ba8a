"""A recorder that is killed again and again: every record reads, a second at most is lost, no beat stands twice."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import DataError
from edge_ecg.io import Annotations, read_annotations, read_record
from edge_ecg.io.append import ANNOTATOR, mend_record
from edge_ecg.settings import RecordingSettings
from edge_ecg.sinks.queued import QueuedSink
from edge_ecg.sinks.recording import open_recording
from edge_ecg.types import Beat, Classified, ModelEvent, SampleBlock, StreamInfo

FS_HZ = 250.0
TIME_SCALE = 60.0
BEAT_EVERY = 200
LAG = 325
"""A beat is known so many samples late."""
MOST_LOST_S = 1.0
POLL_S = 0.002
SYNC_S = 0.05
_EPOCH = datetime(1970, 1, 1)

Start = Callable[[Path], int]
"""Begin to record into a folder, in a process of its own; return its id."""


@dataclass(slots=True)
class Findings:
    """What was found.

    Attributes
    ----------
    n_records, n_samples, n_beats
        In the folder at the end.
    n_unborn
        Kills before there was a record.
    lost_s
        Of each other kill: from the last sample in the files to the kill, wall time.
    wrong
        What must not be, a line each.
    """

    n_records: int = 0
    n_samples: int = 0
    n_beats: int = 0
    n_unborn: int = 0
    lost_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def start_sink(folder: Path) -> int:
    """The recording output behind its queue, in a fork: fed with a stream at 60 times the real speed."""
    pid = os.fork()
    if pid == 0:
        try:
            _record(folder)
        finally:
            os._exit(1)
    return pid


def start_command(command: str) -> Start:
    """A command, in which ``{folder}`` stands for the folder."""

    def start(folder: Path) -> int:
        return subprocess.Popen(shlex.split(command.format(folder=folder)), stderr=subprocess.DEVNULL).pid

    return start


def kill_again_and_again(folder: Path, times: int, start: Start, longest_s: float, seed: int) -> Findings:
    """Start, kill at a random moment, look at what is there; as many times."""
    chance, found, seen, last = random.Random(seed), Findings(), set[Path](), list[Path]()
    for _ in range(times):
        pid = start(folder)
        time.sleep(longest_s * chance.random() ** 2)  # more often early, while files are made and mended
        killed_utc_s = time.time()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for stem in last:  # this one may have been killed while it finished those
            if stem.with_suffix(".hea").exists():
                _look(stem, found)
        last = sorted(set(_records(folder)) - seen)
        seen.update(last)
        if last:
            found.lost_s.append(max(0.0, killed_utc_s - max(_look(stem, found)[1] for stem in last)))
        else:
            found.n_unborn += 1
    for stem in _records(folder):
        mend_record(stem)  # as the next start does
    spans = sorted(_look(stem, found, counted=True) for stem in _records(folder))
    if any(first[1] > second[0] + 1e-6 for first, second in pairwise(spans)):
        found.wrong.append("two records hold the same time")
    if found.lost_s and max(found.lost_s) > MOST_LOST_S:
        found.wrong.append(f"{max(found.lost_s):.3f} s were lost")
    return found


def _record(folder: Path) -> None:
    settings = RecordingSettings(folder=str(folder), sync_every_s=SYNC_S, min_free_gb=0.0)
    sink = QueuedSink("recording", open_recording(settings))
    start_s = time.time()
    stream = StreamInfo(os.urandom(6).hex(), FS_HZ, ("I", "II"), start_utc_s=start_s, time_scale=TIME_SCALE)
    at = 0
    while True:
        end = int((time.time() - start_s) * FS_HZ * TIME_SCALE)
        if end > at:
            sink.take_samples(stream, SampleBlock(_samples_mv(at, end - at), at))
            if at == 0:
                sink.emit(ModelEvent(stream, 0, "II", "none", "0"))
            for r in range(-(-(at - LAG) // BEAT_EVERY) * BEAT_EVERY, end - LAG, BEAT_EVERY):
                if r >= 0:
                    beat = Beat(r, r / FS_HZ, None, None, 1.0, ())
                    sink.emit(Classified(stream, "II", beat, "N", ("N",), (1.0,), 1.0, "none", 1.3, r + LAG))
            at = end
        time.sleep(POLL_S)


def _samples_mv(first: int, n: int) -> NDArray[np.float32]:
    at = np.arange(first, first + n)
    return np.stack([at % 4001 - 2000, at // 4001 % 4001 - 2000], axis=1).astype(np.float32) / np.float32(1000.0)


def _records(folder: Path) -> list[Path]:
    return sorted(file.with_suffix("") for file in folder.glob("*/*.hea"))


def _look(stem: Path, found: Findings, counted: bool = False) -> tuple[float, float]:
    """Read a record with both readers; its begin and end in wall time."""
    record = read_record(stem)
    marks = read_annotations(stem, ANNOTATOR)
    header = record.header
    told = dict(text.split(": ", 1) for text in header.comments if ": " in text)
    scale = TIME_SCALE if told.get("time", "").startswith("simulated, at 60 ") else 1.0
    for problem in (record.problem, marks.problem, _other_reader(stem, record.counts, marks)):
        if problem is not None:
            found.wrong.append(f"{stem.name}: {problem}")
    if scale != 1.0:
        _compare(stem, record.counts, marks, int(told["first sample in the stream"]), found)
    r = marks.sample[marks.is_beat]
    if (np.diff(r) <= 0).any():
        found.wrong.append(f"{stem.name}: a beat stands twice")
    if counted:
        found.n_records += 1
        found.n_samples += len(record.counts)
        found.n_beats += len(r)
    if header.base_datetime is None:
        raise DataError(f"{stem} has no start")
    begin_s = (header.base_datetime - _EPOCH).total_seconds()
    return begin_s, begin_s + len(record.counts) / header.fs_hz / scale


def _compare(stem: Path, counts: NDArray[np.int32], marks: Annotations, first: int, found: Findings) -> None:
    """Each sample and beat of our own stream at its place."""
    if not np.array_equal(counts, np.rint(1000.0 * _samples_mv(first, len(counts)))):
        found.wrong.append(f"{stem.name}: samples are not at their place")
    r = marks.sample[marks.is_beat] + first
    if not np.array_equal(r, np.arange(-(-first // BEAT_EVERY), -(-first // BEAT_EVERY) + len(r)) * BEAT_EVERY):
        found.wrong.append(f"{stem.name}: a beat is missing")
    # What comes last may be cut off; what was known a second before is there.
    if first + len(counts) - LAG - (r[-1] if len(r) else 0) > MOST_LOST_S * FS_HZ * TIME_SCALE + BEAT_EVERY:
        found.wrong.append(f"{stem.name}: beats of more than {MOST_LOST_S:g} s are missing")


def _other_reader(stem: Path, counts: NDArray[np.int32], marks: Annotations) -> str | None:
    """What the reference reader sees otherwise."""
    import wfdb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            theirs = wfdb.rdrecord(str(stem), physical=False).d_signal
            beats = wfdb.rdann(str(stem), ANNOTATOR).sample
        except Exception as error:  # whatever it is, that reader cannot read this
            return f"wfdb: {type(error).__name__}: {error}"
    same = np.array_equal(theirs, counts) and np.array_equal(beats, marks.sample)
    return None if same else "wfdb reads something else"


@click.command()
@click.option("--times", type=click.IntRange(1), default=200, show_default=True)
@click.option("--longest", "longest_s", default=0.6, show_default=True, help="A kill comes at latest then, s.")
@click.option("--seed", default=0, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Record there; default: a temporary folder.")
@click.option("--command", help="Kill this instead; {folder} is where it records.")
def main(times: int, longest_s: float, seed: int, folder: Path | None, command: str | None) -> None:
    """Fail when a record does not read, more than a second is lost, or a beat stands twice."""
    with tempfile.TemporaryDirectory() as made:
        start = start_sink if command is None else start_command(command)
        found = kill_again_and_again(folder or Path(made), times, start, longest_s, seed)
    lost_ms = 1e3 * np.array(found.lost_s or [0.0])
    click.echo(
        f"{times} kills, {found.n_unborn} before there was a record: {found.n_records} records, "
        f"{found.n_samples} samples, {found.n_beats} beats; "
        f"lost at most {lost_ms.max():.0f} ms, in the middle {np.median(lost_ms):.0f} ms"
    )
    if found.wrong:
        raise DataError("; ".join(found.wrong[:10]), "The recording must survive this")


if __name__ == "__main__":
    main()
