"""Areas, calibration and intervals, against what can be worked out by hand and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from edge_ecg.scoring.confusion import Confusion
from edge_ecg.scoring.probabilities import (
    areas,
    bootstrap,
    bootstrap_weights,
    calibration_of,
    pr_auc,
    roc_auc,
    weighted_figures,
)

scored = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=40)
"""Few distinct scores: most are tied."""


def test_areas_by_hand() -> None:
    # Down the scores: + - + -. Pairs in the right order: 3 of 4. Precision where recall grows: 1/1 and 2/3.
    positive, score = [True, False, True, False], [0.9, 0.8, 0.7, 0.1]
    assert roc_auc(positive, score) == 0.75
    assert pr_auc(positive, score) == pytest.approx((1.0 + 2.0 / 3.0) / 2.0)


def test_ties_count_half_and_are_one_threshold() -> None:
    # The positive at 0.5 beats one negative and ties with the other: (1 + 0.5 + 2) / 4.
    positive, score = [True, True, False, False], [0.9, 0.5, 0.5, 0.1]
    assert roc_auc(positive, score) == pytest.approx(3.5 / 4)
    assert pr_auc(positive, score) == pytest.approx(0.5 * 1.0 + 0.5 * 2.0 / 3.0)
    assert roc_auc([True, False], [0.5, 0.5]) == 0.5
    assert pr_auc([True, False, False, False], [0.5] * 4) == 0.25


@pytest.mark.parametrize("positive", [[], [True, True], [False, False]])
def test_a_class_that_is_missing_has_no_area(positive: list[bool]) -> None:
    score = np.linspace(0, 1, len(positive))
    assert roc_auc(positive, score) is None
    assert pr_auc(positive, score) is None


@given(scored)
def test_roc_auc_is_the_statistic_of_mann_and_whitney(beats: list[tuple[bool, int]]) -> None:
    positive, score = np.array([b[0] for b in beats]), np.array([b[1] for b in beats]) / 8
    area = roc_auc(positive, score)
    if positive.all() or not positive.any():
        assert area is None
    else:
        u = mannwhitneyu(score[positive], score[~positive], method="asymptotic").statistic
        assert area == pytest.approx(u / (positive.sum() * (~positive).sum()))


def slow_average_precision(positive: np.ndarray, score: np.ndarray) -> float:
    """The sum over thresholds of precision times the recall that it adds."""
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(score.tolist()), reverse=True):
        called = score >= threshold
        recall = (positive & called).sum() / positive.sum()
        total += (recall - recall_before) * (positive & called).sum() / called.sum()
        recall_before = recall
    return total


@given(scored)
def test_pr_auc_is_average_precision(beats: list[tuple[bool, int]]) -> None:
    positive, score = np.array([b[0] for b in beats]), np.array([b[1] for b in beats]) / 8
    if positive.any() and not positive.all():
        assert pr_auc(positive, score) == pytest.approx(slow_average_precision(positive, score))


@given(scored, st.integers(0, 2**32 - 1))
def test_a_weight_is_a_beat_that_is_there_so_often(beats: list[tuple[bool, int]], seed: int) -> None:
    positive, score = np.array([b[0] for b in beats]), np.array([b[1] for b in beats]) / 8
    weights = np.random.default_rng(seed).integers(0, 3, (2, len(beats)))
    roc, pr = areas(positive, score, weights)
    for k, times in enumerate(weights):
        one_roc, one_pr = areas(positive.repeat(times), score.repeat(times))
        assert roc[k] == pytest.approx(one_roc[0], nan_ok=True)
        assert pr[k] == pytest.approx(one_pr[0], nan_ok=True)


def test_calibration_by_hand() -> None:
    # 15 bins: 0.95 and 0.97 in the last (one right), 0.6 in the 9th (right). 2/3 |0.96 - 0.5| + 1/3 |0.6 - 1|.
    probs = [[0.95, 0.05], [0.03, 0.97], [0.6, 0.4]]
    calibration = calibration_of([0, 0, 0], probs)
    assert calibration.n.tolist() == [0] * 8 + [1] + [0] * 5 + [2]
    assert calibration.accuracy[14] == 0.5
    assert calibration.confidence[14] == pytest.approx(0.96)
    assert calibration.ece == pytest.approx(2 / 3 * 0.46 + 1 / 3 * 0.4)


def test_certainty_that_is_right_has_no_calibration_error() -> None:
    probs = np.eye(3)[[0, 1, 2, 2]]
    assert calibration_of([0, 1, 2, 2], probs).ece == 0.0
    assert calibration_of([1, 0, 0, 0], probs).ece == 1.0
    assert calibration_of([], np.empty((0, 3))).ece is None
    # A bin's upper edge belongs to it.
    assert calibration_of([0], [[0.5, 0.5]], n_bins=2).n.tolist() == [1, 0]


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(1, 60))
def test_figures_are_those_of_the_confusion_matrix(seed: int, n_classes: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    reference, probs = rng.integers(0, n_classes, n), rng.dirichlet(np.ones(n_classes), n)
    figures = weighted_figures(reference, probs)
    confusion = Confusion.of(reference, probs.argmax(axis=1), n_classes)
    assert figures["accuracy"][0] == pytest.approx(confusion.accuracy)
    assert figures["macro_f1"][0] == pytest.approx(confusion.macro_f1)
    for k, c in enumerate(confusion.per_class()):
        for name in ("se", "ppv", "f1"):
            assert np.nan_to_num(figures[name][0, k]) == pytest.approx(getattr(c, name))
        assert np.isnan(figures["se"][0, k]) == (c.n == 0)


def test_people_are_drawn_whole() -> None:
    units = np.array([7, 7, 3, 9, 3])
    weights = bootstrap_weights(units, 5, 200, np.random.default_rng(0))
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all(), "as many people as there are"
    beats = bootstrap_weights(None, 5, 200, np.random.default_rng(0))
    assert (beats.sum(axis=1) == 5).all()
    assert beats.mean() == 1.0


def right(share: np.ndarray) -> dict[str, np.ndarray]:
    return {"accuracy": share}


def test_an_interval_is_as_wide_as_theory_says() -> None:
    # 400 beats, 90 % right: the standard error is sqrt(0.09 / 400) = 0.015.
    is_right = np.arange(400) < 360
    found = bootstrap(lambda w: right(w @ is_right / w.sum(axis=1)), 400, n_replicates=4000)["accuracy"][0]
    assert found is not None
    assert found[0] == pytest.approx(0.9 - 1.96 * 0.015, abs=0.003)
    assert found[1] == pytest.approx(0.9 + 1.96 * 0.015, abs=0.003)


def test_beats_of_one_person_are_one_piece_of_evidence() -> None:
    # Ten people of 100 beats, one of them all wrong: by beats the interval is far too narrow.
    is_right = np.arange(1000) >= 100
    people = np.repeat(np.arange(10), 100)

    def of(w: np.ndarray) -> dict[str, np.ndarray]:
        return right(w @ is_right / w.sum(axis=1))

    by_beats, by_people = bootstrap(of, 1000)["accuracy"][0], bootstrap(of, 1000, units=people)["accuracy"][0]
    assert by_beats is not None
    assert by_people is not None
    assert by_beats[1] - by_beats[0] == pytest.approx(2 * 1.96 * np.sqrt(0.09 / 1000), rel=0.15)
    assert by_people == pytest.approx((0.7, 1.0))


def test_intervals_are_the_same_for_the_same_seed_and_none_without_a_class() -> None:
    rng = np.random.default_rng(3)
    reference, probs = rng.integers(0, 2, 80), rng.dirichlet(np.ones(3), 80)

    def of(w: np.ndarray) -> dict[str, np.ndarray]:
        return weighted_figures(reference, probs, w)

    first = bootstrap(of, 80, n_replicates=70, seed=5)
    assert first == bootstrap(of, 80, n_replicates=70, seed=5)
    assert first != bootstrap(of, 80, n_replicates=70, seed=6)
    assert first["se"][2] is None, "no beat of the third class"
    assert first["roc_auc"][2] is None
    low, high = first["roc_auc"][0]  # type: ignore[misc]
    assert low < (roc_auc(reference == 0, probs[:, 0]) or 0.0) < high


def test_a_replicate_without_a_class_is_not_punished_for_it() -> None:
    reference, probs = [0, 0, 1], np.eye(3)[[0, 0, 1]]
    figures = weighted_figures(reference, probs, [[1, 1, 1], [2, 1, 0]])
    # All labels are right; the third class is nowhere and counts 0, the second is only not drawn.
    assert figures["macro_f1"].tolist() == [pytest.approx(2 / 3), pytest.approx(1 / 2)]
    assert np.isnan(figures["f1"][1, 1])
