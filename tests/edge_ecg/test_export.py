"""Recordings for other programs: EDF+ as another reader sees it, tables, and what is refused."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyedflib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import MODEL, STREAM, beat, blocks, records, signal_mv, sink

from edge_ecg.cli.main import run
from edge_ecg.export import open_labelled
from edge_ecg.export.edf import write_edf
from edge_ecg.io import write_record
from edge_ecg.types import GapEvent, LeadOffEvent, RhythmEvent, SampleBlock

EXCERPT = Path(__file__).parents[2] / "edge_ecg" / "excerpts" / "mitdb_223"
N = 2613
LOST = (600, 1000)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one record: 10.452 s with a gap, beats and marks; begun at a fraction of a second."""
    folder = tmp_path_factory.mktemp("recorded")
    recording = sink(folder, subject="bed-3")
    stream = replace(STREAM, start_utc_s=STREAM.start_utc_s + 0.25)
    held = [*blocks(0, LOST[0]), *blocks(LOST[1], N)]
    held[0] = SampleBlock(np.where([[k == 7, False] for k in range(50)], np.nan, held[0].samples_mv), 0)
    for block in held:
        recording.take_samples(stream, block)
    for event in (
        MODEL,
        beat(300),
        GapEvent(STREAM, LOST[1], LOST[1] - LOST[0], False),
        LeadOffEvent(STREAM, 1200, True),
        beat(1100, "V", flags=("reject",), confidence=0.5),
        RhythmEvent(STREAM, 1500, 1300, "af_suspected", 0.8),
    ):
        recording.emit(event)
    recording.close()
    return records(folder)[0]


def edf_of(file: Path):
    """Signals in mV, annotations and facts, by pyedflib."""
    with pyedflib.EdfReader(str(file)) as edf:
        signals = np.stack([edf.readSignal(k) for k in range(edf.signals_in_file)], axis=1)
        onsets, durations, texts = edf.readAnnotations()
        facts = {
            "labels": edf.getSignalLabels(),
            "units": [edf.getPhysicalDimension(k) for k in range(edf.signals_in_file)],
            "fs_hz": edf.getSampleFrequencies().tolist(),
            "start": edf.getStartdatetime().replace(microsecond=0).isoformat(),
            "patient": edf.getPatientName(),
            "equipment": edf.getEquipment(),
            "more": edf.getRecordingAdditional(),
        }
    notes = [(round(float(o), 4), round(float(d), 4), t) for o, d, t in zip(onsets, durations, texts, strict=True)]
    return signals, notes, facts


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as held:
        return list(csv.DictReader(held))


def test_edf_as_another_reader_sees_it(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "r.edf"
    assert run(["export", str(recorded), "--format", "edf", "--out", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: 10.5 s, 2 beats\n"
    held_mv, notes, facts = edf_of(file)
    assert facts == {
        "labels": ["I", "II"],
        "units": ["mV", "mV"],
        "fs_hz": [250.0, 250.0],
        "start": "2026-01-01T12:00:00",
        "patient": "bed-3",
        "equipment": "edge-ecg",
        "more": "research_use no_medical_device",
    }
    assert b"+0.25\x14\x14" in file.read_bytes()  # the fraction (pyedflib 0.1.42 tells a tenth of it)
    expected_mv = signal_mv(0, N)
    expected_mv[7, 0] = expected_mv[6, 0]
    expected_mv[LOST[0] : LOST[1]] = expected_mv[LOST[0] - 1]
    assert np.abs(held_mv[:N] - expected_mv).max() < 1e-4
    assert len(held_mv) == 11 * 250
    assert (held_mv[N:] == held_mv[N - 1]).all()
    assert sorted(notes) == sorted(
        [
            (0.028, 0.004, "no signal in I"),
            (1.2, -1.0, "N"),
            (2.4, -1.0, "gap of 400 samples"),
            (2.4, 1.6, "no signal"),
            (4.4, -1.0, "V"),
            (4.8, -1.0, "lead off"),
            (5.2, -1.0, "(AFIB"),
            (N / 250, (2750 - N) / 250, "no signal"),
        ]
    )


@settings(max_examples=25, deadline=None)
@given(
    fs_hz=st.sampled_from([100.0, 128.0, 249.97, 250.0, 360.0, 1000.0 / 3.0, 360.5, 999.9]),
    gain=st.sampled_from([100.0, 200.0, 500.0, 1000.0, 333.3, 46.7]),
    baseline=st.sampled_from([0, 1024, -32000, -150_000]),
    n=st.integers(1, 3000),
    start=st.datetimes(datetime(1990, 1, 1), datetime(2080, 1, 1)),
)
def test_any_record_keeps_its_values_and_its_time(tmp_path_factory, fs_hz, gain, baseline, n, start) -> None:
    folder = tmp_path_factory.mktemp("any")
    counts = np.random.default_rng(n).integers(-32767, 32768, (n, 2))
    write_record(folder / "r", counts, fs_hz, ["I", "V1"], gain, baseline, fmt="16")
    labelled = open_labelled(folder / "r")
    header = replace(labelled.record.header, base_datetime=start)
    write_edf(replace(labelled, record=replace(labelled.record, header=header)), folder / "r.edf")
    held_mv, notes, facts = edf_of(folder / "r.edf")
    assert abs(datetime.fromisoformat(facts["start"]) - start) <= timedelta(seconds=1)
    expected_mv = (counts - baseline) / gain
    assert np.abs(held_mv[:n] - expected_mv).max() < 0.51 / gain + 1e-6 * np.abs(expected_mv).max()
    assert facts["fs_hz"] == pytest.approx([fs_hz] * 2, rel=2e-6)
    assert all(text == "no signal" for _, _, text in notes)


def test_an_hour_that_begins_anywhere_is_read_by_strict_readers(tmp_path: Path) -> None:
    """Each data record tells its time, and is held to it to the last digit."""
    write_record(tmp_path / "r", np.zeros((360_000, 1), int), 100.0, ["I"], fmt="16")
    labelled = open_labelled(tmp_path / "r")
    for microsecond in (1, 123_457, 202_312, 999_999):
        start = datetime(2026, 1, 31, 23, 59, 59, microsecond)
        header = replace(labelled.record.header, base_datetime=start)
        write_edf(replace(labelled, record=replace(labelled.record, header=header)), tmp_path / "r.edf")
        assert len(edf_of(tmp_path / "r.edf")[0]) == 360_000


def test_a_record_of_others_is_exported_with_its_annotations(tmp_path: Path) -> None:
    assert run(["export", str(EXCERPT), "--format", "edf", "--out", str(tmp_path / "x.edf")]) == 0
    _, notes, facts = edf_of(tmp_path / "x.edf")
    assert facts["labels"] == ["MLII", "V1"]
    texts = [text for _, _, text in notes]
    assert (texts.count("V"), texts.count("A"), texts[0]) == (122, 23, "(N")


def test_arbitrary_units_are_not_called_millivolts(tmp_path: Path) -> None:
    recording = sink(tmp_path)
    for block in blocks(0, 500):
        recording.take_samples(replace(STREAM, calibrated=False), block)
    recording.close()
    write_edf(open_labelled(records(tmp_path)[0]), tmp_path / "x.edf")
    assert edf_of(tmp_path / "x.edf")[2]["units"] == ["au", "au"]
    assert run(["export", str(records(tmp_path)[0]), "--format", "csv", "--out", str(tmp_path / "x.csv")]) == 0
    assert list(table(tmp_path / "x.csv")[0]) == ["time_s", "I_au", "II_au"]


def test_tables(recorded: Path, tmp_path: Path) -> None:
    assert run(["export", str(recorded), "--format", "csv", "--out", str(tmp_path / "r.csv")]) == 0
    rows = table(tmp_path / "r.csv")
    assert len(rows) == N
    expected_mv = signal_mv(0, N)
    for at in (0, 6, 599, 1000, N - 1):
        assert float(rows[at]["time_s"]) == pytest.approx(at / 250)
        assert [float(rows[at][name]) for name in ("I_mV", "II_mV")] == pytest.approx(
            expected_mv[at].tolist(), abs=1e-6
        )
    assert [(rows[at]["I_mV"], rows[at]["II_mV"]) for at in (600, 999)] == [("", "")] * 2
    assert (rows[7]["I_mV"], float(rows[7]["II_mV"])) == ("", -2.0)
    assert table(tmp_path / "r-beats.csv") == [
        dict(zip(table(tmp_path / "r-beats.csv")[0], row.split(","), strict=True))
        for row in (
            "300,1.200000,2026-01-01T12:00:01.450Z,II,N,0.93,0,",
            "1100,4.400000,2026-01-01T12:00:04.650Z,II,V,0.50,1,",
        )
    ]
    assert [(row["sample"], row["symbol"], row["note"]) for row in table(tmp_path / "r-marks.csv")] == [
        ("600", '"', "gap of 400 samples"),
        ("1200", "~", "lead off"),
        ("1300", "+", "(AFIB"),
    ]


def test_a_day_is_exported_record_by_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for at in (0.0, 60.0):
        recording = sink(tmp_path / "in")
        for block in blocks(0, 500):
            recording.take_samples(replace(STREAM, start_utc_s=STREAM.start_utc_s + at), block)
        recording.close()
    day = tmp_path / "in" / "2026-01-01"
    assert run(["export", str(day), "--format", "edf", "--out", str(tmp_path / "out")]) == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["subject_120000.edf", "subject_120100.edf"]
    assert run(["export", str(tmp_path), "--format", "edf"]) == 5
    assert "there is no record in" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["edf", "csv"])
def test_what_is_there_is_replaced_only_when_asked_for(recorded, tmp_path, capsys, form: str) -> None:
    last = tmp_path / ("r.edf" if form == "edf" else "r-marks.csv")
    last.write_text("mine")
    arguments = ["export", str(recorded), "--format", form, "--out", str(tmp_path / f"r.{form}")]
    assert run(arguments) == 2
    assert (
        f"{last} is there already. Name another place with --out, or replace it with --force" in capsys.readouterr().err
    )
    assert [file.read_text() for file in tmp_path.iterdir()] == ["mine"]
    assert run([*arguments, "--force"]) == 0
    assert last.read_bytes() != b"mine"


def test_what_fails_half_way_leaves_what_was_there(recorded: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "r.csv").write_text("mine")
    (tmp_path / "r-marks.csv.part").mkdir()
    arguments = ["export", str(recorded), "--format", "csv", "--out", str(tmp_path / "r.csv"), "--force"]
    assert run(arguments) == 5
    assert "cannot be written: Is a directory" in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["r-marks.csv.part", "r.csv"]
    assert (tmp_path / "r.csv").read_text() == "mine"


def test_a_record_that_was_cut_off_is_exported_as_far_as_it_goes(recorded: Path, tmp_path: Path, capsys) -> None:
    for suffix in (".hea", ".dat", ".edge"):
        held = recorded.with_suffix(suffix).read_bytes()
        (tmp_path / recorded.name).with_suffix(suffix).write_bytes(held if suffix == ".hea" else held[:-5])
    assert run(["export", str(tmp_path / recorded.name), "--format", "edf", "--out", str(tmp_path)]) == 0
    assert "cut short" in capsys.readouterr().err
    assert len(edf_of((tmp_path / recorded.name).with_suffix(".edf"))[0]) == 2750


def test_without_the_library_the_next_step_is_told(recorded: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['edfio'] = None; from edge_ecg.cli.main import run; sys.exit(run(sys.argv[1:]))"
    arguments = ["export", str(recorded), "--format", "edf", "--out", str(tmp_path / "x.edf")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        'edge-ecg: EDF needs edfio, which is not installed. Run `pip install "edge-ecg[export]"`, or export csv'
    )
    assert not list(tmp_path.iterdir())
