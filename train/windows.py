"""Window sets: the beats of a database as the networks see them, built by the device's own preprocessing."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import edge_ecg
from edge_ecg.datasets import data_root
from edge_ecg.detector import SHIPPED, shipped_nets
from edge_ecg.dsp.preprocess import PREPROCESSING_VERSION, PreprocessParams, windows_of_record
from edge_ecg.dsp.qrs import QrsDetector
from edge_ecg.errors import DataError
from edge_ecg.io import BEAT_SYMBOLS, read_annotations, read_record
from edge_ecg.labels import AAMI5, BeatLabel
from edge_ecg.scoring.matching import MATCH_WINDOW_S, match_beats

__all__ = ["MITDB_COUNTS", "WindowSet", "build_mitdb", "build_windows", "detect_record", "record_windows", "runs_root"]

MITDB_COUNTS = (90_589, 2_779, 7_236, 803, 8_039)
"""Beats per class N S V F Q of the published data set: all annotated beats but the last of each record."""

_SCHEMA = 1


@dataclass(frozen=True, slots=True, eq=False)
class WindowSet:
    """Beats ready for a network.

    Attributes
    ----------
    windows
        ``(n, 187) float32`` in [0, 1].
    labels
        ``(n,) uint8``, `BeatLabel` codes.
    records
        ``(n,) int32``, number of the record that a beat comes from.
    dataset
        Name of the database.
    sha256
        Hash of the three arrays.
    """

    windows: NDArray[np.float32]
    labels: NDArray[np.uint8]
    records: NDArray[np.int32]
    dataset: str
    sha256: str


def runs_root() -> Path:
    """Where runs and window sets lie: `EDGE_ECG_RUNS`, else the user's cache. Never the work tree."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("EDGE_ECG_RUNS") or Path(user_cache_dir("edge-ecg")) / "runs")


def detect_record(samples_mv: NDArray[np.float64], fs_hz: float) -> NDArray[np.float64]:
    """R peaks ``(n,)`` of one lead, in samples, by the device's detector."""
    detector = QrsDetector(fs_hz, shipped_nets())
    return np.array([d.r_pos for d in detector.feed(samples_mv) + detector.flush()])


def record_windows(
    stem: Path, params: PreprocessParams
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Windows ``(n, 187)`` and labels ``(n,)`` of one annotated record, its last beat left out.

    R is the detector's own where it matches the annotation within 150 ms, the annotation where none does:
    one sample off at 125 Hz costs a network 0.2 points of accuracy.
    """
    record, notes = read_record(stem), read_annotations(stem)
    if record.problem:
        raise DataError(record.problem, "Training wants whole records")
    lead = record.lead_index(None)
    samples_mv = record.samples_mv([lead])[:, 0].astype(np.float64)
    at = [k for k, s in enumerate(notes.symbol) if s in AAMI5 and s in BEAT_SYMBOLS]
    r_pos = notes.sample[at].astype(np.float64)
    fs_hz = record.header.fs_hz
    detected = detect_record(samples_mv, fs_hz)
    for i, j in match_beats(r_pos.tolist(), detected.tolist(), MATCH_WINDOW_S * fs_hz).pairs:
        r_pos[i] = detected[j]
    labels = np.array([AAMI5[notes.symbol[k]] for k in at], dtype=np.uint8)
    windows = np.stack([w.window for w in windows_of_record(samples_mv, fs_hz, np.sort(r_pos), params)])
    return windows[:-1], labels[:-1]


def build_mitdb(params: PreprocessParams, root: Path | None = None) -> WindowSet:
    """The 109,446 beats of the MIT-BIH Arrhythmia Database; a second call reads the first one's file.

    Raises
    ------
    DataError
        When the database is missing or its counts are not the published ones.
    """
    folder = (root or data_root()) / "mitdb"
    index = folder / "RECORDS"
    if not index.exists():
        raise DataError(f"no MIT-BIH Arrhythmia Database in {folder}", "Get it with `edge-ecg data fetch mitdb`")
    stems = [folder / name for name in index.read_text().split()]
    cache = runs_root() / "windows" / f"mitdb-{params.fingerprint()}-{_input_hash(stems)}.npz"
    held = _load(cache)
    if held is not None:
        return held
    built = build_windows(stems, params)
    counts = tuple(int(n) for n in np.bincount(built.labels, minlength=len(BeatLabel)))
    if counts != MITDB_COUNTS:
        raise DataError(
            f"the beats of {folder} count {counts}, the published set {MITDB_COUNTS}",
            "Check the files with `edge-ecg data verify mitdb`",
        )
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_suffix(f".{os.getpid()}.part.npz")
    np.savez(part, windows=built.windows, labels=built.labels, records=built.records)
    part.replace(cache)
    return built


def build_windows(stems: Sequence[Path], params: PreprocessParams) -> WindowSet:
    """The beats of annotated records. The number of a record is the digits at the end of its name."""
    windows, labels, records = [], [], []
    for stem in tqdm(stems, unit="record", desc="beat windows"):
        w, y = record_windows(stem, params)
        windows.append(w)
        labels.append(y)
        number = re.search(r"\d*$", stem.name)
        records.append(np.full(len(y), int(number[0] or 0) if number else 0, dtype=np.int32))
    return _set(np.concatenate(windows), np.concatenate(labels), np.concatenate(records))


def _set(windows: NDArray[np.float32], labels: NDArray[np.uint8], records: NDArray[np.int32]) -> WindowSet:
    digest = hashlib.sha256()
    for array in (windows, labels, records):
        digest.update(np.ascontiguousarray(array).tobytes())
    return WindowSet(windows, labels, records, "mitdb", digest.hexdigest())


def _load(file: Path) -> WindowSet | None:
    """What an earlier call left; None when there is nothing, or nothing whole."""
    try:
        with np.load(file) as held:
            return _set(held["windows"], held["labels"], held["records"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _input_hash(stems: Sequence[Path]) -> str:
    """Changes with the records and with the code that makes windows of them: a stale cache is never a hit."""
    package = Path(edge_ecg.__file__).parent
    code = [package / "labels.py", package / "leads.py", package / "scoring" / "matching.py", Path(__file__)]
    code += sorted([*(package / "dsp").glob("*.py"), *(package / "io").glob("*.py"), *SHIPPED.glob("*")])
    digest = hashlib.sha256(f"{_SCHEMA}/{PREPROCESSING_VERSION}".encode())
    for file in [*code, *(stem.with_suffix(suffix) for stem in stems for suffix in (".hea", ".dat", ".atr"))]:
        digest.update(file.read_bytes() if file.exists() else b"absent")
    return digest.hexdigest()[:12]
