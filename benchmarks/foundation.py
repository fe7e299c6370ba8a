"""What the foundation must reach, measured on this machine: `make bench`.

Runs the installed `edge-ecg` as a user would and writes one JSON file; `python -m benchmarks.tables` turns it into
the tables of the README and of docs/results.md.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from tqdm import tqdm

from benchmarks.artefact import artefact_cost
from edge_ecg import __version__
from edge_ecg.datasets import data_root
from edge_ecg.errors import DataError
from edge_ecg.io import read_annotations, read_header
from edge_ecg.scoring.agreement import Agreement, compare
from edge_ecg.sources.virtual import EXCERPT
from train.splits import DS1, DS2, PACED

DEFAULT_OUT = Path(__file__).parent / "results"
ARTEFACT_RECORDS = (106, 119, 200, 208, 221, 233)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One record through `edge-ecg replay --jsonl -`: agreement, process CPU in s, peak resident memory in MB."""

    record: int
    agreement: Agreement
    cpu_s: float
    peak_mb: float


@click.command()
@click.option("--model", default="mitdb-baseline-int8", show_default=True)
@click.option("--device", default=platform.machine(), show_default=True, help="Name of this machine in the results.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file; default benchmarks/results/DEVICE.")
def main(model: str, device: str, out: Path | None) -> None:
    """Measure detection, labels, speed and memory on the full MIT-BIH Arrhythmia Database."""
    folder = data_root() / "mitdb"
    if not (folder / "RECORDS").exists():
        raise DataError(f"no MIT-BIH Arrhythmia Database in {folder}", "Get it with `edge-ecg data fetch mitdb`")
    records = [int(name) for name in (folder / "RECORDS").read_text().split()]
    replayed = [_replay(folder / str(r), model) for r in tqdm(records, desc="replay", unit="record")]
    results = {
        "schema": 1,
        "device": device,
        "cpu": _cpu(),
        "python": platform.python_version(),
        "edge_ecg": __version__,
        "model": model,
        "detector": {
            "rules": "150 ms, whole record, flutter of 207 left out, lead MLII (first channel for 102, 104)",
            "groups": {
                name: _pooled([r for r in replayed if r.record in group])
                for name, group in (("all 48", records), ("DS1", DS1), ("DS2", DS2), ("paced", PACED))
            },
            "records": {
                str(r.record): {"missed": r.agreement.n_missed, "extra": r.agreement.n_extra} for r in replayed
            },
        },
        "artefact": asdict(artefact_cost(model, [folder / str(r) for r in ARTEFACT_RECORDS])),
        "replay_cpu_s": _spread([r.cpu_s for r in replayed]),
        "replay_peak_mb": _spread([r.peak_mb for r in replayed]),
        "run_peak_mb": _run_peak_mb(model),
        "import_loads": _loaded_by_import(),
    }
    file = out or DEFAULT_OUT / device / "foundation.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=2) + "\n")
    shown = {key: results[key] for key in ("artefact", "replay_cpu_s", "replay_peak_mb", "run_peak_mb", "import_loads")}
    click.echo(json.dumps({**results["detector"]["groups"], **shown}, indent=2))  # type: ignore[index]
    click.echo(f"written: {file}\nnext: python -m benchmarks.tables")


def _replay(stem: Path, model: str) -> Replayed:
    """One record in a process of its own, on one core."""
    command = [sys.executable, "-m", "edge_ecg.cli.main", "replay", str(stem), "--model", model, "--jsonl", "-"]
    with tempfile.TemporaryFile("w+") as lines:
        child = subprocess.Popen(command, stdout=lines, stderr=subprocess.DEVNULL, preexec_fn=_on_one_core)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise DataError(f"replay of {stem} ended with {child.returncode}", " ".join(command))
        lines.seek(0)
        beats = [event for event in map(json.loads, lines) if event["type"] == "beat"]
    notes = read_annotations(stem)
    agreement = compare(
        notes.sample.tolist(),
        notes.symbol,
        [b["sample"] for b in beats],
        [b["label"] for b in beats],
        read_header(stem).fs_hz,
    )
    return Replayed(int(stem.name), agreement, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _pooled(rows: Sequence[Replayed]) -> dict[str, float]:
    matched, missed, extra = (
        sum(getattr(r.agreement, name) for r in rows) for name in ("n_matched", "n_missed", "n_extra")
    )
    return {
        "beats": matched + missed,
        "missed": missed,
        "extra": extra,
        "se_percent": round(100 * matched / (matched + missed), 3),
        "ppv_percent": round(100 * matched / (matched + extra), 3),
    }


def _run_peak_mb(model: str) -> float:
    """Peak resident memory of `edge-ecg run` over the shipped excerpt, read from a virtual board at 60 x."""
    from edge_ecg.sources.virtual import board_of_record
    from firmware_bridge.simulator import PtyBoard

    with PtyBoard(board_of_record(EXCERPT, 60.0)) as pty:
        command = [sys.executable, "-m", "edge_ecg.cli.main", "run", "--port", pty.path, "--model", model]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # The kernel's ru_maxrss would begin with this process's own memory; VmHWM begins at exec.
        status, peak_kb = Path(f"/proc/{child.pid}/status"), 0
        while child.poll() is None:
            found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
            peak_kb = int(found[1]) if found else peak_kb
            time.sleep(0.02)
        if child.returncode:
            raise DataError(f"run ended with {child.returncode}", " ".join(command))
        return round(peak_kb / 1024, 1)


def _loaded_by_import() -> dict[str, bool]:
    """Whether `import edge_ecg` loads the heavy ones."""
    heavy = ("numpy", "scipy", "ai_edge_litert", "tensorflow")
    script = f"import sys, edge_ecg; print([n in sys.modules for n in {heavy!r}])"
    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    return dict(zip(heavy, json.loads(answer.lower()), strict=True))


def _on_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {name: round(float(f(values)), 3) for name, f in (("median", np.median), ("max", np.max))}


def _cpu() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor()


if __name__ == "__main__":
    main()
