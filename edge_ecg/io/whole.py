"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["replaced", "write_whole"]


@contextlib.contextmanager
def replaced(file: Path) -> Iterator[Path]:
    """Give the name to write to; what was written there is synced and takes the place of ``file``.

    An error within leaves ``file`` as it was.
    """
    part = file.with_name(f"{file.name}.part")
    try:
        yield part
        _sync(part)
        part.replace(file)
        _sync(file.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_whole(file: Path, data: bytes) -> None:
    """Write a file, or leave it as it was. Raises `OSError`."""
    with replaced(file) as part:
        part.write_bytes(data)


def _sync(path: Path) -> None:
    held = os.open(path, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
