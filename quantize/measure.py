"""What a model takes on this machine: bytes, and the time of one beat beside the float32 model's."""

from __future__ import annotations

import gzip
import importlib.metadata
import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from edge_ecg.infer.tflite import interpreter_class, quantised
from edge_ecg.manifest import ModelManifest
from quantize.signature import signature_of

__all__ = ["N_RUNS", "Latency", "Measured", "Measurements", "latencies", "measure"]

N_RUNS = 2_000
_WARM_UP = 200
_MORE_S = 3.0
_MEASUREMENTS_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one beat, ``n`` times: setting the input, running, reading the output."""

    n: int
    p50_us: float
    p95_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One model: its size as it is and after ``gzip -9``, and its time."""

    bytes: int
    gzip_bytes: int
    latency: Latency


@dataclass(frozen=True, slots=True)
class Measurements:
    """`measurements.json` beside a bundle: of the day and the machine that made it, so no part of what is reproducible.

    Attributes
    ----------
    model, float32
        This model, and the network as it was trained in float32, in turns on one core and one thread.
    arena_bytes
        Memory that TensorFlow Lite Micro takes; None when it was not measured.
    """

    schema_version: int
    id: str
    sha256: str
    measured_utc: str
    machine: str
    runtime: str
    n_threads: int
    model: Measured
    float32: Measured
    arena_bytes: int | None = None

    @property
    def times_smaller(self) -> float:
        """Bytes of float32 by bytes of this."""
        return self.float32.bytes / self.model.bytes

    @property
    def times_faster(self) -> float:
        """Median time of float32 by that of this."""
        return self.float32.latency.p50_us / self.model.latency.p50_us


def measure(
    m: ModelManifest, model: bytes, float32: bytes, windows: NDArray[np.float32], *, n: int = N_RUNS,
    arena_bytes: int | None = None,
) -> Measurements:  # fmt: skip
    """Measure a model beside the float32 one with beats ``(n_beats, 187)``; shows how far it is on stderr."""
    timed = latencies({"model": model, "float32": float32}, windows, n=n)
    name, _ = interpreter_class()
    return Measurements(
        schema_version=_MEASUREMENTS_SCHEMA,
        id=m.id,
        sha256=m.sha256,
        measured_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=_machine(),
        runtime=f"{name} {importlib.metadata.version(name)}",
        n_threads=1,
        model=Measured(len(model), _gzipped(model), timed["model"]),
        float32=Measured(len(float32), _gzipped(float32), timed["float32"]),
        arena_bytes=arena_bytes,
    )


def latencies(models: Mapping[str, bytes], windows: NDArray[np.float32], *, n: int = N_RUNS) -> dict[str, Latency]:
    """Time models in turns, so that whatever else the machine does hits all of them alike.

    Parameters
    ----------
    models
        .tflite files by name.
    windows
        ``(n_beats, 187)`` in [0, 1], one after the other.
    n
        Of each model, after a warm-up; on a fast machine more, while all take under 3 s.
    """
    calls = [_Call(model, windows) for model in models.values()]
    spent: list[list[int]] = [[] for _ in calls]
    with _one_core(), click.progressbar(length=n, label="latency of one beat", file=sys.stderr) as bar:
        for k in range(_WARM_UP):
            for call in calls:
                call(k)
        begin = time.perf_counter()
        for k in range(10 * n):
            if k >= n and time.perf_counter() - begin > _MORE_S:
                break
            for call, times in zip(calls, spent, strict=True):
                times.append(call(k))
            if k < n and (k + 1) % 100 == 0:
                bar.update(100)
    return {name: _latency(times) for name, times in zip(models, spent, strict=True)}


class _Call:
    """One model with its inputs ready."""

    def __init__(self, model: bytes, windows: NDArray[np.float32]) -> None:
        spec, _ = signature_of(model)
        _, make = interpreter_class()
        self._interpreter = make(model_content=model, num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._tensors = quantised(windows, spec)

    def __call__(self, k: int) -> int:
        """Nanoseconds of one beat."""
        tensor = self._tensors[k % len(self._tensors)]
        begin = time.perf_counter_ns()
        self._interpreter.set_tensor(self._input, tensor)
        self._interpreter.invoke()
        self._interpreter.get_tensor(self._output)
        return time.perf_counter_ns() - begin


def _latency(times_ns: list[int]) -> Latency:
    p50, p95, p99 = (round(float(x) / 1e3, 1) for x in np.percentile(times_ns, [50, 95, 99]))
    return Latency(len(times_ns), p50, p95, p99)


@contextmanager
def _one_core() -> Iterator[None]:
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _gzipped(model: bytes) -> int:
    return len(gzip.compress(model, compresslevel=9, mtime=0))


def _machine() -> str:
    """System and processor, such as ``Linux 6.1 x86_64, Intel(R) Xeon(R) @ 2.80GHz``."""
    told = f"{platform.system()} {platform.release()} {platform.machine()}"
    for file, pattern in (("/proc/device-tree/model", r"(.+)"), ("/proc/cpuinfo", r"(?m)^model name\s*: (.+)$")):
        try:
            found = re.search(pattern, Path(file).read_text(errors="replace").strip("\0\n "))
        except OSError:
            continue
        if found:
            return f"{told}, {found[1].strip()}"
    return told
