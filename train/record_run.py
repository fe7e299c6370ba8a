"""The result of one record run end to end: what it holds, where it is kept, when it may be used again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import edge_ecg
from edge_ecg.datasets import data_root
from edge_ecg.errors import DataError, EdgeEcgError
from edge_ecg.io import Annotations, read_header, write_annotations
from edge_ecg.labels import OperatingPoint
from edge_ecg.manifest import load_any
from edge_ecg.schema import decode
from firmware_bridge import wire
from train.noise import NOISES

__all__ = ["ANNOTATOR", "Noise", "RecordRun", "Task", "held", "keep"]

ANNOTATOR = "edge"


@dataclass(frozen=True, slots=True)
class Noise:
    """A noise (a name of `train.noise.NOISES` or a path) and its strength; of a known name the second half."""

    name: str
    snr_db: float


@dataclass(frozen=True, slots=True)
class Task:
    """One record to run: a path without suffix, what labels it and how, the folder that takes its results."""

    stem: Path
    bundle: str
    out: Path
    lead: str | None = None
    noise: Noise | None = None
    operating_point: OperatingPoint | None = None

    @property
    def result_file(self) -> Path:
        """Where the run of this record is kept."""
        return self.out / "records" / f"{self.stem.name}.json"

    def inputs_sha256(self) -> str:
        """Changes with all that the result depends on: record, model, options, and the code itself."""
        digest = hashlib.sha256(f"{_code_sha256()} {load_any(self.bundle).manifest.sha256} {self.lead}".encode())
        files = [self.stem, *([_noise_stem(self.noise.name)] if self.noise else [])]
        digest.update(repr((self.noise, self.operating_point)).encode())
        for stem in files:
            header = stem.with_name(f"{stem.name}.hea")
            signals = {stem.parent / s.file_name for s in read_header(stem).signals}
            for file in [header, *sorted(signals), stem.with_name(f"{stem.name}.atr")]:
                digest.update(_file_sha256(file, file.stat().st_mtime_ns) if file.is_file() else b"absent")
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class RecordRun:
    """What the device said of one record, beside its annotations. Positions are samples of the record.

    Attributes
    ----------
    lead
        The lead that was labelled.
    r_pos, labels, flags, quality
        One each per beat that was found.
    lag_s
        Stream time from each R to the last sample that its label needed.
    shutdown
        Half-open intervals in which the device declared the signal unusable: noise, electrode off, gap.
    reference, symbols
        All annotations of the record.
    annotated, annotated_labels
        The annotated beats of the five classes, and what the same classifier says of windows cut at them.
    cpu_s
        Processor time from bytes to labels.
    """

    record: str
    inputs_sha256: str
    fs_hz: float
    n_samples: int
    lead: str
    r_pos: tuple[float, ...]
    labels: tuple[str, ...]
    flags: tuple[tuple[str, ...], ...]
    quality: tuple[float, ...]
    lag_s: tuple[float, ...]
    shutdown: tuple[tuple[int, int], ...]
    reference: tuple[int, ...]
    symbols: tuple[str, ...]
    annotated: tuple[int, ...]
    annotated_labels: tuple[str, ...]
    cpu_s: float


def keep(task: Task, run: RecordRun) -> None:
    """Write the annotation file, then the result: one that is there is whole."""
    # As `bxb` reads it: `~` of subtype -1 begins a shutdown, one of subtype 0 ends it.
    marks = [(round(r), name, 0) for r, name in zip(run.r_pos, run.labels, strict=True)]
    marks += [(at, "~", subtype) for a, b in run.shutdown for at, subtype in ((a, -1), (b, 0))]
    marks.sort(key=lambda mark: mark[0])
    notes = Annotations.of(
        [m[0] for m in marks], [m[1] for m in marks], subtype=[m[2] for m in marks], fs_hz=run.fs_hz
    )
    part = task.result_file.with_suffix(f".{os.getpid()}.part")
    try:
        task.result_file.parent.mkdir(parents=True, exist_ok=True)
        write_annotations(task.out / f"{run.record}.{ANNOTATOR}", notes)
        part.write_text(json.dumps(asdict(run)), encoding="utf-8")
        part.replace(task.result_file)
    except OSError as error:
        raise DataError(f"cannot write into {task.out}: {error.strerror}", "Name another folder with --out") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def held(task: Task) -> RecordRun | None:
    """The result of an earlier run with the same inputs; None when there is none, or nothing whole."""
    try:
        table = json.loads(task.result_file.read_text(encoding="utf-8"))
        run = decode(RecordRun, table, where=str(task.result_file), error=DataError)
    except (OSError, ValueError, EdgeEcgError):
        return None
    written = (task.out / f"{run.record}.{ANNOTATOR}").is_file()
    return run if written and run.inputs_sha256 == task.inputs_sha256() else None


def _noise_stem(name: str) -> Path:
    return data_root() / "nstdb" / name if name in NOISES else Path(name).expanduser().with_suffix("")


@cache
def _file_sha256(file: Path, _changed_ns: int) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()


@cache
def _code_sha256() -> str:
    """Of all that makes a result: the runtime with its weights, the link, and what joins them here."""
    package = Path(edge_ecg.__file__).parent
    left_out = {"models", "excerpts", "cli", "scoring", "sinks", "__pycache__"}
    files = [f for f in package.rglob("*") if f.is_file() and not left_out & set(f.relative_to(package).parts)]
    files += Path(wire.__file__).parent.rglob("*.py")
    files += [Path(__file__).with_name(name) for name in ("device.py", "end_to_end.py", "noise.py", "record_run.py")]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
