"""The whole pipeline with one model, in a process of its own: its CPU time and memory are nobody else's.

python -m edge_ecg.bench.whole MODEL      labels the shipped excerpt, prints one line of JSON
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_ecg.bench.subject import open_bundle
from edge_ecg.io import read_record
from edge_ecg.manifest import load_any
from edge_ecg.runner import Runner
from edge_ecg.sources.replay import RecordSource
from edge_ecg.sources.virtual import EXCERPT

__all__ = ["Whole", "measure_whole"]

_BLOCK_S = 0.1
"""As a board sends."""


@dataclass(frozen=True, slots=True)
class Whole:
    """CPU time for one second of ECG, ms; resident memory, MB."""

    cpu_ms: float
    memory_mb: float


def measure_whole(name: str, stopped: Callable[[], bool]) -> Whole | str | None:
    """Measure a model in a child process; what went wrong, in words; None when ``stopped`` says so meanwhile."""
    command = [sys.executable, "-m", "edge_ecg.bench.whole", name]
    # In a group of its own: Ctrl-C in the terminal is told to this process, which ends the child.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as child:
        while True:
            try:
                told, complaint = child.communicate(timeout=0.1)
                break
            except subprocess.TimeoutExpired:
                if stopped():
                    child.kill()
                    return None
    if child.returncode:
        lines = complaint.strip().splitlines()
        return f"the pipeline ended with {child.returncode}" + (f": {lines[-1][:200]}" if lines else "")
    cpu_ms, memory_mb = json.loads(told.splitlines()[-1])
    return Whole(cpu_ms, memory_mb)


def _main(name: str) -> None:
    classifier = open_bundle(load_any(name))
    record = read_record(EXCERPT)
    begin_s = time.process_time()
    stats = Runner(RecordSource(record, _BLOCK_S), classifier, []).run()
    cpu_s = time.process_time() - begin_s
    print(json.dumps([1e3 * cpu_s / (stats.n_samples / record.header.fs_hz), _peak_mb()]))  # noqa: T201


def _peak_mb() -> float:
    """Highest resident memory since this program began; where /proc does not tell it, as the kernel counts children."""
    try:
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    return (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024


if __name__ == "__main__":
    _main(sys.argv[1])
