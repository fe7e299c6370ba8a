"""Match detections to reference beats, one to one, nearest first between neighbours.

The rule of ANSI/AAMI EC57 as PhysioNet's ``bxb`` applies it: before a pair is accepted it is compared with the
next candidate on either side, so that a detection goes to the reference beat that it lies nearest to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["MATCH_WINDOW_S", "BeatMatch", "match_beats"]

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
        if distance > tolerance:
            if reference[i] < detections[j]:
                missed.append(i)
                i += 1
            else:
                extra.append(j)
                j += 1
        elif i + 1 < len(reference) and abs(reference[i + 1] - detections[j]) < distance:
            missed.append(i)
            i += 1
        elif j + 1 < len(detections) and abs(detections[j + 1] - reference[i]) < distance:
            extra.append(j)
            j += 1
        else:
            pairs.append((i, j))
            i += 1
            j += 1
    missed += range(i, len(reference))
    extra += range(j, len(detections))
    return BeatMatch(tuple(pairs), tuple(missed), tuple(extra))
