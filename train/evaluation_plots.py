"""Pictures of an evaluation, as PNG bytes: the confusion matrix, and whether the model is as sure as it is right."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from edge_ecg.errors import UsageError
from edge_ecg.scoring.confusion import Confusion
from edge_ecg.scoring.probabilities import Calibration

__all__ = ["confusion_png", "figure_png", "reliability_png", "require_matplotlib"]

_RIGHT, _WRONG, _INK = "Blues", "Reds", "#222222"


def require_matplotlib() -> None:
    """Raise `UsageError` when the pictures cannot be drawn: before the work, not after it."""
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError(
            "the pictures of an evaluation need matplotlib, which is not installed",
            'Run `pip install -e ".[train]"` in the checkout, or leave --html and --out out',
        ) from None


def confusion_png(confusion: Confusion, classes: tuple[str, ...], title: str) -> bytes:
    """Counts and the share of each row; right labels blue, mistakes red, both by that share."""
    from matplotlib import colormaps

    counts = confusion.counts
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure(1.5 + 0.95 * len(classes), 1.3 + 0.75 * len(classes))
    colours = np.zeros((*counts.shape, 4))
    for a in range(len(classes)):
        for b in range(len(classes)):
            # A tenth of a class gone wrong is much: mistakes take their full colour at 30 %.
            strength = 0.75 * shares[a, b] if a == b else min(1.0, shares[a, b] / 0.3) * 0.75
            colours[a, b] = colormaps[_RIGHT if a == b else _WRONG](strength) if counts[a, b] else (1, 1, 1, 1)
    axes.imshow(colours, aspect="auto")
    for a in range(len(classes)):
        for b in range(len(classes)):
            told = f"{counts[a, b]:,}" + (f"\n{100 * shares[a, b]:.1f} %" if counts[a, b] else "")
            dark = colours[a, b][:3].mean() < 0.5
            axes.text(b, a, told, ha="center", va="center", fontsize=8.5, color="white" if dark else _INK)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="model", ylabel="experts")
    axes.set_title(title, fontsize=9)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(-0.5, len(classes)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(classes)), minor=True)
    axes.grid(which="minor", color="0.85", linewidth=1.0)
    axes.tick_params(which="minor", length=0)
    return figure_png(figure)


def reliability_png(calibration: Calibration, title: str) -> bytes:
    """Share labelled rightly over how sure the model was; below, how many beats."""
    figure, axes = _figure(4.6, 4.4, rows=2)
    upper, lower = axes
    n_bins = len(calibration.n)
    held = calibration.n > 0
    left, width = np.arange(n_bins) / n_bins, 1.0 / n_bins
    upper.plot([0, 1], [0, 1], color="0.5", linewidth=1.0, linestyle="--", label="as sure as right")
    upper.bar(left[held], calibration.accuracy[held], width, align="edge", color="#4c84b8", edgecolor="white")
    upper.plot(
        calibration.confidence[held], calibration.accuracy[held], "o", color="#b2182b", markersize=4, label="bin mean"
    )
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="labelled rightly")
    upper.set_title(title, fontsize=9)
    upper.legend(frameon=False, fontsize=8, loc="upper left")
    lower.bar(left[held], calibration.n[held], width, align="edge", color="0.6", edgecolor="white")
    lower.set(xlim=(0, 1), xlabel="probability of the label given", ylabel="beats")
    lower.set_yscale("log", nonpositive="clip")
    return figure_png(figure)


def _figure(width_in: float, height_in: float, rows: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    if rows == 1:
        return figure, figure.subplots()
    return figure, figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])


def figure_png(figure: Any) -> bytes:
    """A figure of matplotlib as a PNG: the same figures give the same file."""
    out = io.BytesIO()
    # Without a date or a version.
    figure.savefig(out, format="png", dpi=130, metadata={"Software": None})
    return out.getvalue()
