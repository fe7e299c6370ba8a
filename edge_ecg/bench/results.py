"""The file of one benchmark run: what `bench run` writes, and `bench report` reads and compares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge_ecg.bench.fingerprint import Fingerprint
from edge_ecg.bench.labels import Agreement
from edge_ecg.errors import DataError
from edge_ecg.schema import decode, encode

__all__ = [
    "KIND",
    "RESULT_SCHEMA",
    "BenchResult",
    "Latency",
    "ModelResult",
    "check_same_beats",
    "read_result",
    "text_of",
]

KIND = "edge-ecg bench"
RESULT_SCHEMA = 1
_LARGEST = 50_000_000


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one beat, from its window to its probabilities, ``n`` times after a warm-up.

    Attributes
    ----------
    rounds_p50_us
        The median of each round: their spread says how far the figures can be trusted.
    """

    threads: int
    n: int
    p50_us: float
    p95_us: float
    p99_us: float
    max_us: float
    rounds_p50_us: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_times(self)


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model on one device.

    Attributes
    ----------
    id, kind, network, dataset, label_set, precision, changes, split, bytes, sha256, accuracy, macro_f1, n_test
        As its manifest says; figures of the test part of ``split``, fractions. None for a rhythm model, whose figures
        are of other people and rules.
    runs_on
        The interpreter.
    load_ms
        From its files to ready, median of the rounds.
    first_us
        The first beat after that, median of the rounds.
    p50_us, p95_us, p99_us, max_us, rounds_p50_us
        One thread on one core, as `Latency`; ``n_beats`` of them.
    all_threads
        With a thread for each core; None where it has only one, or the model runs on one only.
    beats_per_s
        Many beats at once, one thread.
    overhead_us
        Of a beat what is not the network, timed without it: quantising, setting, getting, dequantising, in Python. None
        where there is no interpreter.
    overhead_in_place_us
        The same between two beats: a beat less the network run again on it. More, since a network leaves the caches
        full of itself.
    pipeline_cpu_ms
        CPU time for one second of ECG, samples to labels, ms; ``rounds_pipeline_cpu_ms`` of each round.
    memory_mb
        Resident, of a process that did that.
    energy_uj
        For one beat, all that the meter sees; None without a meter.
    agreement
        Labels here beside the golden ones of the manifest; None when it has none.
    remarks
        What was not measured, and why.
    """

    id: str
    kind: str
    network: str
    dataset: str
    label_set: str
    precision: str
    changes: tuple[str, ...]
    split: str | None
    bytes: int
    sha256: str
    accuracy: float | None
    macro_f1: float | None
    n_test: int | None
    runs_on: str
    load_ms: float
    first_us: float
    n_beats: int
    p50_us: float
    p95_us: float
    p99_us: float
    max_us: float
    rounds_p50_us: tuple[float, ...]
    all_threads: Latency | None
    beats_per_s: float
    overhead_us: float | None
    overhead_in_place_us: float | None
    pipeline_cpu_ms: float | None
    rounds_pipeline_cpu_ms: tuple[float, ...]
    memory_mb: float | None
    energy_uj: float | None
    agreement: Agreement | None
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_times(self)
        if self.bytes <= 0:
            raise ValueError(f'"bytes" of {self.id} must be above 0')
        if (self.accuracy is None) != (self.macro_f1 is None):
            raise ValueError(f'"accuracy" and "macro_f1" of {self.id} must both be there, or neither')
        if not all(0.0 <= figure <= 1.0 for figure in (self.accuracy, self.macro_f1) if figure is not None):
            raise ValueError(f'"accuracy" and "macro_f1" of {self.id} must be from 0 to 1')

    @property
    def form(self) -> str:
        """Precision, and what was changed before: ``int8``, ``int8, pruned 0.8``."""
        return ", ".join([self.precision, *self.changes])


@dataclass(frozen=True, slots=True)
class BenchResult:
    """One run.

    Attributes
    ----------
    device
        What the user calls it.
    complete
        False when it was stopped: the models in it have fewer beats, or are not all that were asked for.
    rounds
        How often all models were gone through in turns.
    beat_sets
        Hash of each set that was labelled, by name.
    temperature_c
        Of the hottest zone, before and at the highest; None without a sensor.
    throttled
        What slowed the device down meanwhile; its figures are then not those of a cool, well fed one.
    missing
        Sensors that it does not have.
    meter
        What told the energy.
    idle_w
        Power while nothing was asked of it.
    load_before
        Processes that wanted to run in the minute before; those of others make times longer and rougher.
    """

    kind: str
    schema_version: int
    device: str
    measured_utc: str
    seconds: float
    complete: bool
    rounds: int
    fingerprint: Fingerprint
    beat_sets: dict[str, str]
    temperature_c: tuple[float, float] | None
    throttled: tuple[str, ...]
    missing: tuple[str, ...]
    meter: str | None
    idle_w: float | None
    load_before: float | None
    models: tuple[ModelResult, ...]

    @property
    def is_busy(self) -> bool:
        """Whether others had much of the machine."""
        return self.load_before is not None and self.load_before > 0.5 * self.fingerprint.usable_cores

    def __post_init__(self) -> None:
        if not self.device.strip() or not self.device.isprintable():
            raise ValueError('"device" must be a name')
        try:
            datetime.fromisoformat(self.measured_utc)
        except ValueError:
            raise ValueError('"measured_utc" must be a time') from None
        if not self.models:
            raise ValueError('"models" is empty')
        if len({m.id for m in self.models}) < len(self.models):
            raise ValueError('"models" has one of them twice')
        if not all(m.id.isprintable() for m in self.models):
            raise ValueError('an "id" in "models" is no name')


def _check_times(of: Latency | ModelResult) -> None:
    """Raise `ValueError` for times that no clock gives: axes of the report are logarithmic."""
    if not of.rounds_p50_us or min(of.p50_us, of.p95_us, of.p99_us, of.max_us, *of.rounds_p50_us) <= 0.0:
        raise ValueError("times of a beat must be there, and above 0")


def text_of(result: BenchResult) -> str:
    """The file."""
    return json.dumps(encode(result), indent=1, allow_nan=False) + "\n"


def read_result(file: Path) -> BenchResult:
    """Read a run. Raises `DataError` when the file is damaged, of something else, or of another version."""
    again = "Leave it out, or measure again with `edge-ecg bench run`"
    try:
        if file.stat().st_size > _LARGEST:
            raise DataError(f"{file} is too large for a benchmark result", again)
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "cut short or damaged"
        raise DataError(f"{file} cannot be read: {reason}", again) from None
    if not isinstance(read, dict) or read.get("kind") != KIND:
        raise DataError(f"{file} is no result of `edge-ecg bench run`", again)
    if read.get("schema_version") != RESULT_SCHEMA:
        version = read.get("schema_version")
        raise DataError(f"{file} has schema version {version!r}, this program reads {RESULT_SCHEMA}", "Update edge-ecg")
    return decode(BenchResult, read, where=str(file), error=DataError)


def check_same_beats(results: Sequence[tuple[str, BenchResult]]) -> None:
    """Raise `DataError` when two of the runs, given with their names, labelled different beats of one set."""
    seen: dict[str, tuple[str, str]] = {}
    for name, result in results:
        for beats, sha256 in result.beat_sets.items():
            first, known = seen.setdefault(beats, (name, sha256))
            if known != sha256:
                raise DataError(
                    f"{first} and {name} cannot be compared: their beat sets {beats!r} differ "
                    f"({known[:12]} and {sha256[:12]})",
                    "Measure again with one edge-ecg on both, or report them apart",
                )
