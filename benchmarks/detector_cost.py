"""What a detector costs: delay, CPU in live mode, CPU with labels, memory."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detector_peers import DETECTORS, OURS, YARDSTICK, attempt, streaming_detector
from benchmarks.detector_sets import Excerpt
from edge_ecg.infer import open_classifier
from edge_ecg.pipeline import Pipeline
from edge_ecg.types import SampleBlock, StreamInfo

__all__ = ["LIVE_BLOCK_S", "device_cost", "memory_mb", "peak_mb"]

LIVE_BLOCK_S = 0.1
LIVE_LABELLED_S = 300.0
REPLAY_BLOCK_S = 60.0
_REPO = Path(__file__).resolve().parents[1]


def device_cost(excerpts: Iterable[Excerpt], model: str) -> dict[str, Any]:
    """Delay and CPU of this project's detector, beside the yardstick's CPU, record by record in turn.

    Detection, and detection with labels by ``model``, as fast as it goes: in the 60 s blocks of `replay`. Live: in
    100 ms blocks, with labels the first `LIVE_LABELLED_S` of each record.
    ``decided``: from R to the sample that decides it. ``told``: to the end of the block that this sample came in.
    """
    seconds = {"yardstick": 0.0, "detect": 0.0, "detect_and_label": 0.0, "live": 0.0, "live_labelled": 0.0}
    ecg_s, live_labelled_s, decided_ms, told_ms, n_labelled = 0.0, 0.0, [], [], 0
    classifier = open_classifier(model)
    for excerpt in excerpts:
        ecg_s += len(excerpt.samples_mv) / excerpt.fs_hz
        seconds["yardstick"] += attempt(DETECTORS[YARDSTICK], excerpt.samples_mv, excerpt.fs_hz).cpu_s
        seconds["detect"] += attempt(DETECTORS[OURS], excerpt.samples_mv, excerpt.fs_hz).cpu_s
        pipeline = Pipeline(classifier, StreamInfo(excerpt.name, excerpt.fs_hz, ("lead",)))
        with _timed(seconds, "detect_and_label"):
            for block in _blocks(excerpt, REPLAY_BLOCK_S):
                n_labelled += len(pipeline.feed(block))
            n_labelled += len(pipeline.flush())
        pipeline = Pipeline(classifier, StreamInfo(excerpt.name, excerpt.fs_hz, ("lead",)))
        with _timed(seconds, "live_labelled"):
            for block in _blocks(excerpt, LIVE_BLOCK_S):
                if block.first_index >= LIVE_LABELLED_S * excerpt.fs_hz:
                    break
                pipeline.feed(block)
        live_labelled_s += min(LIVE_LABELLED_S, len(excerpt.samples_mv) / excerpt.fs_hz)
        detector, step = streaming_detector(excerpt.fs_hz), round(LIVE_BLOCK_S * excerpt.fs_hz)
        found = []
        with _timed(seconds, "live"):
            for start in range(0, len(excerpt.samples_mv), step):
                found += detector.feed(excerpt.samples_mv[start : start + step])
            found += detector.flush()
        r_pos, decided = (np.array([getattr(d, name) for d in found]) for name in ("r_pos", "decided_at"))
        decided_ms.append(1000 / excerpt.fs_hz * (decided - r_pos))
        block_end = np.minimum((decided // step + 1) * step, len(excerpt.samples_mv)) - 1
        told_ms.append(1000 / excerpt.fs_hz * (block_end - r_pos))
    decided_all, told_all = np.concatenate(decided_ms), np.concatenate(told_ms)
    return {
        "model": model,
        "ecg_h": round(ecg_s / 3600, 3),
        "n_events": n_labelled,
        "cpu_s": {name: round(value, 3) for name, value in seconds.items()},
        "live_ms_per_s": round(1000 * seconds["live"] / ecg_s, 3),
        "live_labelled_ms_per_s": round(1000 * seconds["live_labelled"] / live_labelled_s, 3),
        "decided_ms": {"median": round(float(np.median(decided_all)), 1), "max": round(float(decided_all.max()), 1)},
        "told_ms": {"median": round(float(np.median(told_all)), 1), "max": round(float(told_all.max()), 1)},
    }


def memory_mb(name: str, stem: Path) -> dict[str, float]:
    """Peak resident memory of a process that searches one record with one detector, and what it was before, in MB.

    ``before``: Python, numpy, the record, and the detector's libraries, loaded by a search of its first 10 s.
    """
    script = f"from benchmarks.detector_cost import peak_mb; peak_mb({name!r}, {str(stem)!r})"
    command = [sys.executable, "-W", "ignore", "-c", script]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=_REPO).stdout
    found: dict[str, float] = json.loads(answer.strip().splitlines()[-1])
    return found


def peak_mb(name: str, stem: str) -> None:
    """The child's half of `memory_mb`: one line of JSON on stdout."""
    from edge_ecg.io import read_record

    record = read_record(stem)
    samples_mv, fs_hz = record.samples_mv([0])[:, 0].astype(np.float64), record.header.fs_hz
    attempt(DETECTORS[name], samples_mv[: round(10 * fs_hz)], fs_hz)
    before = _high_water_mb()
    attempt(DETECTORS[name], samples_mv, fs_hz)
    print(json.dumps({"before": before, "peak": _high_water_mb()}))


def _high_water_mb() -> float:
    # ru_maxrss would begin with the parent's memory; VmHWM begins at exec.
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return round(int(found[1]) / 1024, 1) if found else 0.0


def _blocks(excerpt: Excerpt, block_s: float) -> Iterator[SampleBlock]:
    step = round(block_s * excerpt.fs_hz)
    samples_mv = excerpt.samples_mv.astype(np.float32)[:, None]
    for first in range(0, len(samples_mv), step):
        yield SampleBlock(samples_mv[first : first + step], first)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    begin_s = time.process_time()
    yield
    seconds[name] += time.process_time() - begin_s
