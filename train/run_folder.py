"""The run folder while it is trained: one process at a time, and the files of an epoch all or none."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_ecg.errors import DataError, UsageError
from train.run import read_run

try:
    import fcntl
except ImportError:  # Windows: no lock there.
    fcntl = None  # type: ignore[assignment]

__all__ = ["replaced_together", "told_when_full", "training_in"]

LOCK = "lock"
_PART = "part"


@contextmanager
def training_in(folder: Path) -> Iterator[None]:
    """Hold the folder, made if it is not there, for one training. The lock ends with the process, however that ends.

    Raises
    ------
    UsageError
        Another process trains in it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"{_PART}.{os.getpid()}"
        probe.touch()
        probe.unlink()
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UsageError(
            f"cannot write to the run folder {folder}: {error.strerror or error}",
            "Make it writable, or name another with --out or EDGE_ECG_RUNS",
        ) from None
    try:
        if fcntl is not None:
            # A file system that knows no locks is trained on without.
            with contextlib.suppress(OSError):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise UsageError(
                        f"{folder} is being trained by another process",
                        "Wait for it or stop it, or train into another folder with --out",
                    ) from None
        yield
    finally:
        os.close(lock)


@contextmanager
def replaced_together(folder: Path) -> Iterator[Path]:
    """A place for new files, which replace those of the folder at the end: when one cannot be written, none does."""
    part = folder / _PART
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        # By name, so the weights before the run that tells of them.
        for file in sorted(part.iterdir()):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def told_when_full(folder: Path, again: str) -> Iterator[None]:
    """What cannot be written becomes a `DataError` that tells what is kept, and the command that goes on."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        try:
            run = read_run(folder)
            kept = f"epoch {run.best_epoch}, the best of {run.epochs_done}, is kept"
            hint = f"Make room, then go on: {again}"
        except DataError:
            kept, hint = "no epoch is kept", "Make room and train again, or into another folder with --out"
        raise DataError(f"cannot write to {folder}: {reason}; {kept}", hint) from None
