"""A rhythm model for tests: a handful of stumps on the two columns that say most, and its bundle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from edge_ecg.context.tracker import COLUMNS, ContextParams
from edge_ecg.infer.golden import RhythmGolden, pack_golden
from edge_ecg.infer.rhythm import RhythmClassifier
from edge_ecg.infer.trees import LEAVES, TreeTables, pack_trees
from edge_ecg.rhythm_manifest import RhythmBundle

EARLY, ALIKE = COLUMNS.index("pre-median32"), COLUMNS.index("correlation")
POINTS = {
    "few-false-alarms": {"N": 1.0, "S": 0.3, "V": 0.5},
    "balanced": {"N": 1.0, "S": 1.0, "V": 1.0},
    "sensitive": {"N": 1.0, "S": 3.0, "V": 2.0},
}
COUNTS = {"n": 10, "se": 0.8, "ppv": 0.75, "f1": 0.77}
PEOPLE = {
    "n_records": 3, "n_beats": 1000, "accuracy": 0.97, "per_class": {"S": COUNTS, "V": COUNTS},
    "record_median": {"S": {"se": 0.9, "ppv": None}, "V": {"se": 0.95, "ppv": 0.9}},
}  # fmt: skip


def stumps(*, f_bias: float = -2.0, n_columns: int = len(COLUMNS)) -> TreeTables:
    """Early beats are S, unlike ones V; the earlier, or the less alike, the surer. F is never the largest."""
    edges = {EARLY: [-0.3, -0.2, -0.12, -0.06], ALIKE: [0.3, 0.5, 0.7, 0.85]}
    n = 4 * len(edges[EARLY])
    column, bin_ = np.zeros((2, n, LEAVES - 1), np.uint8)
    mask, leaf = np.full((n, LEAVES - 1), 255, np.uint8), np.zeros((n, LEAVES), np.int8)
    for k in range(4):
        for code, where in ((1, EARLY), (2, ALIKE)):
            t = 4 * k + code
            column[t, 0], bin_[t, 0], mask[t, 0] = where, k, 0b1111_1110
            leaf[t] = [60, *[-60] * (LEAVES - 1)]
    return TreeTables(
        edges=np.concatenate([edges[c] for c in sorted(edges)]).astype(np.float32),
        n_edges=np.array([len(edges.get(c, [])) for c in range(n_columns)], np.uint8),
        column=column, bin=bin_, mask=mask, leaf=leaf,
        scale=np.array([0.02], np.float32), bias=np.array([0.0, 0.0, 0.0, f_bias], np.float32),
    )  # fmt: skip


def manifest_of(model: bytes, tables: TreeTables) -> dict[str, Any]:
    params = ContextParams()
    return {
        "schema_version": 1, "kind": "rhythm", "id": "tiny-rhythm", "label_set": "aami3", "lead": "any",
        "bytes": len(model), "sha256": hashlib.sha256(model).hexdigest(),
        "preprocessing": {"version": params.version, "columns": list(params.columns)},
        "preprocessing_fingerprint": params.fingerprint(),
        "operating_points": POINTS,
        "calibration": {"temperature": 1.0, "biases": {"N": 0.0, "S": 0.0, "V": 0.0, "F": 0.0}},
        "n_trees": len(tables.leaf), "seed": 0, "recipe": {"rounds": 4, "left_out": ["svdb/826"]},
        "records": ["mitdb/101"], "data_sha256": "ab" * 32, "commands": ["edge-ecg train"],
        "tool_versions": {"edge-ecg": "0"}, "intended_use": "Tests. Not a medical device.",
        "cross_validation": {name: {"svdb": PEOPLE} for name in POINTS},
        "healthy": {
            name: {"n_people": 6, "hours": 12.0, "false_s_per_hour": 1.4, "false_v_per_hour": 0.1} for name in POINTS
        },
    }  # fmt: skip


def write_rhythm(folder: Path, tables: TreeTables | None = None) -> Path:
    """A bundle of these trees with two golden beats and a card; returns its folder."""
    tables = tables or stumps()
    model = pack_trees(tables)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trees.npz").write_bytes(model)
    (folder / "manifest.json").write_text(json.dumps(manifest_of(model, tables)), "utf-8")
    features = np.zeros((3, tables.n_columns), np.int16)
    features[:, [EARLY, ALIKE]] = (0, 99), (-25, 99), (-25, 20)
    probs = without_f(tables, features.astype(np.float32) / np.float32(100.0)).astype(np.float32)
    golden = RhythmGolden("made up", np.array(["N"] * 3), features, probs)
    (folder / "golden.npz").write_bytes(pack_golden(golden))
    (folder / "card.md").write_text("# tiny-rhythm\n\nNot a medical device.\n", "utf-8")
    return folder


def without_f(tables: TreeTables, x: np.ndarray) -> np.ndarray:
    """What a rhythm model is to say of features, worked out otherwise."""
    p = tables.probs(x).astype(np.float64)[:, :3]
    return p / np.maximum(p.sum(axis=1, keepdims=True), 1e-30)


def classifier_of(folder: Path, **options: Any) -> RhythmClassifier:
    from edge_ecg.manifest import load_any

    bundle = load_any(folder)
    assert isinstance(bundle, RhythmBundle)
    return RhythmClassifier(bundle, **options)
