"""What a conversion costs: the float network as it was trained against the converted one, and how much it may lose."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import ModelError, UsageError
from edge_ecg.manifest import ClassChange, Metrics, ModelManifest, Parity
from edge_ecg.scoring.confusion import ec57_score

__all__ = [
    "DEFAULT_DROP",
    "LostTooMuchError",
    "MaxDrop",
    "Row",
    "check_parity",
    "parity_lines",
    "parity_of",
    "parity_rows",
    "parity_sentence",
]

_EC57 = {"v_se": "EC57 V Se", "v_ppv": "EC57 V +P", "v_fpr": "EC57 V FPR", "s_se": "EC57 S Se", "s_ppv": "EC57 S +P"}
"""Figures of EC57 that known positions have, with their names in a table."""

_DECIMALS = 6
"""Of differences: the last bits of a float network depend on how many threads it had."""


@dataclass(frozen=True, slots=True)
class MaxDrop:
    """How much a conversion may lose, in points of accuracy and of macro F1."""

    accuracy_points: float = 0.2
    macro_f1_points: float = 1.0

    @classmethod
    def parse(cls, text: str) -> MaxDrop:
        """Read ``A,F``. Raises `UsageError` for anything but two numbers from 0 to 100."""
        parts = text.split(",")
        try:
            numbers = [float(part) for part in parts]
        except ValueError:
            numbers = []
        if len(numbers) != 2 or not all(0 <= x <= 100 for x in numbers):
            raise UsageError(
                f"--max-drop takes points of accuracy and of macro F1 as A,F, each from 0 to 100, found {text!r}",
                f"The default is {cls()}",
            )
        return cls(*numbers)

    def __str__(self) -> str:
        return f"{self.accuracy_points:g},{self.macro_f1_points:g}"


DEFAULT_DROP = MaxDrop()


class Row(NamedTuple):
    """A line of the table, in percent: before, after, and after less before in points."""

    name: str
    before: float | None
    after: float | None

    @property
    def points(self) -> float | None:
        """The change."""
        return None if self.before is None or self.after is None else self.after - self.before


class LostTooMuchError(ModelError):
    """A conversion that loses more than it may; ``lines`` is the table."""

    def __init__(self, m: ModelManifest) -> None:
        assert m.parity is not None
        allowed = MaxDrop(*m.parity.max_drop)
        super().__init__(
            f"{m.id} would lose {-m.parity.accuracy_points:.2f} points of accuracy and {-m.parity.macro_f1_points:.2f} "
            f"of macro F1, allowed are {allowed.accuracy_points:g} and {allowed.macro_f1_points:g}; nothing is written",
            "Take another precision, allow more with --max-drop A,F, or write it nevertheless with --force",
        )
        self.lines = parity_lines(m)


def parity_of(
    before: NDArray[np.float32], after: NDArray[np.float32], trained: Metrics, converted: Metrics, max_drop: MaxDrop
) -> Parity:
    """Compare probabilities ``(n, n_classes)`` of the same beats, and the figures that were made of them."""
    apart = np.abs(before.astype(np.float64) - after)
    return Parity(
        n=len(before),
        argmax_agreement=float(np.mean(before.argmax(axis=1) == after.argmax(axis=1))),
        largest_difference=round(float(apart.max()), _DECIMALS),
        mean_difference=round(float(apart.mean()), _DECIMALS),
        accuracy_points=_points(trained.accuracy, converted.accuracy),
        macro_f1_points=_points(trained.macro_f1, converted.macro_f1),
        per_class={
            name: ClassChange(_points(was.se, now.se), _points(was.ppv, now.ppv))
            for (name, was), now in zip(trained.per_class.items(), converted.per_class.values(), strict=True)
        },
        ec57_points={name: _change(b, a) for name, b, a in _ec57(trained, converted)},
        max_drop=(max_drop.accuracy_points, max_drop.macro_f1_points),
    )


def check_parity(m: ModelManifest) -> None:
    """Raise `LostTooMuchError` when a manifest's parity is not within what was allowed."""
    if m.parity is not None and not m.parity.is_within:
        raise LostTooMuchError(m)


def parity_rows(m: ModelManifest) -> list[Row]:
    """Accuracy, macro F1, each class and EC57, before and after."""
    trained, converted = m.float_metrics, m.metrics
    rows = [Row("accuracy", 100 * trained.accuracy, 100 * converted.accuracy)]
    rows += [Row("macro F1", 100 * trained.macro_f1, 100 * converted.macro_f1)]
    for name, was in trained.per_class.items():
        now = converted.per_class[name]
        rows += [Row(f"{name} Se", 100 * was.se, 100 * now.se), Row(f"{name} +P", 100 * was.ppv, 100 * now.ppv)]
    return rows + [Row(_EC57[name], _percent(b), _percent(a)) for name, b, a in _ec57(trained, converted)]


def parity_lines(m: ModelManifest) -> list[str]:
    """The comparison as text: a sentence, and a table in percent and points."""
    wide = max(len(m.precision), 9)
    lines = [parity_sentence(m), f"{'':12} {'trained':>9} {m.precision:>{wide}}   points"]
    for row in parity_rows(m):
        change = "-" if row.points is None else f"{row.points:+.2f}"
        lines.append(f"{row.name:12} {_cell(row.before):>9} {_cell(row.after):>{wide}} {change:>8}")
    return lines


def parity_sentence(m: ModelManifest) -> str:
    """How alike the two are, in one sentence; empty when it was not measured."""
    p = m.parity
    if p is None:
        return ""
    return (
        f"Of {p.n:,} test beats {100 * p.argmax_agreement:.2f} % get the same label as from the float network; "
        f"probabilities differ by {p.mean_difference:.5f} in the mean, {p.largest_difference:.3f} at most."
    )


def _ec57(trained: Metrics, converted: Metrics) -> Iterable[tuple[str, float | None, float | None]]:
    if len(trained.confusion) != 5:
        return []
    before, after = (_figures(x) for x in (trained, converted))
    return [(name, before[name], after[name]) for name in _EC57]


def _figures(metrics: Metrics) -> Mapping[str, float | None]:
    return ec57_score(metrics.confusion).figures()


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _points(before: float, after: float) -> float:
    return round(100 * (after - before), _DECIMALS)


def _change(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else _points(before, after)


def _cell(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"
