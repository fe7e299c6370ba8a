"""Which beats train, which choose, which are only reported on. Named, seeded, and printed with every run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import UsageError
from train.windows import WindowSet

__all__ = ["DS1", "DS2", "PACED", "RANDOM_TEST_COUNTS", "SPLITS", "Split", "split_of"]

DS1 = (101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122, 124, 201, 203, 205, 207, 208, 209, 215, 220, 223, 230)
DS2 = (100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210, 212, 213, 214, 219, 221, 222, 228, 231, 232, 233, 234)
PACED = (102, 104, 107, 217)
DS1_VALIDATION = (108, 119, 207, 223)
"""Whole patients of DS1 that choose the epoch when DS2 is the test; N, S, V and F beats are among them."""

SPLITS = ("random", "inter")

RANDOM_TEST_COUNTS = (18_118, 556, 1_448, 162, 1_608)
"""Test beats per class of the published split; patients stand on both sides of it."""

_SPLIT_SEED = 20_180_501
_VALIDATION_SHARE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Indices into a window set: ``train`` fits, ``validation`` chooses, ``test`` is reported."""

    name: str
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    patients_on_both_sides: bool


def split_of(data: WindowSet, name: str) -> Split:
    """A split of a window set by name.

    ``random``: the published sizes, patients on both sides. ``inter``: de Chazal's DS1 trains, DS2 tests, paced
    records out; 201 (DS1) and 202 (DS2) are one person, the disclosed exception.

    Raises
    ------
    UsageError
        For an unknown name.
    """
    if name == "random":
        return _random(data.labels)
    if name == "inter":
        return _inter(data.records)
    raise UsageError(f"no split {name!r}", f"There are: {', '.join(SPLITS)}")


def _inter(records: NDArray[np.int32]) -> Split:
    train = np.flatnonzero(np.isin(records, DS1) & ~np.isin(records, DS1_VALIDATION))
    validation = np.flatnonzero(np.isin(records, DS1_VALIDATION))
    test = np.flatnonzero(np.isin(records, DS2))
    assert not set(records[test]) & (set(records[train]) | set(records[validation]))
    return Split("inter", train, validation, test, patients_on_both_sides=False)


def _random(labels: NDArray[np.uint8]) -> Split:
    """The published sizes: 21,892 test beats by class, the rest 90 : 10 into training and validation.

    Stratified, and the same for every training seed: runs are compared on one test set.
    """
    rng = np.random.default_rng(_SPLIT_SEED)
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for label, n_test in enumerate(RANDOM_TEST_COUNTS):
        of_class = rng.permutation(np.flatnonzero(labels == label))
        n_validation = round(_VALIDATION_SHARE * (len(of_class) - n_test))
        for part, indices in zip(parts, np.split(of_class, [n_test, n_test + n_validation]), strict=True):
            part.append(indices)
    test, validation, train = (np.sort(np.concatenate(p)) for p in parts)
    return Split("random", train, validation, test, patients_on_both_sides=True)
