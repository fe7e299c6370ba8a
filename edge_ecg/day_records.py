"""The recordings of a day (docs/recording.md): which there are, and what their annotations say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_ecg.context.rhythm.watch import UNKNOWN
from edge_ecg.day import Marked, Track, Window, day_named, some, window_of_day, window_of_tracks
from edge_ecg.errors import DataError, UsageError
from edge_ecg.io import RecordHeader, read_annotations, read_header
from edge_ecg.io.append import ANNOTATOR
from edge_ecg.io.signals import length_of
from edge_ecg.sinks.marks import RHYTHMS
from edge_ecg.types import LAST_UTC_S

__all__ = ["days_in", "find_day"]

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_RECORD = re.compile(r"(.+?)_[0-9]{6}(?:_[0-9]+)?")
_LABELS = re.compile(r"labels: (\S+) \(.*\), lead (.*)")
_GAP = re.compile(r"gap of ([0-9]{1,15}) samples")
"""One that was bridged says more: it interrupts nothing."""
_REJECTED = 1
_STATES = {aux: state for state, aux in RHYTHMS.items()}


class _Found(NamedTuple):
    subject: str
    stem: Path
    header: RecordHeader
    length_s: float


def find_day(
    text: str, folder: Path | None, subject: str | None, zone: tzinfo | None
) -> tuple[Window, list[Track], str, list[str]]:
    """Find and read the records of a day: window, tracks, whose they are, and notes on what is left out.

    Parameters
    ----------
    text
        ``2026-11-23``, ``today``, ``yesterday`` or the path of a day's folder.
    folder
        Holds the folders of the days; None where only a path will do.
    subject
        Whose records; None where there is only one.

    Raises
    ------
    UsageError
        No day or folder is named, or several subjects have records.
    DataError
        There is no such day, or none of its records can be read.
    """
    path = Path(text).expanduser()
    is_day = bool(_DAY.fullmatch(text)) or text in ("today", "yesterday")
    if not is_day and not path.is_dir():
        day_named(text, zone)
    window = None
    if is_day:
        if folder is None:
            raise UsageError(
                f"no folder of recordings is named, to find {text} in",
                "Say --folder DIR, or set recording.folder in the settings",
            )
        window = window_of_day(day_named(text, zone), zone)
        folders = [folder / name for name in _names_about(window)]
    else:
        folders = [path]
    found, notes = _found(folders, window)
    if not found:
        where = folder if window is not None and folder is not None else path
        raise DataError(
            f"there is no record of {window.title if window else 'a day'} in {where}" + _told(notes),
            _days_hint(folder) if window else "Name the folder of a day, with records of edge-ecg",
        )
    subject = _chosen(subject, [one.subject for one in found], window.title if window else str(path))
    tracks: list[Track] = []
    for one in found:
        if one.subject == subject:
            try:
                track, problems = _track(one.stem, one.header, one.length_s)
                tracks.append(track)
                notes += problems
            except DataError as error:
                notes.append(f"left out: {error.message}")
    if not tracks:
        raise DataError(f"no record of {subject} can be read{_told(notes)}", "Look into the folder of the day")
    return window or window_of_tracks(path.resolve().name, tracks, zone), tracks, subject, notes


def days_in(folder: Path) -> list[str]:
    """Names of the days that a folder holds, in order; none where it cannot be read."""
    try:
        return sorted(one.name for one in folder.iterdir() if _DAY.fullmatch(one.name) and one.is_dir())
    except OSError:
        return []


def _names_about(window: Window) -> list[str]:
    """The folders that may hold records of it: days of UTC, and a record ends with its day."""
    first = datetime.fromtimestamp(window.begin_s, UTC).date()
    last = datetime.fromtimestamp(window.end_s, UTC).date()
    return [date.fromordinal(n).isoformat() for n in range(first.toordinal(), last.toordinal() + 1)]


def _found(folders: Iterable[Path], window: Window | None) -> tuple[list[_Found], list[str]]:
    """The records that reach into a window, or all; and notes on those that cannot be read."""
    found: list[_Found] = []
    notes: list[str] = []
    for file in sorted(file for folder in folders for file in folder.glob("*.hea")):
        try:
            header = read_header(file)
            subject = _subject(header, file.stem)
            if subject is None:
                continue
            start_s = _start_utc_s(header, file)
            length_s = length_of(file, header) / header.fs_hz
        except DataError as error:
            notes.append(f"left out: {error.message}")
        except OSError as error:
            notes.append(f"left out: {file} cannot be read: {error.strerror}")
        else:
            if window is None or (start_s < window.end_s and start_s + length_s > window.begin_s):
                found.append(_Found(subject, file.with_suffix(""), header, length_s))
    return found, notes


def _start_utc_s(header: RecordHeader, file: Path) -> float:
    base = header.base_datetime
    if base is None or not 0 <= (start_s := base.replace(tzinfo=UTC).timestamp()) < LAST_UTC_S:
        raise DataError(f"{file} has no date and time of its first sample")
    return start_s


def _subject(header: RecordHeader, stem: str) -> str | None:
    """Whose record it is; None for what no recorder of ours wrote."""
    named = _RECORD.fullmatch(stem)
    return named and (header.subject or named[1])


def _chosen(wanted: str | None, subjects: Sequence[str], where: str) -> str:
    there = sorted(set(subjects))
    if wanted is None and len(there) == 1:
        return there[0]
    if wanted in there:
        return str(wanted)
    if wanted is None:
        raise UsageError(f"{where} has records of several subjects", f"Say --subject, one of: {some(there)}")
    raise DataError(f"{where} has no record of {wanted}", f"There are records of: {some(there)}")


def _days_hint(folder: Path | None) -> str:
    days = days_in(folder) if folder is not None else []
    if not days:
        return "That folder holds no day; --folder names another"
    shown = some(days) if len(days) <= 8 else f"{', '.join(days[:2])} ... {', '.join(days[-5:])} ({len(days)} in all)"
    return f"Days there are: {shown}"


def _told(notes: Sequence[str]) -> str:
    return f" ({'; '.join(notes[:3])})" if notes else ""


def _track(stem: Path, header: RecordHeader, length_s: float) -> tuple[Track, list[str]]:
    """A record's labels; and notes on what is wrong with it.

    Raises
    ------
    DataError
        Its annotations are not there, or are none.
    """
    notes = read_annotations(stem, ANNOTATOR)
    # While a record grows, what is known late stands late.
    order = np.argsort(notes.sample, kind="stable")
    is_beat = notes.is_beat[order]
    sample, subtype = notes.sample[order], notes.subtype[order]
    symbol, aux = [notes.symbol[k] for k in order], [notes.aux[k] for k in order]
    noise, lead_off = Marked(), Marked()
    gaps: list[tuple[float, float]] = []
    rhythm: list[tuple[float, str]] = []
    for k in np.flatnonzero(~is_beat).tolist():
        t_s, text = int(sample[k]) / header.fs_hz, aux[k]
        if symbol[k] == "~":
            (lead_off if text.startswith("lead") else noise).mark(t_s, begins=bool(subtype[k]))
        elif symbol[k] == "+":
            rhythm.append((t_s, _STATES.get(text, UNKNOWN)))
        elif symbol[k] == '"' and (lost := _GAP.fullmatch(text)) and sample[k] > 1:
            # One at the very begin tells what was lost before the record.
            gaps.append((t_s, t_s + int(lost[1]) / header.fs_hz))
    told = next((found for comment in header.comments if (found := _LABELS.fullmatch(comment))), None)
    lead = told[2] if told else None
    column = header.leads.index(lead) if lead in header.leads else 0
    track = Track(
        name=f"{stem.parent.name}/{stem.name}",
        start_utc_s=_start_utc_s(header, stem),
        length_s=length_s,
        t_s=sample[is_beat] / header.fs_hz,
        label=np.array([name for name, beat in zip(symbol, is_beat, strict=True) if beat], np.str_),
        is_rejected=subtype[is_beat] == _REJECTED,
        gaps=tuple(gaps),
        lead_off=tuple(lead_off.pairs),
        noise=tuple(noise.pairs),
        rhythm=tuple(rhythm),
        path=stem,
        fs_hz=header.fs_hz,
        lead=lead,
        model=told[1] if told else None,
        calibrated=header.signals[column].calibrated,
    )
    return track, [] if notes.problem is None else [notes.problem]
