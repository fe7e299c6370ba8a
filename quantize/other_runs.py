"""Runs of the same recipe that a bundle speaks of: other seeds that it was chosen from, and other splits."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_ecg.errors import UsageError
from edge_ecg.manifest import Metrics, SeedFigures
from quantize.changes import NONE, Changes, change
from quantize.convert import convert_source
from quantize.figures import metrics_of
from quantize.source import open_source
from train.evaluation_model import open_model
from train.evaluation_parts import TestPart, score_parts
from train.run import RunInfo, read_run

__all__ = ["metrics_by_split", "runs_by_split", "seeds_among"]


def seeds_among(folder: Path, among: Sequence[Path]) -> dict[str, SeedFigures]:
    """Validation figures by seed.

    Raises
    ------
    UsageError
        One of ``among`` differs in more than its seed, or did better than the run in ``folder``.
    """
    info = read_run(folder)
    runs = [info, *(read_run(other) for other in among)]
    if any(_difference(info, r) or (r.split, r.fold) != (info.split, info.fold) for r in runs):
        hint = "Seeds are compared with all else equal"
        raise UsageError("--among names a run of another recipe, split or fold", hint)
    best = max(runs, key=lambda r: r.validation_score)
    if best.seed != info.seed:
        raise UsageError(f"seed {best.seed} did better than {folder.name} on the validation part", "Convert that one")
    return {str(r.seed): SeedFigures(r.validation_accuracy, r.validation_macro_f1, r.validation_auc) for r in runs}


def runs_by_split(folder: Path, others: Sequence[Path]) -> dict[str, list[Path]]:
    """Runs on other splits, by split: one run, or one of each fold in their order.

    Raises
    ------
    UsageError
        One is of another recipe than that in ``folder`` or of its split; a fold is missing or there twice.
    """
    info = read_run(folder)
    found: dict[str, dict[int | None, Path]] = {}
    n_folds: dict[str, int] = {}
    for other in others:
        its = read_run(other)
        difference = _difference(info, its)
        if difference:
            raise UsageError(f"{other.name} is not the recipe of {folder.name}: it has another {difference}",
                             "--other-split compares splits with all else equal")  # fmt: skip
        if its.split == info.split:
            raise UsageError(f"{other.name} is on the {its.split} split, as {folder.name} is",
                             "--other-split takes runs on other splits; seeds are named with --among")  # fmt: skip
        same = found.setdefault(its.split, {})
        if its.fold in same:
            which = f"the {its.split} split" if its.fold is None else f"fold {its.fold} of the {its.split} split"
            raise UsageError(f"{same[its.fold].name} and {other.name} are both of {which}", "Name one of them")
        same[its.fold] = other
        n_folds[its.split] = its.n_folds or 0
    for split, runs in found.items():
        missing = [str(fold) for fold in range(n_folds[split]) if fold not in runs]
        if missing:
            raise UsageError(
                f"the {split} split has folds 0 to {n_folds[split] - 1}, --other-split lacks {', '.join(missing)}",
                f"Name a run of each; to train one: edge-ecg train --network {info.network} "
                f"--data {shlex.quote(info.dataset)} --split {split} --fold {missing[0]}",
            )
    return {split: [runs[fold] for fold in sorted(runs, key=lambda f: f or 0)] for split, runs in found.items()}


def metrics_by_split(
    runs: Mapping[str, Sequence[Path]],
    precision: str,
    changes: Changes = NONE,
    *,
    calibration_seed: int = 0,
    bench_only: bool = False,
) -> dict[str, Metrics]:
    """Figures by split of runs that `runs_by_split` gave, each changed, converted and scored on its own test part.

    Folds are one set of figures of all their beats together.
    """
    how = (precision, changes, calibration_seed, bench_only)
    return {split: _metrics(folders, *how) for split, folders in runs.items()}


def _metrics(
    folders: Sequence[Path], precision: str, changes: Changes, calibration_seed: int, bench_only: bool
) -> Metrics:
    parts: list[TestPart] = []
    with tempfile.TemporaryDirectory() as scratch:
        for k, folder in enumerate(folders):
            source = open_source(folder, bench_only=bench_only)
            changed = change(source, changes, folder)
            target = Path(scratch) / str(k)
            bundle = convert_source(
                changed.source, precision, target, calibration_seed=calibration_seed, convert=changed.convert,
                bench_only=bench_only, force=True, measured=False,
            )  # fmt: skip
            if len(folders) == 1:
                return bundle.manifest.metrics
            parts.append(TestPart(open_model(str(target)), source.data, source.split))
        pooled = score_parts(parts, n_replicates=0)
    return metrics_of(pooled, new_people=not any(part.split.patients_on_both_sides for part in parts))


def _difference(a: RunInfo, b: RunInfo) -> str:
    """The first thing in which two recipes differ; empty when they are the same."""
    pairs = {
        "network": (a.network, b.network),
        "data set": (a.dataset, b.dataset),
        "segmentation": (a.segmentation, b.segmentation),
        "preprocessing": (a.preprocessing, b.preprocessing),
        "recipe": (a.recipe, b.recipe),
        "number of teachers": (len(a.teachers), len(b.teachers)),
        "start": (bool(a.starts), bool(b.starts)),
    }
    return next((what for what, (one, other) in pairs.items() if one != other), "")
