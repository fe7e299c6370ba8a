"""`edge-ecg evaluate RUN|BUNDLE|ID...`: load, score, tell."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from edge_ecg.errors import DataError, UsageError
from train.evaluation import Evaluation
from train.evaluation_model import ScoredModel, open_model
from train.evaluation_page import evaluation_page
from train.evaluation_parts import (
    TestPart,
    check_pooled,
    check_validation,
    patients_line,
    score_parts,
    warnings_of,
)
from train.evaluation_plots import confusion_png, reliability_png, require_matplotlib
from train.evaluation_text import evaluation_lines
from train.load import load_data
from train.looks import append_look
from train.people import PTB_SETS, only_test_people
from train.splits import splits_of
from train.sturdiness import Part, Sturdiness, check_sturdy, sturdiness_of
from train.window_set import runs_root

__all__ = ["SCHEMA", "evaluate_windows"]

SCHEMA = 1

_R = {
    "causal": "R of the device's detector where it matches the annotation, else the annotation",
    "paper": "annotated R",
}
_VALIDATION = "validation: the beats that this training's epoch was chosen by; for tuning a recipe, no test"
_PERSONS = "every beat has its person's class"
_CLASS_MAPS = {"mitdb": "class map aami5 (e and j are N)", "ptb": _PERSONS, "ptbdb": _PERSONS}
"""Of the public data sets; own data have theirs."""


def evaluate_windows(
    models: Sequence[str],
    *,
    dataset: str | None,
    split: str | None,
    fold: int | None,
    segmentation: str | None,
    part: Part,
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
    if part == "validation" and len(models) > 1:
        raise UsageError("--part validation looks at one model: a beat may validate in several folds", "Name one")
    opened = [open_model(name) for name in models]
    check_pooled(opened)
    parts = [_part(model, dataset, split, fold, segmentation, part) for model in opened]
    first = parts[0]
    if sturdy:
        check_sturdy(first.data)
    found = score_parts(parts)
    sturdiness = None
    if sturdy:
        model = first.model
        sturdiness = sturdiness_of(model.probs, first.data, first.split, model.preprocessing, part=part)
    facts, warnings = _facts(parts), warnings_of(parts)
    table = {"schema": SCHEMA, **_head(parts), "facts": facts, "warnings": warnings, **found.to_json()}
    table["sturdiness"] = None if sturdiness is None else sturdiness.to_json()
    told = json.dumps(table, indent=1, ensure_ascii=False)
    if as_html or out:
        folder = out or runs_root() / "evaluations" / _folder_name(parts)
        written = _write(folder, told, facts, warnings, found, sturdiness, as_html)
        click.echo(f"written: {', '.join(written)} in {folder}", err=True)
    if part == "test":
        _tell_look(parts, found, sturdiness, facts)
    if as_json:
        click.echo(told)
        return
    wide = max(map(len, facts))
    lines = [f"{name.replace('_', ' '):{wide}}  {value}" for name, value in facts.items()]
    lines += [f"{'mind':{wide}}  {text}" for text in warnings]
    lines += ["", *evaluation_lines(found), *(["", *sturdiness.lines()] if sturdiness else [])]
    click.echo("\n".join(lines))


def _part(
    model: ScoredModel,
    dataset: str | None,
    split: str | None,
    fold: int | None,
    segmentation: str | None,
    part: Part,
) -> TestPart:
    name = dataset or model.dataset
    own = model.split if model.split in splits_of(name) else "random"
    which = split or own
    number = fold if fold is not None else (model.fold or 0) if which == model.split else 0
    how = segmentation or (model.segmentation if name == model.dataset else "causal")
    data, parts = load_data(name, which, model.preprocessing, segmentation=how, fold=number)
    scored = TestPart(model, data, parts, part)
    if part == "validation":
        check_validation(scored)
    return scored


def _head(parts: Sequence[TestPart]) -> dict[str, Any]:
    first = parts[0]
    return {
        "model": _names(parts),
        "network": _common(part.model.network for part in parts),
        "seed": _common(part.model.seed for part in parts),
        "precision": first.model.precision,
        "bytes": _common(part.model.n_bytes for part in parts),
        "dataset": first.data.title,
        "split": first.split.name,
        "part": first.part,
        "folds": [part.split.fold for part in parts if part.split.fold is not None],
        "segmentation": first.data.segmentation,
        "lead": first.data.lead,
        "patients_on_both_sides": any(part.learned for part in parts),
        "data_sha256": first.data.sha256,
    }


def _facts(parts: Sequence[TestPart]) -> dict[str, str]:
    first = parts[0]
    data, model = first.data, first.model
    at = np.concatenate([part.beats for part in parts])
    folds = [str(part.split.fold) for part in parts if part.split.fold is not None]
    of = f", fold {', '.join(folds)} of 0 to {(first.split.n_folds or 1) - 1}" if folds else ""
    about = dict.fromkeys(map(patients_line, parts))
    trained = f"{Path(model.dataset).name}, {model.split} split, {model.segmentation} windows"
    class_map = _CLASS_MAPS.get(data.title, "class map of its dataset.toml")
    rules = f"single beats, {_R[data.segmentation]}; {class_map}; device-independent"
    which = {"part": _VALIDATION} if first.part == "validation" else {}
    return {
        "model": _names(parts),
        "precision": model.precision,
        "trained_on": trained,
        "data": f"{data.title}, {first.split.name} split{of}: {len(at):,} {first.part} beats of "
        f"{len(np.unique(data.records[at]))} records",
        **which,
        "patients": "; ".join(about),
        "lead": data.lead,
        "windows": f"{data.segmentation}, data {data.sha256[:12]}, preprocessing {model.preprocessing.fingerprint()}",
        "rules": rules,
        "command": shlex.join(["edge-ecg", *sys.argv[1:]]),
    }


def _common(values: Iterable[Any]) -> Any:
    """What all of them are; None where they differ."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _names(parts: Sequence[TestPart]) -> str:
    return " + ".join(part.model.name for part in parts)


def _folder_name(parts: Sequence[TestPart]) -> str:
    first = parts[0]
    more = f"-and-{len(parts) - 1}-more" if len(parts) > 1 else ""
    part = "" if first.part == "test" else f"-{first.part}"
    return f"{first.model.name}{more}-{first.data.title}-{first.split.name}{part}-{first.data.segmentation}"


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
    at = np.concatenate([part.beats for part in parts])
    numbers = np.unique((data.patients if data.title in PTB_SETS else data.records)[at]).tolist()
    people = only_test_people(data.title, numbers)
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
