"""Counts of one detector on one set: beats missed, beats too many, how far off the others are, how long it took."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detector_peers import Attempt
from benchmarks.detector_sets import Excerpt, Spans
from edge_ecg.scoring.matching import MATCH_WINDOW_S, match_beats, r_errors_ms

__all__ = ["TOLERANCES_MS", "Tally", "figures"]

Samples = NDArray[np.float64]

TOLERANCES_MS = (25, 50, 75, 100, 125, 150)


def figures(rows: list[list[int]]) -> dict[str, float]:
    """Pooled ``beats``, ``missed``, ``extra``, and ``se``, ``ppv``, ``f1`` in % of rows ``[beats, missed, extra]``."""
    beats, missed, extra = (sum(column) for column in zip(*rows, strict=True)) if rows else (0, 0, 0)
    matched = beats - missed
    return {
        "beats": beats,
        "missed": missed,
        "extra": extra,
        "se": 100 * matched / beats if beats else 100.0,
        "ppv": 100 * matched / (matched + extra) if matched + extra else (0.0 if beats else 100.0),
        "f1": 200 * matched / (2 * matched + missed + extra) if beats or extra else 100.0,
    }


@dataclass(slots=True)
class Tally:
    """Adds up attempts. Missed and extra beats are told after matching whole recordings, so no span has an edge."""

    sweep: bool
    rows: dict[str, dict[str, list[int]]] = field(default_factory=lambda: defaultdict(dict))
    by_tolerance: dict[int, list[int]] = field(default_factory=dict)
    errors_ms: list[Samples] = field(default_factory=list)
    cpu_s: float = 0.0
    yardstick_s: float = 0.0
    ecg_s: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, excerpt: Excerpt, tried: Attempt, yardstick_s: float) -> None:
        """Score one recording; ``yardstick_s`` is what the yardstick took for it, in the same run."""
        self.cpu_s += tried.cpu_s
        self.yardstick_s += yardstick_s
        self.ecg_s += len(excerpt.samples_mv) / excerpt.fs_hz
        if tried.failure:
            self.failures.append(f"{excerpt.name}: {tried.failure}")
        reference = excerpt.r_samples[~_inside(excerpt.r_samples, excerpt.flutter)]
        found = tried.r_samples[~_inside(tried.r_samples, excerpt.flutter)]
        for tolerance_ms in TOLERANCES_MS if self.sweep else (round(1000 * MATCH_WINDOW_S),):
            match = match_beats(reference.tolist(), found.tolist(), tolerance_ms / 1000 * excerpt.fs_hz)
            missed, extra = reference[list(match.missed)], found[list(match.extra)]
            for nth, (rule, spans) in enumerate(excerpt.spans.items()):
                counts = [int(_inside(at, spans).sum()) for at in (reference, missed, extra)]
                if tolerance_ms == round(1000 * MATCH_WINDOW_S):
                    _plus(self.rows[rule].setdefault(excerpt.name, [0, 0, 0]), counts)
                if nth == 0:
                    _plus(self.by_tolerance.setdefault(tolerance_ms, [0, 0, 0]), counts)
        # The widest tolerance comes last: its pairs tell how far off R is.
        matched = reference[np.array([i for i, _ in match.pairs], dtype=np.int64)]
        counted = _inside(matched, next(iter(excerpt.spans.values())))
        self.errors_ms.append(r_errors_ms(reference, found, match.pairs, excerpt.fs_hz)[counted])

    def as_json(self) -> dict[str, Any]:
        """What is kept of it."""
        errors_ms = np.concatenate([*self.errors_ms, np.empty(0)])
        spread = np.percentile(np.abs(errors_ms), [50, 95]) if len(errors_ms) else [0.0, 0.0]
        return {
            "rows": dict(self.rows),
            "by_tolerance_ms": {str(t): counts for t, counts in self.by_tolerance.items()},
            "r_error_ms": {
                "p50": round(float(spread[0]), 2),
                "p95": round(float(spread[1]), 2),
                "median_offset": round(float(np.median(errors_ms)), 2) if len(errors_ms) else 0.0,
            },
            "cpu_s": round(self.cpu_s, 3),
            "yardstick_s": round(self.yardstick_s, 3),
            "ecg_h": round(self.ecg_s / 3600, 3),
            "n_failures": len(self.failures),
            "failures": self.failures[:3],
        }


def _inside(at: Samples, spans: Spans) -> NDArray[np.bool_]:
    inside = np.zeros(len(at), dtype=np.bool_)
    for begin, end in spans:
        inside |= (at >= begin) & (at < end)
    return inside


def _plus(total: list[int], counts: list[int]) -> None:
    total[:] = [a + b for a, b in zip(total, counts, strict=True)]
