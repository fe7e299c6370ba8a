"""Runs of ectopic beats and pauses: plain rules over beats, told when they begin and when they are over."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ecg.context.told import TOLD_S

__all__ = ["FEWEST_BEATS", "PAUSE_S", "Episode", "Pauses", "Runs"]

FEWEST_BEATS = 3
"""Ectopic beats of one kind in a row that make a run."""
PAUSE_S = 2.0

_KINDS = {"V": "v_run", "S": "s_run"}


@dataclass(frozen=True, slots=True)
class Episode:
    """A run or a pause, from ``sample`` on; known with sample ``at_index``.

    Attributes
    ----------
    kind
        ``v_run``, ``s_run`` or ``pause``.
    over
        False when it has just been noticed and goes on, True when it is over. A pause that is over before it could be
        told of as one comes once, and over.
    n_beats
        Ectopic beats so far; 0 for a pause.
    length_s
        From the first to the last R so far, s; of a pause that goes on, what is certain.
    """

    at_index: int
    sample: int
    kind: str
    over: bool
    n_beats: int
    length_s: float


class Runs:
    """Three or more V, or three or more S, one after the other."""

    def __init__(self, fs_hz: float) -> None:
        self._fs_hz = fs_hz
        self._label, self._n = "", 0
        self._first, self._last = 0.0, 0.0

    def push(self, label: str, r_pos: float, at_index: int) -> list[Episode]:
        """Take the next beat, known with ``at_index``: ``V`` and ``S`` make runs, anything else ends them."""
        if label == self._label:
            self._n, self._last = self._n + 1, r_pos
            return [self._told(at_index, over=False)] if self._n == FEWEST_BEATS else []
        ended = self.close(at_index)
        if label in _KINDS:
            self._label, self._n, self._first, self._last = label, 1, r_pos, r_pos
        return ended

    def close(self, at_index: int) -> list[Episode]:
        """What follows does not follow on the last beat."""
        ended = [self._told(at_index, over=True)] if self._n >= FEWEST_BEATS else []
        self._label, self._n = "", 0
        return ended

    def _told(self, at_index: int, *, over: bool) -> Episode:
        length_s = (self._last - self._first) / self._fs_hz
        return Episode(at_index, round(self._first), _KINDS[self._label], over, self._n, length_s)


class Pauses:
    """No beat for more than `PAUSE_S`."""

    def __init__(self, fs_hz: float) -> None:
        self._fs_hz = fs_hz
        self._last: float | None = None
        self._told = False

    def due(self) -> int | None:
        """Sample with which a pause is certain if no beat comes; None when there is nothing to wait for."""
        if self._last is None or self._told:
            return None
        return round(self._last + (PAUSE_S + TOLD_S) * self._fs_hz)

    def certain(self, at_index: int) -> Episode:
        """`due` has come."""
        self._told = True
        return self._pause(at_index, PAUSE_S, over=False)

    def push(self, r_pos: float, at_index: int) -> list[Episode]:
        """Take the next R."""
        length_s = 0.0 if self._last is None else (r_pos - self._last) / self._fs_hz
        ended = [self._pause(at_index, length_s, over=True)] if self._told or length_s > PAUSE_S else []
        self._last, self._told = r_pos, False
        return ended

    def close(self, at_index: int, sample: int) -> list[Episode]:
        """From ``sample`` on nothing can be said: a pause that goes on ends there, and the next R is a first one."""
        ended = []
        if self._told and self._last is not None:
            ended = [self._pause(at_index, max(PAUSE_S, (sample - self._last) / self._fs_hz), over=True)]
        self._last, self._told = None, False
        return ended

    def _pause(self, at_index: int, length_s: float, *, over: bool) -> Episode:
        assert self._last is not None
        return Episode(at_index, round(self._last), "pause", over, 0, length_s)
