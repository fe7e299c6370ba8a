"""What is chosen for the rhythm model by patient-grouped cross-validation: calibration and operating points.

Figures are counted as EC57 does: F and Q are not held against V, Q not against S.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from edge_ecg.errors import DataError
from edge_ecg.labels import BeatLabel
from train.rhythm_fit import CLASSES, RecordRows
from train.rhythm_records import HEALTHY

__all__ = [
    "AIMS",
    "Aim",
    "Calibration",
    "Figures",
    "OutOfFold",
    "Said",
    "best_factors",
    "calibration_of",
    "false_per_hour",
    "figures_of",
    "pooled",
    "said_by",
    "unseen",
]

Probs = NDArray[np.float64]

@dataclass(frozen=True, slots=True)
class Aim:
    """What an operating point is chosen for.

    Attributes
    ----------
    beta
        Of the F measure that it makes largest: how much more finding a beat is worth than being right about it.
    s_per_hour, v_per_hour
        False S and V an hour that healthy people may get.
    """

    beta: float
    s_per_hour: float
    v_per_hour: float


AIMS = {
    "few-false-alarms": Aim(0.5, 0.3, 0.1),
    "balanced": Aim(1.0, 0.7, 0.1),
    "sensitive": Aim(2.0, 15.0, 1.0),
}
"""By operating point. New people get up to twice as many false S as those who set the limit."""

_S_FACTORS = tuple(np.geomspace(0.05, 8.0, 20).tolist())
_V_FACTORS = tuple(np.geomspace(0.1, 8.0, 14).tolist())
_AGAINST = {BeatLabel.S: (BeatLabel.N, BeatLabel.V, BeatLabel.F), BeatLabel.V: (BeatLabel.N, BeatLabel.S)}
_TINY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """The beats of one record and what a model says of them that has not seen the patient.

    Attributes
    ----------
    probs
        ``(n, 4)``.
    fold
        Of the cross-validation.
    """

    rows: RecordRows
    probs: Probs
    fold: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """The beats of one record and the class given to each, ``(n,)``."""

    rows: RecordRows
    classes: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of beats of one database: sensitivity and positive predictivity, 0 to 1; none called, none false: +P is 0."""

    accuracy: float
    s_se: float
    s_ppv: float
    v_se: float
    v_ppv: float

    def f(self, beta: float = 1.0) -> float:
        """Mean of the F measures of S and V."""
        return 0.5 * (_f(self.s_se, self.s_ppv, beta) + _f(self.v_se, self.v_ppv, beta))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Logits are divided by ``temperature``, then ``biases`` are added, one a class."""

    temperature: float
    biases: tuple[float, ...]

    def of(self, probs: Probs) -> Probs:
        """Calibrated probabilities ``(n, 4)``."""
        return _softmax(np.log(probs + _TINY) / self.temperature + np.array(self.biases))


def figures_of(labels: NDArray[np.uint8], said: NDArray[np.intp]) -> Figures:
    """Score classes ``(n,)`` against reference labels ``(n,)``."""
    n = len(BeatLabel)
    counts = np.bincount(labels.astype(np.intp) * n + said, minlength=n * n).reshape(n, n)
    rates = []
    for which, against in _AGAINST.items():
        n_true, n_false = int(counts[which, which]), int(counts[list(against), which].sum())
        rates += [n_true / max(1, int(counts[which].sum())), n_true / max(1, n_true + n_false)]
    return Figures(float(counts.trace()) / max(1, len(labels)), *rates)


def said_by(probs: Probs, factors: Sequence[float]) -> NDArray[np.intp]:
    """N, S or V of each beat: the largest product of probability and factor. F is never said."""
    return np.asarray((probs[:, : len(factors)] * np.array(factors)).argmax(axis=1))


def calibration_of(found: Sequence[OutOfFold]) -> Calibration:
    """The calibration of least cross-entropy over all their beats but Q, which no class is for."""
    probs, labels = pooled(found)
    known = labels < len(CLASSES)
    logits, labels = np.log(probs[known] + _TINY), labels[known].astype(np.intp)

    def loss(of: NDArray[np.float64]) -> float:
        p = _softmax(logits / np.exp(of[0]) + np.concatenate([[0.0], of[1:]]))
        return -float(np.log(p[np.arange(len(labels)), labels] + _TINY).mean())

    best = minimize(loss, np.zeros(len(CLASSES)), method="BFGS", options={"gtol": 1e-4})
    return Calibration(float(np.exp(best.x[0])), (0.0, *best.x[1:].tolist()))


def best_factors(found: Sequence[OutOfFold], aim: Aim) -> tuple[float, float, float]:
    """Factors of N, S and V that make the F measure largest, mean over the databases but the healthy's.

    Raises
    ------
    DataError
        None keeps the false calls of the healthy within the aim's.
    """
    names = sorted({one.rows.database for one in found} - {HEALTHY})
    sets = [pooled([one for one in found if one.rows.database == name]) for name in names]
    healthy = [one for one in found if one.rows.database == HEALTHY]
    best, best_f = None, -1.0
    for factors in product((1.0,), _S_FACTORS, _V_FACTORS):
        s_per_hour, v_per_hour = false_per_hour(_decided(healthy, factors))
        if s_per_hour > aim.s_per_hour or v_per_hour > aim.v_per_hour:
            continue
        f = float(np.mean([figures_of(y, said_by(p, factors)).f(aim.beta) for p, y in sets]))
        if f > best_f:
            best, best_f = factors, f
    if best is None:
        raise DataError(
            f"no factors keep healthy people within {aim.s_per_hour:g} false S and {aim.v_per_hour:g} false V an hour",
            "The model calls too much of what is normal: look at its features and records, or loosen AIMS",
        )
    return best


def false_per_hour(said: Sequence[Said]) -> tuple[float, float]:
    """S and V called of N beats, an hour."""
    if not said:
        return 0.0, 0.0
    of_normal = np.concatenate([one.classes[one.rows.labels == BeatLabel.N] for one in said])
    hours = sum(one.rows.hours for one in said)
    return float((of_normal == BeatLabel.S).sum()) / hours, float((of_normal == BeatLabel.V).sum()) / hours


def unseen(found: Sequence[OutOfFold], aims: Mapping[str, Aim]) -> dict[str, list[Said]]:
    """By aim, what is said of each record when its fold's people chose neither calibration nor factors."""
    said: dict[str, list[Said]] = {name: [] for name in aims}
    for fold in sorted({one.fold for one in found}):
        calibration = calibration_of([one for one in found if one.fold != fold])
        calibrated = [replace(one, probs=calibration.of(one.probs)) for one in found]
        held = [one for one in calibrated if one.fold == fold]
        others = [one for one in calibrated if one.fold != fold]
        for name, aim in aims.items():
            said[name] += _decided(held, best_factors(others, aim))
    return said


def _decided(found: Sequence[OutOfFold], factors: Sequence[float]) -> list[Said]:
    return [Said(one.rows, said_by(one.probs, factors)) for one in found]


def pooled(found: Sequence[OutOfFold]) -> tuple[Probs, NDArray[np.uint8]]:
    """Probabilities ``(n, 4)`` and reference labels ``(n,)`` of all their beats."""
    return np.concatenate([one.probs for one in found]), np.concatenate([one.rows.labels for one in found])


def _f(se: float, ppv: float, beta: float) -> float:
    weight = beta * beta
    return (1.0 + weight) * se * ppv / max(weight * ppv + se, _TINY)


def _softmax(logits: Probs) -> Probs:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))
