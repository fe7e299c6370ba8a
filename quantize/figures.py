"""What the evaluation found, as a manifest says it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_ecg.labels import LABEL_SETS
from edge_ecg.manifest import ClassMetrics, DisturbedMetrics, Metrics, PatientMetrics, SturdinessMetrics
from train.evaluation import Evaluation, evaluation_of
from train.splits import Split
from train.sturdiness import CONDITIONS, RULES, Sturdiness
from train.window_set import WindowSet

__all__ = ["metrics_of", "split_metrics", "sturdiness_metrics"]


def metrics_of(found: Evaluation, *, new_people: bool) -> Metrics:
    """Figures of an evaluation; those by patient only of ``new_people``, who did not train the model."""
    people = found.patients if new_people else None
    return Metrics(
        n=found.n,
        accuracy=found.confusion.accuracy,
        macro_f1=found.confusion.macro_f1,
        per_class={
            name: ClassMetrics(f.n, f.se, f.ppv, f.f1)
            for name, f in zip(found.classes, found.confusion.per_class(), strict=True)
        },
        confusion=tuple(tuple(int(v) for v in row) for row in found.confusion.counts),
        roc_auc=found.per_class["roc_auc"][1] if len(found.classes) == 2 else None,
        per_patient=None if people is None else PatientMetrics(len(people.rows), people.accuracy, people.roc_auc),
    )


def split_metrics(probs: NDArray[np.float32], data: WindowSet, split: Split) -> Metrics:
    """Figures of a model from its probabilities ``(n_test, n_classes)`` of the test part."""
    at, classes = split.test, LABEL_SETS[data.label_set]
    found = evaluation_of(data.labels[at], probs, data.records[at], data.patients[at], classes, n_replicates=0)
    return metrics_of(found, new_people=not split.patients_on_both_sides)


def sturdiness_metrics(found: Sturdiness) -> SturdinessMetrics:
    """Figures on disturbed records."""
    conditions = {
        c.name: DisturbedMetrics(CONDITIONS[c.name], c.accuracy, c.macro_f1, c.loss_points) for c in found.conditions
    }
    return SturdinessMetrics(found.n, found.split, found.lead, RULES, conditions)
