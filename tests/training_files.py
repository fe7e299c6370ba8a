"""Files as `python -m benchmarks.training` writes them, of probabilities drawn at random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training_results import file_text
from edge_ecg.labels import LABEL_SETS
from train.evaluation import evaluation_of
from train.evaluation_run import SCHEMA
from train.sturdiness import CONDITIONS, Condition, Sturdiness

_PATIENTS = {
    "random": "patients stand on both sides (6)",
    "inter": "no patient on both sides but one: 202 (test) is the same person as 201",
}


def evaluated(
    split: str,
    network: str = "baseline",
    seed: int = 1,
    *,
    dataset: str = "mitdb",
    segmentation: str = "causal",
    n_bytes: int | None = None,
    precision: str = "float32 (Keras)",
    right: float = 0.8,
    recipe: str = "abc123",
    validation: float = 0.9,
    n_folds: int = 1,
    sturdy: bool = False,
) -> dict[str, Any]:
    """The figures of a model that says the experts' class of about the share ``right`` of 300 beats of 6 patients."""
    label_set = "binary" if dataset == "ptb" else "aami5"
    classes = LABEL_SETS[label_set]
    rng = np.random.default_rng([seed, len(network), len(split)])
    patients = np.repeat(np.arange(6) + 200, 50)
    labels = (patients % 3 > 0).astype(int) if label_set == "binary" else rng.integers(len(classes), size=300)
    said = np.where(rng.random(300) < right, labels, rng.integers(len(classes), size=300))
    probs = 0.5 * np.eye(len(classes))[said] + 0.5 * rng.dirichlet(np.ones(len(classes)), 300)
    found = evaluation_of(labels, probs, patients, patients, classes, n_replicates=20)
    sturdiness = Sturdiness(
        300, split, "MLII", tuple(Condition(name, 0.9 - 0.01 * k, 0.8, 1.0 * k) for k, name in enumerate(CONDITIONS))
    )
    model = {"name": f"{dataset}-{network}-{split}-seed{seed}", "weights_sha256": "0"}
    trained = {"recipe": recipe, "fold": None, "best_epoch": 30, "epochs": 36, "validation_accuracy": validation,
               "validation_macro_f1": validation - 0.1, "validation_auc": None}  # fmt: skip
    folds = [{**trained, "fold": k, "validation_auc": validation} for k in range(n_folds)]
    of_run = [{**model, **told} for told in (folds if label_set == "binary" else [trained])]
    return {
        "schema": SCHEMA, "model": model["name"], "network": network, "seed": seed, "precision": precision,
        "bytes": n_bytes, "dataset": dataset, "split": split, "folds": list(range(n_folds)) if n_folds > 1 else [],
        "segmentation": segmentation, "lead": "I" if dataset == "ptb" else "MLII",
        "patients_on_both_sides": split == "random", "data_sha256": "d",
        "facts": {"patients": _PATIENTS.get(split, "no patient on both sides"),
                  "rules": "single beats, R known; device-independent"},
        **found.to_json(),
        "sturdiness": sturdiness.to_json() if sturdy else None,
        "models": [model] if n_bytes else of_run,
    }  # fmt: skip


def write(folder: Path, name: str, table: dict[str, Any]) -> Path:
    """Into the folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(file_text(table), encoding="utf-8")
    return folder
