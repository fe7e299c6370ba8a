"""Fit the rhythm model: boosted trees on what a beat is against its patient's own past. By patients, never by beats.

The recipe was chosen by patient-grouped cross-validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg.labels import BeatLabel
from train.rhythm_records import HEALTHY

__all__ = ["CLASSES", "RecordRows", "RhythmRecipe", "dealt_folds", "fit_trees", "probs_of", "training_rows"]

CLASSES = (BeatLabel.N, BeatLabel.S, BeatLabel.V, BeatLabel.F)
"""What the model says; Q beats train nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordRows:
    """The beats of one record.

    Attributes
    ----------
    database, name
        Of the record.
    is_copy
        It is the disturbed copy.
    hours
        How long it is.
    x
        ``(n, n_columns) float32`` features.
    labels
        ``(n,) uint8``, AAMI classes.
    """

    database: str
    name: str
    is_copy: bool
    hours: float
    x: NDArray[np.float32]
    labels: NDArray[np.uint8]

    @property
    def key(self) -> tuple[str, str]:
        """Of the record: the same for its copy."""
        return self.database, self.name


@dataclass(frozen=True, slots=True)
class RhythmRecipe:
    """How to fit.

    Attributes
    ----------
    averaged
        Fits whose logits are averaged: each thins the rows and grows its trees by chance of its own.
    rounds, leaves, learning_rate, least_rows, column_share, row_share, l2, bins
        Of LightGBM: trees a class, leaves of each, and so on.
    normal_kept, healthy_kept, normal_copies_kept, other_copies_kept
        Share of rows that train: N beats, N beats of healthy people, those of the copies, and the copies' other beats.
    record_exponent
        A class's beats of a record weigh together as their number to this power: nobody's thousands rule.
    class_totals
        Weight of N, S, V and F, each all together.
    left_out
        Records whose labels are too rough to learn from; they are scored all the same.
    """

    averaged: int = 2
    rounds: int = 300
    leaves: int = 8
    learning_rate: float = 0.06
    least_rows: int = 40
    column_share: float = 0.35
    row_share: float = 0.7
    l2: float = 5.0
    bins: int = 63
    normal_kept: float = 0.5
    healthy_kept: float = 1.0 / 6.0
    normal_copies_kept: float = 0.25
    other_copies_kept: float = 0.5
    record_exponent: float = 0.3
    class_totals: tuple[float, float, float, float] = (1.0, 0.2, 0.3, 0.1)
    left_out: tuple[str, ...] = ("svdb/826", "svdb/852", "svdb/866", "svdb/867", "svdb/881")


def dealt_folds(n_s: Mapping[tuple[str, str], int], n_folds: int) -> dict[tuple[str, str], int]:
    """Fold of each record: database by database, by falling number of S beats, dealt there and back.

    Parameters
    ----------
    n_s
        S beats of each record, by `RecordRows.key`.
    n_folds
        How many folds.
    """
    fold = {}
    for database in sorted({database for database, _ in n_s}):
        keys = sorted((key for key in n_s if key[0] == database), key=lambda key: (-n_s[key], key[1]))
        for k, key in enumerate(keys):
            place = k % (2 * n_folds)
            fold[key] = place if place < n_folds else 2 * n_folds - 1 - place
    return fold


def training_rows(
    records: Sequence[RecordRows], recipe: RhythmRecipe, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float64]]:
    """Thinned features ``(n, n_columns)``, classes ``(n,)`` and weights ``(n,)`` of mean 1. Q beats are left out."""
    rng = np.random.default_rng(seed)
    xs, labels, owners = [], [], []
    number = {key: k for k, key in enumerate(sorted({r.key for r in records}))}
    for record in records:
        is_normal = record.labels == BeatLabel.N
        healthy = record.database == HEALTHY
        if record.is_copy:
            share = np.where(is_normal, recipe.normal_copies_kept, recipe.other_copies_kept)
        else:
            share = np.where(is_normal, recipe.healthy_kept if healthy else recipe.normal_kept, 1.0)
        kept = (rng.random(len(share)) < share) & (record.labels < len(CLASSES))
        xs.append(record.x[kept])
        labels.append(record.labels[kept].astype(np.intp))
        owners.append(np.full(int(kept.sum()), number[record.key]))
    y, owner = np.concatenate(labels), np.concatenate(owners)
    cells, cell_of, n_in = np.unique(np.stack([y, owner]), axis=1, return_inverse=True, return_counts=True)
    total = n_in.astype(np.float64) ** recipe.record_exponent
    of_class = np.bincount(cells[0], total, len(CLASSES))
    each = np.array(recipe.class_totals)[cells[0]] * total / of_class[cells[0]] / n_in
    weights = each[cell_of]
    return np.concatenate(xs), y, weights * (len(weights) / weights.sum())


def fit_trees(records: Sequence[RecordRows], recipe: RhythmRecipe, seed: int, *, threads: int = 0) -> list[Any]:
    """LightGBM boosters of the four `CLASSES`, `RhythmRecipe.averaged` of them."""
    learnt = [r for r in records if f"{r.database}/{r.name}" not in recipe.left_out]
    return [_fit(learnt, recipe, seed * recipe.averaged + k, threads) for k in range(recipe.averaged)]


def probs_of(boosters: Sequence[Any], x: NDArray[np.float32], *, threads: int = 0) -> NDArray[np.float64]:
    """Probabilities ``(n, 4)`` of rows ``(n, n_columns)``, by the mean of their logits."""
    logits = np.mean([booster.predict(x, raw_score=True, num_threads=threads) for booster in boosters], axis=0)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def _fit(records: Sequence[RecordRows], recipe: RhythmRecipe, seed: int, threads: int) -> Any:
    import lightgbm

    x, y, weights = training_rows(records, recipe, seed)
    params = {
        "objective": "multiclass", "num_class": len(CLASSES), "num_leaves": recipe.leaves,
        "learning_rate": recipe.learning_rate, "min_data_in_leaf": recipe.least_rows,
        "feature_fraction": recipe.column_share, "bagging_fraction": recipe.row_share, "bagging_freq": 1,
        "lambda_l2": recipe.l2, "max_bin": recipe.bins, "seed": seed, "num_threads": threads,
        "deterministic": True, "force_row_wise": True, "verbose": -1,
    }  # fmt: skip
    return lightgbm.train(params, lightgbm.Dataset(x, y, weight=weights), recipe.rounds)
