"""`edge-ecg evaluate RUN|BUNDLE|ID...`: load, score, tell."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import DataError, UsageError
from edge_ecg.labels import LABEL_SETS
from train.evaluation import Evaluation, evaluation_of
from train.evaluation_model import ScoredModel, open_model
from train.evaluation_page import evaluation_page
from train.evaluation_plots import confusion_png, reliability_png, require_matplotlib
from train.evaluation_text import evaluation_lines
from train.load import load_data
from train.looks import append_look
from train.people import only_test_people
from train.splits import Split, splits_of
from train.sturdiness import Sturdiness, check_sturdy, sturdiness_of
from train.window_set import WindowSet, runs_root

__all__ = ["SCHEMA", "TestPart", "evaluate_windows", "score_parts"]

SCHEMA = 1

_R = {
    "causal": "R of the device's detector where it matches the annotation, else the annotation",
    "paper": "annotated R",
}
_CLASS_MAPS = {"aami5": "class map aami5 (e and j are N)", "binary": "every beat has its person's class"}
_LOOKED_UP_AS = {"ptb": "ecgdb_lead1"}
"""Name of a data set among the test people, where it has another."""


@dataclass(frozen=True, slots=True, eq=False)
class TestPart:
    """A model, and the beats that it is scored on."""

    model: ScoredModel
    data: WindowSet
    split: Split

    __test__ = False  # for pytest: no test class

    @property
    def records(self) -> NDArray[np.int32]:
        """``(n_test,)``."""
        return self.data.records[self.split.test]


def evaluate_windows(
    models: Sequence[str],
    *,
    dataset: str | None,
    split: str | None,
    fold: int | None,
    segmentation: str | None,
    as_json: bool,
    as_html: bool,
    sturdy: bool,
    out: Path | None,
) -> None:
    """Score, print one of text and JSON, write page and pictures when asked for."""
    if as_html or out:
        require_matplotlib()
    if sturdy and len(models) > 1:
        raise UsageError("--sturdy looks at one model", "Name one")
    opened = [open_model(name) for name in models]
    parts = [_part(model, dataset, split, fold, segmentation) for model in opened]
    first = parts[0]
    if sturdy:
        check_sturdy(first.data)
    found = score_parts(parts)
    sturdiness = None
    if sturdy:
        sturdiness = sturdiness_of(first.model.probs, first.data, first.split, first.model.preprocessing)
    facts, warnings = _facts(parts), _warnings(parts)
    table = {"schema": SCHEMA, **_head(parts), "facts": facts, "warnings": warnings, **found.to_json()}
    table["sturdiness"] = None if sturdiness is None else sturdiness.to_json()
    told = json.dumps(table, indent=1, ensure_ascii=False)
    if as_html or out:
        folder = out or runs_root() / "evaluations" / _folder_name(parts)
        written = _write(folder, told, facts, warnings, found, sturdiness, as_html)
        click.echo(f"written: {', '.join(written)} in {folder}", err=True)
    _tell_look(parts, found, sturdiness, facts)
    if as_json:
        click.echo(told)
        return
    wide = max(map(len, facts))
    lines = [f"{name.replace('_', ' '):{wide}}  {value}" for name, value in facts.items()]
    lines += [f"{'mind':{wide}}  {text}" for text in warnings]
    lines += ["", *evaluation_lines(found), *(["", *sturdiness.lines()] if sturdiness else [])]
    click.echo("\n".join(lines))
    if first.split.n_folds and len(parts) == 1:
        click.echo("One fold: name the runs of all folds to pool them.", err=True)


def score_parts(parts: Sequence[TestPart], **options: int) -> Evaluation:
    """Score each model on its test beats, and pool them.

    Raises
    ------
    UsageError
        Models of other classes than the beats, or two that are tested on the same beats.
    """
    first = parts[0]
    classes = LABEL_SETS[first.data.label_set]
    seen = np.zeros(len(first.data.labels), dtype=bool)
    for part in parts:
        if part.model.label_set != part.data.label_set:
            raise UsageError(
                f"{part.model.name} gives {', '.join(LABEL_SETS[part.model.label_set])}, the beats of "
                f"{part.data.title} are labelled {', '.join(LABEL_SETS[part.data.label_set])}",
                "Name a model of these classes, or other --data",
            )
        if part.data.sha256 != first.data.sha256:
            raise UsageError(
                f"{part.model.name} is not scored on the same beats as {first.model.name}",
                "Pool models of one data set and one preprocessing",
            )
        if seen[part.split.test].any():
            raise UsageError(
                "two of the models are tested on the same beats", "Give one run for each fold of --split patient"
            )
        seen[part.split.test] = True
    tests = [part.split.test for part in parts]
    probs = [part.model.probs(part.data.windows[part.split.test]) for part in parts]
    at = np.concatenate(tests)
    data = first.data
    return evaluation_of(
        data.labels[at], np.concatenate(probs), data.records[at], data.patients[at], classes, **options
    )


def _part(
    model: ScoredModel, dataset: str | None, split: str | None, fold: int | None, segmentation: str | None
) -> TestPart:
    name = dataset or model.dataset
    own = model.split if model.split in splits_of(name) else "random"
    which = split or own
    number = fold if fold is not None else (model.fold or 0) if which == model.split else 0
    how = segmentation or (model.segmentation if name == model.dataset else "causal")
    data, parts = load_data(name, which, model.preprocessing, segmentation=how, fold=number)
    return TestPart(model, data, parts)


def _head(parts: Sequence[TestPart]) -> dict[str, Any]:
    first = parts[0]
    return {
        "model": _names(parts),
        "precision": first.model.precision,
        "dataset": first.data.title,
        "split": first.split.name,
        "folds": [part.split.fold for part in parts if part.split.fold is not None],
        "segmentation": first.data.segmentation,
        "lead": first.data.lead,
        "patients_on_both_sides": any(part.model.learned(part.data, part.split) for part in parts),
        "data_sha256": first.data.sha256,
    }


def _facts(parts: Sequence[TestPart]) -> dict[str, str]:
    first = parts[0]
    data, model = first.data, first.model
    n_test = sum(len(part.split.test) for part in parts)
    folds = [str(part.split.fold) for part in parts if part.split.fold is not None]
    of = f", fold {', '.join(folds)} of 0 to {(first.split.n_folds or 1) - 1}" if folds else ""
    records = np.unique(np.concatenate([part.records for part in parts]))
    about = dict.fromkeys(part.split.about_patients(part.data) for part in parts)
    trained = f"{Path(model.dataset).name}, {model.split} split, {model.segmentation} windows"
    rules = f"single beats, {_R[data.segmentation]}; {_CLASS_MAPS[data.label_set]}; device-independent"
    return {
        "model": _names(parts),
        "precision": model.precision,
        "trained_on": trained,
        "data": f"{data.title}, {first.split.name} split{of}: {n_test:,} test beats of {len(records)} records",
        "patients": "; ".join(about),
        "lead": data.lead,
        "windows": f"{data.segmentation}, data {data.sha256[:12]}, preprocessing {model.preprocessing.fingerprint()}",
        "rules": rules,
        "command": shlex.join(["edge-ecg", *sys.argv[1:]]),
    }


def _warnings(parts: Sequence[TestPart]) -> list[str]:
    found = []
    for part in parts:
        model, data = part.model, part.data
        learned = model.learned(data, part.split)
        if learned:
            found.append(f"no test of new people: {learned}")
        if model.segmentation != data.segmentation:
            found.append(f"the model learned from {model.segmentation} windows, these are {data.segmentation}")
        elif Path(model.dataset).name == data.title and model.data_sha256 != data.sha256:
            found.append("the windows are not those of its training: another cutting code or other records")
    return list(dict.fromkeys(found))


def _names(parts: Sequence[TestPart]) -> str:
    return " + ".join(part.model.name for part in parts)


def _folder_name(parts: Sequence[TestPart]) -> str:
    first = parts[0]
    more = f"-and-{len(parts) - 1}-more" if len(parts) > 1 else ""
    return f"{first.model.name}{more}-{first.data.title}-{first.split.name}-{first.data.segmentation}"


def _write(
    folder: Path,
    table: str,
    facts: Mapping[str, str],
    warnings: Sequence[str],
    found: Evaluation,
    sturdiness: Sturdiness | None,
    as_html: bool,
) -> list[str]:
    """Write the folder; return the names of the files."""
    title = f"{facts['model']}\n{facts['data'].partition(':')[0]}, lead {facts['lead']}, {found.n:,} beats"
    pictures = {
        "confusion.png": confusion_png(found.confusion, found.classes, title),
        "reliability.png": reliability_png(found.calibration, title),
    }
    files = {"evaluation.json": (table + "\n").encode(), **pictures}
    if as_html:
        captions = {
            "Confusion: rows are the experts, columns the model; share of the row": pictures["confusion.png"],
            "Reliability: is it as sure as it is right?": pictures["reliability.png"],
        }
        files["evaluation.html"] = evaluation_page(facts, warnings, found, sturdiness, captions).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}", "Name another folder with --out") from None
    return sorted(files)


def _tell_look(
    parts: Sequence[TestPart], found: Evaluation, sturdiness: Sturdiness | None, facts: Mapping[str, str]
) -> None:
    data = parts[0].data
    at = np.concatenate([part.split.test for part in parts])
    numbers = np.unique((data.patients if data.title == "ptb" else data.records)[at]).tolist()
    people = only_test_people(_LOOKED_UP_AS.get(data.title, data.title), numbers)
    if not people:
        return
    figures: dict[str, Any] = {
        "n": found.n,
        "accuracy": found.confusion.accuracy,
        "macro_f1": found.confusion.macro_f1,
        "se": dict(zip(found.classes, found.per_class["se"], strict=True)),
        "ppv": dict(zip(found.classes, found.per_class["ppv"], strict=True)),
    }
    if sturdiness is not None:
        figures["loss_points"] = {c.name: c.loss_points for c in sturdiness.conditions}
    append_look(f"test beats, {facts['model']}, {facts['data']}; {facts['rules']}", people, figures, facts["command"])
