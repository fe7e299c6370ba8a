"""Model bundles: a folder with a model file, `manifest.json`, golden beats and `card.md`.

Here is the manifest of a network (`model.tflite`); that of a rhythm model is in `edge_ecg.rhythm_manifest`. A bundle of
a network that was just made also holds `measurements.json` and `report.html`, of the machine that made it; nothing here
reads them.

The manifest says what the model is and what it must be fed; a bundle whose hash or preprocessing fingerprint differs is
refused, since a model that sees something else than it learned from gives wrong labels without a sign of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edge_ecg.beginning import Beginning
from edge_ecg.bundles import (
    MODEL_FILES,
    SCHEMA_VERSION,
    check_id,
    check_preprocessing,
    find_bundle,
    kind_of,
    read_manifest,
    read_model,
    shipped_ids,
)
from edge_ecg.dsp.preprocess import PREPROCESSING_VERSION, PreprocessParams
from edge_ecg.errors import ModelError
from edge_ecg.figures import (
    ClassChange,
    ClassMetrics,
    DisturbedMetrics,
    GoldenLabels,
    Metrics,
    Parity,
    PatientMetrics,
    SeedFigures,
    SturdinessMetrics,
)
from edge_ecg.labels import LABEL_SETS
from edge_ecg.rhythm_manifest import RhythmBundle, read_rhythm
from edge_ecg.schema import decode

__all__ = [
    "SCHEMA_VERSION",
    "Bundle",
    "Calibration",
    "ClassChange",
    "ClassMetrics",
    "DisturbedMetrics",
    "EdgeTpuFile",
    "GoldenLabels",
    "Metrics",
    "ModelManifest",
    "Parity",
    "PatientMetrics",
    "SeedFigures",
    "SturdinessMetrics",
    "TensorSpec",
    "find_bundle",
    "load_any",
    "load_bundle",
    "shipped_ids",
    "verify_shipped",
]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Input or output of the model; ``scale`` and ``zero_point`` quantise int8 tensors."""

    dtype: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """The representative beats: ``n`` of the training part, drawn with ``seed``; how many of each class."""

    n: int
    seed: int
    per_class: dict[str, int]


@dataclass(frozen=True, slots=True)
class EdgeTpuFile:
    """`model_edgetpu.tflite`, the same model compiled for the Edge TPU: its hash, and with which compiler."""

    bytes: int
    sha256: str
    compiler: str


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """Everything a device or a reader must know of a network.

    Attributes
    ----------
    id
        Letters, digits, ``-``, ``_`` and ``.``: it becomes the name of files.
    dataset
        Name of the data set, or of the folder of own data, without its path.
    segmentation
        How the windows were cut that it learned from: as the device does, or as published, which looks ahead.
    fold, n_folds
        Which fold of how many was the test; None for a split without folds.
    bench_only
        For evaluation and benchmarks; `edge_ecg.infer.open_classifier` refuses it.
    sturdiness
        What disturbed records cost; None when it was not measured.
    changes
        What was done to the trained network before it was converted, in order: ``pruned 0.8``, ``qat``; the float
        figures are of the network as it was trained.
    operators
        How many of each operator the graph has, by their names in the TFLite schema.
    calibration
        The beats that set the ranges of an int8 model; None when none did.
    edgetpu
        The compiled file beside the model; None when there is none.
    parity
        This file against the float network as it was trained.
    changed_metrics
        Float figures of the network after its ``changes``; None without any.
    is_foreign
        It came as a Keras file: which beats trained it is not known, so the test beats may be among them.
    starts
        What its training began with, and what that began with, and so on; empty: with chance.
    golden_labels
        Its labels of the shipped beat set of its classes; None when there is none.
    """

    schema_version: int
    id: str
    network: str
    dataset: str
    precision: str
    label_set: str
    lead: str
    bytes: int
    sha256: str
    input: TensorSpec
    output: TensorSpec
    preprocessing: PreprocessParams
    preprocessing_version: int
    preprocessing_fingerprint: str
    split: str
    patients_on_both_sides: bool
    seed: int
    metrics: Metrics
    float_metrics: Metrics
    data_sha256: str
    n_parameters: int
    commands: tuple[str, ...]
    tool_versions: dict[str, str]
    intended_use: str
    metrics_of_other_splits: dict[str, Metrics]
    seeds: dict[str, SeedFigures]
    # Younger than the first bundles, which do not have them.
    segmentation: Literal["causal", "paper"] = "causal"
    fold: int | None = None
    n_folds: int | None = None
    bench_only: bool = False
    sturdiness: SturdinessMetrics | None = None
    changes: tuple[str, ...] = ()
    operators: dict[str, int] = field(default_factory=dict)
    calibration: Calibration | None = None
    edgetpu: EdgeTpuFile | None = None
    parity: Parity | None = None
    changed_metrics: Metrics | None = None
    is_foreign: bool = False
    starts: tuple[Beginning, ...] = ()
    golden_labels: GoldenLabels | None = None

    def __post_init__(self) -> None:
        check_id(self.id)
        if self.segmentation == "paper" and not self.bench_only:
            raise ValueError('"segmentation" is "paper", which looks ahead: "bench_only" must be true')

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the outputs."""
        return LABEL_SETS[self.label_set]

    def learned(self, database: str, record: str) -> bool:
        """Whether beats of a record may have trained it: of a data set that it knows, any may."""
        return database in (self.dataset, *(start.dataset for start in self.starts))


@dataclass(frozen=True, slots=True)
class Bundle:
    """A network's bundle whose manifest, hash and fingerprint were found right."""

    folder: Path
    manifest: ModelManifest
    model: bytes


def load_bundle(name: str | Path) -> Bundle:
    """Read and check the bundle of a network.

    Raises
    ------
    ModelError
        When it is missing or of another kind, its manifest is not one, the model's hash differs from the manifest's,
        or it was made for another preprocessing.
    """
    bundle = load_any(name)
    if isinstance(bundle, RhythmBundle):
        raise ModelError(
            f"{bundle.manifest.id} is a rhythm model; a network is asked for here",
            f"Name one of {', '.join(shipped_ids('network'))}; `edge-ecg run` and `replay` take both kinds",
        )
    return bundle


def load_any(name: str | Path) -> Bundle | RhythmBundle:
    """Read and check a bundle of either kind. Raises as `load_bundle` does."""
    folder = find_bundle(name)
    read = read_manifest(folder)
    is_rhythm = kind_of(read, str(folder / "manifest.json")) == "rhythm"
    return read_rhythm(folder, read) if is_rhythm else _read_network(folder, read)


def _read_network(folder: Path, read: Mapping[str, Any]) -> Bundle:
    where = folder / "manifest.json"
    # Bundles told when they were made, once: the same run gave another manifest each time.
    read = {key: value for key, value in read.items() if key != "created_utc"}
    manifest = decode(ModelManifest, read, where=str(where), error=ModelError)
    if manifest.label_set not in LABEL_SETS:
        raise ModelError(f"{where}: unknown label_set {manifest.label_set!r}", f"Known: {', '.join(LABEL_SETS)}")
    n_outputs, n_inputs = math.prod(manifest.output.shape), math.prod(manifest.input.shape)
    if max(2, n_outputs) != len(manifest.labels) or n_inputs != manifest.preprocessing.window.n_samples:
        raise ModelError(
            f"{where}: {n_inputs} inputs and {n_outputs} outputs do not fit windows of "
            f"{manifest.preprocessing.window.n_samples} samples and {len(manifest.labels)} classes",
            "Fetch the bundle again, or convert the model again",
        )
    model = read_model(folder / MODEL_FILES["network"], manifest.sha256)
    check_preprocessing(
        manifest.id,
        (manifest.preprocessing_fingerprint, manifest.preprocessing_version),
        (manifest.preprocessing.fingerprint(), PREPROCESSING_VERSION),
    )
    return Bundle(folder, manifest, model)


def verify_shipped() -> list[tuple[str, str | None]]:
    """Each shipped bundle's id and what is wrong with it (None: nothing)."""
    found: list[tuple[str, str | None]] = []
    for name in shipped_ids():
        try:
            load_any(name)
            found.append((name, None))
        except ModelError as error:
            found.append((name, str(error)))
    return found
