"""From records to what a rhythm bundle holds: features, cross-validation, choices, the trees of all people."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge_ecg.errors import DataError
from edge_ecg.infer.trees import TreeTables
from edge_ecg.io.arrays import pack_arrays, unpack_arrays
from edge_ecg.rhythm_manifest import RhythmBundle
from train.evaluation_plots import figure_png
from train.rhythm_bundle import RhythmFacts, write_rhythm_bundle
from train.rhythm_choice import AIMS, Calibration, OutOfFold, Said, best_factors, calibration_of, unseen
from train.rhythm_curves import curves_of, draw
from train.rhythm_cv import N_FOLDS, fold_of, fold_probs
from train.rhythm_features import Wish, rows_of
from train.rhythm_figures import healthy_figures, people_figures
from train.rhythm_fit import RecordRows, RhythmRecipe, fit_trees
from train.rhythm_records import training_records
from train.rhythm_tables import calibrated, tables_of

__all__ = ["Fitted", "fit_rhythm", "train_rhythm"]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A rhythm model, and what led to its choices.

    Attributes
    ----------
    tables
        Calibrated.
    points
        Factors of N, S and V by operating point.
    said
        By operating point, what is said of each record by trees, calibration and factors that have not seen the person.
    found
        Each record and the calibrated probabilities of trees that have not seen the person.
    data_sha256
        Hash of all features and labels.
    """

    tables: TreeTables
    calibration: Calibration
    points: dict[str, tuple[float, float, float]]
    said: dict[str, list[Said]]
    found: tuple[OutOfFold, ...]
    records: tuple[RecordRows, ...]
    data_sha256: str


def train_rhythm(root: Path, seed: int, folder: Path, command: str, *, jobs: int) -> RhythmBundle:
    """Fit a rhythm model and write its bundle to ``folder / "rhythm"``, curves of its choices beside it.

    ``folder`` keeps what is done on the way.

    Raises
    ------
    DataError
        As `fit_rhythm`; otherwise as `train.rhythm_bundle.write_rhythm_bundle`.
    """
    recipe = RhythmRecipe()
    fitted = fit_rhythm(root, recipe, seed, folder, jobs=jobs)
    curves = curves_of(fitted.found, fitted.points)
    _keep(folder / "curves.json", (json.dumps(curves, indent=1) + "\n").encode())
    if find_spec("matplotlib") is not None:
        _keep(folder / "curves.png", figure_png(draw(curves)))
    facts = RhythmFacts(
        id="rhythm",
        temperature=fitted.calibration.temperature,
        biases=fitted.calibration.biases,
        operating_points=fitted.points,
        seed=seed,
        recipe=asdict(recipe),
        data_sha256=fitted.data_sha256,
        cross_validation={name: people_figures(said) for name, said in fitted.said.items()},
        healthy={name: healthy_figures(said) for name, said in fitted.said.items()},
        commands=(command,),
    )
    return write_rhythm_bundle(fitted.tables, facts, fitted.records, folder / facts.id)


def fit_rhythm(root: Path, recipe: RhythmRecipe, seed: int, kept: Path, *, jobs: int) -> Fitted:
    """Fit it. What was done before is not done again: rows of records, and folds, which lie in ``kept``.

    Raises
    ------
    DataError
        As `train.rhythm_features.rows_of`; what is kept cannot be written.
    """
    wishes = [Wish(root, *record, is_copy) for is_copy in (False, True) for record in training_records(root)]
    with _bar("features", len(wishes)) as step:
        records = rows_of(wishes, jobs, lambda _: step())
    data_sha256 = _sha256(records)
    with _bar("cross-validation", N_FOLDS) as step:
        found = _cross_validated(records, recipe, seed, kept, data_sha256, jobs, step)
    calibration = calibration_of(found)
    calibrated_found = [replace(one, probs=calibration.of(one.probs)) for one in found]
    with _bar("operating points", 1) as step:
        points = {name: best_factors(calibrated_found, aim) for name, aim in AIMS.items()}
        said = unseen(found, AIMS)
        step()
    with _bar("all people", 1) as step:
        boosters = fit_trees(records, recipe, seed, threads=jobs)
        step()
    tables = calibrated(tables_of(boosters, records[0].x.shape[1]), calibration.temperature, calibration.biases)
    return Fitted(tables, calibration, points, said, tuple(calibrated_found), tuple(records), data_sha256)


def _cross_validated(
    records: Sequence[RecordRows], recipe: RhythmRecipe, seed: int, kept: Path, data_sha256: str, jobs: int,
    step: Callable[[], None],
) -> list[OutOfFold]:  # fmt: skip
    key = hashlib.sha256(json.dumps([data_sha256, asdict(recipe), seed]).encode()).hexdigest()[:12]
    folds, clean = fold_of(records), [record for record in records if not record.is_copy]
    found: dict[tuple[str, str], OutOfFold] = {}
    for fold in range(N_FOLDS):
        held = [record for record in clean if folds[record.key] == fold]
        file = kept / f"fold{fold}-{key}.npz"
        probs = _held(file)
        if probs is None or len(probs) != sum(len(record.labels) for record in held):
            probs = fold_probs(records, fold, recipe, seed, threads=jobs)
            _keep(file, pack_arrays({"probs": probs}))
        ends = np.cumsum([len(record.labels) for record in held])[:-1]
        found |= {record.key: OutOfFold(record, p, fold) for record, p in zip(held, np.split(probs, ends), strict=True)}
        step()
    return [found[record.key] for record in clean]


def _held(file: Path) -> np.ndarray | None:
    try:
        return unpack_arrays(file.read_bytes(), what="probabilities", error=DataError)["probs"]
    except (OSError, DataError, KeyError):
        return None


def _keep(file: Path, content: bytes) -> None:
    part = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(file)
    except OSError as error:
        raise DataError(f"cannot write {file}: {error.strerror}", "Make room, or name another EDGE_ECG_RUNS") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _sha256(records: Sequence[RecordRows]) -> str:
    digest = hashlib.sha256()
    for record in records:
        digest.update(f"{record.database}/{record.name}/{record.is_copy}".encode())
        digest.update(np.ascontiguousarray(record.x).tobytes() + record.labels.tobytes())
    return digest.hexdigest()


@contextmanager
def _bar(what: str, n: int) -> Iterator[Callable[[], None]]:
    if not sys.stderr.isatty():
        print(f"{what}: {n} steps", file=sys.stderr, flush=True)
    with tqdm(total=n, desc=what, disable=None) as bar:
        yield lambda: bar.update() and None
