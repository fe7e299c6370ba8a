"""A classifier's figures on a test part, from its probabilities: one code for Keras, float and int8 models.

Single beats at known positions: what the network is worth, apart from detector and device (`evaluate --end-to-end`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_ecg.scoring.confusion import Confusion
from edge_ecg.scoring.probabilities import LEVEL, Calibration, bootstrap, calibration_of, weighted_figures

__all__ = ["CLASS_FIGURES", "N_REPLICATES", "Evaluation", "PatientFigures", "PatientRow", "RecordRow", "evaluation_of"]

CLASS_FIGURES = ("se", "ppv", "f1", "roc_auc", "pr_auc")
N_REPLICATES = 1000

Figures = Mapping[str, list[float | None]]
Intervals = Mapping[str, list[tuple[float, float] | None]]


@dataclass(frozen=True, slots=True, eq=False)
class RecordRow:
    """One record: its number, whose it is, its confusion matrix."""

    record: int
    patient: int
    confusion: Confusion

    @property
    def n(self) -> int:
        """Its beats."""
        return int(self.confusion.counts.sum())

    @property
    def n_errors(self) -> int:
        """Those labelled otherwise than by the experts."""
        return self.n - int(np.trace(self.confusion.counts))

    def worst(self, classes: Sequence[str]) -> str:
        """The most frequent mistake, such as ``S as N (34)``; empty without one."""
        wrong = self.confusion.counts - np.diag(np.diag(self.confusion.counts))
        if not wrong.any():
            return ""
        a, b = divmod(int(wrong.argmax()), len(classes))
        return f"{classes[a]} as {classes[b]} ({wrong[a, b]})"


@dataclass(frozen=True, slots=True)
class PatientRow:
    """One patient: beats, the class of all of them, the mean probability of the second class."""

    patient: int
    n: int
    reference: int
    probability: float

    @property
    def is_right(self) -> bool:
        """Whether the mean falls on the right side of one half (a half is normal)."""
        return (self.probability > 0.5) == bool(self.reference)


@dataclass(frozen=True, slots=True)
class PatientFigures:
    """Two classes, each patient of one: figures of the mean probability of a patient's beats, as fractions."""

    rows: tuple[PatientRow, ...]
    accuracy: float
    roc_auc: float | None
    pr_auc: float | None
    intervals: Mapping[str, tuple[float, float] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Figures of a test part, as fractions; None where there is nothing to divide by.

    Attributes
    ----------
    classes
        Their names.
    confusion
        Rows are the experts.
    per_class
        ``se``, ``ppv``, ``f1``, ``roc_auc``, ``pr_auc``, one value a class; areas are one class against the rest.
    calibration
        Of the label given.
    by_beats, by_patients
        95 % intervals of the figures, when beats or when whole patients are drawn; None for a single patient.
    records
        A row each, the most errors first.
    patients
        For two classes with patients of one class each, else None.
    n_patients, n_replicates, seed
        What the intervals rest on.
    """

    classes: tuple[str, ...]
    confusion: Confusion
    per_class: Figures
    calibration: Calibration
    by_beats: Intervals
    by_patients: Intervals | None
    records: tuple[RecordRow, ...]
    patients: PatientFigures | None
    n_patients: int
    n_replicates: int
    seed: int

    @property
    def n(self) -> int:
        """Beats."""
        return int(self.confusion.counts.sum())

    def to_json(self) -> dict[str, Any]:
        """All of it for machines."""
        n_of = self.confusion.counts.sum(axis=1)
        return {
            "n": self.n,
            "accuracy": self.confusion.accuracy,
            "macro_f1": self.confusion.macro_f1,
            "classes": list(self.classes),
            "per_class": {
                name: {"n": int(n_of[k]), **{figure: self.per_class[figure][k] for figure in CLASS_FIGURES}}
                for k, name in enumerate(self.classes)
            },
            "confusion": self.confusion.counts.tolist(),
            "calibration": {
                "ece": self.calibration.ece,
                "n": self.calibration.n.tolist(),
                "confidence": self.calibration.confidence.tolist(),
                "accuracy": self.calibration.accuracy.tolist(),
            },
            "intervals": {
                "level": LEVEL,
                "replicates": self.n_replicates,
                "seed": self.seed,
                "n_patients": self.n_patients,
                "over_beats": self._intervals_json(self.by_beats),
                "over_patients": None if self.by_patients is None else self._intervals_json(self.by_patients),
            },
            "records": [
                {
                    "record": row.record,
                    "patient": row.patient,
                    "n": row.n,
                    "errors": row.n_errors,
                    "accuracy": row.confusion.accuracy,
                    "confusion": row.confusion.counts.tolist(),
                }
                for row in self.records
            ],
            "per_patient": None if self.patients is None else _patients_json(self.patients),
        }

    def _intervals_json(self, found: Intervals) -> dict[str, Any]:
        return {
            "accuracy": _limits(found["accuracy"][0]),
            "macro_f1": _limits(found["macro_f1"][0]),
            "per_class": {
                name: {figure: _limits(found[figure][k]) for figure in CLASS_FIGURES}
                for k, name in enumerate(self.classes)
            },
        }


def evaluation_of(
    reference: ArrayLike,
    probs: ArrayLike,
    records: ArrayLike,
    patients: ArrayLike,
    classes: Sequence[str],
    *,
    n_replicates: int = N_REPLICATES,
    seed: int = 0,
) -> Evaluation:
    """Score probabilities.

    Parameters
    ----------
    reference, records, patients
        ``(n,)``, codes of the experts' classes, and which record and which patient each beat is of.
    probs
        ``(n, n_classes)``; the label given is the first of the highest.
    n_replicates, seed
        Of the bootstrap.
    """
    ref, p = np.asarray(reference, np.int64), np.asarray(probs, np.float64)
    record_of, patient_of = np.asarray(records), np.asarray(patients)
    said, k = p.argmax(axis=1), len(classes)

    def figures(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return weighted_figures(ref, p, weights)

    rows = []
    for record in np.unique(record_of).tolist():
        of = record_of == record
        rows.append(RecordRow(record, int(patient_of[of][0]), Confusion.of(ref[of], said[of], k)))
    n_patients = len(np.unique(patient_of))
    once = figures(np.ones((1, len(p))))
    return Evaluation(
        classes=tuple(classes),
        confusion=Confusion.of(ref, said, k),
        per_class={name: [_number(v) for v in once[name][0]] for name in CLASS_FIGURES},
        calibration=calibration_of(ref, p),
        by_beats=bootstrap(figures, len(p), n_replicates=n_replicates, seed=seed),
        by_patients=bootstrap(figures, len(p), units=patient_of, n_replicates=n_replicates, seed=seed)
        if n_patients > 1
        else None,
        records=tuple(sorted(rows, key=lambda row: (-row.n_errors, row.record))),
        patients=_by_patient(ref, p, patient_of, n_replicates, seed) if k == 2 else None,
        n_patients=n_patients,
        n_replicates=n_replicates,
        seed=seed,
    )


def _by_patient(
    ref: NDArray[np.int64], probs: NDArray[np.float64], patient_of: NDArray[Any], n_replicates: int, seed: int
) -> PatientFigures | None:
    people, whose = np.unique(patient_of, return_inverse=True)
    n = np.bincount(whose)
    share = np.bincount(whose, weights=ref) / n
    if not np.isin(share, (0.0, 1.0)).all():
        return None
    mean = np.bincount(whose, weights=probs[:, 1]) / n
    both, truth = np.stack([1.0 - mean, mean], axis=1), share.astype(np.int64)

    def figures(weights: NDArray[np.float64] | None = None) -> dict[str, NDArray[np.float64]]:
        found = weighted_figures(truth, both, weights)
        return {"accuracy": found["accuracy"], "roc_auc": found["roc_auc"][:, 1], "pr_auc": found["pr_auc"][:, 1]}

    once = figures()
    intervals = bootstrap(figures, len(people), n_replicates=n_replicates, seed=seed) if len(people) > 1 else {}
    told = zip(people.tolist(), n.tolist(), truth.tolist(), mean.tolist(), strict=True)
    return PatientFigures(
        rows=tuple(PatientRow(*row) for row in told),
        accuracy=float(once["accuracy"][0]),
        roc_auc=_number(once["roc_auc"][0]),
        pr_auc=_number(once["pr_auc"][0]),
        intervals={name: intervals[name][0] if name in intervals else None for name in once},
    )


def _patients_json(found: PatientFigures) -> dict[str, Any]:
    return {
        "n": len(found.rows),
        "accuracy": found.accuracy,
        "roc_auc": found.roc_auc,
        "pr_auc": found.pr_auc,
        "intervals": {name: _limits(limits) for name, limits in found.intervals.items()},
        "patients": [
            {"patient": r.patient, "n": r.n, "reference": r.reference, "probability": r.probability} for r in found.rows
        ],
    }


def _limits(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
