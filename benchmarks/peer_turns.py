"""Libraries take turns: each in its process, one slice of beats after the other, in another order each round."""

from __future__ import annotations

import contextlib
import json
import random
import re
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_ecg.errors import DataError

__all__ = ["Child", "Spread", "Timed", "orders", "paired_ratio", "slice_size", "spread_of", "take_turns"]

Beat = Sequence[int]
"""Nanoseconds by the clock, nanoseconds of CPU."""
SLICE = 100
"""Beats of one call before the next one has its turn."""
SLOW_S = 0.004
"""A beat that takes longer makes a slice alone, and in one round of `SELDOM`: Keras, and the reference kernels of
TensorFlow Lite Micro."""
SELDOM = 4


@dataclass(frozen=True, slots=True)
class Spread:
    """Of one beat, ``n`` times, µs: by the clock, and the median of the process's CPU time.

    On a busy machine a beat that takes longer than the scheduler's turn waits within it: then only its CPU time says
    what it costs.
    """

    n: int
    p50_us: float
    p95_us: float
    p99_us: float
    max_us: float
    cpu_p50_us: float


@dataclass(frozen=True, slots=True)
class Timed:
    """One call in one run: its spread, and by round the median of its slice, µs."""

    spread: Spread
    by_round_us: Mapping[int, float]


def spread_of(times_ns: Sequence[Beat]) -> Spread:
    """Percentiles of beats, each its nanoseconds by the clock and of CPU; raises `ValueError` without any."""
    if not len(times_ns):
        raise ValueError("no times")
    wall_ns, cpu_ns = zip(*times_ns, strict=True)
    p50, p95, p99, most = (round(float(x) / 1e3, 2) for x in np.percentile(wall_ns, [50, 95, 99, 100]))
    return Spread(len(times_ns), p50, p95, p99, most, round(statistics.median(cpu_ns) / 1e3, 2))


def orders(n_calls: int, n_rounds: int, seed: int) -> Iterator[list[int]]:
    """Which call comes when, in each round: shuffled, so that none always follows the same other one."""
    rng = random.Random(seed)
    for _ in range(n_rounds):
        order = list(range(n_calls))
        rng.shuffle(order)
        yield order


def slice_size(beat_s: float) -> int:
    """Beats in a slice of a call that takes this long for one."""
    return 1 if beat_s > SLOW_S else SLICE


def paired_ratio(slower: Timed, faster: Timed) -> float:
    """How many times faster, from slices of the same rounds: what else the machine did hit both alike."""
    common = slower.by_round_us.keys() & faster.by_round_us.keys()
    return statistics.median(slower.by_round_us[k] / faster.by_round_us[k] for k in common)


def take_turns(
    calls: Mapping[str, Callable[[int, int], list[Beat]]],
    n_rounds: int,
    seed: int,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Timed]:
    """One run of all calls.

    Parameters
    ----------
    calls
        By name; each takes the number of its first beat and how many, and gives their times.
    n_rounds, seed
        Of `orders`.
    progress
        Called after each round.
    """
    names = list(calls)
    sizes = {name: slice_size(statistics.median(cpu for _, cpu in calls[name](0, 5)) / 1e9) for name in names}
    times: dict[str, list[Beat]] = {name: [] for name in names}
    medians: dict[str, dict[int, float]] = {name: {} for name in names}
    for nth, order in enumerate(orders(len(names), n_rounds, seed)):
        for k in order:
            name = names[k]
            if sizes[name] == 1 and nth % SELDOM:
                continue
            spent = calls[name](len(times[name]), sizes[name])
            times[name] += spent
            medians[name][nth] = statistics.median(wall for wall, _ in spent) / 1e3
        progress()
    return {name: Timed(spread_of(times[name]), medians[name]) for name in names}


class Child:
    """A library in its process.

    Parameters
    ----------
    python
        The interpreter that has it.
    library
        One of `benchmarks.peer_child.LIBRARIES`.
    folder
        Of `benchmarks.peer_models.prepare`.
    core
        The one it runs on; -1: all.
    bundle
        Labels with this, too.

    Attributes
    ----------
    version
        Of the library.
    calls
        Name and precision of each.

    Raises
    ------
    DataError
        It does not start; the last line that it said is named.
    """

    def __init__(self, python: Path, library: str, folder: Path, core: int, bundle: str | None, log: Path) -> None:
        script = Path(__file__).with_name("peer_child.py")
        # -P: this folder must not stand before the library's.
        command = [str(python), "-P", str(script), library, str(folder), str(core), *([bundle] if bundle else [])]
        with open(log, "w") as said:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, bufsize=1
            )
        self._library, self._log = library, log
        try:
            ready = self._answer()
        except BaseException:
            self.close()
            raise
        self.version: str = ready["version"]
        self.calls: list[tuple[str, str]] = [(name, precision) for name, precision in ready["calls"]]

    def timer(self, call: int) -> Callable[[int, int], list[Beat]]:
        """What `take_turns` wants of a call."""

        def timed(first: int, n: int) -> list[Beat]:
            times: list[Beat] = self._ask(do="time", call=call, first=first, n=n)
            return times

        return timed

    def classes(self, call: int, n: int) -> list[int]:
        """The classes of the first ``n`` beats."""
        found: list[int] = self._ask(do="classes", call=call, n=n)
        return found

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._gone()
        return json.loads(line)

    def _gone(self) -> DataError:
        self._process.wait()
        said = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        # Behind Python's last words libraries take their leave.
        errors = [line for line in said if re.match(r"[\w.]*(Error|Exception)\b", line)]
        why = (errors or said or [f"it ended with code {self._process.returncode}"])[-1]
        return DataError(f"{self._library} does not run: {why}", "`make peers` has an environment with all of them")
