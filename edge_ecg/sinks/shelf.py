"""The folder of the recordings: a folder a day, names of records, room on the disk, and what is too old to keep."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

from edge_ecg.errors import DataError
from edge_ecg.io.append import SUFFIXES, is_growing, mend_record

__all__ = ["Shelf"]

GB = 1_000_000_000
PROBE_BYTES = 65536
LARGEST_SHARE = 0.1
"""Of what may be, in one record: one that grows is not removed, so it must end for the limit to hold."""
ROOM_AGAIN = 1.05
"""Recording goes on with this much more than the least free space, not to pause again at once."""

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_RECORD = re.compile(r"[A-Za-z0-9_-]+_([0-9]{6})(?:_([0-9]+))?")


@dataclass(frozen=True, slots=True)
class _Kept:
    """A record on the shelf."""

    stem: Path
    began: tuple[str, str, int]
    n_bytes: int


class Shelf:
    """Knows where records lie. Files that are no records of ours are left alone.

    Parameters
    ----------
    folder
        Made when it is not there.
    max_gb
        Above this the oldest records go; None: never.
    min_free_gb
        Below this there is no room.
    """

    def __init__(self, folder: Path, max_gb: float | None, min_free_gb: float) -> None:
        self.folder = folder
        self._max_bytes = None if max_gb is None else max_gb * GB
        self._min_free_bytes = min_free_gb * GB

    def new_stem(self, subject: str, start: datetime) -> Path:
        """A free name in the folder of the day, which is made. Raises `OSError`."""
        folder = self.folder / f"{start:%Y-%m-%d}"
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        name = f"{subject}_{start:%H%M%S}"
        for number in count(2):
            stem = folder / name
            if not any(stem.with_name(stem.name + suffix).exists() for suffix in SUFFIXES):
                break
            name = f"{subject}_{start:%H%M%S}_{number}"
        return stem

    def check_room(self, times: float = 1.0) -> None:
        """Raise `OSError` when less than the least space is free."""
        if not self._min_free_bytes:
            return
        found = os.statvfs(self.folder)
        free_bytes = found.f_bavail * found.f_frsize
        if free_bytes < times * self._min_free_bytes:
            told = f"{free_bytes / GB:.3g} GB free, less than min_free_gb = {self._min_free_bytes / GB:g}"
            raise OSError(errno.ENOSPC, told)

    def check_again(self) -> None:
        """Raise `OSError` unless there is room again, and it can be written to."""
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.check_room(ROOM_AGAIN)
        probe = self.folder / ".edge-ecg-room.part"
        try:
            probe.write_bytes(b"\0" * PROBE_BYTES)
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)

    def mend(self) -> None:
        """Finish what a kill or a power cut left unfinished. What cannot be finished stays as it is: it reads, too."""
        for kept in self._records():
            with contextlib.suppress(OSError, DataError):
                mend_record(kept.stem)

    def is_large(self, n_bytes: int) -> bool:
        """Whether a record of this size must end."""
        return self._max_bytes is not None and n_bytes > LARGEST_SHARE * self._max_bytes

    def remove_oldest(self) -> None:
        """Remove the oldest records while there is more than may be, and day folders that are empty then.

        A record that still grows is not removed.
        """
        if self._max_bytes is None:
            return
        records = sorted(self._records(), key=lambda kept: kept.began)
        n_bytes = sum(kept.n_bytes for kept in records)
        for kept in records:
            if n_bytes <= self._max_bytes:
                break
            with contextlib.suppress(OSError):  # not ours to remove: the next one goes instead
                if is_growing(kept.stem):
                    continue
                for suffix in SUFFIXES:  # the header first: what is half removed is no record, and goes the next time
                    kept.stem.with_name(kept.stem.name + suffix).unlink(missing_ok=True)
                n_bytes -= kept.n_bytes
                kept.stem.parent.rmdir()  # refused while it holds anything

    def _records(self) -> list[_Kept]:
        """All records; what lacks a header, too, since it takes room."""
        found: dict[Path, int] = {}
        for day in _entries(self.folder):
            if not (_DAY.fullmatch(day.name) and day.is_dir(follow_symlinks=False)):
                continue
            for entry in _entries(Path(day.path)):
                stem, suffix = os.path.splitext(entry.name)
                if suffix in SUFFIXES and _RECORD.fullmatch(stem) and entry.is_file(follow_symlinks=False):
                    path = Path(day.path) / stem
                    with contextlib.suppress(OSError):
                        found[path] = found.get(path, 0) + entry.stat().st_size
        return [_Kept(stem, _began(stem), n_bytes) for stem, n_bytes in found.items()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _began(stem: Path) -> tuple[str, str, int]:
    """Day, time and number in the name: what sorts records by age."""
    found = _RECORD.fullmatch(stem.name)
    assert found is not None
    return stem.parent.name, found[1], int(found[2] or 1)
