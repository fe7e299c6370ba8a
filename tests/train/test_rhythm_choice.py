"""What cross-validation chooses for the rhythm model: calibration, operating points, the figures told of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_ecg.errors import DataError
from edge_ecg.labels import BeatLabel
from train.rhythm_choice import (
    AIMS,
    Aim,
    OutOfFold,
    Said,
    best_factors,
    calibration_of,
    false_per_hour,
    figures_of,
    said_by,
    unseen,
)
from train.rhythm_curves import FACTORS, curves_of
from train.rhythm_figures import healthy_figures, people_figures
from train.rhythm_fit import RecordRows
from train.rhythm_records import HEALTHY


def found(database: str, name: str, counts: tuple[int, ...], seed: int = 0, sharpness: float = 1.0) -> OutOfFold:
    """Beats whose probabilities are true, made sharper or softer by a factor on their logits."""
    rng = np.random.default_rng([seed, len(name)])
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.uint8)
    logits = rng.normal(size=(len(labels), 4))
    logits[np.arange(len(labels)), np.minimum(labels, 3)] += 2.0
    p = np.exp(sharpness * logits)
    rows = RecordRows(database, name, False, 1.0, np.zeros((len(labels), 1), np.float32), labels)
    return OutOfFold(rows, p / p.sum(axis=1, keepdims=True))


PEOPLE = [
    found("mitdb", "a", (900, 60, 80, 10, 3)), found("svdb", "bb", (800, 200, 30, 5, 0)),
    found("svdb", "ccc", (900, 2, 0, 0, 0)), found(HEALTHY, "dddd", (2000, 0, 0, 0, 0)),
]  # fmt: skip


def decided(factors: tuple[float, ...]) -> list[Said]:
    return [Said(one.rows, said_by(one.probs, factors)) for one in PEOPLE]


def test_figures_are_counted_as_ec57_does() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 4, 3, 4], np.uint8)
    said = np.array([0, 1, 1, 0, 2, 1, 2, 2, 1, 1])
    x = figures_of(labels, said)
    assert x.accuracy == 0.3
    # Called S: one N, one S, one V, one F are held to account, the Q is not.
    assert (x.s_se, x.s_ppv) == (0.5, 1 / 4)
    # Called V: the F and the Q are not held against it.
    assert (x.v_se, x.v_ppv) == (0.5, 1.0)
    assert x.f(1.0) == pytest.approx(0.5 * (2 * 0.5 * 0.25 / 0.75 + 2 * 0.5 / 1.5))
    assert x.f(0.5) > x.f(2.0), "V is more right than it finds"


def test_calibration_makes_probabilities_true() -> None:
    too_sure = [found("svdb", "a", (6000, 1500, 900, 300), sharpness=3.0)]
    c = calibration_of(too_sure)
    assert 1.2 < c.temperature < 3.0
    p = c.of(too_sure[0].probs)
    for k in range(4):
        assert p[:, k].mean() == pytest.approx((too_sure[0].rows.labels == k).mean(), abs=0.01)


def test_operating_points_go_from_few_false_alarms_to_many_found() -> None:
    loose = {name: Aim(aim.beta, 1e9, 1e9) for name, aim in AIMS.items()}
    few, balanced, sensitive = (best_factors(PEOPLE, aim) for aim in loose.values())
    assert few[1] < balanced[1] < sensitive[1]
    figures = [people_figures(decided(factors))["svdb"].per_class["S"] for factors in (few, balanced, sensitive)]
    assert figures[0].se < figures[1].se < figures[2].se
    assert figures[0].ppv > figures[1].ppv > figures[2].ppv


def test_the_healthy_set_a_limit() -> None:
    free, bound = best_factors(PEOPLE, Aim(2.0, 1e9, 1e9)), best_factors(PEOPLE, Aim(2.0, 30.0, 10.0))
    assert false_per_hour(decided(free)[3:])[0] > 30.0
    s_per_hour, v_per_hour = false_per_hour(decided(bound)[3:])
    assert s_per_hour <= 30.0
    assert v_per_hour <= 10.0
    told = healthy_figures(decided(bound))
    assert (told.n_people, told.hours, told.false_s_per_hour) == (1, 1.0, s_per_hour)
    with pytest.raises(DataError, match="within 0 false S and 0 false V"):
        best_factors([found(HEALTHY, "e", (4000, 0, 0, 0), sharpness=0.2), *PEOPLE], Aim(1.0, 0.0, 0.0))


def test_f_is_never_said_and_medians_are_of_records() -> None:
    said = said_by(np.array([[0.1, 0.0, 0.2, 0.7]]), (1.0, 1.0, 1.0))
    assert said.tolist() == [BeatLabel.V]
    x = people_figures(decided((1.0, 1.0, 1.0)))
    assert set(x) == {"mitdb", "svdb"}
    each = [figures_of(one.rows.labels, said_by(one.probs, (1.0, 1.0, 1.0))) for one in PEOPLE[1:3]]
    assert (x["svdb"].n_records, x["svdb"].n_beats) == (2, 1937)
    assert x["svdb"].record_median["S"].se == pytest.approx(np.median([e.s_se for e in each]))
    assert x["svdb"].record_median["V"].se == pytest.approx(each[0].v_se), "the other record has no V"


def test_nobody_chooses_for_oneself() -> None:
    """A person whose probabilities would choose other factors than all others' is judged by the others'."""
    people = [replace(one, fold=k) for k, one in enumerate(PEOPLE)]
    odd = found("svdb", "eeeee", (900, 200, 30, 5, 0), sharpness=0.3)
    odd = replace(odd, probs=odd.probs[:, [1, 0, 2, 3]], fold=7)
    aim = Aim(1.0, 1e9, 1e9)
    said = {one.rows.name: one.classes for one in unseen([*people, odd], {"mine": aim})["mine"]}
    calibration = calibration_of(people)
    by_others = best_factors([replace(one, probs=calibration.of(one.probs)) for one in people], aim)
    assert said["eeeee"].tolist() == said_by(calibration.of(odd.probs), by_others).tolist()
    assert set(said) == {"a", "bb", "ccc", "dddd", "eeeee"}


def test_curves_pass_through_the_operating_points_and_rejecting_the_least_sure_beats_helps() -> None:
    factors = (1.0, FACTORS[12], FACTORS[18])
    curves = curves_of(PEOPLE, {"balanced": factors, "sensitive": (1.0, 3.0, 3.0)})
    assert set(curves) == {"mitdb", "svdb"}
    for name, of in curves.items():
        said = [one for one in decided(factors) if one.rows.database == name]
        figures = figures_of(
            np.concatenate([one.rows.labels for one in said]), np.concatenate([one.classes for one in said])
        )
        assert of["points"]["balanced"] == {"S": [figures.s_se, figures.s_ppv], "V": [figures.v_se, figures.v_ppv]}
        assert of["S"][12][1:] == of["points"]["balanced"]["S"]
        assert of["V"][18][1:] == of["points"]["balanced"]["V"]
        assert all(np.diff([se for _, se, _ in of[label]]).min() >= 0 for label in ("S", "V"))
        _, kept, accuracy, *_ = np.array(of["reject"]).T
        assert (kept[0], accuracy[0]) == (1.0, figures.accuracy)
        assert np.diff(kept).max() <= 0
        assert accuracy[40] > accuracy[0]
