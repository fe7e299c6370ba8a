"""The shapes that a patient's beats have: running templates, one of them dominant, and how a new beat stands to them.

A beat is seen as its QRS (32 samples at 128 Hz, mean removed) and as a long stretch with P and T wave (103 samples).
Both are compared at the lag at which the QRS fits best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.moments import centred, mean
from edge_ecg.context.ring import Ring
from edge_ecg.dsp.filters import neighbours

__all__ = ["AFTER", "BEFORE", "SHAPE_COLUMNS", "Shapes", "Sight"]

Samples = NDArray[np.float64]

LAG = 5
QRS_BEFORE, QRS_AFTER = 12, 19
LONG_BEFORE, LONG_AFTER = 41, 61
BEFORE, AFTER = LONG_BEFORE + LAG, LONG_AFTER + LAG
"""Samples about the fiducial point that `Shapes.look` takes: the long stretch at any lag."""
N_QRS, N_LONG = QRS_BEFORE + QRS_AFTER + 1, LONG_BEFORE + LONG_AFTER + 1

MOST = 12
_JOIN_BELOW = 0.28
_MERGE_BELOW = 0.08
_MERGE_EVERY = 32
_SLOWEST = 1.0 / 16.0
_FADE = 0.995
_TINY = 1e-9
_LARGEST = 1e9

_LEVEL = slice(LONG_BEFORE - 16, LONG_BEFORE - 9)
_P = slice(LONG_BEFORE - 30, LONG_BEFORE - 9)
_T = slice(LONG_BEFORE + 22, LONG_BEFORE + 54)
_ALL = slice(LONG_BEFORE - 20, LONG_BEFORE + 45)
_P_RATE = 1.0 / 24.0
_P_START = np.array([0.8, -4.0, -3.0])

SHAPE_COLUMNS = (
    "error", "correlation", "norm_ratio", "peak_ratio", "error_max", "error_min", "width50", "width20", "width_slope",
    "area_to_peak", "net_area", "variation", "slope_ratio", "own_distance", "own_width50", "own_width20",
    "is_dominant", "is_new", "distance_own", "n_own", "share_own", "share_dominant", "distance_usual", "share_usual",
    "previous_distance", "previous_is_dominant", "dominant_of32", "dominant_of300", "prematurity_own",
    "previous2_distance",
    "p_correlation", "p_error", "p_range", "t_correlation", "t_error", "t_level", "t_power", "long_error",
    "p_correlation_mean", "p_error_mean", "p_roughness_mean",
    "p_correlation_off", "p_error_off", "p_roughness_off", "p_size",
)  # fmt: skip
"""Names of what `Sight.columns` holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A beat as it stands to the shapes that were known before it.

    Attributes
    ----------
    columns
        In the order of `SHAPE_COLUMNS`.
    is_dominant
        It joins the dominant shape.
    """

    columns: list[float]
    is_dominant: bool
    own: int | None
    lag_own: int
    distance: float
    p_wave: Samples
    segment: Samples


class Shapes:
    """At most `MOST` templates with their weights, and how like its own mean the P wave of dominant beats is."""

    def __init__(self) -> None:
        self._n = 0
        self._qrs = np.zeros((MOST, N_QRS))
        self._long = np.zeros((MOST, N_LONG))
        self._norms = np.zeros(MOST)
        self._counts = np.zeros(MOST)
        self._weights = np.zeros(MOST)
        self._prematurity = np.zeros(MOST)
        self._n_beats = 0
        self._is_dominant = Ring(300)
        self._distances = [0.0, 0.0]
        self._p_means = _P_START.copy()
        self._n_p = 1

    def state(self) -> dict[str, Samples]:
        """All that it remembers."""
        held = {name: array[: self._n].copy() for name, array in self._templates().items()}
        return {
            **held, "is_dominant": self._is_dominant.last(300).copy(), "distances": np.array(self._distances),
            "p_means": self._p_means.copy(), "counters": np.array([float(self._n_p), float(self._n_beats)]),
        }  # fmt: skip

    def restore(self, state: Mapping[str, Samples]) -> None:
        """Remember that instead. Raises `ValueError` when it has templates and no beats that made them."""
        self._n = len(state["weights"])
        if self._n and not len(state["is_dominant"]):
            raise ValueError("there are shapes of no beat")
        for name, array in self._templates().items():
            array[: self._n] = np.clip(state[name], -_LARGEST, _LARGEST)
        # A file may hold anything: norms are those of the templates, and no beat counts less than none.
        for k in range(self._n):
            self._norms[k] = math.sqrt(float(self._qrs[k] @ self._qrs[k])) + _TINY
        for held in (self._counts, self._weights):
            np.maximum(held[: self._n], _TINY, out=held[: self._n])
        self._is_dominant.refill((state["is_dominant"] > 0.5).astype(np.float64))
        self._distances = np.clip(state["distances"], 0.0, _LARGEST).tolist()
        self._p_means = np.clip(state["p_means"], -_LARGEST, _LARGEST)
        n_p, n_beats = np.clip(state["counters"], 0.0, 2.0**53).tolist()
        self._n_p, self._n_beats = max(1, int(n_p)), int(n_beats)

    def _templates(self) -> dict[str, Samples]:
        return {
            "qrs": self._qrs, "long": self._long, "norms": self._norms, "counts": self._counts,
            "weights": self._weights, "prematurity": self._prematurity,
        }  # fmt: skip

    def look(self, segment: Samples) -> Sight:
        """Compare a beat with what is known, and remember nothing.

        Parameters
        ----------
        segment
            ``(BEFORE + 1 + AFTER,)`` samples at 128 Hz about its fiducial point.
        """
        qrs, norms = _at_all_lags(segment)
        if self._n == 0:
            return self._first(qrs[LAG], segment)
        distances, r, lags = self._compare(qrs, norms)
        nearest = int(distances.argmin())
        own = nearest if distances[nearest] <= _JOIN_BELOW else None
        dominant = self._dominant()
        distance, lag = float(distances[dominant]), int(lags[dominant])
        w, long = qrs[lag], _long_at(segment, lag)
        p_wave = self._p_wave(long, dominant)
        columns = self._qrs_columns(w, float(norms[lag]), float(r[dominant]), distance, own, dominant)
        columns += self._cluster_columns(distances, nearest, own, dominant)
        columns += self._wave_columns(long, dominant, p_wave)
        lag_own = LAG if own is None else int(lags[own])
        return Sight(columns, own == dominant, own, lag_own, distance, p_wave, segment)

    def joins(self, segment: Samples, least_share: float) -> bool:
        """Whether a beat, as of `look`, would join a template that holds at least such a share of the weight."""
        own = self.look(segment).own
        return own is not None and bool(self._weights[own] >= least_share * self._weights[: self._n].sum())

    def _first(self, w: Samples, segment: Samples) -> Sight:
        """Nothing is known yet: the beat is its own dominant shape."""
        columns = dict.fromkeys(SHAPE_COLUMNS, 0.0)
        columns |= {"correlation": 1.0, "net_area": 1.0, "is_dominant": 1.0, "is_new": 1.0, "p_correlation": 1.0}
        columns |= {"t_correlation": 1.0, "p_correlation_mean": 0.8, "p_error_mean": -4.0, "p_roughness_mean": -3.0}
        columns["variation"] = float(np.abs(w[1:] - w[:-1]).sum() / (np.abs(w).max() + _TINY))
        columns |= dict.fromkeys(("p_error", "t_error"), math.log(1e-5)) | {"long_error": math.log(1e-3)}
        return Sight(list(columns.values()), True, None, LAG, 0.0, _P_START, segment)

    def _compare(self, qrs: Samples, norms: Samples) -> tuple[Samples, Samples, NDArray[np.intp]]:
        """Distance to each template, the correlation and the lag of it."""
        n = self._n
        match = (self._qrs[:n] @ qrs.T) / (self._norms[:n, None] * norms)
        lags = match.argmax(axis=1)
        r = match[np.arange(n), lags]
        off = np.abs(np.log(norms[lags] / self._norms[:n]))
        return 1.0 - r * np.abs(r) + np.maximum(0.0, off - 0.2) ** 2, r, lags

    def _dominant(self) -> int:
        n = self._n
        kept = self._weights[:n] * np.exp(3.0 * np.clip(self._prematurity[:n], -0.5, 0.0))
        return int(kept.argmax())

    def _qrs_columns(
        self, w: Samples, norm: float, r: float, distance: float, own: int | None, dominant: int
    ) -> list[float]:
        d, d_norm = self._qrs[dominant], self._norms.item(dominant)
        rows = np.array([w, d, w if own is None else self._qrs[own]])
        size = np.abs(rows)
        largest = np.maximum.reduce(size, axis=1) + _TINY
        peak, usual_peak, _ = largest.tolist()
        width50 = np.add.reduce(size > 0.5 * largest[:, None], axis=1).tolist()
        width20 = np.add.reduce(size > 0.2 * largest[:, None], axis=1).tolist()
        slopes = np.abs(rows[:2, 1:] - rows[:2, :-1])
        steepest = np.maximum.reduce(slopes, axis=1) + _TINY
        steep = slopes > 0.2 * steepest[:, None]
        first, behind = steep.argmax(axis=1).tolist(), steep[:, ::-1].argmax(axis=1).tolist()
        area, usual_area = np.add.reduce(size[:2], axis=1).tolist()
        edge = 0.25 * (w[0] + w[1] + w[-2] + w[-1])
        error = w - d
        if own == dominant:
            of_own = [0.0, 0.0, 0.0]
        else:
            gap = distance if own is None else self._between(own, dominant)
            of_own = [gap, (width50[2] - width50[1]) / 8.0, (width20[2] - width20[1]) / 8.0]
        slope, usual_slope = steepest.tolist()
        return [
            min(float(error @ error) / (d_norm**2 + _TINY), 20.0),
            r,
            math.log(norm / d_norm),
            math.log(peak / usual_peak),
            float(np.maximum.reduce(error)) / usual_peak,
            float(np.minimum.reduce(error)) / usual_peak,
            (width50[0] - width50[1]) / 8.0,
            (width20[0] - width20[1]) / 8.0,
            (first[1] + behind[1] - first[0] - behind[0]) / 8.0,
            area / peak - usual_area / usual_peak,
            float((np.add.reduce(w) - N_QRS * edge) / (usual_area + _TINY)),
            float(np.add.reduce(slopes[0])) / peak,
            math.log(slope / usual_slope),
            *of_own,
        ]

    def _between(self, one: int, other: int) -> float:
        """Distance of two templates, at their best lag, zero outside."""
        padded = np.zeros(N_QRS + 2 * LAG)
        padded[LAG:-LAG] = self._qrs[one]
        match = neighbours(padded, N_QRS) @ self._qrs[other]
        r = float(match.max()) / float(self._norms[one] * self._norms[other])
        off = abs(math.log(float(self._norms[one] / self._norms[other])))
        return 1.0 - r * abs(r) + max(0.0, off - 0.2) ** 2

    def _cluster_columns(self, distances: Samples, nearest: int, own: int | None, dominant: int) -> list[float]:
        n = self._n
        shares = self._weights[:n] / np.add.reduce(self._weights[:n])
        usual = (shares > 0.08) & (self._prematurity[:n] > -0.08)
        recent = self._is_dominant.last(300)
        return [
            float(own == dominant),
            float(own is None),
            float(distances[nearest]),
            0.0 if own is None else math.log1p(float(self._counts[own])),
            0.0 if own is None else float(shares[own]),
            float(shares[dominant]),
            float(distances[usual].min() if usual.any() else distances[dominant]),
            float(np.add.reduce(shares[usual])),
            min(self._distances[-1], 3.0),
            float(recent[-1]),
            mean(recent[-32:]),
            mean(recent),
            0.0 if own is None else float(self._prematurity[own]),
            min(self._distances[-2], 3.0),
        ]

    def _p_wave(self, long: Samples, dominant: int) -> Samples:
        """How like that of the dominant shape the P wave is: correlation, log of the difference, log of roughness."""
        usual = self._long[dominant]
        peak = float(np.maximum.reduce(np.abs(self._qrs[dominant]))) + _TINY
        p, usual_p = centred(long[_P]), centred(usual[_P])
        return np.array([
            _correlation(p, usual_p),
            math.log(mean((p - usual_p) ** 2) / peak**2 + 1e-5),
            math.log(mean(np.abs(p[1:] - p[:-1])) / peak + 1e-3),
        ])  # fmt: skip

    def _wave_columns(self, long: Samples, dominant: int, p_wave: Samples) -> list[float]:
        usual = self._long[dominant]
        peak = float(np.maximum.reduce(np.abs(self._qrs[dominant]))) + _TINY
        p, usual_p, t, usual_t = long[_P], usual[_P], long[_T], usual[_T]
        p_range = _range(usual_p)
        t_level, usual_level = mean(t), mean(usual_t)
        t, usual_t = t - t_level, usual_t - usual_level
        error, whole = long[_ALL] - usual[_ALL], usual[_ALL]
        return [
            float(p_wave[0]),
            float(p_wave[1]),
            (_range(p) - p_range) / peak,
            _correlation(t, usual_t),
            math.log(mean((t - usual_t) ** 2) / peak**2 + 1e-5),
            (t_level - usual_level) / peak,
            math.log(float(usual_t @ usual_t) / len(usual_t) / peak**2 + 1e-5),
            math.log(float(error @ error) / (float(whole @ whole) + _TINY) + 1e-3),
            *self._p_means.tolist(),
            *(p_wave - self._p_means).tolist(),
            math.log(p_range / peak + 1e-3),
        ]

    def join(self, sight: Sight, prematurity: float) -> None:
        """Remember a beat that `look` has seen.

        Parameters
        ----------
        sight
            What `look` gave.
        prematurity
            Log of its R-R over the median of the last 32.
        """
        own = self._place() if sight.own is None else sight.own
        long = _long_at(sight.segment, sight.lag_own)
        start = LONG_BEFORE - QRS_BEFORE + sight.lag_own
        qrs = sight.segment[start : start + N_QRS]
        if sight.is_dominant and sight.own is not None:
            rate = max(1.0 / (self._n_p + 1), _P_RATE)
            self._p_means += rate * (sight.p_wave - self._p_means)
            self._n_p += 1
        rate = max(1.0 / (self._counts[own] + 1.0), _SLOWEST)
        self._qrs[own] += rate * (centred(qrs) - self._qrs[own])
        self._long[own] += rate * (long - self._long[own])
        self._norms[own] = math.sqrt(float(self._qrs[own] @ self._qrs[own])) + _TINY
        self._counts[own] += 1.0
        self._weights[: self._n] *= _FADE
        self._weights[own] += 1.0
        self._prematurity[own] += max(1.0 / self._counts[own], _SLOWEST) * (prematurity - self._prematurity[own])
        self._is_dominant.push(float(sight.is_dominant))
        self._distances = [self._distances[-1], sight.distance]
        self._n_beats += 1
        if self._n_beats % _MERGE_EVERY == 0:
            self._merge()

    def _place(self) -> int:
        """Room for a new template: the lightest goes when there is none, but never the dominant one."""
        if self._n < MOST:
            place, self._n = self._n, self._n + 1
        else:
            weights = self._weights.copy()
            weights[self._dominant()] = np.inf
            place = int(weights.argmin())
        for held in (self._qrs, self._long, self._counts, self._weights, self._prematurity):
            held[place] = 0.0
        return place

    def _merge(self) -> None:
        one = 0
        while one < self._n:
            gaps = ((self._qrs[one + 1 : self._n] - self._qrs[one]) ** 2).sum(axis=1)
            limit = _MERGE_BELOW * np.maximum(self._norms[one + 1 : self._n], self._norms[one]) ** 2
            alike = np.flatnonzero(gaps < limit)
            if len(alike):
                self._merge_two(one, one + 1 + int(alike[0]))
            else:
                one += 1

    def _merge_two(self, one: int, other: int) -> None:
        total = self._weights[one] + self._weights[other]
        share = self._weights[other] / total if total > 0.0 else 0.5
        for held in (self._qrs, self._long, self._prematurity):
            held[one] += share * (held[other] - held[one])
        self._norms[one] = math.sqrt(float(self._qrs[one] @ self._qrs[one])) + _TINY
        last = self._n - 1
        for held in (self._weights, self._counts):
            held[one] += held[other]
        for held in self._templates().values():
            held[other] = held[last]
        self._n = last


def _at_all_lags(segment: Samples) -> tuple[Samples, Samples]:
    """The QRS at each lag ``(11, 32)``, mean removed, and their norms."""
    views = neighbours(segment[LONG_BEFORE - QRS_BEFORE :], N_QRS)[: 2 * LAG + 1]
    qrs = views - np.add.reduce(views, axis=1, keepdims=True) / N_QRS
    return qrs, np.sqrt(np.einsum("ij,ij->i", qrs, qrs)) + _TINY


def _long_at(segment: Samples, lag: int) -> Samples:
    long = segment[lag : lag + N_LONG]
    return long - mean(long[_LEVEL])


def _range(values: Samples) -> float:
    return float(np.maximum.reduce(values) - np.minimum.reduce(values))


def _correlation(a: Samples, b: Samples) -> float:
    """Of two whose means are removed."""
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b) + _TINY**2)
