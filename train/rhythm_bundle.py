"""A rhythm model becomes a bundle: its tables, a manifest, golden beats and a card."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_ecg import __version__
from edge_ecg.bench.labels import excerpt_labels
from edge_ecg.bundles import GOLDEN_FILES, MODEL_FILES, SCHEMA_VERSION
from edge_ecg.context.tracker import ContextParams
from edge_ecg.errors import DataError
from edge_ecg.infer.golden import RhythmGolden, check_golden, pack_golden
from edge_ecg.infer.rhythm import TREE_CLASSES, RhythmClassifier
from edge_ecg.infer.trees import TreeTables, pack_trees
from edge_ecg.labels import LABEL_SETS, BeatLabel
from edge_ecg.manifest import load_any
from edge_ecg.rhythm_manifest import HealthyFigures, PeopleFigures, RhythmBundle, RhythmCalibration, RhythmManifest
from edge_ecg.schema import encode
from train.bundle_folder import check_target, replace_folder
from train.rhythm_card import card, data_credit
from train.rhythm_fit import RecordRows
from train.splits import DS1

__all__ = ["FILES", "N_GOLDEN", "RhythmFacts", "golden_features", "write_rhythm_bundle"]

FILES = (MODEL_FILES["rhythm"], "manifest.json", GOLDEN_FILES["rhythm"], "card.md")
N_GOLDEN = 100
INTENDED_USE = (
    "Research and teaching: labels of single heartbeats of one ECG lead of a patient who is followed. Not a medical "
    "device; not for diagnosis, monitoring or treatment of patients."
)
_LEAD = "MLII (mitdb) and the first lead of other databases"


@dataclass(frozen=True, slots=True)
class RhythmFacts:
    """What a bundle tells of its trees that the tables do not.

    Attributes
    ----------
    id
        What the bundle is called.
    temperature, biases
        The calibration that the tables hold already; biases of N, S, V and F.
    operating_points
        Factors of N, S and V, by `edge_ecg.labels.OPERATING_POINTS`.
    recipe
        How it was fitted, as JSON can hold it.
    data_sha256
        Hash of the features and labels that it learned from.
    cross_validation
        Figures by operating point and database.
    healthy
        Figures by operating point.
    commands
        The exact commands that made it.
    """

    id: str
    temperature: float
    biases: Sequence[float]
    operating_points: Mapping[str, Sequence[float]]
    seed: int
    recipe: Mapping[str, Any]
    data_sha256: str
    cross_validation: Mapping[str, Mapping[str, PeopleFigures]]
    healthy: Mapping[str, HealthyFigures]
    commands: Sequence[str] = ()


def write_rhythm_bundle(
    tables: TreeTables, facts: RhythmFacts, records: Sequence[RecordRows], folder: Path
) -> RhythmBundle:
    """Write a bundle and check it; the same tables, facts and records give the same bytes.

    Parameters
    ----------
    tables
        Calibrated (`train.rhythm_tables.calibrated`), of the classes N, S, V and F.
    facts
        What else is to be told.
    records
        All that trained it; those of DS1 give the golden beats.
    folder
        Where the bundle goes; an older bundle there is replaced, all or nothing.

    Raises
    ------
    UsageError
        What is in ``folder`` is no such bundle.
    DataError
        No beat of DS1 trained it, or the bundle cannot be written.
    ModelError
        It is not what it says: no bundle is written then.
    """
    check_target(folder, FILES)
    model = pack_trees(tables)
    manifest = _manifest(tables, model, facts, records)
    classifier = RhythmClassifier(RhythmBundle(folder, manifest, model))
    golden = golden_features(classifier, records)
    manifest = replace(manifest, golden_labels=excerpt_labels(classifier))
    files = {
        MODEL_FILES["rhythm"]: model,
        "manifest.json": (json.dumps(encode(manifest), indent=2, allow_nan=False) + "\n").encode(),
        GOLDEN_FILES["rhythm"]: pack_golden(golden),
        "card.md": card(manifest).encode(),
    }
    replace_folder(folder, files, lambda new: check_golden(load_any(new)))
    bundle = load_any(folder)
    assert isinstance(bundle, RhythmBundle)
    return bundle


def golden_features(classifier: RhythmClassifier, records: Sequence[RecordRows], n: int = N_GOLDEN) -> RhythmGolden:
    """``n`` beats of DS1, of each class of the trees as many, with what the model says of just those.

    Raises
    ------
    DataError
        There is no record of DS1 among them.
    """
    of_ds1 = [r for r in records if r.database == "mitdb" and r.name in map(str, DS1) and not r.is_copy]
    if not of_ds1:
        raise DataError("no record of DS1 trained the model: its golden beats are to be theirs", "Train with mitdb")
    x, labels = np.concatenate([r.x for r in of_ds1]), np.concatenate([r.labels for r in of_ds1])
    taken = []
    for label in TREE_CLASSES:
        there = np.flatnonzero(labels == label)
        n_taken = min(len(there), n // len(TREE_CLASSES))
        taken.append(there[np.linspace(0, len(there) - 1, n_taken).round().astype(int)])
    rows = np.concatenate(taken)
    # Rounded first: the model is asked for what the file holds.
    hundredths = np.clip(np.rint(100.0 * x[rows]), -32768, 32767).astype(np.int16)
    names = np.array([BeatLabel(label).name for label in labels[rows].tolist()])
    golden = RhythmGolden(
        f"Features of beats of {data_credit(['mitdb'])}", names, hundredths, np.empty((0, 0), np.float32)
    )
    return replace(golden, probs=classifier.classify_many(golden.inputs()))


def _manifest(tables: TreeTables, model: bytes, facts: RhythmFacts, records: Sequence[RecordRows]) -> RhythmManifest:
    params, labels = ContextParams(), LABEL_SETS["aami3"]
    names = (f"{record.database}/{record.name}" for record in records if not record.is_copy)
    return RhythmManifest(
        schema_version=SCHEMA_VERSION,
        kind="rhythm",
        id=facts.id,
        label_set="aami3",
        lead=_LEAD,
        bytes=len(model),
        sha256=hashlib.sha256(model).hexdigest(),
        preprocessing=params,
        preprocessing_fingerprint=params.fingerprint(),
        operating_points={
            point: dict(zip(labels, map(float, factors), strict=True))
            for point, factors in facts.operating_points.items()
        },
        calibration=RhythmCalibration(
            facts.temperature, {c.name: float(b) for c, b in zip(TREE_CLASSES, facts.biases, strict=True)}
        ),
        n_trees=len(tables.leaf),
        seed=facts.seed,
        recipe=dict(facts.recipe),
        records=tuple(sorted(names)),
        data_sha256=facts.data_sha256,
        commands=tuple(facts.commands),
        tool_versions={
            "edge-ecg": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("numpy", "lightgbm")},
        },
        intended_use=INTENDED_USE,
        cross_validation={point: dict(figures) for point, figures in facts.cross_validation.items()},
        healthy=dict(facts.healthy),
    )
