"""A patient's memory on the device: kept from run to run, never trusted blindly, never the end of a run."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rhythm_bundles import classifier_of, write_rhythm

from edge_ecg.cli.main import run
from edge_ecg.context.memory import PatientMemory
from edge_ecg.context.recognition import N_BEATS
from edge_ecg.context.saved import About, pack_memory, unpack_memory
from edge_ecg.context.tracker import CONTEXT_VERSION, LEARNT
from edge_ecg.errors import DataError
from edge_ecg.infer.rhythm import RhythmClassifier
from edge_ecg.io import read_record
from edge_ecg.patient import SAVE_EVERY_S, PatientFile, forget_patient
from edge_ecg.runner import Runner
from edge_ecg.settings import PatientSettings
from edge_ecg.sinks.jsonl import as_json
from edge_ecg.sources.replay import open_replay
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from edge_ecg.types import Classified, Event, GapEvent, LinkEvent, StreamInfo
from firmware_bridge.simulator import PtyBoard, VirtualBoard

NOW_S = 1.7e9
STREAM = StreamInfo("s", 100.0, ("II",))


class Kept:
    """Keeps the beats."""

    lasting = False

    def __init__(self) -> None:
        self.beats: list[Classified] = []

    def emit(self, event: Event) -> None:
        if isinstance(event, Classified):
            self.beats.append(event)

    def close(self) -> None:
        pass


TO_RECOGNISE = N_BEATS // 2
"""Beats that are like what was kept, until the patient is taken for the one who is known."""


class JsonRows:
    """Keeps the lines."""

    lasting = False

    def __init__(self) -> None:
        self.rows: list[dict] = []

    def emit(self, event: Event) -> None:
        self.rows.append(as_json(event))

    def close(self) -> None:
        pass


class Device:
    """Runs the excerpt with a patient, and keeps what the user was told."""

    def __init__(self, folder: Path, classifier: RhythmClassifier) -> None:
        self.settings = PatientSettings("bed-3", str(folder))
        self.file = folder / "bed-3@MLII.npz"
        self.classifier = classifier
        self.told: list[str] = []

    def patient(self, lead: str = "MLII", *, at_s: float = NOW_S, **options: object) -> PatientFile:
        self.told.clear()
        return PatientFile("bed-3", self.settings, lead, self.told.append, clock=lambda: at_s, **options)

    def run(self, patient: PatientFile) -> list[Classified]:
        kept = Kept()
        Runner(open_replay(EXCERPT), self.classifier, [kept, patient], memory=patient.memory).run()
        return kept.beats


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> RhythmClassifier:
    return classifier_of(write_rhythm(tmp_path_factory.mktemp("models") / "m"))


@pytest.fixture
def device(tmp_path: Path, classifier: RhythmClassifier) -> Device:
    return Device(tmp_path / "patients", classifier)


def known_patient(n_beats: int = 2 * LEARNT) -> PatientMemory:
    memory, rng = PatientMemory(), np.random.default_rng(1)
    for _ in range(n_beats):
        memory.take(rng.normal(size=113), 0.8, 0.8)
    return memory


def keep(device: Device, about: About) -> bytes:
    """A file as another run left it."""
    device.file.parent.mkdir(parents=True, exist_ok=True)
    packed = pack_memory(known_patient(), about)
    device.file.write_bytes(packed)
    return packed


ABOUT = About("bed-3", "MLII", NOW_S)


def test_a_second_run_knows_the_patient(device: Device) -> None:
    first = device.patient()
    assert device.told == ["patient   bed-3: not known yet, learnt in about a minute"]
    beats = device.run(first)
    assert sum("learning" in b.beat.flags for b in beats) == LEARNT + 1
    again = device.patient(at_s=NOW_S + 7200.0)
    assert device.told == ["patient   bed-3: taken up as known 2.0 h ago; --forget starts anew"]
    assert pack_memory(again.memory, ABOUT) == pack_memory(first.memory, ABOUT)
    known = device.run(again)
    assert sum("learning" in b.beat.flags for b in known) == TO_RECOGNISE
    assert [b.beat.r_index for b in known] == [b.beat.r_index for b in beats]
    assert known[TO_RECOGNISE + 3].confidence > beats[TO_RECOGNISE + 3].confidence
    assert list(device.file.parent.iterdir()) == [device.file], "nothing half written stays"
    assert device.file.parent.stat().st_mode & 0o077 == 0, "patients are nobody else's business"


def test_another_person_is_noticed_and_learnt_anew(device: Device, data_dir: Path) -> None:
    kept = device.patient()
    Runner(open_replay(data_dir / "mitdb" / "100"), device.classifier, [kept], memory=kept.memory).run()
    again, beats, told = device.patient(), Kept(), JsonRows()
    sinks = [beats, told, again]
    runner = Runner(open_replay(data_dir / "mitdb" / "214"), device.classifier, sinks, memory=again.memory)
    runner.run()
    assert "not the one who was kept, or other electrodes: learnt anew" in device.told[-1]
    (row,) = [row for row in told.rows if row["type"] == "patient"]
    assert row["known"] is False
    at = next(i for i, beat in enumerate(beats.beats) if beat.beat.r_index == row["sample"])
    assert at < N_BEATS
    assert all("learning" in beat.beat.flags for beat in beats.beats[: at + LEARNT])
    assert not any("learning" in beat.beat.flags for beat in beats.beats[at + LEARNT + 2 :])


def test_a_runner_without_a_patient_begins_anew_with_each_stream(device: Device) -> None:
    memory = PatientMemory()
    for n_learning in (LEARNT + 1, TO_RECOGNISE):
        kept = Kept()
        Runner(open_replay(EXCERPT), device.classifier, [kept], memory=memory).run()
        assert sum("learning" in b.beat.flags for b in kept.beats) == n_learning
    kept = Kept()
    Runner(open_replay(EXCERPT), device.classifier, [kept]).run()
    assert sum("learning" in b.beat.flags for b in kept.beats) == LEARNT + 1


NOT_TAKEN: dict[str, tuple[About, str]] = {
    "too old": (replace(ABOUT, saved_utc_s=NOW_S - 25 * 3600), "25.0 h old, more than 24 h"),
    "from a clock gone wrong": (replace(ABOUT, saved_utc_s=NOW_S + 48 * 3600), "48.0 h old"),
    "of another lead": (replace(ABOUT, lead="V1"), "of lead V1, not of lead MLII"),
    "upside down": (replace(ABOUT, lead="-MLII"), "of lead MLII upside down, not of lead MLII"),
    "of somebody else": (replace(ABOUT, patient="bed-4"), "of bed-4"),
    "of another version": (replace(ABOUT, version=CONTEXT_VERSION + 1), f"version {CONTEXT_VERSION + 1}"),
}


@pytest.mark.parametrize("what", NOT_TAKEN)
def test_what_is_not_this_patient_now_is_learnt_anew(device: Device, what: str) -> None:
    about, expected = NOT_TAKEN[what]
    before = keep(device, about)
    patient = device.patient()
    (line,) = device.told
    assert line.startswith("patient   bed-3: learnt anew: ")
    assert expected in line
    assert patient.memory.intervals.n == 0
    patient.close()
    assert device.file.read_bytes() == before, "who is not known yet replaces nobody"
    device.run(device.patient())
    assert unpack_memory(device.file.read_bytes())[1] == ABOUT


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_told_in_a_line(
    tmp_path_factory: pytest.TempPathFactory, classifier: RhythmClassifier, data: st.DataObject
) -> None:
    device = Device(tmp_path_factory.getbasetemp() / "damaged", classifier)
    packed = bytearray(keep(device, ABOUT))
    if data.draw(st.booleans()):
        device.file.write_bytes(packed[: data.draw(st.integers(0, len(packed) - 1))])
    else:
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
        device.file.write_bytes(packed)
    patient = device.patient()
    (line,) = device.told
    assert "\n" not in line
    assert ("taken up" in line) == (patient.memory.intervals.n > 0)


def test_whom_one_forgets_is_gone_at_once(device: Device) -> None:
    keep(device, ABOUT)
    others = {device.file.with_name(f"{name}@MLII.npz") for name in ("bed-4", "bed-3.1", "bed-33")}
    # Another lead, and what a run that was killed while it wrote has left.
    for file in (*others, device.file.with_name("bed-3@-V1.npz"), device.file.with_name("bed-3@MLII.npz.77.part")):
        file.write_bytes(b"")
    device.told.clear()
    for _ in range(2):
        forget_patient("bed-3", device.settings, device.told.append)
        assert set(device.file.parent.iterdir()) == others
    assert device.told == ["patient   bed-3: forgotten"] * 2
    assert device.patient().memory.intervals.n == 0


def test_who_cannot_be_forgotten_labels_nobody(device: Device) -> None:
    device.file.mkdir(parents=True)
    with pytest.raises(DataError, match="not forgotten") as raised:
        forget_patient("bed-3", device.settings, device.told.append)
    assert str(device.file) in raised.value.message
    assert device.told == []


def test_it_is_kept_each_minute_of_the_stream_and_at_the_end(device: Device) -> None:
    patient = device.patient()
    patient.memory = known_patient()

    def tell_of(stream: StreamInfo, t_s: float) -> bool:
        """Whether an event of then made it save."""
        patient.emit(GapEvent(stream, round(t_s * stream.fs_hz), 1, interpolated=True))
        was_saved = device.file.exists()
        device.file.unlink(missing_ok=True)
        return was_saved

    assert not tell_of(STREAM, 1000.0)
    assert not tell_of(STREAM, 1000.0 + SAVE_EVERY_S - 0.1)
    assert tell_of(STREAM, 1000.0 + SAVE_EVERY_S)
    assert not tell_of(STREAM, 1000.0 + 1.5 * SAVE_EVERY_S)
    other = replace(STREAM, stream="other")
    assert not tell_of(other, 0.0)
    assert not tell_of(other, 0.9 * SAVE_EVERY_S)
    assert tell_of(other, 1.1 * SAVE_EVERY_S)
    patient.emit(LinkEvent("ended", "x"))
    patient.close()
    assert device.file.exists()


@contextmanager
def files_no_larger_than(n_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_once_and_what_was_kept_stays(device: Device) -> None:
    before = keep(device, ABOUT)
    patient = device.patient()
    device.told.clear()
    with files_no_larger_than(100):
        for _ in range(3):
            patient.close()
    (line,) = device.told
    assert "cannot be kept in" in line
    assert "labels go on" in line
    assert device.file.read_bytes() == before
    assert list(device.file.parent.iterdir()) == [device.file]
    patient.memory = known_patient(3 * LEARNT)
    patient.close()
    assert device.file.read_bytes() != before
    assert len(device.told) == 1


@pytest.mark.parametrize("forget", [False, True])
def test_a_folder_that_cannot_be_is_no_end(device: Device, forget: bool) -> None:
    device.file.parent.write_text("a file")
    if forget:
        forget_patient("bed-3", device.settings, device.told.append)
    patient = device.patient()
    assert "cannot be kept in" in device.told[-1], "told when the run begins"
    assert "patient.folder" in device.told[-1]
    n_told = len(device.told)
    beats = device.run(patient)
    assert len(beats) > 490
    assert all(line.startswith("patient   bed-3: ") for line in device.told)
    assert len(device.told) == n_told, "and once"
    assert device.file.parent.read_text() == "a file"


@settings(deadline=None)
@given(st.text(max_size=80))
def test_a_name_is_the_name_of_a_file_and_no_path(name: str) -> None:
    try:
        PatientSettings(name, "/p")
    except ValueError:
        return
    file = Path("/p") / f"{name}@MLII.npz"
    assert file.parent == Path("/p")
    assert name.isascii()
    assert "@" not in name
    assert not name.startswith(".")


# From the command line


def short_board() -> VirtualBoard:
    """A minute of the excerpt, as fast as it goes."""
    return VirtualBoard(board_of_record(EXCERPT, 1e6).info, read_record(EXCERPT).counts[:25_000] - 1024, 1e6)


@pytest.fixture(name="edge_ecg")
def edge_ecg_fixture(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, list[dict], str]]:
    """Run a board with a minute of ECG; gives exit code, JSON lines of beats, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write_rhythm(tmp_path / "tiny")

    def call(*args: str) -> tuple[int, list[dict], str]:
        with PtyBoard(short_board()) as board:
            code = run(["run", "--port", board.path, "--jsonl", "-", *args])
        captured = capsys.readouterr()
        rows = map(json.loads, captured.out.splitlines())
        return code, [row for row in rows if row["type"] == "beat"], captured.err

    return call


def n_learning(rows: list[dict]) -> int:
    return sum("learning" in row["flags"] for row in rows)


def test_run_knows_the_patient_again_until_told_to_forget(edge_ecg: Callable, tmp_path: Path) -> None:
    file = tmp_path / "state" / "edge-ecg" / "patients" / "bed-3@MLII.npz"
    assert n_learning(edge_ecg("--model", "tiny")[1]) == LEARNT + 1
    assert not file.exists(), "without --patient nothing is kept"
    code, rows, err = edge_ecg("--model", "tiny", "--patient", "bed-3")
    assert (code, n_learning(rows)) == (0, LEARNT + 1)
    assert "patient   bed-3: not known yet" in err
    assert file.exists()
    code, rows, err = edge_ecg("--model", "tiny", "--patient", "bed-3")
    assert (code, n_learning(rows)) == (0, TO_RECOGNISE)
    assert "patient   bed-3: taken up as known " in err
    _, rows, err = edge_ecg("--model", "tiny", "--patient", "bed-3", "--invert")
    assert n_learning(rows) == LEARNT + 1
    assert "patient   bed-3: not known yet" in err
    assert n_learning(edge_ecg("--model", "tiny", "--patient", "bed-3")[1]) == TO_RECOGNISE, "another file"
    _, rows, err = edge_ecg("--model", "tiny", "--patient", "bed-3", "--invert", "--forget")
    assert n_learning(rows) == LEARNT + 1
    assert "forgotten" in err


def test_run_tells_what_makes_no_sense(edge_ecg: Callable, tmp_path: Path) -> None:
    code, rows, err = edge_ecg("--patient", "bed-3", "--model", "mitdb-baseline-int8")
    assert (code, len(rows) > 80) == (0, True)
    assert "note      mitdb-baseline-int8 follows no patient: nothing more of bed-3 is kept" in err
    for flags, told in (
        (("--forget",), "Name the patient with --patient"),
        (("--patient", "../bed"), '"patient.name" must be of letters'),
        (("--patient", "bed-3", "--model", "tiny", "--operating-point", "bold"), "few-false-alarms"),
        (("--patient", ""), '"patient.name" must be of letters'),
    ):
        code, rows, err = edge_ecg(*flags)
        assert (code, rows) == (2, [])
        assert told in err
    assert not (tmp_path / "state" / "edge-ecg" / "patients").exists()


def test_output_that_is_lost_is_an_error_whoever_the_patient_is(edge_ecg: Callable, tmp_path: Path) -> None:
    with PtyBoard(short_board()) as board, open("/dev/full", "w") as full:
        command = ["run", "--port", board.path, "--model", "tiny", "--patient", "bed-3", "--jsonl", "-"]
        done = subprocess.run(
            [sys.executable, "-m", "edge_ecg.cli.main", *command], stdout=full, stderr=subprocess.PIPE, cwd=tmp_path,
            text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "events were not written" in done.stderr
    assert (tmp_path / "state" / "edge-ecg" / "patients" / "bed-3@MLII.npz").exists()
