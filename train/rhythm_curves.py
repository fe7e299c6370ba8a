"""What other choices would give than the three operating points: curves of people whom the trees had not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from train.rhythm_choice import OutOfFold, figures_of, pooled, said_by
from train.rhythm_records import HEALTHY

__all__ = ["FACTORS", "LEAST", "curves_of", "draw"]

FACTORS = tuple(np.geomspace(0.02, 20.0, 31).tolist())
"""Of S, and of V, while the other keeps that of the balanced point."""
LEAST = tuple(np.linspace(0.0, 0.98, 50).tolist())
"""Confidences below which a beat may be rejected."""
_COLOURS = {"mitdb": "#0072B2", "svdb": "#D55E00"}
_MARKERS = {"few-false-alarms": "^", "balanced": "o", "sensitive": "s"}


def curves_of(found: Sequence[OutOfFold], points: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Curves of calibrated probabilities, as JSON.

    Parameters
    ----------
    found
        All records, each by trees that have not seen the person.
    points
        Factors of N, S and V by operating point.

    Returns
    -------
    dict
        By database: ``S`` and ``V``, lists of factor, sensitivity and positive predictivity; ``points``, both of both
        by operating point; ``reject``, lists of least confidence, share of beats kept, accuracy and the four rates of
        those, at the balanced point.
    """
    balanced = tuple(points["balanced"])
    curves: dict[str, Any] = {}
    for name in sorted({one.rows.database for one in found} - {HEALTHY}):
        probs, labels = pooled([one for one in found if one.rows.database == name])
        swept: dict[str, Any] = {"S": [], "V": []}
        for factor in FACTORS:
            s = figures_of(labels, said_by(probs, (1.0, factor, balanced[2])))
            v = figures_of(labels, said_by(probs, (1.0, balanced[1], factor)))
            swept["S"].append([factor, s.s_se, s.s_ppv])
            swept["V"].append([factor, v.v_se, v.v_ppv])
        at = {point: figures_of(labels, said_by(probs, factors)) for point, factors in points.items()}
        swept["points"] = {p: {"S": [f.s_se, f.s_ppv], "V": [f.v_se, f.v_ppv]} for p, f in at.items()}
        weighted = probs[:, : len(balanced)] * np.array(balanced)
        confidence, said = weighted.max(axis=1) / weighted.sum(axis=1), weighted.argmax(axis=1)
        swept["reject"] = []
        for least in LEAST:
            kept = confidence >= least
            f = figures_of(labels[kept], said[kept])
            swept["reject"].append([least, float(kept.mean()), f.accuracy, f.s_se, f.s_ppv, f.v_se, f.v_ppv])
        curves[name] = swept
    return curves


def draw(curves: Mapping[str, Any]) -> Any:
    """A figure of `matplotlib`: both classes' curves with the operating points, and what rejecting beats gains."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    s, v, reject = figure.subplots(1, 3)
    for name, of in curves.items():
        for axes, label in ((s, "S"), (v, "V")):
            _, se, ppv = np.array(of[label]).T
            axes.plot(100 * se, 100 * ppv, color=_COLOURS.get(name), label=name)
        _, kept, accuracy, _, s_ppv, _, _ = np.array(of["reject"]).T
        reject.plot(100 * (1 - kept), 100 * accuracy, color=_COLOURS.get(name), label=f"{name}, accuracy")
        reject.plot(100 * (1 - kept), 100 * s_ppv, color=_COLOURS.get(name), ls="--", label=f"{name}, S +P")
    for axes, label in ((s, "S"), (v, "V")):
        for point, marker in _MARKERS.items():
            axes.plot([], [], marker, color="black", ms=5, label=point)
            for name, of in curves.items():
                at = 100 * np.array(of["points"][point][label])
                axes.plot(*at, marker, color=_COLOURS.get(name), ms=7, mec="black")
    s.set(title="S: supraventricular", ylabel="positive predictivity, %", xlim=(0, 100), ylim=(0, 100))
    v.set(title="V: ventricular", xlim=(50, 100), ylim=(50, 100))
    for axes in (s, v):
        axes.set_xlabel("sensitivity, %")
    reject.set(title="Least sure beats rejected", xlabel="rejected, % of beats", ylabel="of the others, %")
    v.legend(frameon=False, fontsize=8, loc="lower left")
    reject.legend(frameon=False, fontsize=8, loc="lower right")
    for axes in (s, v, reject):
        axes.grid(color="0.9")
    return figure
