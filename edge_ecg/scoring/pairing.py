"""Which beats of a record are compared, and which go together: learning period, flutter, end of the record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_ecg.errors import DataError
from edge_ecg.io import BEAT_SYMBOLS
from edge_ecg.scoring.matching import match_beats

__all__ = ["Interval", "Pairing", "clipped_length", "flutter_of", "inside", "pair_record"]

Interval = tuple[float, float]
"""First and last sample; both belong to it."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """The beats of a record that are compared.

    Attributes
    ----------
    beats
        ``(sample, symbol)`` of every annotated beat outside flutter, those of the learning period included.
    pairs
        ``(index into beats, index into the detections)`` of matched beats.
    missed, extra
        Indices of beats without a detection, and of detections without a beat.
    in_flutter
        Indices of detections without a beat in flutter, where there is none to find: they count for nothing.
    flutter
        Intervals in samples; one that is never closed ends at infinity.
    """

    beats: tuple[tuple[int, str], ...]
    pairs: tuple[tuple[int, int], ...]
    missed: tuple[int, ...]
    extra: tuple[int, ...]
    in_flutter: tuple[int, ...]
    flutter: tuple[Interval, ...]


def pair_record(
    samples: Sequence[int],
    symbols: Sequence[str],
    detected: Sequence[float],
    window: float,
    *,
    start: float = 0.0,
    end: float = math.inf,
) -> Pairing:
    """Match a run with a record's annotations, all positions and times in samples of one rate.

    The whole record is matched; then what lies before ``start`` (the learning period) or from ``end`` on is left
    out. A pair lies where its annotated beat lies, whichever side its detection fell on.

    Departure from ``bxb``: that forgives one extra detection in the first 150 ms after ``start``, for the sake of
    a beat before it that it has not read. Here such a detection is matched with that beat, or counted.

    Parameters
    ----------
    samples, symbols
        All annotations, ascending: beats, and ``[`` ``]`` around ventricular flutter or fibrillation.
    detected
        R peaks of the run, ascending.

    Raises
    ------
    DataError
        When positions go backwards or are no numbers, or ``samples`` and ``symbols`` differ in length.
    """
    if len(samples) != len(symbols):
        raise DataError(f"every annotation needs a sample and a symbol, here {len(samples)} and {len(symbols)}")
    _check_order("annotations", samples)
    _check_order("detections", detected)
    beats = _beats_outside_flutter(samples, symbols)
    flutter = flutter_of(samples, symbols)
    match = match_beats([s for s, _ in beats], detected, window)

    def compared(sample: float) -> bool:
        return start <= sample < end

    lonely = [j for j in match.extra if compared(detected[j])]
    in_flutter = tuple(j for j in lonely if inside(detected[j], flutter))
    return Pairing(
        tuple(beats),
        tuple((i, j) for i, j in match.pairs if compared(beats[i][0])),
        tuple(i for i in match.missed if compared(beats[i][0])),
        tuple(j for j in lonely if not inside(detected[j], flutter)),
        in_flutter,
        flutter,
    )


def flutter_of(samples: Sequence[int], symbols: Sequence[str]) -> tuple[Interval, ...]:
    """Intervals between ``[`` and ``]``; one that is never closed lasts for ever."""
    intervals: list[Interval] = []
    begin: int | None = None
    for sample, symbol in zip(samples, symbols, strict=True):
        if symbol == "[" and begin is None:
            begin = sample
        elif symbol == "]" and begin is not None:
            intervals.append((begin, sample))
            begin = None
    if begin is not None:
        intervals.append((begin, math.inf))
    return tuple(intervals)


def inside(sample: float, intervals: Sequence[Interval]) -> bool:
    """Whether a sample lies in one of the intervals, their ends included."""
    return any(a <= sample <= b for a, b in intervals)


def clipped_length(intervals: Sequence[Interval], start: float, end: float) -> float:
    """How much of ``start .. end`` the intervals cover together; what overlaps counts once."""
    total, reached = 0.0, start
    for a, b in sorted(intervals):
        a, b = max(a, reached), min(b, end)
        if b > a:
            total += b - a
            reached = b
    return total


def _beats_outside_flutter(samples: Sequence[int], symbols: Sequence[str]) -> list[tuple[int, str]]:
    # By order, not by position: a beat on the sample of a bracket lies on the side on which the experts put it.
    beats, in_flutter = [], False
    for sample, symbol in zip(samples, symbols, strict=True):
        if symbol in ("[", "]"):
            in_flutter = symbol == "["
        elif symbol in BEAT_SYMBOLS and not in_flutter:
            beats.append((sample, symbol))
    return beats


def _check_order(what: str, positions: Sequence[float]) -> None:
    values = np.asarray(positions, dtype=np.float64)
    lost = np.flatnonzero(~np.isfinite(values))
    if lost.size:
        raise DataError(f"{what} must lie at finite samples, number {int(lost[0])} lies at {values[lost[0]]:g}")
    back = np.flatnonzero(np.diff(values) < 0)
    if back.size:
        k = int(back[0])
        raise DataError(
            f"{what} must be in order of time, number {k + 1} lies at {values[k + 1]:.10g} after {values[k]:.10g}",
            "Sort them, and their labels with them",
        )
