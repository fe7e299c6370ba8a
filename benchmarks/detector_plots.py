"""The plots of docs/detector.md: F1 against tolerance and against noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.detector_peers import DETECTORS, OURS
from benchmarks.detector_scores import figures
from benchmarks.detector_sets import NOISE_DB

__all__ = ["PLOTS", "plot_all"]

PLOTS = ("detector-tolerance.png", "detector-noise.png")

# Okabe & Ito, told apart with any colour vision; black is this project's. Markers and dashes say the same again.
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#999999")
_MARKERS = "svD^<>pPX*hd8"


def plot_all(results: dict[str, Any], folder: Path, digest: str) -> list[Path]:
    """Draw both; each file carries ``digest``, so that a test can tell a stale one."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    sets = results["sets"]
    figure = Figure(figsize=(8.5, 4.6), layout="constrained")
    axes = figure.subplots()
    swept = {name: e["by_tolerance_ms"] for name, e in sets.get("mitdb", {}).items()}
    lines = {
        name: ([int(t) for t in by], [100 - figures([c])["f1"] for c in by.values()]) for name, by in swept.items()
    }
    _draw(axes, lines, "tolerance, ms", "mitdb, 48 records: F1 against the tolerance of a match")
    _legend(figure, axes)
    figure.savefig(folder / PLOTS[0], dpi=130, metadata={"Description": digest, "Software": None})

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for nth, (noise, title) in enumerate({"ma": "muscle noise", "bw": "baseline wander"}.items()):
        axes = figure.add_subplot(1, 2, nth + 1)
        levels = [db for db in NOISE_DB if sets.get(f"{noise} {db} dB")]
        names = sets.get(f"{noise} {levels[0]} dB", {}) if levels else {}
        lines = {name: _curve(sets, noise, levels, name) for name in names}
        _draw(axes, lines, "signal to noise, dB", f"{title}, noisy stretches of 12 records")
        axes.invert_xaxis()
        if nth == 0:
            _legend(figure, axes)
    figure.savefig(folder / PLOTS[1], dpi=130, metadata={"Description": digest, "Software": None})
    return [folder / name for name in PLOTS]


def _legend(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)


def _curve(sets: dict[str, Any], noise: str, levels: Sequence[int], name: str) -> tuple[list[int], list[float]]:
    at = [db for db in levels if name in sets[f"{noise} {db} dB"]]
    rows = [next(iter(sets[f"{noise} {db} dB"][name]["rows"].values())) for db in at]
    return at, [100 - figures(list(row.values()))["f1"] for row in rows]


def _draw(
    axes: Any, lines: Mapping[str, tuple[list[int], list[float]]], x: str, title: str
) -> None:
    """Errors (100 - F1) on a logarithmic scale, good at the top; ticks say F1."""
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
    for nth, name in enumerate(DETECTORS, start=-1):
        if name not in lines:
            continue
        style = {"color": _COLOURS[nth % 7], "marker": _MARKERS[nth % 13], "ls": "-" if nth < 7 else "--", "lw": 1.2}
        if name == OURS:
            style = {"color": "black", "marker": "o", "ls": "-", "lw": 2.6, "zorder": 5}
        at, errors = lines[name]
        axes.plot(at, [max(0.01, e) for e in errors], label=name, ms=5, **style)
    axes.set_yscale("log")
    axes.set_yticks(ticks, [f"{100 - t:g}" for t in ticks])
    axes.minorticks_off()
    axes.invert_yaxis()
    axes.set(xlabel=x, ylabel="F1, %")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
