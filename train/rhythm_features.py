"""Features of the records that the rhythm model learns from, kept from one training to the next."""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import edge_ecg
from edge_ecg.context.tracker import ContextParams
from edge_ecg.errors import DataError
from edge_ecg.front import inputs_of_record
from edge_ecg.io.arrays import pack_arrays, unpack_arrays
from train.noise import first_half, read_noise
from train.processes import each_in_turn
from train.rhythm_fit import RecordRows
from train.rhythm_records import disturbed, read_labelled, stem_of
from train.window_set import runs_root

__all__ = ["Wish", "rows_of"]

_NOISES = ("bw", "ma")
_COPY_SEED = 1


@dataclass(frozen=True, slots=True)
class Wish:
    """A record of a database under ``root``, as it is, or its disturbed copy."""

    root: Path
    database: str
    name: str
    is_copy: bool = False

    def file(self) -> Path:
        """Where its rows are kept: another place when the record or the code is another."""
        stem = stem_of(self.root, self.database, self.name)
        digest = hashlib.sha256(f"{_code_sha256()} {self.is_copy}".encode())
        for suffix in (".hea", ".dat", ".atr"):
            with contextlib.suppress(OSError):
                digest.update(stem.with_name(stem.name + suffix).read_bytes())
        copy = "-disturbed" if self.is_copy else ""
        return runs_root() / "features" / f"{self.database}-{self.name}{copy}-{digest.hexdigest()[:12]}.npz"


def rows_of(wishes: Sequence[Wish], jobs: int, progress: Callable[[Wish], None] | None = None) -> list[RecordRows]:
    """Rows of all records, in their order; each is kept as soon as it is there, and made only once.

    Parameters
    ----------
    wishes
        The records.
    jobs
        Processes.
    progress
        Called with each that is there.

    Raises
    ------
    DataError
        A record or the noise cannot be read, or the rows not be written.
    """
    rows: dict[int, RecordRows] = {}
    wanted: list[int] = []
    for k, wish in enumerate(wishes):
        kept = _held(wish)
        if kept is None:
            wanted.append(k)
            continue
        rows[k] = kept
        if progress:
            progress(wish)
    with contextlib.closing(each_in_turn(_made, [wishes[k] for k in wanted], min(jobs, len(wanted)))) as work:
        for k, made in work:
            rows[wanted[k]] = made
            if progress:
                progress(wishes[wanted[k]])
    return [rows[k] for k in range(len(wishes))]


def _held(wish: Wish) -> RecordRows | None:
    try:
        held = unpack_arrays(wish.file().read_bytes(), what="rows", error=DataError)
        hours = float(held["hours"])
        return RecordRows(wish.database, wish.name, wish.is_copy, hours, held["x"], held["labels"])
    except (OSError, DataError, KeyError):
        return None


def _made(wish: Wish) -> RecordRows:
    record = read_labelled(wish.root, wish.database, wish.name)
    if wish.is_copy:
        # Its own seed, so that neither the order nor the number of processes matters.
        rng = np.random.default_rng([zlib.crc32(f"{wish.database}/{wish.name}".encode()), _COPY_SEED])
        record, _ = disturbed(record, _noises(), rng)
    beats = inputs_of_record(record.samples_mv, record.fs_hz, record.r, ContextParams())
    x = np.stack([beat.inputs for beat in beats])
    file = wish.file()
    part = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(pack_arrays({"x": x, "labels": record.labels, "hours": np.array(record.hours)}))
        part.replace(file)
    except OSError as error:
        raise DataError(f"cannot write {file}: {error.strerror}", "Make room, or name another EDGE_ECG_RUNS") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return RecordRows(wish.database, wish.name, wish.is_copy, record.hours, x, record.labels)


@cache
def _noises() -> dict[str, tuple[np.ndarray, float]]:
    noises = {name: read_noise(name) for name in _NOISES}
    return {name: (first_half(noise_mv[:, 0]), fs_hz) for name, (noise_mv, fs_hz) in noises.items()}


@cache
def _code_sha256() -> str:
    """Of all that makes a row."""
    package = Path(edge_ecg.__file__).parent
    files = [*(package / "context").glob("*.py"), *(package / "dsp").glob("*.py"), package / "front.py"]
    files += [package / "labels.py", *(package / "io").glob("*.py")]
    files += [Path(__file__).with_name(name) for name in ("rhythm_features.py", "rhythm_records.py", "noise.py")]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
