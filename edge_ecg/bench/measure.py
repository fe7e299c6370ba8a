"""Measure models on this machine, in turns: whatever else it does meanwhile hits all of them alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from edge_ecg.bench.energy import Meter, find_meter
from edge_ecg.bench.fingerprint import Fingerprint
from edge_ecg.bench.labels import Agreement, agreement_of, labels_of
from edge_ecg.bench.results import KIND, RESULT_SCHEMA, BenchResult, Latency, ModelResult
from edge_ecg.bench.sensors import Watch
from edge_ecg.bench.stopwatch import OneCore, Stopped, all_cores, energy_of_beats, one_core
from edge_ecg.bench.subject import Model, Subject
from edge_ecg.bench.whole import Whole, measure_whole
from edge_ecg.manifest import ModelManifest
from edge_ecg.rhythm_manifest import RhythmManifest

__all__ = ["ROUNDS", "STEPS", "WHOLE_ROUNDS", "Bench"]

ROUNDS = 5
WHOLE_ROUNDS = 3
"""The pipeline takes its time, and is steadier."""
STEPS = 3
"""Of each model in each round, for a progress bar."""
_IDLE_S = 1.0


@dataclass(slots=True)
class _Found:
    """What the rounds of one model gave so far."""

    runs_on: str = ""
    rounds: list[OneCore] = field(default_factory=list)
    threaded_ns: list[list[int]] = field(default_factory=list)
    wholes: list[Whole] = field(default_factory=list)
    energies_uj: list[float] = field(default_factory=list)
    agreement: Agreement | None = None
    remarks: list[str] = field(default_factory=list)


class Bench:
    """One run over some models.

    Parameters
    ----------
    subjects
        The models.
    device
        What the user calls this machine.
    here
        What it is.
    n_beats
        Of each model, in all rounds together.
    stopped
        Says whether to end early.
    on_step
        Called with the name of a model `STEPS` times in each of its rounds, before a step is begun.
    watch, meter
        The sensors; None: those of this machine.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        device: str,
        here: Fingerprint,
        *,
        n_beats: int,
        stopped: Callable[[], bool] = lambda: False,
        on_step: Callable[[str], None] = lambda name: None,
        watch: Watch | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._subjects = subjects
        self._device = device
        self._here = here
        self._n_round = -(-n_beats // ROUNDS)
        self._stopped = stopped
        self._on_step = on_step
        self._watch = watch or Watch()
        self._meter = meter or find_meter()
        self._found = [_Found() for _ in subjects]

    def run(self) -> BenchResult | None:
        """Measure; when stopped, what is there of it; None when no model was measured."""
        begin_s, begin_utc = time.monotonic(), datetime.now(UTC)
        load, idle_w = _load(), self._idle_w()
        complete = True
        try:
            for number in range(ROUNDS):
                for subject, found in zip(self._subjects, self._found, strict=True):
                    self._round(subject, found, number)
        except Stopped:
            complete = False
        pairs = [(s, f) for s, f in zip(self._subjects, self._found, strict=True) if f.rounds]
        if not pairs:
            return None
        watch = self._watch
        missing = (*watch.missing, *(() if self._meter else ("energy",)))
        return BenchResult(
            kind=KIND,
            schema_version=RESULT_SCHEMA,
            device=self._device,
            measured_utc=begin_utc.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - begin_s, 1),
            complete=complete,
            rounds=max(len(found.rounds) for _, found in pairs),
            fingerprint=self._here,
            beat_sets={subject.beats: subject.sha256 for subject, _ in pairs},
            temperature_c=None
            if watch.first_c is None or watch.highest_c is None
            else (watch.first_c, watch.highest_c),
            throttled=watch.throttled,
            missing=missing,
            meter=None if self._meter is None else self._meter.name,
            idle_w=idle_w,
            load_before=load,
            models=tuple(self._result(subject, found) for subject, found in pairs),
        )

    def _round(self, subject: Subject, found: _Found, number: int) -> None:
        """All or nothing: a round that is cut short leaves nothing behind."""
        self._on_step(subject.manifest.id)
        core, model = one_core(subject, self._n_round, self._stopped)
        energy_uj = None if self._meter is None else energy_of_beats(model, subject.inputs, self._meter, self._stopped)
        self._on_step(subject.manifest.id)
        threads, threaded = self._here.usable_cores, list[int]()
        if threads > 1 and subject.is_network:
            threaded = all_cores(subject, self._n_round, threads, self._stopped)
        if number == 0:
            found.agreement, found.remarks = _agreement(model, subject)
            found.runs_on = model.runs_on
        self._on_step(subject.manifest.id)
        whole = self._whole(subject, number)
        found.rounds.append(core)
        found.threaded_ns += [threaded] if threaded else []
        found.energies_uj += [] if energy_uj is None else [energy_uj]
        if isinstance(whole, Whole):
            found.wholes.append(whole)
        elif whole and whole not in found.remarks:
            found.remarks.append(whole)
        self._watch.look()

    def _whole(self, subject: Subject, number: int) -> Whole | str | None:
        manifest = subject.manifest
        if isinstance(manifest, ModelManifest) and manifest.bench_only:
            return "no pipeline: for benchmarks only"
        if number >= WHOLE_ROUNDS:
            return None
        whole = measure_whole(subject.name, self._stopped)
        if whole is None:
            raise Stopped
        return whole

    def _idle_w(self) -> float | None:
        if self._meter is None:
            return None
        self._meter.begin()
        begin_s = time.perf_counter()
        while time.perf_counter() - begin_s < _IDLE_S and not self._stopped():
            time.sleep(0.1)
            self._meter.tick()
        joules = self._meter.joules()
        return None if joules is None else round(joules / (time.perf_counter() - begin_s), 4)

    def _result(self, subject: Subject, found: _Found) -> ModelResult:
        m, rounds = subject.manifest, found.rounds
        network = m if isinstance(m, ModelManifest) else None
        one = _latency([r.beats_ns for r in rounds], 1)
        overheads = [ns for r in rounds for ns in r.overhead_ns]
        in_place = [ns for r in rounds for ns in r.overhead_in_place_ns]
        cpus = tuple(round(w.cpu_ms, 3) for w in found.wholes)
        return ModelResult(
            id=m.id,
            kind="network" if network else "rhythm",
            network=network.network if network else "rhythm",
            dataset=_dataset(m),
            label_set=m.label_set,
            precision=network.precision if network else "int8",
            changes=network.changes if network else (),
            split=network.split if network else None,
            bytes=m.bytes,
            sha256=m.sha256,
            accuracy=network.metrics.accuracy if network else None,
            macro_f1=network.metrics.macro_f1 if network else None,
            n_test=network.metrics.n if network else None,
            runs_on=found.runs_on,
            load_ms=_median([r.load_ns for r in rounds], 1e6),
            first_us=_median([r.first_ns for r in rounds], 1e3),
            n_beats=one.n,
            p50_us=one.p50_us,
            p95_us=one.p95_us,
            p99_us=one.p99_us,
            max_us=one.max_us,
            rounds_p50_us=one.rounds_p50_us,
            all_threads=_latency(found.threaded_ns, self._here.usable_cores) if found.threaded_ns else None,
            beats_per_s=round(float(np.median([r.beats_per_s for r in rounds])), 1),
            overhead_us=_median(overheads, 1e3) if overheads else None,
            overhead_in_place_us=_median(in_place, 1e3) if in_place else None,
            pipeline_cpu_ms=_median(cpus, 1.0) if cpus else None,
            rounds_pipeline_cpu_ms=cpus,
            memory_mb=_median([w.memory_mb for w in found.wholes], 1.0) if found.wholes else None,
            energy_uj=_median(found.energies_uj, 1.0) if found.energies_uj else None,
            agreement=found.agreement,
            remarks=tuple(found.remarks),
        )


def _dataset(manifest: ModelManifest | RhythmManifest) -> str:
    if isinstance(manifest, ModelManifest):
        return manifest.dataset
    return "+".join(sorted({record.partition("/")[0] for record in manifest.records}))


def _agreement(model: Model, subject: Subject) -> tuple[Agreement | None, list[str]]:
    manifest = subject.manifest
    if manifest.golden_labels is None:
        return None, [
            "no golden labels in its manifest: made before there were any, or of classes that no beat set has"
        ]
    given = labels_of(model, manifest.label_set)
    agreement = None if given is None else agreement_of(given, manifest.golden_labels)
    return agreement, [] if agreement else ["its golden labels are of other beats than those that ship here"]


def _latency(rounds_ns: Sequence[Sequence[int]], threads: int) -> Latency:
    times_us = np.concatenate([np.array(times) for times in rounds_ns]) / 1e3
    p50, p95, p99 = (round(float(x), 2) for x in np.percentile(times_us, [50, 95, 99]))
    medians = tuple(_median(times, 1e3) for times in rounds_ns)
    return Latency(threads, len(times_us), p50, p95, p99, round(float(times_us.max()), 2), medians)


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def _median(values: Sequence[float], unit: float) -> float:
    return round(float(np.median(values)) / unit, 3)
