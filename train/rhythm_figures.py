"""What a rhythm bundle's manifest tells of people whom its trees had not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_ecg.figures import ClassMetrics
from edge_ecg.labels import BeatLabel
from edge_ecg.rhythm_manifest import HealthyFigures, PeopleFigures, RecordMedian
from train.rhythm_choice import Figures, Said, false_per_hour, figures_of
from train.rhythm_records import HEALTHY

__all__ = ["healthy_figures", "people_figures"]


def people_figures(said: Sequence[Said]) -> dict[str, PeopleFigures]:
    """By database, but for the healthy's."""
    names = sorted({one.rows.database for one in said} - {HEALTHY})
    return {name: _people([one for one in said if one.rows.database == name]) for name in names}


def healthy_figures(said: Sequence[Said]) -> HealthyFigures:
    """Of healthy people."""
    healthy = [one for one in said if one.rows.database == HEALTHY]
    s_per_hour, v_per_hour = false_per_hour(healthy)
    return HealthyFigures(len(healthy), sum(one.rows.hours for one in healthy), s_per_hour, v_per_hour)


def _people(said: Sequence[Said]) -> PeopleFigures:
    labels = np.concatenate([one.rows.labels for one in said])
    all_beats = figures_of(labels, np.concatenate([one.classes for one in said]))
    each = [(one.rows.labels, one.classes) for one in said]
    medians, per_class = {}, {}
    for label in (BeatLabel.S, BeatLabel.V):
        se, ppv = _of(all_beats, label)
        f1 = 2.0 * se * ppv / max(se + ppv, 1e-9)
        per_class[label.name] = ClassMetrics(int((labels == label).sum()), se, ppv, f1)
        rates = [(y, classes, _of(figures_of(y, classes), label)) for y, classes in each]
        medians[label.name] = RecordMedian(
            _median([se for y, _, (se, _) in rates if (y == label).any()]),
            _median([ppv for _, classes, (_, ppv) in rates if (classes == label).any()]),
        )
    return PeopleFigures(len(said), len(labels), all_beats.accuracy, per_class, medians)


def _of(figures: Figures, label: BeatLabel) -> tuple[float, float]:
    return (figures.s_se, figures.s_ppv) if label == BeatLabel.S else (figures.v_se, figures.v_ppv)


def _median(rates: Sequence[float] | NDArray[np.float64]) -> float | None:
    return float(np.median(rates)) if len(rates) else None
