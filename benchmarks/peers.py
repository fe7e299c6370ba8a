"""What people would use instead, beside this project, in one run on this machine: `make peers`.

python -m benchmarks.peers latency    one beat on each library, in turns
python -m benchmarks.peers job        a whole record: detection, windows, labels
python -m benchmarks.peers peak       what the core could do
python -m benchmarks.peers all        the three; `python -m benchmarks.peer_page` puts them into docs/benchmarks.md
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.peer_child import LIBRARIES
from benchmarks.peer_models import NETWORKS, prepare
from benchmarks.peer_peak import measured_peaks, multiply_adds
from benchmarks.peer_turns import Child, Timed, paired_ratio, take_turns
from edge_ecg import __version__
from edge_ecg.errors import EdgeEcgError, UsageError
from edge_ecg.manifest import load_bundle
from train.splits import DS2

RESULTS = Path(__file__).parent / "results"
LEGACY = Path(__file__).resolve().parents[1] / ".venv-runtimes-legacy" / "bin" / "python"
OURS = "ai-edge-litert · Interpreter · int8"
"""What the device runs, as the calls are named."""
N_COMPARED = 25
"""Beats whose classes are compared; Keras is slow."""

_where = click.option("--out", type=click.Path(path_type=Path), help="JSON file; default benchmarks/results/DEVICE.")
_networks = click.option("--networks", default=",".join(NETWORKS), show_default=True)
_work = click.option(
    "--work", type=click.Path(path_type=Path), help="Keep the converted networks here, and take those that are."
)
_runs = click.option("--run", "run_folders", multiple=True, type=click.Path(path_type=Path, exists=True),
                     help="A training run: its network takes these weights, not those of the shipped int8 file.")  # fmt: skip
_legacy = click.option(
    "--legacy", type=click.Path(path_type=Path), default=LEGACY, help="Python that has tflite-runtime."
)
_rounds = click.option("--rounds", default=50, show_default=True, help="Slices of 100 beats of each call in a run.")
_times = click.option("--times", default=3, show_default=True, help="Runs.")
_records = click.option("--records", default=",".join(map(str, DS2)), help="Of mitdb; default the 22 of DS2.")


@click.group()
def main() -> None:
    """Measure what people would use instead."""


@main.command()
@_networks
@_runs
@_legacy
@_rounds
@_times
@_work
@_where
def latency(
    networks: str,
    run_folders: tuple[Path, ...],
    legacy: Path,
    rounds: int,
    times: int,
    work: Path | None,
    out: Path | None,
) -> None:
    """Time one beat on each library.

    \b
    Example:
      python -m benchmarks.peers latency --networks baseline --rounds 20
    """
    for network in _named(networks):
        with _prepared(network, run_folders, work) as folder:
            found = measure_latency(folder, legacy, rounds, times)
        _keep(out, "latency", {network: found})


@main.command()
@_networks
@_runs
@_records
@_work
@_where
def job(networks: str, run_folders: tuple[Path, ...], records: str, work: Path | None, out: Path | None) -> None:
    """Time and score whole records: NeuroKit2 or xqrs, windows and Keras, against edge_ecg."""
    from benchmarks.peer_job import measure_job

    for network in _named(networks):
        with _prepared(network, run_folders, work) as folder:
            _keep(out, "job", {network: measure_job(folder, [int(r) for r in records.split(",")])})


@main.command()
@_where
def peak(out: Path | None) -> None:
    """Measure what the core could do, and count what each network asks for."""
    peaks = {name: asdict(found) for name, found in measured_peaks(_core()).items()}
    work = {name: multiply_adds(load_bundle(f"mitdb-{name}-int8").model) for name in NETWORKS}
    _keep(out, "peak", {"per_s": peaks, "multiply_adds": work})


@main.command(name="all")
@_networks
@_runs
@_legacy
@_rounds
@_times
@_records
@_work
@_where
@click.pass_context
def everything(context: click.Context, **given: Any) -> None:
    """Measure all of it."""
    for command in (peak, latency, job):
        context.invoke(command, **{p.name: given[p.name] for p in command.params if p.name in given})


def measure_latency(folder: Path, legacy: Path, rounds: int, times: int) -> dict[str, Any]:
    """One network on each library that can be started; those that cannot are named with why."""
    told = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        timers, children = {}, {}
        for library, (package, _) in LIBRARIES.items():
            python = legacy if package == "tflite-runtime" else Path(sys.executable)
            core = -1 if "threads" in library else _core()
            bundle = (
                told["bundle"] if library == "ai-edge-litert" and told["weights"].startswith(told["bundle"]) else None
            )
            try:
                if not python.exists():
                    raise UsageError(f"no {python.name} of its own", "`make peers` makes it")
                child = stack.enter_context(Child(python, library, folder, core, bundle, folder / f"{library}.log"))
            except EdgeEcgError as error:
                missing[library] = error.message
                click.echo(f"without {library}: {error.message}", err=True)
                continue
            versions[package] = child.version
            for k, (name, precision) in enumerate(child.calls):
                label = f"{package} · {name} · {precision}"
                timers[label], children[label] = child.timer(k), (child, k)
        reference = np.array(children[OURS][0].classes(children[OURS][1], N_COMPARED))
        agree = {
            label: float(np.mean(np.array(c.classes(k, N_COMPARED)) == reference)) for label, (c, k) in children.items()
        }
        runs = []
        for seed in range(times):
            with click.progressbar(
                length=rounds, label=f"{told['network']}, run {seed + 1} of {times}", file=sys.stderr
            ) as bar:
                runs.append(take_turns(timers, rounds, seed, lambda bar=bar: bar.update(1)))
    return {
        **told,
        "rounds": rounds,
        "measured_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": [round(x, 1) for x in os.getloadavg()],
        "versions": versions,
        "missing": missing,
        "calls": {label: {**_of_runs([run[label] for run in runs]), "agrees": agree[label]} for label in timers},
        "int8_times_faster": {label: _ratios(runs, label) for label in timers if label != OURS},
    }


def _of_runs(timed: list[Timed]) -> dict[str, Any]:
    """The run with the lowest median, and the median of each."""
    best = min(timed, key=lambda t: t.spread.p50_us)
    return {
        **asdict(best.spread),
        "p50_of_runs_us": [t.spread.p50_us for t in timed],
        "cpu_p50_of_runs_us": [t.spread.cpu_p50_us for t in timed],
    }


def _ratios(runs: list[dict[str, Timed]], label: str) -> list[float]:
    """How many times faster the int8 file is on the device's interpreter: in each run, slice by slice."""
    return [round(paired_ratio(run[label], run[OURS]), 2) for run in runs]


def _prepared(network: str, run_folders: tuple[Path, ...], work: Path | None) -> Any:
    """A context that gives the folder of a network; one in ``work`` stays."""
    from train.run import read_run

    run = next((f for f in run_folders if read_run(f).network == network), None)

    class Folder:
        def __enter__(self) -> Path:
            self.temporary = tempfile.TemporaryDirectory() if work is None else None
            folder = Path(self.temporary.name) if self.temporary else Path(work) / network
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "prepared.json").exists():
                click.echo(f"{network}: converting", err=True)
                prepare(network, folder, run)
            return folder

        def __exit__(self, *_: object) -> None:
            if self.temporary:
                self.temporary.cleanup()

    return Folder()


def _keep(out: Path | None, part: str, found: Mapping[str, Any]) -> None:
    """Put a part into the file; what else it has stays."""
    file = out or RESULTS / platform.machine() / "peers.json"
    held = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    held |= {
        "schema": 1,
        "device": platform.machine(),
        "cpu": _cpu(),
        "vectors": ", ".join(_vectors()),
        "python": platform.python_version(),
        "edge_ecg": __version__,
    }
    held[part] = {**held.get(part, {}), **found}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    click.echo(f"written: {file}", err=True)


def _named(networks: str) -> list[str]:
    names = [name.strip() for name in networks.split(",")]
    for name in names:
        if name not in NETWORKS:
            raise UsageError(f"no network {name!r}", f"There are: {', '.join(NETWORKS)}")
    return names


def _core() -> int:
    return max(os.sched_getaffinity(0))


def _vectors() -> list[str]:
    """What of the processor's flags decides how fast int8 is; of x86-64 and 64-bit Arm."""
    flags = set(re.split(r"\s+", Path("/proc/cpuinfo").read_text()))
    return [f for f in ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "i8mm") if f in flags]


def _cpu() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor()


if __name__ == "__main__":
    try:
        main()
    except EdgeEcgError as error:
        sys.exit(f"error: {error}")
