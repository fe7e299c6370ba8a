"""Annotated recordings as the beat detector's fit and its report read them: one lead, R peaks, what to leave out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import DataError
from edge_ecg.io import BEAT_SYMBOLS, read_annotations, read_record
from edge_ecg.scoring.pairing import flutter_of

__all__ = [
    "LEAD1_AGAIN",
    "LEAD1_FS_HZ",
    "Recording",
    "Subject",
    "joined",
    "lead1_people",
    "lead1_pieces",
    "lead1_subjects",
    "wfdb_recording",
]

Samples = NDArray[np.float64]

LEAD1_FS_HZ = 125.0
LEAD1_AGAIN = "Get it again with `edge-ecg data fetch ecgdb_lead1`"
_LEAD1_SHAPE = (10, 1250)
"""Recordings of a person, samples of each."""
_LEAD1_VOLTS_PER_MV = 1.0
"""The board's gain is not published; the detector works with ratios, and 1 V a mV gives the usual sizes."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One lead with its beats.

    Attributes
    ----------
    name, person
        Of the recording, and of whom it is: no person stands on two sides of a split.
    samples_mv
        ``(n,)`` in mV at ``fs_hz``.
    r
        ``(n_beats,)`` annotated R peaks, ascending, in samples (a fraction is meant).
    ignore
        Intervals in samples, begin to end, where neither beats nor detections count: flutter, seams.
    """

    name: str
    person: str
    fs_hz: float
    samples_mv: Samples
    r: Samples
    ignore: tuple[tuple[float, float], ...] = ()


def wfdb_recording(folder: Path, name: str) -> Recording:
    """A WFDB record with its ``atr`` beats: lead MLII, else II, else the first; flutter is to be ignored."""
    record, notes = read_record(folder / name), read_annotations(folder / name)
    if problem := record.problem or notes.problem:
        raise DataError(problem, "The fit wants whole records")
    x = record.samples_mv([record.lead_index(None)])[:, 0].astype(np.float64)
    if not np.isfinite(x).all():
        x = np.interp(np.arange(len(x)), np.flatnonzero(np.isfinite(x)), x[np.isfinite(x)])
    is_beat = np.array([s in BEAT_SYMBOLS for s in notes.symbol])
    r = notes.sample[is_beat].astype(np.float64)
    flutter = [
        (float(begin), min(float(end), float(len(x)))) for begin, end in flutter_of(notes.sample.tolist(), notes.symbol)
    ]
    return Recording(f"{folder.name}/{name}", f"{folder.name}/{name}", record.header.fs_hz, x, r, tuple(flutter))


@dataclass(frozen=True, slots=True)
class Subject:
    """A line of the list of ``ecgdb_lead1``: whose recordings they are, PTB patient number, diagnosis."""

    subject: str
    patient: int
    diagnosis: str


def lead1_subjects(folder: Path) -> list[Subject]:
    """Everybody of ``ecgdb_lead1``. Raises `DataError` when the list is missing, or not what it should be."""
    index = folder / "subjects.csv"
    columns = ("subject", "ptbdb_patient", "diagnosis")
    try:
        with index.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
                found = ", ".join(reader.fieldnames or ()) or "nothing"
                told = f"{index} is not the list of subjects: expected a column {missing[0]}, found {found}"
                raise DataError(told, LEAD1_AGAIN)
            rows = [(reader.line_num, *(str(row[name] or "") for name in columns)) for row in reader]
    except OSError:
        raise DataError(
            f"no lead-I database in {folder}: {index} is missing", "Get it with `edge-ecg data fetch ecgdb_lead1`"
        ) from None
    except (ValueError, csv.Error) as error:
        raise DataError(f"{index} is not the list of subjects: {error}", LEAD1_AGAIN) from None
    for line, *values in rows:
        if not (values[0].isdecimal() and values[1].isdecimal() and values[2]):
            what = ", ".join(f"{name} {value!r}" for name, value in zip(columns, values, strict=True))
            raise DataError(
                f"{index} line {line}: expected two numbers and a diagnosis, found {what}; the list is cut short",
                LEAD1_AGAIN,
            )
    return [Subject(subject, int(patient), diagnosis) for _, subject, patient, diagnosis in rows]


def lead1_people(folder: Path, remainders: Sequence[int]) -> list[str]:
    """Subjects of ``ecgdb_lead1`` whose PTB patient number leaves one of these remainders when divided by 4.

    0 is for the report, 1 validates, 2 and 3 fit.
    """
    return [who.subject for who in lead1_subjects(folder) if who.patient % 4 in remainders]


def lead1_pieces(folder: Path, subject: str) -> list[Recording]:
    """The ten recordings of 10 s of one person. Raises `DataError` for files that do not hold just these."""
    volts = _lead1_table(folder / "data_ECG" / f"subject_{subject}.csv")
    masks = _lead1_table(folder / "data_Rpeaks" / f"Rpeaks_subject_{subject}.csv")
    return [
        Recording(f"lead1/{subject}/{k}", f"lead1/{subject}", LEAD1_FS_HZ, x / _LEAD1_VOLTS_PER_MV,
                  np.flatnonzero(mask > 0.5).astype(np.float64))
        for k, (x, mask) in enumerate(zip(volts, masks, strict=True))
    ]  # fmt: skip


def _lead1_table(file: Path) -> Samples:
    """``(10, 1250)``: a line for each recording."""
    n_lines, n_values = _LEAD1_SHAPE
    try:
        lines = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}", LEAD1_AGAIN) from None
    sizes = [line.count(",") + 1 for line in lines]
    if sizes != [n_values] * n_lines:
        odd = next((k for k, n in enumerate(sizes) if n != n_values), None)
        found = f"{len(lines)} lines" if odd is None else f"{sizes[odd]} values in line {odd + 1} of {len(lines)}"
        told = f"{file}: expected {n_lines} lines of {n_values} values, found {found}; it is cut short or damaged"
        raise DataError(told, LEAD1_AGAIN)
    try:
        table = np.array([line.split(",") for line in lines], dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{file}: expected numbers, {error}", LEAD1_AGAIN) from None
    if not np.isfinite(table).all():
        line = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0]) + 1
        raise DataError(f"{file} line {line}: expected finite numbers, found nan or inf", LEAD1_AGAIN)
    return table


def joined(pieces: Sequence[Recording]) -> Recording:
    """Pieces of one person end to end, without a step between them; a quarter second at each seam is ignored."""
    parts, r, seams, level, n = [], [], [], 0.0, 0
    for piece in pieces:
        x = piece.samples_mv - piece.samples_mv[0] + level
        level = float(x[-1])
        r.append(piece.r + n)
        n += len(x)
        parts.append(x)
        seams.append((n - 0.25 * piece.fs_hz, n + 0.25 * piece.fs_hz))
    first = pieces[0]
    return Recording(
        first.name.rpartition("/")[0], first.person, first.fs_hz, np.concatenate(parts), np.concatenate(r),
        tuple(seams[:-1]),
    )  # fmt: skip
