"""How well the told rhythms and runs agree with what is noted: by time, by episode, and as known then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from edge_ecg.context.rhythm.episodes import FEWEST_BEATS, Episode
from edge_ecg.context.rhythm.watch import RhythmChange, RhythmTold
from train.rhythm_states_people import Interval, Person

__all__ = ["Agreement", "agreement_of", "noted_runs", "overlap_s", "runs_agreement", "told_runs", "when", "without"]

LONG_S = 30.0
"""Shorter episodes are not asked for: they are counted by time only."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one rhythm or kind of run: times in s, and episodes.

    Attributes
    ----------
    noted_s, told_s, both_s
        Time that is noted, told, and both.
    noted, found
        Long noted episodes, and those of them of which a part is told.
    told, right
        Long told episodes, and those of which half is noted.
    """

    noted_s: float = 0.0
    told_s: float = 0.0
    both_s: float = 0.0
    noted: int = 0
    found: int = 0
    told: int = 0
    right: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.noted_s + other.noted_s, self.told_s + other.told_s, self.both_s + other.both_s,
            self.noted + other.noted, self.found + other.found, self.told + other.told, self.right + other.right,
        )  # fmt: skip

    def __str__(self) -> str:
        by_time = f"Se/+P {_rate(self.both_s, self.noted_s)}/{_rate(self.both_s, self.told_s)} by time"
        return (
            f"{by_time}, {_rate(self.found, self.noted)}/{_rate(self.right, self.told)} by episode ({self.noted} noted)"
        )


def _rate(part: float, whole: float) -> str:
    return f"{100.0 * part / whole:.0f}" if whole else "-"


def when(person: Person, events: Sequence[RhythmTold], state: str) -> tuple[Interval, ...]:
    """When a rhythm was told, s, from the moment that it was known to the moment that another was."""
    changes = [e for e in events if isinstance(e, RhythmChange)]
    ends = [c.at_index / person.fs_hz for c in changes[1:]] + [person.hours * 3600.0]
    return tuple((c.at_index / person.fs_hz, end) for c, end in zip(changes, ends, strict=False) if c.state == state)


def overlap_s(one: Sequence[Interval], other: Sequence[Interval]) -> float:
    """How long both last; the intervals of each do not overlap."""
    return sum(max(0.0, min(b, d) - max(a, c)) for a, b in one for c, d in other)


def without(intervals: Sequence[Interval], left_out: Sequence[Interval]) -> tuple[Interval, ...]:
    """What of the intervals does not lie in those left out."""
    kept = list(intervals)
    for a, b in left_out:
        kept = [piece for s, e in kept for piece in ((s, min(e, a)), (max(s, b), e)) if piece[0] < piece[1]]
    return tuple(kept)


def agreement_of(noted: Sequence[Interval], told: Sequence[Interval]) -> Agreement:
    """Of one rhythm of one person."""
    long_noted, long_told = ([i for i in of if i[1] - i[0] >= LONG_S] for of in (noted, told))
    return Agreement(
        sum(b - a for a, b in noted), sum(b - a for a, b in told), overlap_s(noted, told),
        len(long_noted), sum(overlap_s([i], told) > 0.0 for i in long_noted),
        len(long_told), sum(overlap_s([i], noted) >= 0.5 * (i[1] - i[0]) for i in long_told),
    )  # fmt: skip


def noted_runs(person: Person, label: int) -> tuple[Interval, ...]:
    """Runs by the reference's labels, s, from the first R to the last."""
    runs, at = [], 0
    for of, beats in groupby(person.labels.tolist()):
        n = len(list(beats))
        if of == label and n >= FEWEST_BEATS:
            runs.append((float(person.r[at]) / person.fs_hz, float(person.r[at + n - 1]) / person.fs_hz))
        at += n
    return tuple(runs)


def told_runs(person: Person, events: Sequence[RhythmTold], kind: str) -> tuple[Interval, ...]:
    """Runs that were told, s, from the first R to the last; those that are not over when the record ends included."""
    told: dict[int, Episode] = {e.sample: e for e in events if isinstance(e, Episode) and e.kind == kind}
    return tuple((e.sample / person.fs_hz, e.sample / person.fs_hz + e.length_s) for e in told.values())


def runs_agreement(noted: Sequence[Interval], told: Sequence[Interval]) -> Agreement:
    """Of one kind of run of one person: found when a part of it is told, right when a part of it is noted."""
    return Agreement(
        sum(b - a for a, b in noted), sum(b - a for a, b in told), overlap_s(noted, told),
        len(noted), sum(overlap_s([i], told) > 0.0 for i in noted),
        len(told), sum(overlap_s([i], noted) > 0.0 for i in told),
    )  # fmt: skip
