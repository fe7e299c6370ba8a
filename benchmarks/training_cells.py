"""Cells, tables and captions of what `benchmarks.training` measured, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.training_results import Result

__all__ = [
    "about",
    "classes_table",
    "limits",
    "mean_of",
    "number",
    "over_seeds",
    "percent",
    "section",
    "sentence",
    "share_of_largest",
    "spread",
    "table",
    "with_limits",
]

Limits = Sequence[float] | None


def section(title: str, lines: Sequence[str], rows: Sequence[str] = ()) -> str:
    """A section; ends with an empty line."""
    return "\n".join([f"## {title}", "", *lines, *(["", *rows] if rows else []), ""])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    return [f"| {' | '.join(cells)} |" if cells else "|" + "---|" * len(head) for cells in (head, (), *rows)]


def about(r: Result, *, precision: bool = True) -> str:
    """Split, patients, beats, lead, windows, rules and precision of a result."""
    t, facts = r.table, r.table["facts"]
    folds = f", folds {', '.join(map(str, t['folds']))} pooled" if len(t["folds"]) > 1 else ""
    fold = f", fold {t['folds'][0]}" if len(t["folds"]) == 1 else ""
    told = f"{t['dataset']}, `{t['split']}` split{folds}{fold} ({facts['patients']}), {t['n']:,} test beats, "
    told += f"lead {t['lead']}, {t['segmentation']} windows; {facts['rules']}"
    return told + (f"; {t['precision']}" if precision else "")


def sentence(text: str) -> str:
    """With a capital."""
    return text[:1].upper() + text[1:]


def percent(value: float | None) -> str:
    """A fraction in percent."""
    return "-" if value is None else f"{100 * value:.2f}"


def number(value: float | None) -> str:
    """A fraction as it is."""
    return "-" if value is None else f"{value:.4f}"


def limits(interval: Limits) -> str:
    """An interval of fractions; empty without one."""
    return f"[{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""


def with_limits(value: float | None, interval: Limits) -> str:
    """A fraction and its interval."""
    return f"{number(value)} {limits(interval)}".strip()


def spread(values: Sequence[float | None]) -> str:
    """Mean ± standard deviation; of one value itself."""
    known = [v for v in values if v is not None]
    if len(known) < 2:
        return number(known[0] if known else None)
    return f"{np.mean(known):.4f} ± {np.std(known, ddof=1):.4f}"


def over_seeds(runs: Sequence[Result]) -> str:
    """Accuracy / macro F1 (two classes: AUC) of several seeds; of one run its figures; empty without one."""
    if not runs:
        return ""
    others = [r.auc if r.is_binary else r.table["macro_f1"] for r in runs]
    told = f"{spread([r.table['accuracy'] for r in runs])} / {spread(others)}"
    return told if len(runs) == 1 else f"{told} ({len(runs)})"


def mean_of(things: Iterable[Any], name: str) -> float | None:
    """Mean of an attribute where it is not None."""
    known = [v for thing in things if (v := getattr(thing, name)) is not None]
    return sum(known) / len(known) if known else None


def share_of_largest(counts: Iterable[int]) -> str:
    """What always saying the larger class gets."""
    held = list(counts)
    return number(max(held) / sum(held))


def classes_table(t: Mapping[str, Any]) -> list[str]:
    """Every class of an evaluation."""
    rows = [
        [name, f"{c['n']:,}", percent(c["se"]), percent(c["ppv"]), *(number(c[k]) for k in ("f1", "roc_auc", "pr_auc"))]
        for name, c in t["per_class"].items()
    ]
    return table(["class", "beats", "Se %", "+P %", "F1", "ROC AUC", "PR AUC"], rows)
