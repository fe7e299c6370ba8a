"""The manifest of a rhythm model: boosted trees on what a beat is against its patient's own past.

Its bundle holds `trees.npz`, `manifest.json`, `golden.npz` and `card.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge_ecg.bundles import MODEL_FILES, check_id, check_preprocessing, read_model
from edge_ecg.context.tracker import ContextParams
from edge_ecg.datasets import ONE_PERSON
from edge_ecg.errors import ModelError
from edge_ecg.figures import ClassMetrics, GoldenLabels
from edge_ecg.labels import LABEL_SETS, OPERATING_POINTS
from edge_ecg.schema import decode

__all__ = [
    "HealthyFigures",
    "PeopleFigures",
    "RecordMedian",
    "RhythmBundle",
    "RhythmCalibration",
    "RhythmManifest",
    "read_rhythm",
]


@dataclass(frozen=True, slots=True)
class RhythmCalibration:
    """How the trees' sums became probabilities that can be believed; the tables hold both already.

    Attributes
    ----------
    temperature
        What the logits were divided by.
    biases
        What was then added to the logit of each class, F included.
    """

    temperature: float
    biases: dict[str, float]


@dataclass(frozen=True, slots=True)
class RecordMedian:
    """Of one class the medians over records, as fractions; None where no record has one.

    Attributes
    ----------
    se
        Over the records that have beats of the class.
    ppv
        Over the records in which a beat was called so.
    """

    se: float | None
    ppv: float | None


@dataclass(frozen=True, slots=True)
class PeopleFigures:
    """Records of one database, each labelled by trees of other people; as EC57 counts, fractions.

    Attributes
    ----------
    accuracy
        Of all beats, F and Q among them, which are always wrong.
    per_class
        S and V over all beats together.
    record_median
        S and V by record.
    """

    n_records: int
    n_beats: int
    accuracy: float
    per_class: dict[str, ClassMetrics]
    record_median: dict[str, RecordMedian]


@dataclass(frozen=True, slots=True)
class HealthyFigures:
    """Healthy people, each labelled by trees of others: false calls an hour."""

    n_people: int
    hours: float
    false_s_per_hour: float
    false_v_per_hour: float


@dataclass(frozen=True, slots=True)
class RhythmManifest:
    """Everything a device or a reader must know of a rhythm model.

    Attributes
    ----------
    id
        Letters, digits, ``-``, ``_`` and ``.``: it becomes the name of files.
    label_set
        F beats, which the trees know, are not classified.
    lead
        What it learned from, in words.
    preprocessing
        The features by name, and the version of the code that makes them.
    operating_points
        For each of `edge_ecg.labels.OPERATING_POINTS` what the probability of each class is multiplied by before the
        largest decides.
    n_trees
        All classes together.
    recipe
        How it was fitted.
    records
        What trained it or chose its operating points, as ``database/name``; a disturbed copy does not count. Those that
        the recipe leaves out trained nothing.
    data_sha256
        Hash of their features and labels.
    cross_validation
        By operating point and database.
    healthy
        By operating point.
    golden_labels
        Its labels of the shipped excerpt, from end to end; None in bundles older than that.
    """

    schema_version: int
    kind: Literal["rhythm"]
    id: str
    label_set: Literal["aami3"]
    lead: str
    bytes: int
    sha256: str
    preprocessing: ContextParams
    preprocessing_fingerprint: str
    operating_points: dict[str, dict[str, float]]
    calibration: RhythmCalibration
    n_trees: int
    seed: int
    recipe: dict[str, Any]
    records: tuple[str, ...]
    data_sha256: str
    commands: tuple[str, ...]
    tool_versions: dict[str, str]
    intended_use: str
    cross_validation: dict[str, dict[str, PeopleFigures]]
    healthy: dict[str, HealthyFigures]
    golden_labels: GoldenLabels | None = None

    def __post_init__(self) -> None:
        check_id(self.id)
        if set(self.operating_points) != set(OPERATING_POINTS):
            found = ", ".join(self.operating_points) or "none"
            raise ValueError(f'"operating_points" must be {", ".join(OPERATING_POINTS)}, found {found}')
        for name, multipliers in self.operating_points.items():
            if tuple(multipliers) != self.labels or min(multipliers.values()) <= 0.0:
                raise ValueError(
                    f'"operating_points.{name}" must have a number above 0 for each of {", ".join(self.labels)}'
                )

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return LABEL_SETS[self.label_set]

    def learned(self, database: str, record: str) -> bool:
        """Whether beats of a record, or of its person, trained or chose it."""
        same = ONE_PERSON.get((database, record), record)
        return bool({f"{database}/{record}", f"{database}/{same}"} & set(self.records))


@dataclass(frozen=True, slots=True)
class RhythmBundle:
    """A rhythm model's bundle whose manifest, hash and fingerprint were found right."""

    folder: Path
    manifest: RhythmManifest
    model: bytes


def read_rhythm(folder: Path, read: Mapping[str, Any]) -> RhythmBundle:
    """The bundle in ``folder``, whose manifest was read already.

    Raises
    ------
    ModelError
        The manifest is none, the hash of the trees differs, or they learned from other features.
    """
    manifest = decode(RhythmManifest, read, where=str(folder / "manifest.json"), error=ModelError)
    model = read_model(folder / MODEL_FILES["rhythm"], manifest.sha256)
    params, here = manifest.preprocessing, ContextParams()
    for fingerprint in (manifest.preprocessing_fingerprint, params.fingerprint()):
        check_preprocessing(manifest.id, (fingerprint, params.version), (here.fingerprint(), here.version))
    return RhythmBundle(folder, manifest, model)
