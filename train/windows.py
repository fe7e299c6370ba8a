"""Windows of annotated records, cut by the device's own preprocessing; the MIT-BIH Arrhythmia Database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_ecg.datasets import data_root
from edge_ecg.detector import shipped_nets
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.dsp.qrs import QrsDetector
from edge_ecg.errors import DataError
from edge_ecg.front import BeatInput, inputs_of_record
from edge_ecg.io import BEAT_SYMBOLS, read_annotations, read_record
from edge_ecg.labels import AAMI5, BeatLabel
from edge_ecg.scoring.matching import MATCH_WINDOW_S, match_beats
from train.paper_windows import paper_windows
from train.record_files import RecordFiles, listed_records
from train.window_set import WindowSet, kept

__all__ = [
    "MITDB_COUNTS",
    "AnnotatedLead",
    "Part",
    "annotated_lead",
    "build_mitdb",
    "build_windows",
    "detect_record",
    "detected_r",
    "joined_parts",
    "mitdb_patient",
    "record_windows",
]

MITDB_COUNTS = (90_589, 2_779, 7_236, 803, 8_039)
"""Beats per class N S V F Q of the published data set: all annotated beats but the last of each record."""

_UNLABELLED = 255

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedLead:
    """One lead of a record with its annotated beats.

    Attributes
    ----------
    samples_mv
        ``(n,) float64``, all finite: what the file marks as no sample is bridged.
    is_bridged
        ``(n,) bool``, where it was.
    r
        ``(n_beats,) float64``, annotated R peaks in samples, ascending: every beat, as the device meets them.
    labels
        ``(n_beats,) uint8``, 255 for a beat that the class map leaves out.
    """

    fs_hz: float
    lead: str
    samples_mv: Samples
    is_bridged: NDArray[np.bool_]
    r: Samples
    labels: NDArray[np.uint8]


def annotated_lead(
    stem: Path, class_map: Mapping[str, int], lead: str | None = None, annotator: str = "atr"
) -> AnnotatedLead:
    """Read a record with its beats; ``class_map`` is annotation symbol -> label.

    Raises
    ------
    DataError
        A record that is cut short or damaged, or has no sample.
    UsageError
        No such lead.
    """
    record = read_record(stem)
    if record.problem:
        raise DataError(record.problem, "Training wants whole records")
    notes = read_annotations(stem, annotator)
    if notes.problem:
        raise DataError(notes.problem, "Training wants whole annotations")
    column = record.lead_index(lead)
    samples_mv = record.samples_mv([column])[:, 0].astype(np.float64)
    is_bridged = ~np.isfinite(samples_mv)
    if is_bridged.all():
        raise DataError(f"{stem}: lead {record.header.leads[column]} holds no sample", "Leave the record out")
    if is_bridged.any():
        there = np.flatnonzero(~is_bridged)
        samples_mv = np.interp(np.arange(len(samples_mv)), there, samples_mv[there])
    at = [k for k, symbol in enumerate(notes.symbol) if symbol in BEAT_SYMBOLS]
    labels = np.array([class_map.get(notes.symbol[k], _UNLABELLED) for k in at], dtype=np.uint8)
    r = notes.sample[at].astype(np.float64)
    return AnnotatedLead(record.header.fs_hz, record.header.leads[column], samples_mv, is_bridged, r, labels)


def detect_record(samples_mv: Samples, fs_hz: float) -> Samples:
    """R peaks ``(n,)`` of one lead, in samples, by the device's detector."""
    detector = QrsDetector(fs_hz, shipped_nets())
    return np.array([d.r_pos for d in detector.feed(samples_mv) + detector.flush()])


def detected_r(samples_mv: Samples, fs_hz: float, r: Samples) -> Samples:
    """Annotated R peaks, each moved to the detector's own where one matches within 150 ms; same order.

    One sample off at 125 Hz costs a network 0.2 points of accuracy, and on the device R is the detector's.
    """
    moved = r.copy()
    detected = detect_record(samples_mv, fs_hz)
    for i, j in match_beats(r.tolist(), detected.tolist(), MATCH_WINDOW_S * fs_hz).pairs:
        moved[i] = detected[j]
    return np.sort(moved)


def record_windows(
    stem: Path,
    params: PreprocessParams,
    *,
    segmentation: str = "causal",
    class_map: Mapping[str, int] = AAMI5,
    lead: str | None = None,
    annotator: str = "atr",
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Windows ``(n, 187)`` and labels ``(n,)`` of one annotated record, its last beat left out.

    Left out too: beats that the class map does not name, and those whose window holds bridged samples.
    """
    beats = annotated_lead(stem, class_map, lead, annotator)
    if not len(beats.r):
        return np.empty((0, params.window.n_samples), np.float32), np.empty(0, np.uint8)
    if segmentation == "paper":
        windows = paper_windows(beats.samples_mv, beats.fs_hz, beats.r)
        is_whole = np.ones(len(windows), bool)
    else:
        r = detected_r(beats.samples_mv, beats.fs_hz, beats.r)
        cut = inputs_of_record(beats.samples_mv, beats.fs_hz, r, params)
        windows = np.stack([w.inputs for w in cut])
        is_whole = _is_whole(cut, beats.is_bridged)
    wanted = np.flatnonzero((beats.labels != _UNLABELLED) & is_whole)
    wanted = wanted[wanted < len(beats.r) - 1]
    return windows[wanted], beats.labels[wanted]


def _is_whole(cut: Sequence[BeatInput], is_bridged: NDArray[np.bool_]) -> NDArray[np.bool_]:
    n_bridged = np.concatenate([[0], np.cumsum(is_bridged)])
    last = len(is_bridged)
    spans = [(min(max(0, int(w.r_pos)), last), min(w.needed_index + 1, last)) for w in cut]
    return np.array([n_bridged[end] <= n_bridged[begin] for begin, end in spans], dtype=bool)


Part = tuple[NDArray[np.float32], NDArray[np.uint8], int, int]
"""Windows and labels of one record, its number, its patient's number."""


def joined_parts(
    parts: Iterable[Part],
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int32], NDArray[np.int32]]:
    """The four arrays of a window set, of its records in their order."""
    windows, labels, records, patients = zip(*parts, strict=True)
    sizes = [len(y) for y in labels]
    return (
        np.concatenate(windows),
        np.concatenate(labels),
        np.repeat(np.array(records, np.int32), sizes),
        np.repeat(np.array(patients, np.int32), sizes),
    )


def mitdb_patient(record: int) -> int:
    """Whose record of the MIT-BIH Arrhythmia Database it is: 201 and 202 are one person, the others one each."""
    return 201 if record == 202 else record


def build_mitdb(params: PreprocessParams, root: Path | None = None, segmentation: str = "causal") -> WindowSet:
    """The 109,446 beats of the MIT-BIH Arrhythmia Database; a second call reads the first one's file.

    Raises
    ------
    DataError
        When files of the database are missing or cut short, its counts are not the published ones, or there is
        no room for its windows.
    """
    folder = (root or data_root()) / "mitdb"
    fetch = "edge-ecg data fetch mitdb"
    stems = listed_records(folder, "MIT-BIH Arrhythmia Database", fetch)
    files = RecordFiles.of(stems, "atr", f"Get them with `{fetch}`: what is whole stays")

    def build() -> WindowSet:
        files.check_room("mitdb")
        built = build_windows(stems, params, segmentation)
        counts = tuple(int(n) for n in np.bincount(built.labels, minlength=len(BeatLabel)))
        if counts != MITDB_COUNTS:
            raise DataError(
                f"the beats of {folder} count {counts}, the published set {MITDB_COUNTS}",
                "Check the files with `edge-ecg data verify mitdb`",
            )
        return built

    return kept("mitdb", segmentation, params, [folder / "RECORDS", *files.files], build)


def build_windows(stems: Sequence[Path], params: PreprocessParams, segmentation: str = "causal") -> WindowSet:
    """The beats of records annotated as mitdb's. The number of a record is the digits at the end of its name."""

    def part(stem: Path) -> Part:
        number = re.search(r"\d*$", stem.name)
        record = int(number[0] or 0) if number else 0
        return (*record_windows(stem, params, segmentation=segmentation), record, mitdb_patient(record))

    with tqdm(stems, unit="record", desc="beat windows") as shown:
        parts = [part(stem) for stem in shown]
    return WindowSet.of(*joined_parts(parts), dataset="mitdb", segmentation=segmentation)
