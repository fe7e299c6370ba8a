"""A day of labels: what several recordings hold, laid on one clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.rhythm.watch import UNKNOWN
from edge_ecg.errors import DataError, UsageError
from edge_ecg.spans import Spans
from edge_ecg.summary import HOUR_S, DayLabels

__all__ = ["Day", "Marked", "Track", "Window", "day_named", "lay", "some", "window_of_day", "window_of_tracks"]

ONE_S = 0.040
"""A record that begins this close to the end of another is its continuation: as long a gap would be bridged."""
LONGEST_S = 50 * HOUR_S
"""More is no day."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Track:
    """What one record says; times in seconds from its first sample.

    Attributes
    ----------
    name
        What it is called in notes.
    start_utc_s
        Wall time of its first sample; None when it is not known.
    length_s
        How long it is.
    t_s, label, is_rejected
        ``(n,)`` each: R peaks, rising; their labels; whether these should not be used.
    gaps, lead_off, noise
        Pairs of begin and end; an end may be infinite.
    rhythm
        Moments and the state from each on, rising.
    path, fs_hz
        Where its signal is, and at which rate; None without one.
    lead, model, calibrated
        What was labelled, by what; whether millivolts are millivolts. None and True when it does not say.
    from_s
        What lies before is left out.
    """

    name: str
    start_utc_s: float | None
    length_s: float
    t_s: NDArray[np.float64]
    label: NDArray[np.str_]
    is_rejected: NDArray[np.bool_]
    gaps: tuple[tuple[float, float], ...] = ()
    lead_off: tuple[tuple[float, float], ...] = ()
    noise: tuple[tuple[float, float], ...] = ()
    rhythm: tuple[tuple[float, str], ...] = ()
    path: Path | None = None
    fs_hz: float | None = None
    lead: str | None = None
    model: str | None = None
    calibrated: bool = True
    from_s: float = 0.0


class Marked:
    """Pairs of begin and end, from marks of both in order; the last end is infinite while it has none."""

    def __init__(self) -> None:
        self.pairs: list[tuple[float, float]] = []

    def mark(self, t_s: float, *, begins: bool) -> None:
        """Begin where nothing has begun, end what has; else nothing happens."""
        is_open = bool(self.pairs) and math.isinf(self.pairs[-1][1])
        if begins and not is_open:
            self.pairs.append((t_s, math.inf))
        elif not begins and is_open:
            self.pairs[-1] = (self.pairs[-1][0], t_s)


@dataclass(frozen=True, slots=True)
class Window:
    """The time that is looked at.

    Attributes
    ----------
    title
        What it is called: ``2026-11-23``.
    begin_s, end_s
        Seconds since 1970 UTC; since the first sample where no clock is known.
    zone
        How its times are written; None for the machine's own.
    has_clock
        False when seconds count from the first sample.
    """

    title: str
    begin_s: float
    end_s: float
    zone: tzinfo | None = None
    has_clock: bool = True

    def moment(self, t_s: float) -> datetime:
        """Time of day, ``t_s`` after its begin; of a window without a clock what has passed, as a time in UTC."""
        return datetime.fromtimestamp(self.begin_s + t_s, UTC).astimezone(self.zone if self.has_clock else UTC)


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """A day, ready to be summed up.

    Attributes
    ----------
    subject
        Whose it is; None when that was not said.
    labels
        Times in seconds from the begin of the window.
    tracks
        The records it was made of, and where each begins on the window's clock, s.
    notes
        What was left out, and why: a line each.
    """

    window: Window
    subject: str | None
    labels: DayLabels
    tracks: tuple[tuple[float, Track], ...]
    notes: tuple[str, ...] = field(default=())


def day_named(text: str, zone: tzinfo | None, now: datetime | None = None) -> date:
    """The day that ``2026-11-23``, ``today`` or ``yesterday`` names.

    Raises
    ------
    UsageError
        Anything else.
    """
    today = (now or datetime.now(UTC)).astimezone(zone).date()
    named = {"today": today, "yesterday": today - timedelta(days=1)}
    if text in named:
        return named[text]
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise UsageError(
            f'"{text}" is no day', "Name one as 2026-11-23, today, yesterday, or the folder of a day"
        ) from None


def window_of_day(day: date, zone: tzinfo | None) -> Window:
    """From midnight to midnight: 23 or 25 hours where clocks are changed.

    Raises
    ------
    UsageError
        A day at the edge of the calendar.
    """
    try:
        edges = [datetime.combine(d, time(), zone).astimezone(UTC) for d in (day, day + timedelta(days=1))]
        begin_s, end_s = (edge.timestamp() for edge in edges)
    except (OverflowError, ValueError, OSError):
        raise UsageError(f"{day} is a day that this machine has no clock for", "Name another") from None
    return Window(day.isoformat(), begin_s, end_s, zone)


def window_of_tracks(title: str, tracks: Sequence[Track], zone: tzinfo | None) -> Window:
    """The whole hours that hold all of some records; from the first sample of one without a clock.

    Raises
    ------
    UsageError
        More than two days of records, or several without a clock.
    """
    timed = [(track.start_utc_s, track) for track in tracks if track.start_utc_s is not None]
    if not timed:
        if len(tracks) > 1:
            raise UsageError(
                f"{title} holds {len(tracks)} streams without a clock, which lie on no common day",
                "Write one to a file of its own",
            )
        if tracks[0].length_s > LONGEST_S:
            raise UsageError(f"{title} holds more than two days, and no clock", "Write it in smaller parts")
        return Window(title, 0.0, max(tracks[0].length_s, 1.0), zone, has_clock=False)
    first = min(start for start, _ in timed)
    last = max(start + track.length_s for start, track in timed)
    if last - first > LONGEST_S:
        days = sorted({datetime.fromtimestamp(start, UTC).astimezone(zone).date().isoformat() for start, _ in timed})
        raise UsageError(f"{title} holds more than two days", f"Name a day; records begin on {some(days)}")
    begin = datetime.fromtimestamp(first, UTC).astimezone(zone)
    begin_s = begin.replace(minute=0, second=0, microsecond=0).timestamp()
    n_hours = max(1, -int(-(last - begin_s) // HOUR_S))
    return Window(title, begin_s, begin_s + n_hours * HOUR_S, zone)


def lay(window: Window, tracks: Iterable[Track], subject: str | None, notes: Sequence[str] = ()) -> Day:
    """Lay records on the clock of a window. Where two overlap (a clock that jumped), the one that began first counts.

    Raises
    ------
    DataError
        No record lies in it.
    """
    told = list(notes)
    laid: list[tuple[float, Track]] = []
    until_s, until_name = -np.inf, ""
    starts = [(0.0 if track.start_utc_s is None else track.start_utc_s - window.begin_s, track) for track in tracks]
    for at_s, track in sorted(starts, key=lambda one: (one[0], one[1].name)):
        end_s = at_s + track.length_s
        overlap_s = min(until_s, end_s) - at_s
        if overlap_s > ONE_S:
            told.append(
                f"{track.name} begins {overlap_s:.1f} s before the end of {until_name}, as if the clock had been set: "
                "what overlaps of it is left out"
            )
            track = replace(track, from_s=overlap_s)
        if end_s > until_s:
            if end_s > 0.0 and at_s < window.end_s - window.begin_s:
                laid.append((at_s, track))
            until_s, until_name = end_s, track.name
    if not laid:
        raise DataError(f"no record lies in {window.title}", "Name another day")
    return Day(window, subject, _labels(window, laid), tuple(laid), tuple(told))


def _labels(window: Window, laid: Sequence[tuple[float, Track]]) -> DayLabels:
    length_s = window.end_s - window.begin_s
    parts: list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.str_], NDArray[np.bool_]]] = []
    rhythm: list[tuple[float, str]] = []
    until_s, last_r_s = -np.inf, np.nan
    for at_s, track in laid:
        t_s, rr_s = track.t_s, np.diff(track.t_s, prepend=np.nan)
        continues = abs(at_s - until_s) <= ONE_S
        if len(t_s) and continues:
            rr_s[0] = at_s + t_s[0] - last_r_s
        if not continues:
            rhythm.append((at_s, UNKNOWN))
        rhythm += [(at_s + max(t, track.from_s), state) for t, state in track.rhythm]
        until_s, last_r_s = at_s + track.length_s, at_s + t_s[-1] if len(t_s) else np.nan
        kept = (t_s >= track.from_s) & (at_s + t_s >= 0.0) & (at_s + t_s < length_s)
        if len(t_s) and not kept[0]:
            rr_s[np.argmax(kept)] = np.nan  # what it follows on was left out
        parts.append((at_s + t_s[kept], rr_s[kept], track.label[kept], track.is_rejected[kept]))

    def spans(name: str) -> Spans:
        return Spans.of(
            (at_s + max(begin, track.from_s), at_s + min(end, track.length_s))
            for at_s, track in laid
            for begin, end in getattr(track, name)
        )

    t_s, rr_s, label, is_rejected = (np.concatenate(column) for column in zip(*parts, strict=True))
    rhythm.sort(key=lambda change: change[0])
    # Records that follow on one another may be a few milliseconds apart by their headers, which round.
    recorded = (
        (at_s + track.from_s - ONE_S * _follows(laid, k), at_s + track.length_s) for k, (at_s, track) in enumerate(laid)
    )
    return DayLabels(
        begin_s=0.0,
        end_s=length_s,
        t_s=np.maximum.accumulate(t_s),
        rr_s=rr_s,
        label=label,
        is_rejected=is_rejected,
        recorded=Spans.of(recorded),
        gaps=spans("gaps"),
        lead_off=spans("lead_off"),
        noise=spans("noise"),
        rhythm_s=np.array([t for t, _ in rhythm], np.float64),
        rhythm=tuple(state for _, state in rhythm),
    )


def _follows(laid: Sequence[tuple[float, Track]], k: int) -> bool:
    if k == 0:
        return False
    at_s, track = laid[k - 1]
    return abs(laid[k][0] - at_s - track.length_s) <= ONE_S


def some(names: Sequence[str], n: int = 8) -> str:
    """A list for a person, cut where it is long."""
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")
