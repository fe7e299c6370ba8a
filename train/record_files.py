"""The files of the records a data set is cut from: all there and whole, before the work starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_ecg.errors import DataError
from edge_ecg.io.header import FORMAT_BITS, RecordHeader, read_header
from train.room import check_room
from train.window_set import runs_root

__all__ = ["RecordFiles", "listed_records"]

_BEATS_PER_S = 2.0
"""Above what hearts do for long: an upper estimate."""
_WINDOW_BYTES = 187 * 4
_BASE_BYTES = 150_000_000


@dataclass(frozen=True, slots=True)
class RecordFiles:
    """Headers, signal files and annotations of records.

    Attributes
    ----------
    stems
        Paths of the records without a suffix.
    files
        All their files, for the hash.
    seconds
        How long they last together.
    largest_bytes
        What the largest of them takes in memory.
    """

    stems: tuple[Path, ...]
    files: tuple[Path, ...]
    seconds: float
    largest_bytes: int

    @classmethod
    def of(cls, stems: Sequence[Path], annotator: str | None, hint: str, lead: str | None = None) -> RecordFiles:
        """Look at the files of records.

        Parameters
        ----------
        annotator
            Suffix of the annotations, None for records without.
        hint
            How to get what is missing.
        lead
            Only the signal file that holds this lead counts; None: all.

        Raises
        ------
        DataError
            Headers that cannot be read, files that are missing or shorter than their header says, annotations without
            their end mark, records without the lead: all of them together, the first few named.
        """
        files: list[Path] = []
        bad: list[str] = []
        seconds, largest_bytes = 0.0, 0
        for stem in stems:
            # Names of records may hold dots; no suffix is replaced.
            header_file = stem.with_name(f"{stem.name}.hea")
            files.append(header_file)
            if annotator is not None:
                files.append(stem.with_name(f"{stem.name}.{annotator}"))
                bad += _unless_whole(files[-1], 1) or _unless_ended(files[-1])
            if not header_file.is_file():
                bad.append(f"{header_file} is missing")
                continue
            try:
                header = read_header(stem)
            except DataError as error:
                bad.append(error.message)
                continue
            if lead is not None:
                held = tuple(s for s in header.signals if s.description.casefold() == lead.casefold())
                if not held:
                    bad.append(f"{header_file} has no lead {lead} (it has {', '.join(header.leads)})")
                wanted = {s.file_name for s in held}
            for name, n_bytes in _sizes(header).items():
                if lead is not None and name not in wanted:
                    continue
                files.append(stem.parent / name)
                bad += _unless_whole(files[-1], n_bytes)
            seconds += (header.n_samples or 0) / header.fs_hz
            largest_bytes = max(largest_bytes, (header.n_samples or 0) * (8 * len(header.signals) + 40))
        if bad:
            shown = "; ".join(bad[:4]) + (f"; and {len(bad) - 4} more" if len(bad) > 4 else "")
            raise DataError(f"the files of the records are not whole: {shown}", hint)
        return cls(tuple(stems), tuple(files), seconds, largest_bytes)

    def check_room(self, what: str) -> None:
        """Whether memory and disk hold the windows to be cut. Raises `DataError` when they do not."""
        windows_bytes = round(self.seconds * _BEATS_PER_S) * _WINDOW_BYTES
        memory_bytes = _BASE_BYTES + 2 * windows_bytes + self.largest_bytes
        check_room(f"cutting the beats of {what}", memory_bytes, windows_bytes, runs_root() / "windows")


def listed_records(folder: Path, title: str, fetch: str) -> list[Path]:
    """The records that the list of a database names. Raises `DataError` when it is not there, or empty."""
    index = folder / "RECORDS"
    names = index.read_text(encoding="utf-8").split() if index.is_file() else []
    if not names:
        why = "it lists no record" if index.is_file() else f"the list {index} is missing"
        raise DataError(f"no {title} in {folder}: {why}", f"Get it with `{fetch}`")
    return [folder / name for name in names]


def _sizes(header: RecordHeader) -> dict[str, int]:
    """Least bytes of each signal file."""
    bits: dict[str, int] = {}
    offsets: dict[str, int] = {}
    for signal in header.signals:
        bits[signal.file_name] = bits.get(signal.file_name, 0) + FORMAT_BITS.get(signal.fmt, 0)
        offsets[signal.file_name] = signal.byte_offset
    return {name: max(1, offsets[name] + n * (header.n_samples or 0) // 8) for name, n in bits.items()}


def _unless_whole(file: Path, n_bytes: int) -> list[str]:
    if not file.is_file():
        return [f"{file} is missing"]
    found = file.stat().st_size
    return [f"{file} has {found} bytes of {n_bytes}"] if found < n_bytes else []


def _unless_ended(file: Path) -> list[str]:
    """Annotations end with a zero word: where it is missing they were cut short."""
    try:
        with file.open("rb") as stream:
            stream.seek(-min(2, file.stat().st_size), os.SEEK_END)
            is_ended = stream.read() == b"\0\0"
    except OSError as error:
        return [f"{file} cannot be read: {error.strerror}"]
    return [] if is_ended else [f"{file} has no end mark, it is cut short"]
