"""Infarction or healthy: lead-I recordings and raw PTB records."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError
from edge_ecg.front import inputs_of_record
from edge_ecg.io import read_record, write_record
from train.load import load_data
from train.ptb import PTB_BEATS, PTB_PATIENTS, build_ptb, build_ptbdb, diagnosis_label
from train.recordings import lead1_pieces
from train.splits import N_FOLDS, check_trains, split_of
from train.windows import detect_record

PARAMS = PreprocessParams()


@pytest.fixture(autouse=True)
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))


def copy_lead1(source: Path, folder: Path, subjects: dict[str, str]) -> None:
    """A database of a few subjects, with diagnoses of our choice."""
    for sub in ("data_ECG", "data_Rpeaks"):
        (folder / sub).mkdir(parents=True)
    rows = ["subject,ptbdb_patient,sex,age_years,diagnosis,hr_min_bpm,hr_mean_bpm,hr_max_bpm"]
    for k, (subject, diagnosis) in enumerate(subjects.items()):
        rows.append(f"{subject},{k + 1},F,50,{diagnosis},60,70,80")
        for name in (f"data_ECG/subject_{subject}.csv", f"data_Rpeaks/Rpeaks_subject_{subject}.csv"):
            shutil.copy(source / name, folder / name)
    (folder / "subjects.csv").write_text("\n".join(rows) + "\n")


def small(monkeypatch: pytest.MonkeyPatch, people: tuple[int, int], beats: tuple[int, int]) -> None:
    monkeypatch.setattr("train.ptb.PTB_PATIENTS", people)
    monkeypatch.setattr("train.ptb.PTB_BEATS", beats)


@pytest.mark.parametrize(
    ("text", "label"),
    [("Healthy", 0), ("Healthy control", 0), ("Myocardial infarction", 1), ("myocardial Infarction ", 1),
     ("Cardiomyopathy", None), ("n/a", None), ("", None)],
)  # fmt: skip
def test_diagnoses(text: str, label: int | None) -> None:
    assert diagnosis_label(text) == label


def test_a_few_lead_1_people(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = data_dir / "ecgdb_lead1"
    people = {"319": "Myocardial infarction", "320": "Cardiomyopathy", "321": "Healthy"}
    copy_lead1(source, tmp_path / "ecgdb_lead1", people)
    n = {s: sum(len(p.r) - 1 for p in lead1_pieces(source, s)) for s in people}
    small(monkeypatch, (1, 1), (n["321"], n["319"]))
    data = build_ptb(PARAMS, tmp_path)
    assert (data.dataset, data.label_set, data.lead, data.segmentation) == ("ptb", "binary", "I", "causal")
    assert np.array_equal(data.labels, np.repeat([1, 0], [n["319"], n["321"]]))
    assert np.array_equal(data.records, np.repeat([319, 321], [n["319"], n["321"]]))
    assert np.array_equal(data.patients, np.repeat([1, 3], [n["319"], n["321"]]))
    assert 0 <= data.windows.min() < data.windows.max() <= 1
    # R is the first sample, and the tallest thing of most beats of lead I.
    assert np.median(data.windows[:, 0]) > 0.7
    # Who is healthy decides the labels: another list is another set.
    again = build_ptb(PARAMS, tmp_path)
    assert again.sha256 == data.sha256
    text = (tmp_path / "ecgdb_lead1" / "subjects.csv").read_text()
    (tmp_path / "ecgdb_lead1" / "subjects.csv").write_text(text.replace("Cardiomyopathy", "Healthy"))
    with pytest.raises(DataError, match=r"\(2, 1\).*expected are \(\(1, 1\)"):
        build_ptb(PARAMS, tmp_path)


def test_no_window_reaches_into_the_next_recording(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows a recording does not change its windows."""
    source = data_dir / "ecgdb_lead1"
    sets = []
    for name, reverse in (("one", False), ("other", True)):
        folder = tmp_path / name / "ecgdb_lead1"
        copy_lead1(source, folder, {"319": "Healthy", "321": "Myocardial infarction"})
        n = [sum(len(p.r) - 1 for p in lead1_pieces(source, s)) for s in ("319", "321")]
        small(monkeypatch, (1, 1), (n[0], n[1]))
        if reverse:  # the last recording of the first person upside down
            file = folder / "data_ECG" / "subject_319.csv"
            volts = np.loadtxt(file, delimiter=",")
            volts[-1] = volts[-1, 0] - 3 * (volts[-1] - volts[-1, 0])
            np.savetxt(file, volts, delimiter=",")
        sets.append(build_ptb(PARAMS, tmp_path / name))
    n_before = sum(len(p.r) - 1 for p in lead1_pieces(source, "319")[:-1])
    n_person = n_before + len(lead1_pieces(source, "319")[-1].r) - 1
    one, other = (s.windows for s in sets)
    assert np.array_equal(one[: n_before - 1], other[: n_before - 1])
    assert not np.array_equal(one[n_before:n_person], other[n_before:n_person])
    assert np.array_equal(one[n_person:], other[n_person:])


def test_a_missing_lead_1_database_and_a_half_one(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"subjects\.csv is missing.*edge-ecg data fetch ecgdb_lead1"):
        build_ptb(PARAMS, tmp_path)
    folder = tmp_path / "ecgdb_lead1"
    copy_lead1(data_dir / "ecgdb_lead1", folder, {"319": "Healthy", "320": "Myocarditis", "321": "Healthy"})
    (folder / "data_Rpeaks" / "Rpeaks_subject_321.csv").unlink()
    (folder / "data_ECG" / "subject_320.csv").unlink()  # nobody asks for this one
    with pytest.raises(DataError, match=r"missing or empty: \S*Rpeaks_subject_321\.csv\. Get.*data fetch ecgdb_lead1"):
        build_ptb(PARAMS, tmp_path)
    shutil.copy(data_dir / "ecgdb_lead1" / "data_Rpeaks" / "Rpeaks_subject_321.csv", folder / "data_Rpeaks")
    (folder / "data_ECG" / "subject_319.csv").write_text("0.1,0.2\nhello")
    with pytest.raises(DataError, match=r"subject_319\.csv: expected 10 lines of 1250 values, found 2 values in"):
        build_ptb(PARAMS, tmp_path)
    (folder / "subjects.csv").write_text("subject,who\n319,me\n")
    with pytest.raises(DataError, match="is not the list of subjects"):
        build_ptb(PARAMS, tmp_path)
    assert not list((tmp_path / "runs").rglob("*.npz"))


@pytest.mark.parametrize(
    ("file", "damage", "told"),
    [
        ("data_ECG/subject_319.csv", lambda t: t[: t.rindex("\n", 0, -1) + 1], "found 9 lines; it is cut short"),
        ("data_Rpeaks/Rpeaks_subject_319.csv", lambda t: t[: len(t) // 2 - 300], r"found \d+ values in line 5 of 5;"),
        ("data_ECG/subject_319.csv", lambda t: "hello" + t[t.index(",") :], "expected numbers, .*hello"),
        ("data_ECG/subject_319.csv", lambda t: "nan" + t[t.index(",") :], "line 1: expected finite numbers"),
        ("subjects.csv", lambda t: t[: t.rindex("F,50")], "line 3: expected two numbers and a diagnosis, found"),
        ("subjects.csv", lambda t: "", "expected a column subject, found nothing"),
    ],
    ids=["at-a-line-end", "in-a-line", "no-number", "nan", "list", "empty-list"],
)
def test_a_lead_1_file_cut_short_is_told_in_own_words(
    data_dir: Path, tmp_path: Path, file: str, damage: Callable[[str], str], told: str
) -> None:
    folder = tmp_path / "ecgdb_lead1"
    copy_lead1(data_dir / "ecgdb_lead1", folder, {"319": "Healthy", "321": "Myocardial infarction"})
    (folder / file).write_text(damage((folder / file).read_text()))
    with pytest.raises(DataError, match=rf"{re.escape(file)}.*{told}.*edge-ecg data fetch ecgdb_lead1"):
        build_ptb(PARAMS, tmp_path)


def test_the_lead_1_database(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = build_ptb(PARAMS, data_dir)
    assert sum(PTB_BEATS) == len(data.labels) == 20_067
    assert tuple(np.bincount(data.labels)) == PTB_BEATS
    of_class = [len(set(data.patients[data.labels == k].tolist())) for k in (0, 1)]
    assert tuple(of_class) == PTB_PATIENTS == (51, 126)
    assert len(set(data.patients.tolist())) == 177
    for fold in range(N_FOLDS):
        split = split_of(data, "patient", fold)
        test = [len(set(data.patients[split.test][data.labels[split.test] == k].tolist())) for k in (0, 1)]
        assert test[0] in (10, 11)
        assert test[1] in (25, 26)
    capsys.readouterr()
    assert build_ptb(PARAMS, data_dir).sha256 == data.sha256
    assert "beat windows" not in capsys.readouterr().err


# Raw records


def ptbdb_record(source: Path, stem: Path, reason: str, seconds: int = 20) -> None:
    """The first seconds of a raw record as somebody else's, with lead II alone of the twelve."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    record = read_record(source)
    counts = record.counts[: 1000 * seconds, 1:2]
    comments = ["age: 50", f"Reason for admission: {reason}"]
    write_record(stem, counts, 1000.0, ["ii"], 2000.0, fmt="16", comments=comments)


def test_the_raw_records_there_are(data_dir: Path) -> None:
    data = build_ptbdb(PARAMS, data_dir)
    assert (data.dataset, data.label_set, data.lead) == ("ptbdb", "binary", "II")
    assert set(data.records.tolist()) == {10, 14, 16}
    assert len(set(data.patients.tolist())) == 1, "side by side in one folder: one person's"
    assert set(data.labels.tolist()) == {1}
    # All of them infarctions: to be tested on, not to learn from.
    split = split_of(data, "random")
    assert len(split.test)
    with pytest.raises(DataError, match=r"two classes or more .*of ptbdb has \d+ beats of abnormal alone.*fetch ptbdb"):
        check_trains(data, split)
    # By another way: the record's own second lead through the detector and the device's preprocessing.
    record = read_record(data_dir / "ptbdb" / "s0010_re")
    samples_mv = record.samples_mv([1])[:, 0].astype(np.float64)
    r = detect_record(samples_mv, 1000.0)
    assert 40 < len(r) < 70  # 38.4 s at 81 beats a minute
    expected = np.stack([w.inputs for w in inputs_of_record(samples_mv, 1000.0, r, PARAMS)])[:-1]
    assert np.array_equal(data.windows[data.records == 10], expected)


def test_raw_records_by_diagnosis_and_by_patient_folder(data_dir: Path, tmp_path: Path) -> None:
    source, folder = data_dir / "ptbdb" / "s0010_re", tmp_path / "ptbdb"
    ptbdb_record(source, folder / "patient104" / "s0306lre", "Healthy control")
    ptbdb_record(source, folder / "patient007" / "s0026lre", "Myocardial infarction")
    ptbdb_record(source, folder / "patient007" / "s0029lre", "Myocardial infarction")
    ptbdb_record(source, folder / "patient008" / "s0028lre", "Valvular heart disease")
    (folder / "RECORDS").write_text(
        "patient007/s0026lre\npatient007/s0029lre\npatient008/s0028lre\npatient104/s0306lre\n"
    )
    data = build_ptbdb(PARAMS, tmp_path)
    told = set(zip(data.records.tolist(), data.patients.tolist(), data.labels.tolist(), strict=True))
    assert told == {(26, 7, 1), (29, 7, 1), (306, 104, 0)}
    check_trains(data, split_of(data, "random"))
    (folder / "patient104" / "s0306lre.dat").unlink()
    with pytest.raises(DataError, match=r"s0306lre\.dat is missing.*edge-ecg data fetch ptbdb"):
        build_ptbdb(PARAMS, tmp_path)


def test_raw_records_that_cannot_train(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, folder = data_dir / "ptbdb" / "s0010_re", tmp_path / "ptbdb"
    with pytest.raises(DataError, match=r"there is no record.*edge-ecg data fetch ptbdb"):
        build_ptbdb(PARAMS, tmp_path)
    ptbdb_record(source, folder / "patient008" / "s0028lre", "n/a")
    with pytest.raises(DataError, match=r"none of the 1 records.*Reason for admission"):
        build_ptbdb(PARAMS, tmp_path)
    ptbdb_record(source, folder / "patient009" / "s0029lre", "Healthy control")
    file = folder / "patient009" / "s0029lre.dat"
    whole = file.read_bytes()
    file.write_bytes(whole[:500] + b"\x07\x07" + whole[502:])
    with pytest.raises(DataError, match="s0029lre: lead II is not what the header says"):
        build_ptbdb(PARAMS, tmp_path)
    file.write_bytes(whole[:500])
    with pytest.raises(DataError, match=r"s0029lre\.dat has 500 bytes of 40000"):
        build_ptbdb(PARAMS, tmp_path)
    monkeypatch.setenv("EDGE_ECG_DATA", str(tmp_path))
    header = folder / "patient009" / "s0029lre.hea"
    header.write_text(header.read_text().replace(" ii", " v9"))
    with pytest.raises(DataError, match=r"has no lead ii \(it has v9\)"):
        load_data("ptbdb", "random", PARAMS)
