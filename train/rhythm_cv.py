"""Patient-grouped cross-validation of the rhythm model: what it says of people that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_ecg.labels import BeatLabel
from train.rhythm_fit import RecordRows, RhythmRecipe, dealt_folds, fit_trees, probs_of

__all__ = ["N_FOLDS", "fold_of", "fold_probs"]

N_FOLDS = 6


def fold_of(records: Sequence[RecordRows]) -> dict[tuple[str, str], int]:
    """The fold of each record, by its key; a disturbed copy is in that of its record."""
    clean = [record for record in records if not record.is_copy]
    return dealt_folds({r.key: int((r.labels == BeatLabel.S).sum()) for r in clean}, N_FOLDS)


def fold_probs(
    records: Sequence[RecordRows], fold: int, recipe: RhythmRecipe, seed: int, *, threads: int = 0
) -> NDArray[np.float64]:
    """Probabilities ``(n, 4)`` of a fold's records, without copies, by trees of the other folds' people."""
    folds = fold_of(records)
    trees = fit_trees([r for r in records if folds[r.key] != fold], recipe, seed, threads=threads)
    x = np.concatenate([r.x for r in records if folds[r.key] == fold and not r.is_copy])
    return probs_of(trees, x, threads=threads)
