"""Score the released bundles and the runs behind them on their own test parts, for the tables of docs/results.md.

Run by hand by whoever releases a model: the runs do not lie in the repository. Each is scored by `edge-ecg evaluate`.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from benchmarks.training_results import RESULTS, file_text
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError, EdgeEcgError, UsageError
from edge_ecg.manifest import load_bundle, shipped_ids
from train.evaluation_run import SCHEMA
from train.load import load_data
from train.run import WEIGHTS, RunInfo, find_run, read_run

__all__ = ["Job", "bundle_job", "is_fresh", "main", "run_jobs"]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One file to write.

    Attributes
    ----------
    name
        Of the file, without suffix.
    args
        What `edge-ecg evaluate` is asked for.
    models
        What the file says of each model; the hash of its weights is the key.
    data
        Arguments of `data_sha256`.
    """

    name: str
    args: tuple[str, ...]
    models: tuple[dict[str, Any], ...]
    data: tuple[str, str, PreprocessParams]

    @property
    def is_sturdy(self) -> bool:
        """Whether disturbed records are part of it."""
        return "--sturdy" in self.args


@click.command()
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option("--bundles/--no-bundles", default=True, show_default=True, help="The shipped bundles, too.")
@click.option("--force", is_flag=True, help="Measure again what was measured of the same weights and beats.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, help="Default: benchmarks/results/training.")
def main(names: tuple[str, ...], bundles: bool, force: bool, out: Path) -> None:
    """Score the shipped bundles and RUNs (folders, or names in EDGE_ECG_RUNS); folds of one recipe are pooled.

    \b
    Example:
      python -m benchmarks.training mitdb-baseline-random-seed{1,2,3} ptb-residual-patient-fold{0,1,2,3,4}-seed1
      python -m benchmarks.tables
    """
    jobs = run_jobs(names)
    jobs = [*(bundle_job(name) for name in shipped_ids("network") if bundles), *jobs]
    stale = [job for job in jobs if force or not is_fresh(job, out / f"{job.name}.json")]
    for job in (bar := tqdm(stale, unit="model", disable=None)):
        bar.set_description(job.name)
        table = {**_evaluated(job.args), "models": list(job.models)}
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{job.name}.json").write_text(file_text(table), encoding="utf-8")
    click.echo(f"measured {len(stale)} of {len(jobs)}, in {out}\nnext: python -m benchmarks.tables")


def bundle_job(name: str) -> Job:
    """A shipped bundle on the split it was trained on; on disturbed records too, where those are a test."""
    m = load_bundle(name).manifest
    is_sturdy = (m.dataset, m.split, m.segmentation) == ("mitdb", "random", "causal")
    args = (name, "--sturdy") if is_sturdy else (name,)
    changes = {"changes": list(m.changes)} if m.changes else {}
    models = ({"name": name, "weights_sha256": m.sha256, **changes},)
    return Job(name, args, models, (m.dataset, m.segmentation, m.preprocessing))


def run_jobs(names: Iterable[str]) -> list[Job]:
    """A job of each run (folder, or name under `runs_root`), one of all folds of a recipe; named without the fold.

    Raises
    ------
    UsageError
        A run still trains; a fold is missing or of another recipe, or two runs have one name.
    """
    by_name: dict[str, dict[str, RunInfo]] = {}
    for given in dict.fromkeys(names):
        folder = find_run(given).absolute()
        info = read_run(folder)
        if not info.recipe.patience and info.epochs_done < info.recipe.epochs:
            raise UsageError(
                f"{folder.name} is not done: {info.epochs_done} of {info.recipe.epochs} epochs",
                f"Wait for it, or go on with it: edge-ecg train --resume {folder.name}",
            )
        name = folder.name if info.fold is None else re.sub(rf"-fold{info.fold}(?=-|$)", "", folder.name)
        by_name.setdefault(name, {})[given] = info
    return [_run_job(name, runs) for name, runs in by_name.items()]


def _run_job(name: str, runs: dict[str, RunInfo]) -> Job:
    by_fold = sorted(runs.items(), key=lambda item: item[1].fold or 0)
    infos = [info for _, info in by_fold]
    first = infos[0]
    folds = [info.fold for info in infos]
    wanted = [None] if first.n_folds is None else list(range(first.n_folds))
    if folds != wanted:
        told = _listed(folds) or f"{len(runs)} runs"
        raise UsageError(f"{name} is to pool folds {_listed(wanted)}, named are {told}", "Name one run of each fold")
    same = ("network", "dataset", "split", "segmentation", "seed", "recipe", "preprocessing", "n_folds")
    other = [key for key in same if any(getattr(info, key) != getattr(first, key) for info in infos)]
    if other:
        raise UsageError(f"the folds of {name} differ in more: {other[0]}", "Name folds of one recipe")
    models = tuple(_about_run(find_run(given).absolute(), info) for given, info in by_fold)
    # As they were named: the command goes to the list of looks, which need not know where the runs lie.
    args = tuple(given for given, _ in by_fold)
    return Job(name, args, models, (first.dataset, first.segmentation, first.preprocessing))


def _listed(folds: Iterable[int | None]) -> str:
    return ", ".join(str(fold) for fold in folds if fold is not None)


def _about_run(folder: Path, info: RunInfo) -> dict[str, Any]:
    recipe = json.dumps(asdict(info.recipe), sort_keys=True).encode()
    return {
        "name": folder.name,
        "weights_sha256": hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
        "recipe": hashlib.sha256(recipe).hexdigest()[:6],
        "fold": info.fold,
        "best_epoch": info.best_epoch,
        "epochs": info.epochs_done,
        "validation_accuracy": info.validation_accuracy,
        "validation_macro_f1": info.validation_macro_f1,
        "validation_auc": info.validation_auc,
    }


def is_fresh(job: Job, file: Path) -> bool:
    """Whether a file is of these weights, these beats and this way of scoring."""
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        weights = [m["weights_sha256"] for m in held["models"]]
        if held["schema"] != SCHEMA or weights != [m["weights_sha256"] for m in job.models]:
            return False
        if job.is_sturdy and held["sturdiness"] is None:
            return False
        return bool(held["data_sha256"] == data_sha256(*job.data))
    except (OSError, ValueError, KeyError, TypeError):
        return False


@cache
def data_sha256(dataset: str, segmentation: str, params: PreprocessParams) -> str:
    """Hash of the beats that this checkout cuts."""
    # Any split will do: the hash is that of all beats.
    data, _ = load_data(dataset, "random", params, segmentation=segmentation)
    return str(data.sha256)


def _evaluated(args: Sequence[str]) -> dict[str, Any]:
    """What `edge-ecg evaluate` says; in a process of its own, whose memory goes with it."""
    command = [sys.executable, "-m", "edge_ecg.cli.main", "evaluate", *args, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise DataError(f"`edge-ecg evaluate {' '.join(args)}` failed", "It says why above; what was measured is kept")
    table: dict[str, Any] = json.loads(done.stdout)
    # Where the runs lie is nobody's business.
    table["facts"]["command"] = " ".join(["edge-ecg evaluate", *(Path(arg).name for arg in args), "--json"])
    return table


if __name__ == "__main__":
    try:
        main()
    except EdgeEcgError as error:
        sys.exit(f"error: {error}")
