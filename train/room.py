"""Room for what is about to be made: told before the work starts, not after half of it."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge_ecg.errors import DataError

__all__ = ["check_room", "free_memory_bytes"]

_CGROUP = Path("/sys/fs/cgroup")


def check_room(what: str, memory_bytes: int, disk_bytes: int = 0, folder: Path | None = None) -> None:
    """Refuse work that will not fit.

    Parameters
    ----------
    what
        The work, for the message.
    memory_bytes
        What it takes at its peak.
    disk_bytes, folder
        What it writes, and where; the folder need not be there yet.

    Raises
    ------
    DataError
        Too little memory or disk, with both figures.
    """
    free = free_memory_bytes()
    if free is not None and free < memory_bytes:
        raise DataError(
            f"{what} takes about {_mb(memory_bytes)} of memory, free are {_mb(free)}",
            "Close other programs, or work on a larger machine",
        )
    if folder is None:
        return
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path("/"))
    free = shutil.disk_usage(there).free
    if free < disk_bytes:
        raise DataError(
            f"{what} takes about {_mb(disk_bytes)} of disk in {folder}, free are {_mb(free)}",
            "Remove old runs there, or name another folder in EDGE_ECG_RUNS",
        )


def free_memory_bytes() -> int | None:
    """What a process may still take, by the kernel and by the limit of its container; None where neither says."""
    known = [n for n in (_meminfo_bytes(), _cgroup_bytes()) if n is not None]
    return min(known) if known else None


def _meminfo_bytes() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _cgroup_bytes() -> int | None:
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        cache = [line.split() for line in (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError):
        return None
    # Pages of files that nobody wrote to are given back when they are wanted.
    given_back = next((int(n) for name, n in cache if name == "inactive_file"), 0)
    return int(limit) - used + given_back if limit.isdecimal() else None


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.0f} MB"
