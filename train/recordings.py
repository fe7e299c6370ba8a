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

__all__ = ["LEAD1_FS_HZ", "Recording", "joined", "lead1_people", "lead1_pieces", "wfdb_recording"]

Samples = NDArray[np.float64]

LEAD1_FS_HZ = 125.0
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
    if record.problem:
        raise DataError(record.problem, "The fit wants whole records")
    x = record.samples_mv([record.lead_index(None)])[:, 0].astype(np.float64)
    if not np.isfinite(x).all():
        x = np.interp(np.arange(len(x)), np.flatnonzero(np.isfinite(x)), x[np.isfinite(x)])
    is_beat = np.array([s in BEAT_SYMBOLS for s in notes.symbol])
    r = notes.sample[is_beat].astype(np.float64)
    flutter = [
        (float(begin), min(float(end), float(len(x)))) for begin, end in flutter_of(notes.sample.tolist(), notes.symbol)
    ]
    return Recording(f"{folder.name}/{name}", f"{folder.name}/{name}", record.header.fs_hz, x, r, tuple(flutter))


def lead1_people(folder: Path, remainders: Sequence[int]) -> list[str]:
    """Subjects of ``ecgdb_lead1`` whose PTB patient number leaves one of these remainders when divided by 4.

    0 is for the report, 1 validates, 2 and 3 fit.
    """
    index = folder / "subjects.csv"
    if not index.exists():
        raise DataError(f"no lead-I database in {folder}", "Get it with `edge-ecg data fetch ecgdb_lead1`")
    with index.open(encoding="utf-8") as file:
        return [row["subject"] for row in csv.DictReader(file) if int(row["ptbdb_patient"]) % 4 in remainders]


def lead1_pieces(folder: Path, subject: str) -> list[Recording]:
    """The ten recordings of 10 s of one person."""
    volts = np.loadtxt(folder / "data_ECG" / f"subject_{subject}.csv", delimiter=",")
    masks = np.loadtxt(folder / "data_Rpeaks" / f"Rpeaks_subject_{subject}.csv", delimiter=",")
    return [
        Recording(f"lead1/{subject}/{k}", f"lead1/{subject}", LEAD1_FS_HZ, x / _LEAD1_VOLTS_PER_MV,
                  np.flatnonzero(mask > 0.5).astype(np.float64))
        for k, (x, mask) in enumerate(zip(volts, masks, strict=True))
    ]  # fmt: skip


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
