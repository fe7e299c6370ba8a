"""Times of single beats: on one core and thread, or with a thread for each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_ecg.bench.energy import Meter
from edge_ecg.bench.subject import Model, Subject, open_bundle
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.manifest import load_any

__all__ = ["OneCore", "Stopped", "all_cores", "energy_of_beats", "one_core"]

_WARM_UP = 50
_OVERHEAD_BEATS = 200
_ENERGY_S = 1.0
_TICK_BEATS = 200


class Stopped(Exception):  # noqa: N818
    """Ctrl-C came: what this round measured does not count."""


@dataclass(slots=True)
class OneCore:
    """One round of one model: times in ns, a rate in beats a second."""

    load_ns: int
    first_ns: int
    beats_ns: list[int] = field(default_factory=list)
    overhead_ns: list[int] = field(default_factory=list)
    overhead_in_place_ns: list[int] = field(default_factory=list)
    beats_per_s: float = 0.0


def one_core(subject: Subject, n_beats: int, stopped: Callable[[], bool]) -> tuple[OneCore, Model]:
    """One round: load, first beat, ``n_beats`` after a warm-up, all beats at once; and the model. Raises `Stopped`."""
    with _pinned():
        begin = time.perf_counter_ns()
        model = open_bundle(load_any(subject.name))
        loaded = time.perf_counter_ns()
        model.classify(subject.inputs[0])
        found = OneCore(loaded - begin, time.perf_counter_ns() - loaded)
        found.beats_ns = _times_ns(model.classify, subject.inputs, n_beats, stopped)
        if isinstance(model, TfliteClassifier):
            found.overhead_ns = _times_ns(model.hand_over, subject.inputs, _OVERHEAD_BEATS, stopped)
            found.overhead_in_place_ns = _in_place_ns(model, subject.inputs, stopped)
        begin = time.perf_counter_ns()
        model.classify_many(subject.inputs)
        found.beats_per_s = len(subject.inputs) / (time.perf_counter_ns() - begin) * 1e9
    return found, model


def all_cores(subject: Subject, n_beats: int, threads: int, stopped: Callable[[], bool]) -> list[int]:
    """Times of ``n_beats`` with several threads, ns. Raises `Stopped`."""
    return _times_ns(open_bundle(load_any(subject.name), threads).classify, subject.inputs, n_beats, stopped)


def energy_of_beats(
    model: Model, inputs: NDArray[np.float32], meter: Meter, stopped: Callable[[], bool]
) -> float | None:
    """Energy of one beat while it labels for a second, uJ; None when the meter failed. Raises `Stopped`."""
    n, until_s = 0, time.perf_counter() + _ENERGY_S
    with _pinned():
        meter.begin()
        while time.perf_counter() < until_s:
            for k in range(_TICK_BEATS):
                model.classify(inputs[(n + k) % len(inputs)])
                _check(stopped)
            n += _TICK_BEATS
            meter.tick()
        joules = meter.joules()
    return None if joules is None else 1e6 * joules / n


def _times_ns(
    call: Callable[[NDArray[np.float32]], object], inputs: NDArray[np.float32], n: int, stopped: Callable[[], bool]
) -> list[int]:
    times, clock = [], time.perf_counter_ns
    for k in range(-_WARM_UP, n):
        beat = inputs[k % len(inputs)]
        begin = clock()
        call(beat)
        taken = clock() - begin
        if k >= 0:
            times.append(taken)
        _check(stopped)
    return times


def _in_place_ns(model: TfliteClassifier, inputs: NDArray[np.float32], stopped: Callable[[], bool]) -> list[int]:
    """Of each beat, the whole less the network run once more on the same input."""
    differences, clock = [], time.perf_counter_ns
    for beat in inputs[:_OVERHEAD_BEATS]:
        begin = clock()
        model.classify(beat)
        between = clock()
        model.run_again()
        differences.append(2 * between - begin - clock())
        _check(stopped)
    return differences


def _check(stopped: Callable[[], bool]) -> None:
    if stopped():
        raise Stopped


@contextmanager
def _pinned() -> Iterator[None]:
    """On the last core: of a processor with large and small ones, a large one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
