"""The plots of docs/new-patient.md: what other choices would give, and each test person."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from train.evaluation_plots import figure_png
from train.rhythm_curves import draw

__all__ = ["PLOTS", "plot_all"]

PLOTS = ("new-patient-choices.png", "new-patient-people.png")

_PEOPLE = ("ds2", "svdb")
_COLOURS = {"s": "#0072B2", "v": "#D55E00"}
_MARKERS = {"se": "o", "ppv": "x"}
_NAMES = {"se": "sensitivity", "ppv": "+P"}
_ENOUGH = 10
"""Of a class, in a record: of fewer beats no rate can be told."""


def plot_all(curves: Mapping[str, Any], results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw both into ``folder``, of the curves of a training and of results by the names of `new_patient.RUNS`."""
    people = _people({name: results[name] for name in _PEOPLE if name in results})
    for name, figure in zip(PLOTS, (draw(curves), people), strict=True):
        (folder / name).write_bytes(figure_png(figure))
    return [folder / name for name in PLOTS]


def _people(results: Mapping[str, Any]) -> Any:
    from matplotlib.figure import Figure

    rows = {r["records"]: r["classification_without_paced"]["records"] for r in results.values()}
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    widths = [max(1, len(of)) for of in rows.values()]
    all_axes = figure.subplots(1, len(rows), sharey=True, width_ratios=widths, squeeze=False)[0]
    for axes, (name, of) in zip(all_axes, rows.items(), strict=True):
        for nth, row in enumerate(of):
            for label, rate in product(_COLOURS, _MARKERS):
                if sum(row["counts"][label.upper()].values()) >= _ENOUGH and row[f"{label}_{rate}"] is not None:
                    axes.plot(nth, 100 * row[f"{label}_{rate}"], _MARKERS[rate], color=_COLOURS[label], ms=5)
        axes.set_xticks(range(len(of)), [row["record"] for row in of], rotation=90, fontsize=8)
        axes.set(title=f"{name}, end to end", ylim=(-3, 103))
        axes.grid(axis="y", color="0.9")
    all_axes[0].set_ylabel("%")
    for label, rate in product(_COLOURS, _MARKERS):
        all_axes[0].plot([], [], _MARKERS[rate], color=_COLOURS[label], label=f"{label.upper()} {_NAMES[rate]}")
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure
