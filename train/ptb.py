"""Infarction or healthy, by beats of the PTB Diagnostic patients: the lead-I recordings, and the raw records.

The diagnosis is a person's, so every beat of theirs carries it; people with neither diagnosis are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_ecg.datasets import data_root
from edge_ecg.dsp.preprocess import Preprocessor, PreprocessParams
from edge_ecg.errors import DataError
from edge_ecg.front import inputs_of_record
from edge_ecg.io import read_record
from edge_ecg.io.header import read_header
from train.record_files import RecordFiles, listed_records
from train.recordings import LEAD1_AGAIN, LEAD1_FS_HZ, Recording, joined, lead1_pieces, lead1_subjects
from train.room import check_room
from train.window_set import WindowSet, kept, runs_root
from train.windows import Part, detect_record, detected_r, joined_parts

__all__ = ["PTB_BEATS", "PTB_PATIENTS", "build_ptb", "build_ptbdb", "diagnosis_label"]

PTB_PATIENTS = (51, 126)
"""Healthy people, people with an infarction."""
PTB_BEATS = (5_441, 14_626)
"""Their annotated beats but the last of each 10 s recording."""

_DIAGNOSES = {"healthy": 0, "healthy control": 0, "myocardial infarction": 1}
_REASON = re.compile(r"\s*reason for admission\s*:\s*(.*?)\s*", re.IGNORECASE)


def diagnosis_label(text: str) -> int | None:
    """0 healthy, 1 myocardial infarction, None for all else."""
    return _DIAGNOSES.get(text.strip().casefold())


def build_ptb(params: PreprocessParams, root: Path | None = None) -> WindowSet:
    """Lead I at 125 Hz: the 20,067 beats of 177 people, ten recordings of 10 s each; kept as mitdb's are.

    Raises
    ------
    DataError
        When files are missing or cut short, people or beats count otherwise, or there is no room.
    """
    folder = (root or data_root()) / "ecgdb_lead1"
    people = _lead1_people(folder)
    files = [folder / sub for subject, _, _ in people for sub in _lead1_files(subject)]
    bad = [str(file) for file in files if not file.is_file() or not file.stat().st_size]
    if bad:
        shown = ", ".join(bad[:4]) + (f" and {len(bad) - 4} more" if len(bad) > 4 else "")
        raise DataError(f"missing or empty: {shown}", "Get them with `edge-ecg data fetch ecgdb_lead1`")

    def build() -> WindowSet:
        check_room("cutting the beats of ptb", 200_000_000, 16_000_000, runs_root() / "windows")
        parts: list[Part] = []
        with tqdm(people, unit="person", desc="beat windows") as shown:
            for subject, patient, label in shown:
                windows = _person_windows(_pieces(folder, subject), params)
                parts.append((windows, np.full(len(windows), label, np.uint8), int(subject), patient))
        data = WindowSet.of(*joined_parts(parts), dataset="ptb", label_set="binary", lead="I")
        found = (tuple(Counter(label for _, _, label in people)[k] for k in (0, 1)), _counts(data.labels))
        if found != (PTB_PATIENTS, PTB_BEATS):
            raise DataError(
                f"people and beats of {folder}, healthy and infarction, count {found}, expected are "
                f"{(PTB_PATIENTS, PTB_BEATS)}",
                "Check the files with `edge-ecg data verify ecgdb_lead1`",
            )
        return data

    return kept("ptb", "causal", params, [folder / "subjects.csv", *files], build)


def _lead1_people(folder: Path) -> list[tuple[str, int, int]]:
    """Subject, PTB patient number and label of those who are healthy or had an infarction."""
    told = [(who.subject, who.patient, diagnosis_label(who.diagnosis)) for who in lead1_subjects(folder)]
    return [(subject, patient, label) for subject, patient, label in told if label is not None]


def _lead1_files(subject: str) -> tuple[str, str]:
    return f"data_ECG/subject_{subject}.csv", f"data_Rpeaks/Rpeaks_subject_{subject}.csv"


def _pieces(folder: Path, subject: str) -> list[Recording]:
    pieces = lead1_pieces(folder, subject)
    if not all(len(piece.r) for piece in pieces):
        raise DataError(f"{folder / _lead1_files(subject)[1]} has a recording without an R peak", LEAD1_AGAIN)
    return pieces


def _person_windows(pieces: list[Recording], params: PreprocessParams) -> NDArray[np.float32]:
    """Windows of one person, ``(n, 187)``, the last beat of each recording left out.

    The recordings go through one preprocessing end to end, without a step between them: on a device filter, scale
    and rhythm know the past ten seconds, and by itself none of these recordings has that long a past for any beat.
    A window still ends with its recording: what lies behind it is another time, and is padded with zeros.
    """
    whole = joined(pieces)
    r = detected_r(whole.samples_mv, LEAD1_FS_HZ, whole.r)
    preprocessor = Preprocessor(LEAD1_FS_HZ, params)
    windows = []
    begin, first = 0, 0
    for piece in pieces:
        end, n_beats = begin + len(piece.samples_mv), len(piece.r)
        preprocessor.feed(whole.samples_mv[begin:end])
        # A detection beyond the seam belongs to no beat of this recording.
        for r_pos in np.clip(r[first : first + n_beats], begin, end - 1):
            preprocessor.push_r(float(r_pos))
        cut = preprocessor.ready() + preprocessor.flush()
        windows += [beat.inputs for beat in cut[:-1]]
        begin, first = end, first + n_beats
    return np.stack(windows)


def build_ptbdb(params: PreprocessParams, root: Path | None = None) -> WindowSet:
    """Lead II of the raw records, resampled from 1000 Hz as on the device. They have no annotated beats: R is found.

    The records are those of `RECORDS`, without it all there are. The folder of a record is its patient
    (``patient001/s0010_re``); records side by side in one folder count as one person's, so that none is split.

    Raises
    ------
    DataError
        No record, none of a healthy person or of one with an infarction, files missing or cut short, no room.
    """
    folder = (root or data_root()) / "ptbdb"
    fetch = "edge-ecg data fetch ptbdb"
    if (folder / "RECORDS").exists():
        stems = listed_records(folder, "PTB Diagnostic ECG Database", fetch)
    else:
        stems = sorted(file.with_suffix("") for file in folder.rglob("*.hea"))
    if not stems:
        raise DataError(f"no PTB Diagnostic ECG Database in {folder}: there is no record", f"Get it with `{fetch}`")
    files = RecordFiles.of(stems, None, lead="ii", hint=f"Get them with `{fetch}`: what is whole stays")
    told = [(stem, _header_label(stem)) for stem in stems]
    wanted = [(stem, label) for stem, label in told if label is not None]
    if not wanted:
        raise DataError(
            f"none of the {len(stems)} records in {folder} is of a healthy person or of one with an infarction",
            "The line `# Reason for admission:` of their headers says so",
        )

    def build() -> WindowSet:
        files.check_room("ptbdb")
        with tqdm(wanted, unit="record", desc="beat windows") as shown:
            parts = [_raw_part(stem, label, params) for stem, label in shown]
        return WindowSet.of(*joined_parts(parts), dataset="ptbdb", label_set="binary", lead="II")

    return kept("ptbdb", "causal", params, files.files, build)


def _header_label(stem: Path) -> int | None:
    for comment in read_header(stem).comments:
        reason = _REASON.fullmatch(comment)
        if reason:
            return diagnosis_label(reason[1])
    return None


def _raw_part(stem: Path, label: int, params: PreprocessParams) -> Part:
    record = read_record(stem)
    column = record.lead_index("ii")
    # Not `record.problem`: a missing file of the Frank leads does not matter here.
    signal, total = record.header.signals[column], int(record.counts[:, column].sum(dtype=np.int64)) % 65536
    if signal.checksum not in (None, total) or len(record.counts) != record.header.n_samples:
        raise DataError(f"{stem}: lead II is not what the header says", "Check it with `edge-ecg data verify ptbdb`")
    samples_mv = record.samples_mv([column])[:, 0].astype(np.float64)
    if not np.isfinite(samples_mv).all():
        raise DataError(f"{stem}: lead II has samples that the file marks as none", "Leave the record out")
    fs_hz = record.header.fs_hz
    cut = inputs_of_record(samples_mv, fs_hz, detect_record(samples_mv, fs_hz), params)[:-1]
    windows = np.array([beat.inputs for beat in cut], np.float32).reshape(-1, params.window.n_samples)
    number, patient = (re.search(r"\d+", name) for name in (stem.name, stem.parent.name))
    return (
        windows,
        np.full(len(windows), label, np.uint8),
        int(number[0]) if number else 0,
        int(patient[0]) if patient else 0,
    )


def _counts(labels: NDArray[np.uint8]) -> tuple[int, int]:
    healthy, infarction = np.bincount(labels, minlength=2).tolist()
    return healthy, infarction
