"""The rhythm of a day in figures: what a Holter report counts, from labels and what is known of the signal.

Pure: arrays in, frozen data out. Each rule stands beside its constant, and for people in docs/summary.md. Nothing is
counted over a gap, an electrode that is off, noise or suspected fibrillation of the ventricles: there every interval
and every chain of beats ends. What begins in an hour belongs to that hour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.rhythm.episodes import FEWEST_BEATS, PAUSE_S
from edge_ecg.context.rhythm.watch import AF, FIBRILLATION, SINUS, STATES, UNKNOWN
from edge_ecg.spans import Spans

__all__ = [
    "HOUR_S",
    "LABELS",
    "MINUTE_S",
    "PAIR_STEP_S",
    "DayLabels",
    "Ectopy",
    "Episode",
    "Figures",
    "Pattern",
    "Rate",
    "Summary",
    "summarise",
]

LABELS = ("N", "S", "V", "F", "Q")
HOUR_S = 3600.0
MINUTE_S = 60.0
"""The lowest and the highest heart rate are those of a minute of the clock."""
HEARD_OF_MINUTE_S = 30.0
"""R-R intervals that a minute must hold, in seconds, to have a heart rate."""
FEWEST_OF_PATTERN = 3
"""V that make a bigeminy (every other beat is V) or a trigeminy (every third)."""
PAIR_STEP_S = 0.02
"""Cell of the plot of each R-R interval against the one before."""
PAIR_LONGEST_S = 2.0
"""Longer ones lie in its last cell."""
_STEPS = {"bigeminy": 2, "trigeminy": 3}
_RUNS = {"V": "v_run", "S": "s_run"}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DayLabels:
    """The labels of a day, or of any other stretch of time. Times are seconds from one zero of the caller's choice.

    Attributes
    ----------
    begin_s, end_s
        What is looked at; hours are counted from ``begin_s``.
    t_s
        ``(n,)`` R peaks, rising.
    rr_s
        ``(n,)`` R-R interval before each, s; NaN where the beat follows on none (the first of a record).
    label
        ``(n,)`` of one letter each.
    is_rejected
        ``(n,)`` labels that should not be used.
    recorded
        Where there is a record.
    gaps, lead_off, noise
        Where samples are missing in it, an electrode is off, the signal is unusable. They may overlap.
    rhythm_s, rhythm
        ``(m,)`` moments, rising, and the state that holds from each on; a record that begins is `UNKNOWN` again.
    """

    begin_s: float
    end_s: float
    t_s: NDArray[np.float64]
    rr_s: NDArray[np.float64]
    label: NDArray[np.str_]
    is_rejected: NDArray[np.bool_]
    recorded: Spans
    gaps: Spans
    lead_off: Spans
    noise: Spans
    rhythm_s: NDArray[np.float64]
    rhythm: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Episode:
    """Something that lasted.

    Attributes
    ----------
    kind
        ``v_run s_run pause bigeminy trigeminy``, or a state of the rhythm.
    begin_s, length_s
        From its first R to its last, s; of a rhythm, as long as it was named.
    n_beats
        Ectopic beats in it; 0 for a pause and a rhythm.
    bpm
        Of a run: its intervals by their mean; else None.
    """

    kind: str
    begin_s: float
    length_s: float
    n_beats: int = 0
    bpm: float | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """Heart rate, beats a minute; None where too little was heard, with the minute each extreme begins in, s."""

    mean_bpm: float | None
    min_bpm: float | None
    min_at_s: float | None
    max_bpm: float | None
    max_at_s: float | None


@dataclass(frozen=True, slots=True)
class Ectopy:
    """Ectopic beats of one kind, in chains as long as they go.

    Attributes
    ----------
    n_beats, percent, per_hour
        All of them; of the counted beats; by readable hour. None where there is nothing to divide by.
    n_single, n_couplets, n_triplets, n_runs, n_in_runs
        Chains of one, of two, of three, of three and more (triplets among them), and the beats of these.
    longest, fastest
        Of the runs, by beats (then by time) and by rate; the earliest of equals; None without one.
    """

    n_beats: int
    percent: float | None
    per_hour: float | None
    n_single: int
    n_couplets: int
    n_triplets: int
    n_runs: int
    n_in_runs: int
    longest: Episode | None
    fastest: Episode | None


@dataclass(frozen=True, slots=True)
class Pattern:
    """Bigeminy or trigeminy: how often, how many V in all, how long in all (first to last V), s."""

    n_episodes: int
    n_beats: int
    length_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A day or an hour.

    Attributes
    ----------
    recorded_s
        Time with a record; each second of it is one of: ``readable_s``, ``noise_s``, ``lead_off_s``, ``gap_s`` (where
        several hold, the last named).
    n_beats, labels
        Beats that count, and how many of each label.
    n_rejected
        Beats that do not, because their label is not sure or the signal was unusable.
    n_pauses, longest_pause_s
        R-R intervals above 2 s; the longest, 0 without one.
    rhythm_s
        Readable time in each state, s.
    """

    begin_s: float
    end_s: float
    recorded_s: float
    readable_s: float
    noise_s: float
    lead_off_s: float
    gap_s: float
    n_beats: int
    labels: Mapping[str, int]
    n_rejected: int
    rate: Rate
    v: Ectopy
    s: Ectopy
    n_pauses: int
    longest_pause_s: float
    bigeminy: Pattern
    trigeminy: Pattern
    rhythm_s: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """A day in figures.

    Attributes
    ----------
    day, hours
        The whole, and each hour from ``begin_s`` on, the last one perhaps shorter.
    episodes
        In the order of their begins.
    minute_bpm
        Heart rate of each minute, NaN where too little was heard.
    rr_pairs
        How often an R-R interval (column) followed one (row), in cells of `PAIR_STEP_S`; ``(k, k) int64``.
    readable, noise, lead_off, gaps
        Where each holds; they do not overlap.
    rhythm
        Where each state holds and the signal is readable.
    """

    day: Figures
    hours: tuple[Figures, ...]
    episodes: tuple[Episode, ...]
    minute_bpm: NDArray[np.float64]
    rr_pairs: NDArray[np.int64]
    readable: Spans
    noise: Spans
    lead_off: Spans
    gaps: Spans
    rhythm: Mapping[str, Spans]


def summarise(labels: DayLabels) -> Summary:
    """Count what a day's labels hold.

    Raises
    ------
    ValueError
        Beats that are not in order, fields of different lengths, or an end before the begin.
    """
    _check(labels)
    return _Count(labels).summary()


def _check(labels: DayLabels) -> None:
    n = len(labels.t_s)
    if not labels.begin_s < labels.end_s:
        raise ValueError(f"a day ends after it begins, not from {labels.begin_s} to {labels.end_s}")
    if any(len(field) != n for field in (labels.rr_s, labels.label, labels.is_rejected)):
        raise ValueError(f"{n} R peaks, but another number of intervals, labels or rejects")
    if len(labels.rhythm_s) != len(labels.rhythm):
        raise ValueError(f"{len(labels.rhythm_s)} changes of rhythm, but {len(labels.rhythm)} states")
    if n and not (np.diff(labels.t_s) >= 0.0).all():
        raise ValueError("R peaks must rise")


@dataclass(frozen=True, slots=True, eq=False)
class _Chains:
    """Beats of one kind with always as many others between: the first and the last of each chain, and how many."""

    first: NDArray[np.intp]
    last: NDArray[np.intp]
    n_beats: NDArray[np.intp]

    def within(self, begin: int, end: int, fewest: int = 1) -> _Chains:
        """Those of at least ``fewest`` beats whose first is one of the beats from ``begin`` to before ``end``."""
        kept = (self.first >= begin) & (self.first < end) & (self.n_beats >= fewest)
        return _Chains(self.first[kept], self.last[kept], self.n_beats[kept])


class _Count:
    """The steps from labels to figures, each by what it needs of those before."""

    def __init__(self, labels: DayLabels) -> None:
        self.labels = labels
        day = Spans.of([(labels.begin_s, labels.end_s)])
        self.recorded = labels.recorded & day
        self.gaps = labels.gaps & self.recorded
        self.lead_off = (labels.lead_off & self.recorded) - self.gaps
        self.noise = (labels.noise & self.recorded) - self.gaps - self.lead_off
        self.readable = self.recorded - self.gaps - self.lead_off - self.noise
        self.states = _states(labels, self.recorded)
        self.readable_in = {state: spans & self.readable for state, spans in self.states.items()}
        t_s = labels.t_s
        # Beats in one such stretch follow on one another; in fibrillation no R can be trusted.
        stretch = (self.readable - self.states[FIBRILLATION]).which(t_s)
        is_heard = stretch >= 0
        self.counts = is_heard & ~labels.is_rejected
        self.follows = np.zeros(len(t_s), np.bool_)
        self.follows[1:] = is_heard[1:] & (stretch[1:] == stretch[:-1]) & (np.diff(t_s) > 0.0) & (labels.rr_s[1:] > 0.0)
        # Rises where a chain breaks: before a beat that follows on none, and at one that does not count.
        self.unbroken = np.cumsum(~self.follows | ~self.counts)
        is_s = (labels.label == "S") & (self.states[AF].which(t_s) < 0)
        is_v = labels.label == "V"
        self.runs = {"V": self._chains(is_v, 1), "S": self._chains(is_s, 1)}
        self.patterns = {name: self._chains(is_v, step) for name, step in _STEPS.items()}
        behind = np.flatnonzero(self.follows)
        self.rr_s, self.rr_begin = labels.rr_s[behind], behind - 1
        self.minute_bpm = self._minutes()

    def summary(self) -> Summary:
        begin_s, end_s = self.labels.begin_s, self.labels.end_s
        hours = np.append(np.arange(begin_s, end_s, HOUR_S), end_s).tolist()
        return Summary(
            day=self._figures(begin_s, end_s),
            hours=tuple(self._figures(a, b) for a, b in pairwise(hours)),
            episodes=self._episodes(),
            minute_bpm=self.minute_bpm,
            rr_pairs=self._pairs(),
            readable=self.readable,
            noise=self.noise,
            lead_off=self.lead_off,
            gaps=self.gaps,
            rhythm=self.readable_in,
        )

    def _chains(self, is_kind: NDArray[np.bool_], step: int) -> _Chains:
        at = np.flatnonzero(is_kind & self.counts)
        linked = (np.diff(at) == step) & (np.diff(self.unbroken[at]) == 0)
        first = np.concatenate([np.ones(min(len(at), 1), np.bool_), ~linked])
        last = np.concatenate([~linked, np.ones(min(len(at), 1), np.bool_)])
        begins, ends = np.flatnonzero(first), np.flatnonzero(last)
        return _Chains(at[begins], at[ends], ends - begins + 1)

    def _minutes(self) -> NDArray[np.float64]:
        """A minute has the intervals that begin in it."""
        labels = self.labels
        n = math.ceil((labels.end_s - labels.begin_s) / MINUTE_S)
        minute = ((labels.t_s[self.rr_begin] - labels.begin_s) / MINUTE_S).astype(np.intp)
        heard_s = np.bincount(minute, self.rr_s, n)
        n_beats = np.bincount(minute, minlength=n)
        enough = heard_s >= HEARD_OF_MINUTE_S
        return np.where(enough, 60.0 * n_beats / np.where(enough, heard_s, 1.0), np.nan)

    def _pairs(self) -> NDArray[np.int64]:
        n = round(PAIR_LONGEST_S / PAIR_STEP_S)
        cell = np.minimum(np.nan_to_num(self.labels.rr_s / PAIR_STEP_S), n - 1).astype(np.intp)
        both = np.flatnonzero(self.follows[1:] & self.follows[:-1]) + 1
        return np.bincount(cell[both - 1] * n + cell[both], minlength=n * n).reshape(n, n)

    def _figures(self, begin_s: float, end_s: float) -> Figures:
        edges = (begin_s, end_s)
        lo, hi = (int(k) for k in np.searchsorted(self.labels.t_s, edges))
        counts = self.counts[lo:hi]
        n_beats, n_of = int(counts.sum()), self._labels(lo, hi)
        readable_s = _within(self.readable, edges)
        pauses_s = self._pauses(lo, hi)[1]
        patterns = {name: self._pattern(name, lo, hi) for name in _STEPS}
        return Figures(
            begin_s=begin_s,
            end_s=end_s,
            recorded_s=_within(self.recorded, edges),
            readable_s=readable_s,
            noise_s=_within(self.noise, edges),
            lead_off_s=_within(self.lead_off, edges),
            gap_s=_within(self.gaps, edges),
            n_beats=n_beats,
            labels=n_of,
            n_rejected=hi - lo - n_beats,
            rate=self._rate(begin_s, end_s, lo, hi),
            v=self._ectopy("V", n_of["V"], n_beats, readable_s, lo, hi),
            s=self._ectopy("S", n_of["S"], n_beats, readable_s, lo, hi),
            n_pauses=len(pauses_s),
            longest_pause_s=float(pauses_s.max(initial=0.0)),
            bigeminy=patterns["bigeminy"],
            trigeminy=patterns["trigeminy"],
            rhythm_s={state: _within(spans, edges) for state, spans in self.readable_in.items()},
        )

    def _labels(self, lo: int, hi: int) -> dict[str, int]:
        letters = self.labels.label[lo:hi][self.counts[lo:hi]]
        n_of = {name: int((letters == name).sum()) for name in LABELS[:-1]}
        return {**n_of, LABELS[-1]: len(letters) - sum(n_of.values())}

    def _rate(self, begin_s: float, end_s: float, lo: int, hi: int) -> Rate:
        rr_s = self.rr_s[slice(*np.searchsorted(self.rr_begin, (lo, hi)))]
        mean = 60.0 * len(rr_s) / float(rr_s.sum()) if len(rr_s) else None
        origin = self.labels.begin_s
        first = round((begin_s - origin) / MINUTE_S)
        bpm = self.minute_bpm[first : math.ceil((end_s - origin) / MINUTE_S)]
        if np.isnan(bpm).all():
            return Rate(mean, None, None, None, None)
        low, high = int(np.nanargmin(bpm)), int(np.nanargmax(bpm))
        return Rate(
            mean, float(bpm[low]), begin_s + low * MINUTE_S, float(bpm[high]), begin_s + high * MINUTE_S
        )  # fmt: skip

    def _ectopy(self, label: str, n: int, n_beats: int, readable_s: float, lo: int, hi: int) -> Ectopy:
        of_length = self.runs[label].within(lo, hi).n_beats
        runs = self._told(_RUNS[label], self.runs[label].within(lo, hi, FEWEST_BEATS))
        return Ectopy(
            n_beats=n,
            percent=100.0 * n / n_beats if n_beats else None,
            per_hour=n / (readable_s / HOUR_S) if readable_s else None,
            n_single=int((of_length == 1).sum()),
            n_couplets=int((of_length == 2).sum()),
            n_triplets=int((of_length == 3).sum()),
            n_runs=len(runs),
            n_in_runs=sum(run.n_beats for run in runs),
            longest=max(runs, key=lambda run: (run.n_beats, run.length_s), default=None),
            fastest=max(runs, key=lambda run: run.bpm or 0.0, default=None),
        )

    def _pattern(self, name: str, lo: int, hi: int) -> Pattern:
        found = self.patterns[name].within(lo, hi, FEWEST_OF_PATTERN)
        t_s = self.labels.t_s
        return Pattern(
            len(found.first), int(found.n_beats.sum()), float((t_s[found.last] - t_s[found.first]).sum())
        )  # fmt: skip

    def _pauses(self, lo: int, hi: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Begin and length of each, s."""
        inside = slice(*np.searchsorted(self.rr_begin, (lo, hi)))
        is_long = self.rr_s[inside] > PAUSE_S
        return self.labels.t_s[self.rr_begin[inside][is_long]], self.rr_s[inside][is_long]

    def _told(self, kind: str, chains: _Chains) -> list[Episode]:
        t_s = self.labels.t_s
        rows = zip(t_s[chains.first].tolist(), t_s[chains.last].tolist(), chains.n_beats.tolist(), strict=True)
        is_run = kind in _RUNS.values()
        return [
            Episode(kind, begin, end - begin, n, 60.0 * (n - 1) / (end - begin) if is_run else None)
            for begin, end, n in rows
        ]

    def _episodes(self) -> tuple[Episode, ...]:
        n = len(self.labels.t_s)
        told = [Episode("pause", begin, length) for begin, length in zip(*self._pauses(0, n), strict=True)]
        for label, kind in _RUNS.items():
            told += self._told(kind, self.runs[label].within(0, n, FEWEST_BEATS))
        for name in _STEPS:
            told += self._told(name, self.patterns[name].within(0, n, FEWEST_OF_PATTERN))
        for state, spans in self.states.items():
            if state not in (SINUS, UNKNOWN):
                told += [Episode(state, begin, end - begin) for begin, end in spans]
        return tuple(sorted(told, key=lambda episode: episode.begin_s))


def _states(labels: DayLabels, recorded: Spans) -> dict[str, Spans]:
    """Where each state holds; what no change names is `UNKNOWN`."""
    ends = [*labels.rhythm_s[1:].tolist(), np.inf][: len(labels.rhythm)]
    pairs: dict[str, list[tuple[float, float]]] = {state: [] for state in STATES}
    for begin, end, state in zip(labels.rhythm_s.tolist(), ends, labels.rhythm, strict=True):
        pairs[state if state in pairs else UNKNOWN].append((begin, end))
    spans = {state: Spans.of(found) & recorded for state, found in pairs.items()}
    named = Spans.of(span for state in STATES if state != UNKNOWN for span in spans[state])
    return {**spans, UNKNOWN: recorded - named}


def _within(spans: Spans, edges: tuple[float, float]) -> float:
    return float(spans.between(edges)[0])
