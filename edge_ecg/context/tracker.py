"""Follow one patient: samples and R peaks in, for each beat what it is against this patient's own past. Causal.

Device and training run this class. Whatever the board's rate, it works at 128 Hz. The recipe (what is measured of a
beat) was found on DS1 of mitdb and on svdb by patient-grouped cross-validation.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import deque
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.fiducial import REACH, fiducial
from edge_ecg.context.intervals import INTERVAL_COLUMNS, LONGEST_POST_S
from edge_ecg.context.memory import FS_HZ, PatientMemory
from edge_ecg.context.recognition import Recognition
from edge_ecg.context.shapes import AFTER, BEFORE, SHAPE_COLUMNS
from edge_ecg.dsp.filters import FirStream, HighPass
from edge_ecg.dsp.resample import Resampler
from edge_ecg.dsp.segment import RrHistory, WindowShape

__all__ = ["COLUMNS", "CONTEXT_VERSION", "BeatContext", "ContextParams", "ContextTracker"]

COLUMNS = (*INTERVAL_COLUMNS, *SHAPE_COLUMNS)
"""Names of the features of a beat."""
CONTEXT_VERSION = 2
"""Raised whenever the same beats would give other features (a golden test forces it)."""

_HIGHPASS_HZ = 0.5
_SMOOTH = np.array([0.25, 0.5, 0.25])
_DECIDED_S = 0.35
"""So long is an R waited for: a hair less than `edge_ecg.context.told.TOLD_S`, since a label is due then."""
_SPARE_S = 0.01
"""An R this close to the longest pause counts as behind it: whether it is told of in time must not matter."""
_KEPT_S = 4.0
LEARNT = 64
"""Intervals after which a patient is known: about a minute."""


@dataclass(frozen=True, slots=True)
class ContextParams:
    """What a model's features depend on: the version of this code, and their names."""

    version: int = CONTEXT_VERSION
    columns: tuple[str, ...] = COLUMNS

    def fingerprint(self) -> str:
        """Hash of both."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, eq=False)
class BeatContext:
    """One beat as the patient's own past shows it.

    Attributes
    ----------
    r_pos
        The R peak as it was pushed, in input samples since the start of the stream.
    rr_s, rr_median_s
        The R-R interval before it and the median of those of the last 10 s, s; None when not known.
    inputs
        The features, ``(len(COLUMNS),) float32``.
    learning
        The patient's memory held fewer than `LEARNT` intervals, or it is not certain yet that it is this patient's.
    recognised
        With this beat it was clear that the patient is the one who is remembered (True), or another, who is learnt
        anew from the next beat on (False); else None.
    needed_index
        Index of the last input sample that the features needed.
    short
        The stretch ended before all of it was seen.
    """

    r_pos: float
    rr_s: float | None
    rr_median_s: float | None
    inputs: NDArray[np.float32]
    needed_index: int
    short: bool
    learning: bool
    recognised: bool | None = None


class _Pushed(NamedTuple):
    r_pos: float
    at: float
    rr_s: float | None
    rr_median_s: float | None
    known_index: int


class ContextTracker:
    """Compare each beat with the patient's past, when the next beat is known or is too late to matter.

    Parameters
    ----------
    fs_hz
        Rate of the samples that are fed, Hz.
    memory
        What is known of the patient already; None: nothing. It is forgotten when the first beats are not the patient's.
    """

    def __init__(self, fs_hz: float, memory: PatientMemory | None = None) -> None:
        self._fs_hz = fs_hz
        self.longest_s = LONGEST_POST_S + 2 * _DECIDED_S
        self.memory = memory or PatientMemory()
        self._recognition = Recognition(self.memory.shapes) if self.memory.intervals.n >= LEARNT else None
        self._rr = RrHistory(WindowShape())
        self._begin(0)

    def _begin(self, first_index: int) -> None:
        self._first_index, self._n_fed = first_index, 0
        self._resampler = Resampler(self._fs_hz, FS_HZ)
        self._highpass = HighPass(_HIGHPASS_HZ, FS_HZ, order=1)
        self._smooth = FirStream(_SMOOTH)
        # The stretch before its first sample, and what a beat at its very end lacks, hold the nearest value.
        self._ring: NDArray[np.float64] | None = None
        self._ring_start = 0
        self._pushed: deque[_Pushed] = deque()
        self._points: deque[float] = deque()
        self._last_point: float | None = None

    def feed(self, samples_mv: NDArray[np.float64]) -> None:
        """Take the next samples of the lead, ``(n,) float64`` mV, all finite."""
        self._n_fed += len(samples_mv)
        new = self._smooth.feed(self._highpass.feed(self._resampler.feed(samples_mv)))
        if self._ring is None:
            if len(new) == 0:
                return
            self._ring = np.full(BEFORE + REACH, new[0])
            self._ring_start = -len(self._ring)
        self._ring = np.concatenate([self._ring, new])

    def push_r(self, r_pos: float, known_index: int = -1) -> None:
        """Take an R peak, in input samples since the start of the stream, in order.

        Parameters
        ----------
        r_pos
            Where it is.
        known_index
            Index of the input sample with which it was known.
        """
        rr_s = self._rr.push(r_pos / self._fs_hz)
        at = max(0.0, (r_pos - self._first_index) * FS_HZ / self._fs_hz)
        self._pushed.append(_Pushed(r_pos, at, rr_s, self._rr.median_s(), known_index))

    def ready(self) -> list[BeatContext]:
        """The beats that can be compared by now, in order."""
        done = []
        while self._pushed and (beat := self._next()):
            done.append(beat)
        self._trim()
        return done

    def flush(self) -> list[BeatContext]:
        """At the end of a stretch: the beats whose next R will never be known."""
        done = self.ready()
        if self._pushed and self._ring is not None:
            last = self._pushed[-1].at
            missing = math.ceil(last) + AFTER + REACH + 1 - (self._ring_start + len(self._ring))
            self._ring = np.concatenate([self._ring, np.full(max(0, missing), self._ring[-1])])
            self._find_points()
            while self._pushed:
                post_s = None
                if len(self._points) > 1:
                    post_s = (self._points[1] - self._points[0]) / FS_HZ
                done.append(self._compare(post_s, self._n_fed - 1, short=True))
        return done

    def resume(self, first_index: int) -> None:
        """Start again behind a gap (after `flush`): filters anew, what is known of the patient stays."""
        self._rr.forget_last()
        self._begin(first_index)

    def _end(self) -> int:
        return 0 if self._ring is None else self._ring_start + len(self._ring)

    def _find_points(self) -> None:
        """Fiducial points of the beats that have their surroundings by now."""
        assert self._ring is not None
        for beat in list(self._pushed)[len(self._points) :]:
            if math.ceil(beat.at) + REACH >= self._end():
                return
            self._points.append(self._ring_start + fiducial(self._ring, beat.at - self._ring_start))

    def _next(self) -> BeatContext | None:
        """The oldest beat, when all that it needs is there."""
        if self._ring is None:
            return None
        self._find_points()
        if not self._points:
            return None
        beat, end = self._pushed[0], self._end()
        own_needs = round(self._points[0]) + AFTER
        if own_needs >= end:
            return None
        longest_s = self.memory.intervals.longest_post_s() - _SPARE_S
        due = beat.at + longest_s * FS_HZ
        if len(self._pushed) > 1 and self._pushed[1].at <= due:
            if len(self._points) < 2:
                return None
            needs = max(own_needs, math.ceil(self._pushed[1].at) + REACH)
            post_s = (self._points[1] - self._points[0]) / FS_HZ
            return self._compare(post_s, max(self._input_index(needs), self._pushed[1].known_index))
        # By then a detector would have told of an R that counts.
        told_index = math.ceil(beat.r_pos + (longest_s + _DECIDED_S) * self._fs_hz)
        if self._first_index + self._n_fed <= told_index:
            return None
        return self._compare(longest_s, max(self._input_index(own_needs), told_index))

    def _input_index(self, k: int) -> int:
        """Last input sample that sample ``k`` of the ring needs, from the start of the stream."""
        return self._first_index + min(self._resampler.last_input_needed(k + self._smooth.half), self._n_fed - 1)

    def _compare(self, post_s: float | None, needed_index: int, *, short: bool = False) -> BeatContext:
        """Features of the oldest beat, which the memory then takes in."""
        assert self._ring is not None
        beat, point = self._pushed.popleft(), self._points.popleft()
        pre_s = None if self._last_point is None else (point - self._last_point) / FS_HZ
        self._last_point = point
        begin = round(point) - self._ring_start - BEFORE
        segment = self._ring[begin : begin + BEFORE + AFTER + 1]
        learning = self._recognition is not None
        recognised = None if self._recognition is None else self._recognition.take(segment)
        features, n_past = self.memory.take(segment, pre_s, post_s)
        if recognised is not None:
            self._recognition = None
        if recognised is False:
            self.memory.forget()
        return BeatContext(
            beat.r_pos, beat.rr_s, beat.rr_median_s, features, needed_index, short,
            learning=learning or n_past < LEARNT, recognised=recognised,
        )  # fmt: skip

    def _trim(self) -> None:
        if self._ring is None:
            return
        oldest = self._pushed[0].at if self._pushed else self._end() - _DECIDED_S * FS_HZ
        keep_from = min(math.floor(oldest) - BEFORE - REACH, self._end() - round(FS_HZ * 2 * _DECIDED_S) - BEFORE)
        if keep_from - self._ring_start > _KEPT_S * FS_HZ:
            self._ring = self._ring[keep_from - self._ring_start :].copy()
            self._ring_start = keep_from
