"""This project's beat detector beside others, on the same records, by the same scorer, in one run.

python -m benchmarks.detectors run     measure; what the same code measured before is kept
python -m benchmarks.detectors page    put the tables and plots into docs/detector.md
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import re
import shlex
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import PackageNotFoundError
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

import train.noise
from benchmarks import detector_cost, detector_page, detector_scores, detector_sets, detector_stress
from benchmarks.detector_cost import device_cost, memory_mb
from benchmarks.detector_peers import DETECTORS, OURS, TIMEOUT_S, YARDSTICK, Detector, attempt, version_of
from benchmarks.detector_scores import Tally, figures
from benchmarks.detector_sets import SETS, Excerpt
from edge_ecg import __version__, pipeline
from edge_ecg.datasets import data_root
from edge_ecg.errors import DataError, EdgeEcgError, UsageError
from edge_ecg.infer import tflite
from edge_ecg.scoring import matching
from train.looks import append_look
from train.people import only_test_people

RESULTS = Path(__file__).parent / "results"
MODEL = "mitdb-baseline-int8"
COST = "cost"
"""Name of the part that measures delay, CPU and memory; it stands beside the sets."""


@click.group()
def main() -> None:
    """Compare beat detectors."""


@main.command()
@click.option("--sets", "set_names", help=f"Comma-separated; default all: {', '.join([*SETS, COST])}.")
@click.option("--detectors", "names", help=f"Comma-separated; default all: {', '.join(DETECTORS)}.")
@click.option("--quick", is_flag=True, help="A few short recordings of people who are in no test: does it all work?")
@click.option("--jobs", default=1, show_default=True, help="Sets measured at once, each on a core of its own.")
@click.option("--device", default=platform.machine(), show_default=True, help="Name of this machine in the results.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file; default benchmarks/results/DEVICE.")
def run(set_names: str | None, names: str | None, quick: bool, jobs: int, device: str, out: Path | None) -> None:
    """Measure, and write what was measured after every set."""
    chosen = _named(names, DETECTORS, "detector")
    parts = _named(set_names, [*SETS, COST], "set")
    quick_file = Path(tempfile.gettempdir()) / "edge-ecg-detectors-quick.json"
    file = out or (quick_file if quick else RESULTS / device / "detectors.json")
    results = _earlier(file)
    results |= {
        "schema": 1,
        "device": device,
        "cpu": _cpu(),
        "python": platform.python_version(),
        "edge_ecg": __version__,
        "command": "python -m benchmarks.detectors " + shlex.join(sys.argv[1:]),
        "rules": "one to one within 150 ms, nearest first between neighbours",
        "seed": "number of the record (motion), CRC-32 of set and person (stress)",
        "timeout_s": TIMEOUT_S,
        "quick": quick,
        "versions": results.get("versions", {}) | _versions(chosen),
    }
    measured, wanted = results.setdefault("sets", {}), {}
    for part in parts:
        held = measured.setdefault(part, {})
        wanted[part] = [n for n in _candidates(part, chosen) if held.get(n, {}).get("key") != _key(part, n, quick)]
    for part, found in _measured({p: w for p, w in wanted.items() if w}, quick, jobs):
        measured[part] |= {
            n: {"key": _key(part, n, quick), "version": results["versions"][n], **found[n]} for n in found
        }
        # Before the file: what is written down is not measured again, and its look would never be told.
        _tell_look(results, part, quick)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_json(results), encoding="utf-8")
    click.echo(f"written: {file}\nnext: python -m benchmarks.detectors page")


@main.command()
@click.option("--json", "file", type=click.Path(path_type=Path, exists=True), help="Default: the first in results/.")
@click.option("--to", type=click.Path(path_type=Path), help="Another directory than docs/, to try it.")
def page(file: Path | None, to: Path | None) -> None:
    """Put what was measured into docs/detector.md and its plots."""
    source = file or detector_page.measured_file()
    if source is None:
        raise DataError(f"nothing measured in {RESULTS}", "Run `python -m benchmarks.detectors run` first")
    for written in detector_page.write(source, to or detector_page.PAGE.parent):
        click.echo(f"written: {written}")


def compare(excerpts: Iterable[Excerpt], detectors: Sequence[Detector], *, sweep: bool) -> dict[str, dict[str, Any]]:
    """Search each recording with each detector in turn; the yardstick's time is taken beside whatever is measured."""
    tallies = {d.name: Tally(sweep) for d in detectors}
    asked = [*detectors] if YARDSTICK in tallies else [*detectors, DETECTORS[YARDSTICK]]
    for nth, excerpt in enumerate(excerpts):
        if nth == 0:
            for detector in asked:  # imports and first-call compilation belong to no record
                attempt(detector, excerpt.samples_mv[: round(10 * excerpt.fs_hz)], excerpt.fs_hz)
        # The order turns, so that no detector always comes after the same one.
        turn = nth % len(asked)
        tried = {d.name: attempt(d, excerpt.samples_mv, excerpt.fs_hz) for d in asked[turn:] + asked[:turn]}
        for name, tally in tallies.items():
            tally.add(excerpt, tried[name], tried[YARDSTICK].cpu_s)
    return {name: tally.as_json() for name, tally in tallies.items()}


def _measure(part: str, names: Sequence[str], quick: bool) -> dict[str, dict[str, Any]]:
    if part != COST:
        excerpts = tqdm(SETS[part].excerpts(quick), desc=part, unit="recording", disable=None)
        return compare(excerpts, [DETECTORS[name] for name in names], sweep=SETS[part].clean)
    stem = data_root() / "mitdb" / "101"
    found: dict[str, dict[str, Any]] = {name: {"memory_mb": memory_mb(name, stem)} for name in names}
    if OURS in names:
        excerpts = tqdm(SETS["mitdb"].excerpts(quick), desc=part, unit="recording", disable=None)
        found[OURS] |= device_cost(excerpts, MODEL)
    return found


def _measured(wanted: dict[str, list[str]], quick: bool, jobs: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Parts as they are done; each process keeps to one core, so that seconds are those of one core."""
    cores = sorted(os.sched_getaffinity(0))
    if jobs <= 1:
        _on_core(cores[-1])
        for part, names in wanted.items():
            yield part, _measure(part, names, quick)
        os.sched_setaffinity(0, cores)
        return
    context = get_context("spawn")
    free = context.SimpleQueue()
    for core in cores[:jobs]:
        free.put(core)
    with ProcessPoolExecutor(len(cores[:jobs]), context, _on_free_core, (free,)) as pool:
        tasks = {pool.submit(_measure, part, names, quick): part for part, names in wanted.items()}
        for task in as_completed(tasks):
            yield tasks[task], task.result()


def _on_core(core: int) -> None:
    os.sched_setaffinity(0, {core})


def _on_free_core(free: Any) -> None:
    _on_core(free.get())


def _candidates(part: str, chosen: Sequence[str]) -> list[str]:
    """Which of the chosen detectors a part is for."""
    if part == COST:
        return list(chosen)
    if SETS[part].of_ours:
        return [name for name in chosen if name == OURS]
    return [name for name in chosen if SETS[part].clean or DETECTORS[name].everywhere]


def _key(part: str, name: str, quick: bool) -> str:
    """Changes when the detector's code or the set's does; not with a comment of the set's."""
    of_sets = [detector_scores, detector_sets, detector_stress, train.noise, matching]
    digest = hashlib.sha256(f"{part}/{name}/{quick}/{version_of(DETECTORS[name])}".encode())
    for module in [detector_cost, pipeline, tflite] if part == COST else of_sets:
        digest.update(ast.dump(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()[:12]


def _versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of the chosen; what is not installed is no detector that finds nothing."""
    try:
        return {name: version_of(DETECTORS[name]) for name in names}
    except PackageNotFoundError as error:
        hint = "`make detectors` has an environment with all of them; or choose with --detectors"
        raise UsageError(f"the package {error.name} is not installed", hint) from None


def _tell_look(results: dict[str, Any], part: str, quick: bool) -> None:
    """Put a part that saw test people on the list of looks: one line, with this project's figures."""
    ours = results["sets"][part].get(OURS)
    if quick or part == COST or ours is None:
        return
    database, rows = SETS[part].database, next(iter(ours["rows"].values()))
    of_test = only_test_people(database, rows)
    if of_test:
        seen = {k: round(v, 3) for k, v in figures([rows[name] for name in of_test]).items()}
        people = [f"{database}/{name}" for name in of_test]
        append_look(f"beat detectors compared: {part}", people, seen, results["command"])


def _named(given: str | None, known: Iterable[str], what: str) -> list[str]:
    names = [name.strip() for name in given.split(",")] if given else list(known)
    for name in names:
        if name not in list(known):
            raise UsageError(f"no {what} {name!r}", f"There are: {', '.join(known)}")
    return names


def _earlier(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        held: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise DataError(f"{file} is no JSON", "Remove it, or name another with --out") from None
    return held


def _json(results: dict[str, Any]) -> str:
    """Indented, but a list of numbers is one line."""
    text = json.dumps(results, indent=1) + "\n"
    return re.sub(r"\[[\s\d,]+\]", lambda found: re.sub(r"\s+", "", found[0]).replace(",", ", "), text)


def _cpu() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor()


if __name__ == "__main__":
    try:
        main()
    except EdgeEcgError as error:
        sys.exit(f"error: {error}")
