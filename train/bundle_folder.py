"""The folder of a bundle: how a new one takes the place of an old one, all or nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from edge_ecg.errors import DataError, UsageError

__all__ = ["check_target", "replace_folder"]


def check_target(folder: Path, files: Collection[str]) -> None:
    """Refuse a place for a bundle that holds something else, which writing the bundle would remove.

    Parameters
    ----------
    folder
        Where the bundle shall go.
    files
        What may lie in an older bundle there.

    Raises
    ------
    UsageError
        When ``folder`` is a file, or holds more than an older bundle, or cannot be written beside.
    """
    hint = "Name another folder with --out"
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is there and is no folder", hint)
    foreign = sorted({p.name for p in folder.iterdir()} - set(files)) if folder.exists() else []
    if foreign:
        raise UsageError(f"{folder} holds what is no part of a bundle: {', '.join(foreign[:3])}", hint)
    try:
        folder.resolve().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder of {folder}: {error.strerror}", hint) from None


def replace_folder(folder: Path, files: Mapping[str, bytes], check: Callable[[Path], object]) -> None:
    """Write files, check them, and only then put their folder in the place of ``folder``: all or nothing.

    Parameters
    ----------
    folder
        What is replaced, or is not there yet.
    files
        Contents by relative path.
    check
        Called with the new folder before it takes its place; what it raises leaves the old one.

    Raises
    ------
    DataError
        It cannot be written: a full disk, a folder without rights.
    """
    target = folder.resolve()
    held = "the bundle there is as it was" if target.exists() else "nothing is left of it"
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".bundle-") as scratch:
            new, old = Path(scratch) / "new", Path(scratch) / "old"
            for name, content in files.items():
                file = new / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            check(new)
            _swap(target, new, old)
    except OSError as error:
        raise DataError(
            f"cannot write the bundle {folder}: {error.strerror or error}; {held}",
            "Make room there, or name another folder with --out",
        ) from None


def _swap(target: Path, new: Path, old: Path) -> None:
    try:
        if target.exists():
            target.replace(old)
        new.replace(target)
    except BaseException:
        # Ctrl-C, too.
        if old.exists() and not target.exists():
            old.replace(target)
        raise
