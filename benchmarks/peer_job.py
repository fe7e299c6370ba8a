"""The whole job, record in and labels out: as a person would write it, and with edge_ecg, in turns on one core.

A person's way: read the record with wfdb, find beats with NeuroKit2 or wfdb's xqrs over the whole of it, cut the
windows (`benchmarks.peer_windows`), `predict` with the Keras network in batches. As it comes in: with each new second,
search the last `LIVE_S` seconds again and `predict` the beats whose window is now complete, one by one.

Ours is causal both times, and does more than that: quality of each second, flutter or fibrillation, pacing. What the
person's part of it costs alone (detector, windows, network) is measured beside it.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peer_windows import person_windows
from edge_ecg.datasets import data_root
from edge_ecg.dsp.qrs import Detection
from edge_ecg.errors import DataError
from edge_ecg.io import read_annotations, read_header, read_record
from edge_ecg.pipeline import Pipeline
from edge_ecg.scoring.ec57 import RecordScore, Score, score_record
from edge_ecg.scoring.rules import Rules
from edge_ecg.sources.replay import RecordSource
from edge_ecg.types import Classified, SampleBlock, StreamInfo

__all__ = ["Labels", "measure_job"]

BATCH = 256
LIVE_S = 10
"""What a person searches again with each new second: NeuroKit2's filters and thresholds want some beats."""
LIVE_FROM_S, LIVE_TO_S = 60, 120
LIVE_RECORDS = 3
RULES = Rules(class_map="aami5", shutdown="counted")
_CLASSES = "NSVFQ"


@dataclass(frozen=True, slots=True)
class Labels:
    """R peaks in samples, ascending, and N, S, V, F or Q of each."""

    r: list[float]
    labels: list[str]


def measure_job(folder: Path, records: Sequence[int]) -> dict[str, Any]:
    """Label each record each way, in turns; CPU seconds, and EC57 of all of them together.

    Parameters
    ----------
    folder
        Of `benchmarks.peer_models.prepare`.
    records
        Of mitdb.

    Raises
    ------
    DataError
        There is no mitdb.
    """
    mitdb = data_root() / "mitdb"
    if not (mitdb / "RECORDS").exists():
        raise DataError(f"no MIT-BIH Arrhythmia Database in {mitdb}", "Get it with `edge-ecg data fetch mitdb`")
    told = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    predict = _keras(folder)
    ways: dict[str, Callable[[Path], Labels]] = {
        "NeuroKit2 + Keras": lambda stem: _whole(stem, _neurokit, predict),
        "xqrs + Keras": lambda stem: _whole(stem, _xqrs, predict),
        f"edge_ecg, {told['bundle']}": lambda stem: _ours(stem, told["bundle"]),
        "edge_ecg, detector, windows and network alone": lambda stem: _bare(stem, told["bundle"]),
        "edge_ecg, rhythm": lambda stem: _ours(stem, "rhythm"),
    }
    cpu_s: dict[str, list[float]] = {name: [] for name in ways}
    scores: dict[str, list[RecordScore]] = {name: [] for name in ways}
    for name in ways:  # imports and first calls belong to no record
        ways[name](mitdb / str(records[0]))
    for nth, record in enumerate(records):
        stem = mitdb / str(record)
        names = list(ways)
        for name in names[nth % len(names) :] + names[: nth % len(names)]:
            begin_s = time.process_time()
            found = ways[name](stem)
            cpu_s[name].append(time.process_time() - begin_s)
            scores[name].append(_scored(stem, found))
        print(record, {name: round(of[-1], 2) for name, of in cpu_s.items()}, file=sys.stderr)
    return {
        "weights": told["weights"],
        "records": list(records),
        "rules": RULES.text,
        "ways": {
            name: {
                "cpu_s_median": round(statistics.median(cpu_s[name]), 4),
                "cpu_s": [round(s, 4) for s in cpu_s[name]],
                **_figures(Score.pooled(scores[name], RULES)),
            }
            for name in ways
        },
        "live": _live(predict, told["bundle"], [mitdb / str(r) for r in records[:LIVE_RECORDS]]),
    }


def _keras(folder: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    import tensorflow as tf
    import tf_keras

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = tf_keras.models.load_model(folder / "keras.h5", compile=False)

    def predict(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        probs: NDArray[np.float32] = model.predict(windows[:, :, None], batch_size=BATCH, verbose=0)
        return probs

    return predict


def _neurokit(samples_mv: NDArray[np.float64], fs_hz: float) -> NDArray[np.int64]:
    import neurokit2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cleaned = neurokit2.ecg_clean(samples_mv, sampling_rate=round(fs_hz))
        found = neurokit2.ecg_peaks(cleaned, sampling_rate=round(fs_hz))[1]["ECG_R_Peaks"]
    return np.asarray(found, np.int64)


def _xqrs(samples_mv: NDArray[np.float64], fs_hz: float) -> NDArray[np.int64]:
    from wfdb.processing import xqrs_detect

    return np.asarray(xqrs_detect(samples_mv, fs_hz, verbose=False), np.int64)


def _whole(
    stem: Path,
    detect: Callable[[NDArray[np.float64], float], NDArray[np.int64]],
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> Labels:
    import wfdb

    record = wfdb.rdrecord(str(stem))
    lead = record.sig_name.index("MLII") if "MLII" in record.sig_name else 0
    samples_mv = record.p_signal[:, lead]
    r = detect(samples_mv, record.fs)
    said = predict(person_windows(samples_mv, record.fs, r)).argmax(axis=1)
    return Labels(r.tolist(), [_CLASSES[k] for k in said])


def _ours(stem: Path, model: str) -> Labels:
    from edge_ecg.infer import open_classifier

    source = RecordSource(read_record(stem))
    pipeline: Pipeline | None = None
    beats: list[Classified] = []
    for item in source.items():
        if isinstance(item, StreamInfo):
            lead = item.leads.index("MLII") if "MLII" in item.leads else 0
            pipeline = Pipeline(open_classifier(model), item, lead=lead)
        elif isinstance(item, SampleBlock) and pipeline is not None:
            beats += [e for e in pipeline.feed(item) if isinstance(e, Classified)]
    assert pipeline is not None
    beats += [e for e in pipeline.flush() if isinstance(e, Classified)]
    return Labels([e.beat.t_s * e.stream.fs_hz for e in beats], [e.label for e in beats])


def _bare(stem: Path, model: str) -> Labels:
    record = read_record(stem)
    fs_hz, samples_mv = record.header.fs_hz, record.samples_mv([record.lead_index(None)])[:, 0].astype(np.float64)
    step = round(60 * fs_hz)
    return _labelled((samples_mv[k : k + step] for k in range(0, len(samples_mv), step)), fs_hz, model)


def _labelled(blocks: Iterable[NDArray[np.float64]], fs_hz: float, model: str) -> Labels:
    """What a person's script does, with this project's parts, as the blocks come in."""
    from edge_ecg.detector import shipped_nets
    from edge_ecg.dsp.qrs import QrsDetector
    from edge_ecg.front import front_end_of
    from edge_ecg.infer import open_classifier

    classifier, detector = open_classifier(model), QrsDetector(fs_hz, shipped_nets())
    front, found = front_end_of(classifier.preprocessing, fs_hz), Labels([], [])

    def take(detections: Sequence[Detection], last: bool = False) -> None:
        for d in detections:
            front.push_r(d.r_pos, d.decided_at)
        beats = [*front.ready(), *(front.flush() if last else ())]
        if beats:
            classes, _ = classifier.decide(classifier.classify_many(np.stack([b.inputs for b in beats])))
            found.r.extend(b.r_pos for b in beats)
            found.labels.extend(classifier.labels[k] for k in classes)

    for block in blocks:
        front.feed(block)
        take(detector.feed(block))
    take(detector.flush(), last=True)
    return found


def _scored(stem: Path, found: Labels) -> RecordScore:
    notes, header = read_annotations(stem), read_header(stem)
    return score_record(
        stem.name, notes.sample.tolist(), notes.symbol, found.r, found.labels, header.fs_hz, RULES,
        n_samples=header.n_samples,
    )  # fmt: skip


def _figures(score: Score) -> dict[str, Any]:
    """EC57's figures, and how many beats went wrong: missed, invented, or called another class."""
    mislabelled = score.matched - int(np.trace(score.counts[:5, :5]))
    figures = {name: None if f is None else round(f, 5) for name, f in score.figures().items()}
    return {
        **figures,
        "missed": score.missed,
        "extra": score.extra,
        "mislabelled": mislabelled,
        "wrong": score.missed + score.extra + mislabelled,
        "beats": score.matched + score.missed,
    }


def _live(
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]], bundle: str, stems: Sequence[Path]
) -> dict[str, Any]:
    """CPU milliseconds per second of ECG, as it comes in a second at a time."""
    ways = {"NeuroKit2 + Keras": lambda x, fs: _person_live(x, fs, predict)}
    ways["edge_ecg, detector, windows and network alone"] = lambda x, fs: _bare_live(x, fs, bundle)
    for model in (bundle, "rhythm"):
        ways[f"edge_ecg, {model}"] = lambda x, fs, model=model: _ours_live(x, fs, model)
    spent: dict[str, list[float]] = {name: [] for name in ways}
    n_labels: dict[str, int] = dict.fromkeys(ways, 0)
    for stem in stems:
        record = read_record(stem)
        fs_hz, lead = record.header.fs_hz, record.lead_index(None)
        samples_mv = record.samples_mv([lead])[: round(LIVE_TO_S * fs_hz), 0].astype(np.float64)
        for name, way in ways.items():
            way_cpu_s, n = way(samples_mv, fs_hz)
            spent[name].append(1e3 * way_cpu_s / (LIVE_TO_S - LIVE_FROM_S))
            n_labels[name] += n
    return {
        name: {"cpu_ms_per_s": round(statistics.median(spent[name]), 3), "labels": n_labels[name]} for name in ways
    } | {"seconds": LIVE_TO_S - LIVE_FROM_S, "window_s": LIVE_S, "records": [stem.name for stem in stems]}


def _person_live(
    samples_mv: NDArray[np.float64], fs_hz: float, predict: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> tuple[float, int]:
    """CPU seconds and labels of a person's way. A beat is labelled once: a second behind its R at the earliest."""
    begin_s, labelled_to, n = time.process_time(), LIVE_FROM_S - 1.0, 0
    for now_s in range(LIVE_FROM_S + 1, LIVE_TO_S + 1):
        first = round((now_s - LIVE_S) * fs_hz)
        last = samples_mv[first : round(now_s * fs_hz)]
        r = _neurokit(last, fs_hz)
        at_s = now_s - LIVE_S + r / fs_hz
        # Near the end its filters have not settled, and the window of a beat is not there yet.
        new = np.flatnonzero((at_s > labelled_to + 0.2) & (at_s <= now_s - 1.0))
        if len(new):
            windows = person_windows(last, fs_hz, r)
            for k in new:
                predict(windows[k : k + 1]).argmax()
            labelled_to = float(at_s[new[-1]])
            n += len(new)
    return time.process_time() - begin_s, n


def _ours_live(samples_mv: NDArray[np.float64], fs_hz: float, model: str) -> tuple[float, int]:
    from edge_ecg.infer import open_classifier

    pipeline = Pipeline(open_classifier(model), StreamInfo("live", fs_hz, ("MLII",)))
    step, n = round(fs_hz), 0
    samples = samples_mv[:, None].astype(np.float32)
    for first in range(0, LIVE_FROM_S * step, step):
        pipeline.feed(SampleBlock(samples[first : first + step], first))
    begin_s = time.process_time()
    for first in range(LIVE_FROM_S * step, LIVE_TO_S * step, step):
        n += sum(isinstance(e, Classified) for e in pipeline.feed(SampleBlock(samples[first : first + step], first)))
    return time.process_time() - begin_s, n


def _bare_live(samples_mv: NDArray[np.float64], fs_hz: float, model: str) -> tuple[float, int]:
    begin_s, step = 0.0, round(fs_hz)

    def seconds() -> Iterable[NDArray[np.float64]]:
        nonlocal begin_s
        for k in range(LIVE_TO_S):
            if k == LIVE_FROM_S:
                begin_s = time.process_time()
            yield samples_mv[k * step : (k + 1) * step]

    found = _labelled(seconds(), fs_hz, model)
    cpu_s = time.process_time() - begin_s
    n_before = sum(r < (LIVE_FROM_S - 1) * fs_hz for r in found.r)
    return cpu_s, len(found.r) - n_before
