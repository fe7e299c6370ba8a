"""Splits: nobody is on two sides who should not be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_ecg.errors import DataError, UsageError
from train.splits import DS1, DS1_VALIDATION, DS2, N_FOLDS, PACED, RANDOM_TEST_COUNTS, Split, split_of
from train.window_set import WindowSet
from train.windows import MITDB_COUNTS


def beats(labels: list[int], patients: list[int], dataset: str = "ptb", label_set: str = "binary") -> WindowSet:
    n = len(labels)
    who = np.array(patients, np.int32)
    return WindowSet.of(
        np.zeros((n, 187), np.float32), np.array(labels, np.uint8), who, who, dataset=dataset, label_set=label_set
    )


@st.composite
def people_of_one_class(draw: st.DrawFn) -> WindowSet:
    """Two classes, a person has one: as in ptb."""
    classes = draw(st.lists(st.integers(0, 1), min_size=10, max_size=60))
    n_beats = draw(st.lists(st.integers(5, 30), min_size=len(classes), max_size=len(classes)))
    numbers = draw(st.permutations(range(len(classes))))
    labels = np.repeat(classes, n_beats).tolist()
    patients = np.repeat(numbers, n_beats).tolist()
    order = np.random.default_rng(draw(st.integers(0, 99))).permutation(len(labels))
    return beats([labels[i] for i in order], [patients[i] for i in order])


@st.composite
def people_of_any_class(draw: st.DrawFn) -> WindowSet:
    n = draw(st.integers(150, 400))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    labels = rng.choice(5, n, p=[0.7, 0.05, 0.2, 0.03, 0.02])
    patients = rng.integers(0, draw(st.integers(8, 40)), n)
    return beats(labels.tolist(), patients.tolist(), "my-data", "aami5")


def parts_of(split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return split.train, split.validation, split.test


def disjoint_and_complete(data: WindowSet, split: Split) -> None:
    together = np.concatenate(parts_of(split))
    assert np.array_equal(np.sort(together), np.arange(len(data.labels)))
    for part in parts_of(split):
        assert len(part)
        assert np.all(np.diff(part) > 0)


def same(a: Split, b: Split) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(parts_of(a), parts_of(b), strict=True))


anything = given(st.one_of(people_of_one_class(), people_of_any_class()))
slow_is_fine = [HealthCheck.too_slow, HealthCheck.data_too_large]
quick = settings(max_examples=40, deadline=None, suppress_health_check=slow_is_fine)


@quick
@anything
def test_folds_hold_whole_patients_and_each_beat_is_tested_once(data: WindowSet) -> None:
    folds = [split_of(data, "patient", fold) for fold in range(N_FOLDS)]
    for fold, split in enumerate(folds):
        disjoint_and_complete(data, split)
        sides = [set(data.patients[part].tolist()) for part in parts_of(split)]
        assert not sides[0] & sides[1]
        assert not (sides[0] | sides[1]) & sides[2]
        assert not split.patients_on_both_sides
        assert split.about_patients(data) == "no patient on both sides"
        assert (split.fold, split.n_folds) == (fold, 5)
    tested = np.concatenate([split.test for split in folds])
    assert np.array_equal(np.sort(tested), np.arange(len(data.labels)))


@quick
@given(people_of_one_class())
def test_folds_have_as_many_patients_of_each_class_as_the_others(data: WindowSet) -> None:
    folds = [split_of(data, "patient", fold) for fold in range(N_FOLDS)]
    for label in set(data.labels.tolist()):
        of_class = data.patients[data.labels == label]
        n = [len(set(data.patients[split.test].tolist()) & set(of_class.tolist())) for split in folds]
        assert max(n) - min(n) <= 1
        n_patients = len(set(of_class.tolist()))
        for split in folds:
            fitted = np.concatenate([split.train, split.validation])
            n_fitted = len(set(data.patients[fitted].tolist()) & set(of_class.tolist()))
            n_choosing = len(set(data.patients[split.validation].tolist()) & set(of_class.tolist()))
            assert n_choosing <= max(1, round(0.1 * n_patients))
            assert n_choosing >= (n_fitted > 1)
    sizes = [len(set(data.patients[split.test].tolist())) for split in folds]
    assert max(sizes) - min(sizes) <= 1


@quick
@anything
def test_a_split_is_the_same_every_time_and_heeds_patients_not_their_order(data: WindowSet) -> None:
    for name in ("random", "patient"):
        assert same(split_of(data, name), split_of(data, name))
    assert not same(split_of(data, "patient", 0), split_of(data, "patient", 1))
    backwards = beats(data.labels[::-1].tolist(), data.patients[::-1].tolist(), data.dataset, data.label_set)
    one, other = split_of(data, "patient", 2), split_of(backwards, "patient", 2)
    assert set(data.patients[one.test].tolist()) == set(backwards.patients[other.test].tolist())


@quick
@anything
def test_the_random_split_is_80_to_20_by_class(data: WindowSet) -> None:
    split = split_of(data, "random")
    disjoint_and_complete(data, split)
    for label in range(5):
        n, n_validation, n_test = (
            int(np.sum(data.labels[part] == label)) for part in (slice(None), split.validation, split.test)
        )
        assert abs(n_test - 0.2 * n) <= 0.5
        assert abs(n_validation - 0.1 * (n - n_test)) <= 0.5
    assert split.patients_on_both_sides
    assert split.fold is None


def test_a_lone_beat_of_the_rarest_class_decides_what_a_patient_is() -> None:
    """Five people with one S beat each among N: every fold gets one of them."""
    labels, patients = [], []
    for patient in range(20):
        labels += [0] * 30 + [1] * (patient < 5)
        patients += [patient] * (30 + (patient < 5))
    data = beats(labels, patients, "my-data", "aami5")
    for fold in range(N_FOLDS):
        split = split_of(data, "patient", fold)
        assert np.sum(data.labels[split.test] == 1) == 1
        assert np.sum(data.labels[split.validation] == 1) == 1


def test_inter_discloses_one_person_and_refuses_others() -> None:
    records = np.array([*DS1, *DS2, *PACED] * 2, np.int32)
    patients = np.where(records == 202, 201, records).astype(np.int32)
    none = np.zeros((len(records), 187), np.float32)
    data = WindowSet.of(none, np.zeros(len(records), np.uint8), records, patients, dataset="mitdb")
    split = split_of(data, "inter")
    assert "202 (test) is the same person as 201" in split.about_patients(data)
    mixed = np.where(records == 100, 101, patients).astype(np.int32)
    data = WindowSet.of(none, np.zeros(len(records), np.uint8), records, mixed, dataset="mitdb")
    with pytest.raises(AssertionError, match=r"patients on both sides: \{101\}"):
        split_of(data, "inter")


def test_what_cannot_be_split_says_so() -> None:
    data = beats([0, 1] * 20, [1, 2, 3, 4] * 10)
    with pytest.raises(DataError, match="5 folds of whole patients, found 4"):
        split_of(data, "patient")
    with pytest.raises(UsageError, match=r"no fold 5.*0 to 4"):
        split_of(beats([0, 1] * 20, list(range(40))), "patient", 5)
    with pytest.raises(UsageError, match="random split has no folds"):
        split_of(data, "random", 1)
    with pytest.raises(UsageError, match=r"no split 'inter' of ptb\. There are: random, patient"):
        split_of(data, "inter")
    with pytest.raises(DataError, match="leaves no beat for"):
        split_of(beats([0, 1], [1, 2]), "random")


def test_an_unknown_split() -> None:
    with pytest.raises(UsageError, match="random, inter"):
        split_of(beats([], [], "mitdb", "aami5"), "leave-one-out")


# The whole database


def test_the_random_split_has_the_published_sizes(mitdb_windows: Callable[[], WindowSet]) -> None:
    data = mitdb_windows()
    split = split_of(data, "random")
    assert (len(split.train) + len(split.validation), len(split.test)) == (87_554, 21_892)
    assert tuple(np.bincount(data.labels[split.test])) == RANDOM_TEST_COUNTS == (18_118, 556, 1_448, 162, 1_608)
    assert sum(RANDOM_TEST_COUNTS) == 21_892
    assert np.array_equal(np.sort(np.concatenate([split.train, split.validation, split.test])), np.arange(109_446))
    shares = np.bincount(data.labels[split.validation]) / (np.array(MITDB_COUNTS) - RANDOM_TEST_COUNTS)
    assert shares == pytest.approx([0.1] * 5, abs=0.005)
    assert split.patients_on_both_sides
    again = split_of(data, "random")
    assert np.array_equal(split.test, again.test)
    assert np.array_equal(split.validation, again.validation)


def test_no_patient_stands_on_both_sides_of_the_inter_split(mitdb_windows: Callable[[], WindowSet]) -> None:
    data = mitdb_windows()
    split = split_of(data, "inter")
    train, validation, test = (set(data.records[p].tolist()) for p in (split.train, split.validation, split.test))
    assert test == set(DS2)
    assert train | validation == set(DS1)
    assert validation == set(DS1_VALIDATION)
    assert not train & validation
    assert not (train | validation | test) & set(PACED)
    assert not split.patients_on_both_sides
    # Paced records are the only unknown beats of any number; the four named classes validate all the same.
    assert set(data.labels[split.validation].tolist()) >= {0, 1, 2, 3}
