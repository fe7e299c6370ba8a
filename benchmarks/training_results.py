"""The files of benchmarks/results/training: what `edge-ecg evaluate --json` said of a run, of folds or of a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["NETWORKS", "RESULTS", "Group", "Result", "best_of", "bundle_of", "file_text", "read_results", "seeds_of"]

RESULTS = Path(__file__).parent / "results" / "training"
NETWORKS = {"baseline": "baseline", "residual": "residual", "deep_residual": "deep residual"}
"""In the order of the tables, with their names there."""

_LINE = 300
_DECIMALS = 6


class Group(NamedTuple):
    """Runs that differ in seed (and, by mistake, in recipe) only."""

    dataset: str
    network: str
    split: str = "random"
    segmentation: str = "causal"


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One file: its name without suffix, its JSON (of `evaluate`, and ``models``: the runs or the bundle scored)."""

    name: str
    table: dict[str, Any]

    @property
    def group(self) -> Group:
        """What it is comparable with."""
        return Group(*(self.table[key] for key in Group._fields))

    @property
    def is_bundle(self) -> bool:
        """A bundle; else a run, or the folds of one recipe."""
        return self.table["bytes"] is not None

    @property
    def is_changed(self) -> bool:
        """A bundle whose network was pruned or trained quantised: another one than its row in the tables."""
        return bool(self.table["models"][0].get("changes"))

    @property
    def seed(self) -> int:
        """Of the training."""
        return int(self.table["seed"])

    @property
    def recipe(self) -> str | None:
        """Hash of the recipe; None of a bundle."""
        told: str | None = self.table["models"][0].get("recipe")
        return told

    @property
    def is_binary(self) -> bool:
        """Two classes: the area under the ROC curve says more than F1."""
        return len(self.table["classes"]) == 2

    @property
    def auc(self) -> float | None:
        """Area under the ROC curve of the second class."""
        area: float | None = self.table["per_class"][self.table["classes"][1]]["roc_auc"]
        return area

    @property
    def validation(self) -> tuple[float, float]:
        """Accuracy and macro F1 (two classes: AUC) on the validation part; of folds their mean."""
        other = "validation_auc" if self.is_binary else "validation_macro_f1"
        rows = [(m["validation_accuracy"], m[other] or 0.0) for m in self.table["models"]]
        accuracy, by = np.mean(rows, axis=0).tolist()
        return accuracy, by


def read_results(folder: Path = RESULTS) -> list[Result]:
    """All files of a folder, by name; none when there is no such folder."""
    return [Result(f.stem, json.loads(f.read_text(encoding="utf-8"))) for f in sorted(folder.glob("*.json"))]


def bundle_of(results: Iterable[Result], group: Group, precision: str = "int8") -> Result | None:
    """The bundle that ships of a group, with its network as it was trained."""
    own = (r for r in results if r.is_bundle and r.group == group and not r.is_changed)
    return next((r for r in own if r.table["precision"] == precision), None)


def best_of(results: Sequence[Result], group: Group) -> Result | None:
    """The run of a group that its figures are told of: the seed that ships, else the best on the validation part.

    Where runs of several recipes lie about, that of the group's `random` split on causal windows goes first.
    """
    runs = [r for r in results if not r.is_bundle and r.group == group]
    shipped, home = bundle_of(results, group), Group(group.dataset, group.network)
    at_home = best_of(results, home) if group != home else None

    def rank(run: Result) -> tuple[bool, bool, float]:
        ships = shipped is not None and run.seed == shipped.seed
        return ships, at_home is not None and run.recipe == at_home.recipe, sum(run.validation)

    return max(runs, key=rank, default=None)


def seeds_of(results: Sequence[Result], group: Group) -> list[Result]:
    """The runs of a group with the recipe of `best_of`, by seed."""
    best = best_of(results, group)
    same = [r for r in results if best and not r.is_bundle and r.group == group and r.recipe == best.recipe]
    return sorted(same, key=lambda r: r.seed)


def file_text(table: Any) -> str:
    """JSON of six decimals in which a row of a table is a line."""
    return _lines(_rounded(table), "") + "\n"


def _lines(value: Any, indent: str) -> str:
    told = json.dumps(value, ensure_ascii=False)
    if len(told) <= _LINE or not isinstance(value, dict | list):
        return told
    deeper = indent + " "
    if isinstance(value, list):
        rows = [_lines(v, deeper) for v in value]
        return "[\n" + ",\n".join(deeper + row for row in rows) + f"\n{indent}]"
    rows = [f"{json.dumps(k, ensure_ascii=False)}: {_lines(v, deeper)}" for k, v in value.items()]
    return "{\n" + ",\n".join(deeper + row for row in rows) + f"\n{indent}}}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DECIMALS)
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
