"""Which beats train, which choose, which are only reported on. Named, seeded, and printed with every run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import DataError, UsageError
from edge_ecg.labels import LABEL_SETS
from train.window_set import WindowSet

__all__ = [
    "DS1",
    "DS1_VALIDATION",
    "DS2",
    "N_FOLDS",
    "PACED",
    "RANDOM_TEST_COUNTS",
    "SPLITS",
    "Split",
    "check_split",
    "check_trains",
    "split_of",
    "splits_of",
]

DS1 = (101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122, 124, 201, 203, 205, 207, 208, 209, 215, 220, 223, 230)
DS2 = (100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210, 212, 213, 214, 219, 221, 222, 228, 231, 232, 233, 234)
PACED = (102, 104, 107, 217)
DS1_VALIDATION = (108, 119, 207, 223)
"""Whole patients of DS1 that choose the epoch when DS2 is the test; N, S, V and F beats are among them."""

SPLITS = ("random", "inter", "patient")

RANDOM_TEST_COUNTS = (18_118, 556, 1_448, 162, 1_608)
"""Test beats per class of mitdb's published split; patients stand on both sides of it."""

N_FOLDS = 5

_DISCLOSED = {("inter", 201)}
"""Patients who may stand on both sides: 201 (DS1) and 202 (DS2) are one person, as everybody splits them."""

_SPLIT_SEED = 20_180_501
_TEST_SHARE = 0.2
_VALIDATION_SHARE = 0.1

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Indices into a window set: ``train`` fits, ``validation`` chooses, ``test`` is reported.

    Attributes
    ----------
    train, validation, test
        Ascending; no beat is in two of them.
    patients_on_both_sides
        Whether beats of one patient both train (or choose) and test, by the way of splitting. False for ``inter``,
        whose one exception (201 and 202 are one person) is disclosed wherever it is named.
    fold, n_folds
        Of ``patient``: which fold is the test, of how many; None for the others.
    """

    name: str
    train: Indices
    validation: Indices
    test: Indices
    patients_on_both_sides: bool
    fold: int | None = None
    n_folds: int | None = None

    def about_patients(self, data: WindowSet) -> str:
        """One line: does a patient stand on both sides?"""
        shared = _shared(data, self)
        if not shared:
            return "no patient on both sides"
        if self.patients_on_both_sides:
            return f"patients stand on both sides ({len(shared)})"
        return "no patient on both sides but one: 202 (test) is the same person as 201"


def splits_of(dataset: str) -> tuple[str, ...]:
    """The splits that a data set can be asked for."""
    return ("random", "inter") if dataset == "mitdb" else ("random", "patient")


def check_split(dataset: str, name: str, fold: int = 0) -> None:
    """Raise `UsageError` for an unknown split, one the data set does not have, or a fold outside its folds."""
    if name not in splits_of(dataset):
        of = f" of {Path(dataset).name}" if name in SPLITS else ""
        raise UsageError(f"no split {name!r}{of}", f"There are: {', '.join(splits_of(dataset))}")
    if not 0 <= fold < (N_FOLDS if name == "patient" else 1):
        there = f"The folds are 0 to {N_FOLDS - 1}" if name == "patient" else f"The {name} split has no folds"
        raise UsageError(f"no fold {fold}", there)


def split_of(data: WindowSet, name: str, fold: int = 0) -> Split:
    """A split of a window set by name; the same for every training seed, so that runs share one test set.

    ``random``: mitdb's published sizes, else 80 : 20 by class; patients on both sides. ``inter``: de Chazal's DS1
    trains, DS2 tests, paced records out. ``patient``: one of five folds of whole patients, by class as even as
    whole patients allow, is the test. A tenth of the training part chooses: beats for ``random``, else whole patients.

    Raises
    ------
    UsageError
        For an unknown name, one that the data set does not have, or a fold outside 0 to 4.
    DataError
        For too few patients or beats.
    """
    check_split(data.dataset, name, fold)
    if name == "random":
        split = _random(data)
    elif name == "inter":
        split = _inter(data.records)
    else:
        split = _patient(data, fold)
    for part in ("train", "validation", "test"):
        if not len(getattr(split, part)):
            raise DataError(f"the {name} split of {data.title} leaves no beat for {part}", "Add records")
    _check(data, split)
    return split


def check_trains(data: WindowSet, split: Split) -> None:
    """Raise `DataError` when the beats that train are all of one class: nothing is learnt, and all of it is right.

    Not a matter of `split_of`: to be tested on, one class is enough.
    """
    names = LABEL_SETS[data.label_set]
    found = np.unique(data.labels[split.train])
    if len(found) < 2:
        raise DataError(
            f"to train takes beats of two classes or more ({', '.join(names)}), but the training part of the "
            f"{split.name} split of {data.title} has {len(split.train)} beats of {names[found[0]]} alone",
            "Add records of another class" + (": edge-ecg data fetch ptbdb" if data.dataset == "ptbdb" else ""),
        )


def _check(data: WindowSet, split: Split) -> None:
    """No beat in two parts; no patient where they should not be."""
    taken = np.concatenate([split.train, split.validation, split.test])
    assert len(np.unique(taken)) == len(taken), "a beat is in two parts"
    if split.patients_on_both_sides:
        return
    shared = {patient for patient in _shared(data, split) if (split.name, patient) not in _DISCLOSED}
    assert not shared, f"patients on both sides: {shared}"
    choosing = np.intersect1d(data.patients[split.train], data.patients[split.validation])
    assert not len(choosing), f"patients who train and choose: {choosing}"


def _shared(data: WindowSet, split: Split) -> set[int]:
    fitted = np.concatenate([split.train, split.validation])
    return set(np.intersect1d(data.patients[fitted], data.patients[split.test]).tolist())


def _inter(records: NDArray[np.int32]) -> Split:
    train = np.flatnonzero(np.isin(records, DS1) & ~np.isin(records, DS1_VALIDATION))
    validation = np.flatnonzero(np.isin(records, DS1_VALIDATION))
    test = np.flatnonzero(np.isin(records, DS2))
    return Split("inter", train, validation, test, patients_on_both_sides=False)


def _random(data: WindowSet) -> Split:
    rng = np.random.default_rng(_SPLIT_SEED)
    parts: list[list[Indices]] = [[], [], []]
    n_of = np.bincount(data.labels, minlength=len(LABEL_SETS[data.label_set]))
    published = data.dataset == "mitdb" and np.all(n_of > RANDOM_TEST_COUNTS)
    n_tests = RANDOM_TEST_COUNTS if published else [round(_TEST_SHARE * n) for n in n_of.tolist()]
    for label, n_test in enumerate(n_tests):
        of_class = rng.permutation(np.flatnonzero(data.labels == label))
        n_validation = round(_VALIDATION_SHARE * (len(of_class) - n_test))
        for part, indices in zip(parts, np.split(of_class, [n_test, n_test + n_validation]), strict=True):
            part.append(indices)
    test, validation, train = (np.sort(np.concatenate(p)) for p in parts)
    return Split("random", train, validation, test, patients_on_both_sides=True)


def _patient(data: WindowSet, fold: int) -> Split:
    """Whole patients, class by class, dealt out like cards: folds differ by at most one patient of each class."""
    classes = _patients_by_class(data)
    n_patients = sum(len(patients) for patients in classes)
    if n_patients < N_FOLDS:
        raise DataError(
            f"the patient split of {data.title} has {N_FOLDS} folds of whole patients, found {n_patients} patients",
            "Add patients, or use the random split",
        )
    shuffled = [np.random.default_rng([_SPLIT_SEED, k]).permutation(p) for k, p in enumerate(classes)]
    order = np.concatenate(shuffled)
    of_fold = np.arange(n_patients) % N_FOLDS
    test = order[of_fold == fold]
    rest = [p[~np.isin(p, test)] for p in shuffled]
    # At least one of each class that has another to train on.
    chosen = [p[: min(len(p) - 1, max(1, round(_VALIDATION_SHARE * len(p))))] for p in rest if len(p)]
    validation = np.concatenate(chosen)
    if not len(validation):
        validation = np.concatenate(rest)[:1]
    train = np.concatenate(rest)[~np.isin(np.concatenate(rest), validation)]
    parts = [np.flatnonzero(np.isin(data.patients, who)) for who in (train, validation, test)]
    return Split("patient", *parts, patients_on_both_sides=False, fold=fold, n_folds=N_FOLDS)


def _patients_by_class(data: WindowSet) -> list[NDArray[np.int32]]:
    """Patients of each class, ascending; a patient is of the rarest class (in the whole set) among their beats."""
    n_of = np.bincount(data.labels)
    rank = np.argsort(np.argsort(n_of, kind="stable"))
    patients, index = np.unique(data.patients, return_inverse=True)
    rarest = np.full(len(patients), len(n_of))
    np.minimum.at(rarest, index, rank[data.labels])
    return [patients[rarest == k] for k in range(len(n_of)) if np.any(rarest == k)]
