"""Model bundles: a folder with `model.tflite`, `manifest.json`, `golden.json` and `card.md`.

A bundle that was just made also holds `measurements.json` and `report.html`, of the machine that made it; nothing
here reads them.

The manifest says what the model is and what its windows must be; a bundle whose hash or preprocessing
fingerprint differs is refused, since a network that sees other windows than it learned from gives wrong labels
without a sign of it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge_ecg.dsp.preprocess import PREPROCESSING_VERSION, PreprocessParams
from edge_ecg.errors import ModelError
from edge_ecg.figures import (
    ClassChange,
    ClassMetrics,
    DisturbedMetrics,
    Metrics,
    Parity,
    PatientMetrics,
    SeedFigures,
    SturdinessMetrics,
)
from edge_ecg.labels import LABEL_SETS
from edge_ecg.schema import decode

__all__ = [
    "Bundle",
    "Calibration",
    "ClassChange",
    "ClassMetrics",
    "DisturbedMetrics",
    "EdgeTpuFile",
    "Metrics",
    "ModelManifest",
    "Parity",
    "PatientMetrics",
    "SeedFigures",
    "SturdinessMetrics",
    "TensorSpec",
    "find_bundle",
    "load_bundle",
    "shipped_ids",
    "verify_shipped",
]

SCHEMA_VERSION = 1
_SHIPPED = Path(__file__).parent / "models"


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
    """Everything a device or a reader must know of a model.

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

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w.-]*", self.id):
            raise ValueError(f'"id" must be of letters, digits, "-", "_" and ".", found {self.id!r}')
        if self.segmentation == "paper" and not self.bench_only:
            raise ValueError('"segmentation" is "paper", which looks ahead: "bench_only" must be true')

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the outputs."""
        return LABEL_SETS[self.label_set]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose manifest, hash and fingerprint were found right."""

    folder: Path
    manifest: ModelManifest
    model: bytes


def shipped_ids() -> tuple[str, ...]:
    """Ids of the bundles that come with the package."""
    return tuple(sorted(p.parent.name for p in _SHIPPED.glob("*/manifest.json")))


def find_bundle(name: str | Path) -> Path:
    """The folder of a bundle: the id of a shipped one, or a path to a folder or to a file in it.

    Raises
    ------
    ModelError
        When there is neither; lists the shipped ids.
    """
    if isinstance(name, str) and name in shipped_ids():
        return _SHIPPED / name
    # os.path, unlike pathlib, takes a name that cannot be a path for one that does not exist.
    path = Path(os.path.expanduser(name))
    is_file = os.path.isfile(path)
    if is_file and path.name in {"manifest.json", "model.tflite"} and (path.parent / "manifest.json").exists():
        return path.parent
    if os.path.isfile(path / "manifest.json"):
        return path
    known = ", ".join(shipped_ids()) or "none"
    if is_file:
        raise ModelError(
            f"{path} is a file, not a bundle: a model comes with its manifest.json, which says what it must be fed",
            "Make a bundle with `edge-ecg convert`, or name a shipped one: " + known,
        )
    raise ModelError(f"no model {str(name)!r}", f"Shipped: {known}; or give the folder of a bundle")


def load_bundle(name: str | Path) -> Bundle:
    """Read and check a bundle.

    Raises
    ------
    ModelError
        When it is missing, its manifest is not one, the model's hash differs from the manifest's, or it was
        made for another preprocessing.
    """
    folder = find_bundle(name)
    where = folder / "manifest.json"
    try:
        read = json.loads(where.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{where} cannot be read: {error}", "Get the bundle again, or convert its run again") from None
    if not isinstance(read, Mapping):
        raise ModelError(f"{where} holds no JSON object", "Get the bundle again, or convert its run again")
    version = read.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ModelError(
            f"{where} has schema version {version!r}, this program reads {SCHEMA_VERSION}",
            "Update edge-ecg, or convert the model again",
        )
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
    file = folder / "model.tflite"
    try:
        model = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}", "Get the bundle again") from None
    sha256 = hashlib.sha256(model).hexdigest()
    if sha256 != manifest.sha256:
        raise ModelError(
            f"{file} is not the model of its manifest: its SHA-256 begins {sha256[:12]}, "
            f"the manifest says {manifest.sha256[:12]}",
            "It was changed or cut short: get the bundle again",
        )
    expected = manifest.preprocessing.fingerprint()
    if manifest.preprocessing_version != PREPROCESSING_VERSION or manifest.preprocessing_fingerprint != expected:
        raise ModelError(
            f"{manifest.id} was made for preprocessing {manifest.preprocessing_fingerprint} "
            f"(version {manifest.preprocessing_version}), this program does {expected} "
            f"(version {PREPROCESSING_VERSION})",
            "Its labels would be wrong: use the edge-ecg it came with, or convert its run again",
        )
    return Bundle(folder, manifest, model)


def verify_shipped() -> list[tuple[str, str | None]]:
    """Each shipped bundle's id and what is wrong with it (None: nothing)."""
    found: list[tuple[str, str | None]] = []
    for name in shipped_ids():
        try:
            load_bundle(name)
            found.append((name, None))
        except ModelError as error:
            found.append((name, str(error)))
    return found
