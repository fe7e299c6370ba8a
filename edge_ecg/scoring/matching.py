"""Match detections to reference beats, one to one, nearest first between neighbours.

The rule of ANSI/AAMI EC57 as PhysioNet's ``bxb`` applies it: of the two beats at hand the earlier one is decided.
It is paired when the other lies within the window and nearer than the other's successor; when the successor is
as near or nearer, the earlier one stays alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MATCH_WINDOW_S", "BeatMatch", "Timing", "match_beats", "r_errors_ms"]

MATCH_WINDOW_S = 0.15


@dataclass(frozen=True, slots=True)
class BeatMatch:
    """Which beats go together.

    Attributes
    ----------
    pairs
        ``(reference index, detection index)``, ascending.
    missed
        Indices of reference beats without a detection.
    extra
        Indices of detections without a reference beat.
    """

    pairs: tuple[tuple[int, int], ...]
    missed: tuple[int, ...]
    extra: tuple[int, ...]

    @property
    def sensitivity(self) -> float:
        """Matched / (matched + missed); 1 when there is nothing to find."""
        n = len(self.pairs) + len(self.missed)
        return len(self.pairs) / n if n else 1.0

    @property
    def positive_predictivity(self) -> float:
        """Matched / (matched + extra); 1 when nothing was found."""
        n = len(self.pairs) + len(self.extra)
        return len(self.pairs) / n if n else 1.0


def match_beats(
    reference: Sequence[float], detections: Sequence[float], tolerance: float
) -> BeatMatch:
    """Match two ascending lists of positions (same unit as ``tolerance``, within which a pair may lie)."""
    pairs: list[tuple[int, int]] = []
    missed: list[int] = []
    extra: list[int] = []
    i = j = 0
    while i < len(reference) and j < len(detections):
        distance = abs(reference[i] - detections[j])
        if detections[j] < reference[i]:
            if distance <= tolerance and not _as_near(detections, j + 1, reference[i], distance):
                pairs.append((i, j))
                i += 1
            else:
                extra.append(j)
            j += 1
        else:
            if distance <= tolerance and not _as_near(reference, i + 1, detections[j], distance):
                pairs.append((i, j))
                j += 1
            else:
                missed.append(i)
            i += 1
    missed += range(i, len(reference))
    extra += range(j, len(detections))
    return BeatMatch(tuple(pairs), tuple(missed), tuple(extra))


def _as_near(positions: Sequence[float], index: int, to: float, distance: float) -> bool:
    return index < len(positions) and abs(positions[index] - to) <= distance


def r_errors_ms(
    reference: ArrayLike, detections: ArrayLike, pairs: Sequence[tuple[int, int]], fs_hz: float
) -> NDArray[np.float64]:
    """How late each matched R is, ``(n_pairs,)`` in ms; positions in samples of ``fs_hz``, early is negative."""
    at = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    found, annotated = np.asarray(detections, np.float64), np.asarray(reference, np.float64)
    return np.asarray(1e3 * (found[at[:, 1]] - annotated[at[:, 0]]) / fs_hz, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Timing:
    """Distances between found and annotated R positions in ms, without sign."""

    median_ms: float
    p95_ms: float

    @classmethod
    def of(cls, errors_ms: ArrayLike) -> Timing | None:
        """Of errors as `r_errors_ms` gives them; None of none."""
        distances = np.abs(np.asarray(errors_ms, dtype=np.float64))
        if not distances.size:
            return None
        return cls(float(np.median(distances)), float(np.percentile(distances, 95)))
