"""Real records through the whole device: simulated board, bytes, decoder, detector, classifier. In memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import DataError
from edge_ecg.front import inputs_of_record
from edge_ecg.infer import Classifier, open_classifier
from edge_ecg.io import Annotations, read_annotations
from edge_ecg.labels import AAMI5, OperatingPoint
from edge_ecg.leads import pick_lead
from edge_ecg.sources.boards import BoardScale
from edge_ecg.sources.virtual import board_of_record
from edge_ecg.types import Classified, SampleBlock, StreamInfo
from firmware_bridge.simulator import VirtualBoard
from train.device import hear, label, shutdowns
from train.noise import NOISES, NORMAL_SYMBOLS, nst_mix, read_noise, second_half
from train.processes import each_in_turn
from train.record_run import RecordRun, Task, held, keep

__all__ = ["lead_as_heard", "run_all", "run_record"]


def run_all(
    tasks: Sequence[Task], jobs: int, progress: Callable[[RecordRun, bool], None] | None = None
) -> list[RecordRun]:
    """Run the records that have no result of the same inputs yet; return all, in the order given.

    Each result is kept as soon as it is there: a run that is broken off goes on where it was.

    Parameters
    ----------
    jobs
        Worker processes; 1 works in this one.
    progress
        Called with each record that is done, and whether its result was there already.
    """
    runs: dict[int, RecordRun] = {}
    wanted: list[int] = []
    for k, task in enumerate(tasks):
        kept = held(task)
        if kept is None:
            wanted.append(k)
        else:
            runs[k] = kept
            if progress:
                progress(kept, True)
    with contextlib.closing(each_in_turn(run_record, [tasks[k] for k in wanted], min(jobs, len(wanted)))) as work:
        for k, run in work:
            runs[wanted[k]] = run
            if progress:
                progress(run, False)
    return [runs[k] for k in range(len(tasks))]


def run_record(task: Task) -> RecordRun:
    """Run one record and write its result and its annotation file (annotator `edge`).

    Raises
    ------
    DataError
        The record or its annotations cannot be read, or the results not be written.
    """
    inputs_sha256 = task.inputs_sha256()
    notes = _annotations(task.stem)
    classifier = _classifier(task.bundle, task.operating_point)
    started_s = time.process_time()
    stream, blocks, lead = _heard(task, notes)
    events = label(classifier, stream, blocks, lead)
    cpu_s = time.process_time() - started_s
    beats = [e for e in events if isinstance(e, Classified)]
    samples_mv = np.concatenate([b.samples_mv[:, lead] for b in blocks]).astype(np.float64)
    reference = _in_samples(notes, stream.fs_hz)
    annotated = [r for r, s in zip(reference, notes.symbol, strict=True) if s in AAMI5 and r < len(samples_mv)]
    r_pos = np.array(annotated, np.float64)
    inputs = inputs_of_record(samples_mv, stream.fs_hz, r_pos, classifier.preprocessing)
    said = classifier.decide(classifier.classify_many(np.stack([b.inputs for b in inputs])))[0] if inputs else []
    run = RecordRun(
        record=task.stem.name,
        inputs_sha256=inputs_sha256,
        fs_hz=stream.fs_hz,
        n_samples=len(samples_mv),
        lead=stream.leads[lead],
        r_pos=tuple(round(e.beat.t_s * stream.fs_hz, 3) for e in beats),
        labels=tuple(e.label for e in beats),
        flags=tuple(e.beat.flags for e in beats),
        quality=tuple(round(e.beat.quality, 4) for e in beats),
        lag_s=tuple(round(e.lag_s, 6) for e in beats),
        shutdown=tuple(shutdowns(events, len(samples_mv))),
        reference=tuple(reference),
        symbols=notes.symbol,
        annotated=tuple(annotated),
        annotated_labels=tuple(classifier.labels[k] for k in said),
        cpu_s=round(cpu_s, 3),
    )
    keep(task, run)
    return run


def lead_as_heard(task: Task) -> tuple[NDArray[np.float64], float]:
    """The samples ``(n,)`` of the labelled lead, mV, as the device gets them, and their rate, Hz."""
    stream, blocks, lead = _heard(task, _annotations(task.stem))
    return np.concatenate([b.samples_mv[:, lead] for b in blocks]).astype(np.float64), stream.fs_hz


def _heard(task: Task, notes: Annotations) -> tuple[StreamInfo, list[SampleBlock], int]:
    board = board_of_record(task.stem, None)
    stream, blocks = hear(board)
    lead = pick_lead(stream.leads, task.lead, f"record {task.stem.name}")
    if task.noise is None:
        return stream, blocks, lead
    # The noise is added before a second board counts: its bytes carry what an electrode would have brought.
    samples_mv = np.concatenate([b.samples_mv for b in blocks]).astype(np.float64)
    reference = _in_samples(notes, stream.fs_hz)
    normal = [r for r, s in zip(reference, notes.symbol, strict=True) if s in NORMAL_SYMBOLS]
    noise_mv, noise_fs_hz = read_noise(task.noise.name)
    noise_mv = second_half(noise_mv) if task.noise.name in NOISES else noise_mv
    noise_lead_mv = noise_mv[:, lead % noise_mv.shape[1]]
    try:
        samples_mv[:, lead] = nst_mix(
            samples_mv[:, lead], noise_lead_mv, normal, stream.fs_hz, task.noise.snr_db, noise_fs_hz=noise_fs_hz
        )
    except DataError as error:
        raise DataError(f"{task.stem}: {error.message}", error.hint) from None
    counts = np.rint(samples_mv / BoardScale(board.info).mv_per_count).astype(np.int64)
    return *hear(VirtualBoard(board.info, counts, None)), lead


def _annotations(stem: Path) -> Annotations:
    notes = read_annotations(stem)
    if notes.problem:
        raise DataError(notes.problem)
    return notes


def _in_samples(notes: Annotations, fs_hz: float) -> list[int]:
    scale = fs_hz / (notes.fs_hz or fs_hz)
    return [round(int(s) * scale) for s in notes.sample]


@cache
def _classifier(bundle: str, operating_point: OperatingPoint | None) -> Classifier:
    return open_classifier(bundle, operating_point=operating_point)
