"""Figures that a model manifest holds: on test beats, on disturbed records, by seed, and what a conversion cost."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ClassChange",
    "ClassMetrics",
    "DisturbedMetrics",
    "GoldenLabels",
    "Metrics",
    "Parity",
    "PatientMetrics",
    "SeedFigures",
    "SturdinessMetrics",
]


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Figures of one class as fractions: sensitivity, positive predictivity, F1."""

    n: int
    se: float
    ppv: float
    f1: float


@dataclass(frozen=True, slots=True)
class PatientMetrics:
    """``n`` patients of one class each, labelled by the mean probability of their beats: figures as fractions."""

    n: int
    accuracy: float
    roc_auc: float | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures on the test part of a split, as fractions; ``confusion`` has the reference in its rows.

    Attributes
    ----------
    roc_auc
        Area under the ROC curve of the second class, for two classes.
    per_patient
        For two classes and test people who did not train it, each of one class.
    """

    n: int
    accuracy: float
    macro_f1: float
    per_class: dict[str, ClassMetrics]
    confusion: tuple[tuple[int, ...], ...]
    roc_auc: float | None = None
    per_patient: PatientMetrics | None = None


@dataclass(frozen=True, slots=True)
class DisturbedMetrics:
    """Under one disturbance: what was done, figures as fractions, loss in points of accuracy."""

    what: str
    accuracy: float
    macro_f1: float
    loss_points: float


@dataclass(frozen=True, slots=True)
class SturdinessMetrics:
    """The ``n`` test beats again, their records disturbed; by condition, the undisturbed one first."""

    n: int
    split: str
    lead: str
    rules: str
    conditions: dict[str, DisturbedMetrics]


@dataclass(frozen=True, slots=True)
class GoldenLabels:
    """What the model said of beats that ship (`edge_ecg.bench.labels`) on the machine that made it.

    Attributes
    ----------
    beats, sha256
        Which beats, and the hash of what they hold.
    labels
        One digit a beat: the place of its class.
    """

    beats: str
    sha256: str
    labels: str

    def __post_init__(self) -> None:
        if not (self.labels.isascii() and self.labels.isdigit()):
            raise ValueError('"golden_labels.labels" must be of digits, one a beat')


@dataclass(frozen=True, slots=True)
class SeedFigures:
    """What a training from one seed reached on the validation part, as fractions; the AUC of two classes only."""

    validation_accuracy: float
    validation_macro_f1: float
    validation_auc: float | None = None


@dataclass(frozen=True, slots=True)
class ClassChange:
    """Of one class, sensitivity and positive predictivity after less before the conversion, in points."""

    se_points: float
    ppv_points: float


@dataclass(frozen=True, slots=True)
class Parity:
    """The converted model against the float network as it was trained, on all ``n`` test beats.

    Attributes
    ----------
    argmax_agreement
        Share of the beats that both label alike.
    largest_difference, mean_difference
        Of the probabilities, over beats and classes.
    accuracy_points, macro_f1_points
        After less before, in points: below 0 is a loss.
    per_class
        The same of each class.
    ec57_points
        The same of the figures of ANSI/AAMI EC57 at known positions; None where there is nothing to divide by,
        empty for other classes than N, S, V, F and Q.
    max_drop
        How many points of accuracy and of macro F1 the conversion was allowed to lose.
    """

    n: int
    argmax_agreement: float
    largest_difference: float
    mean_difference: float
    accuracy_points: float
    macro_f1_points: float
    per_class: dict[str, ClassChange]
    ec57_points: dict[str, float | None]
    max_drop: tuple[float, float]

    @property
    def is_within(self) -> bool:
        """Whether it lost no more than it was allowed to."""
        accuracy, macro_f1 = self.max_drop
        return -self.accuracy_points <= accuracy and -self.macro_f1_points <= macro_f1
