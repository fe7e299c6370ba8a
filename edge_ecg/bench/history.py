"""One device over time: what became worse since the runs before, by more than the runs themselves spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from edge_ecg.bench.results import BenchResult, ModelResult

__all__ = ["Change", "changes_of", "latest_of", "left_aside", "worth_comparing"]

WORSE = 0.10
"""Share by which a cost may grow before it is called a regression."""
_LOST_POINTS = 0.1


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of a model in the newest run beside the median of the runs before.

    Attributes
    ----------
    is_regression
        It is worse by more than a tenth, and times also than in any round before; accuracy: by 0.1 points.
    """

    model: str
    figure: str
    before: float
    now: float
    is_regression: bool

    @property
    def percent(self) -> float:
        """Change in %."""
        return 100.0 * (self.now - self.before) / self.before if self.before else 0.0


def worth_comparing(runs: Sequence[BenchResult]) -> list[BenchResult]:
    """The runs of a device in the order of time: the whole ones that were not throttled, where there are such."""
    ordered = sorted(runs, key=lambda run: run.measured_utc)
    whole = [run for run in ordered if run.complete] or ordered
    return [run for run in whole if not run.throttled] or whole


def left_aside(runs: Sequence[BenchResult]) -> list[BenchResult]:
    """The other runs of a device, in the order of time."""
    kept = worth_comparing(runs)
    return [run for run in sorted(runs, key=lambda run: run.measured_utc) if all(run is not other for other in kept)]


def latest_of(results: Sequence[BenchResult]) -> list[BenchResult]:
    """Of each device the newest run worth comparing."""
    devices = dict.fromkeys(result.device for result in results)
    return [worth_comparing([r for r in results if r.device == device])[-1] for device in devices]


def changes_of(runs: Sequence[BenchResult]) -> list[Change]:
    """Of each model in the newest run, each figure beside the runs before, of one device in the order of time."""
    *before, last = runs
    found = []
    for now in last.models:
        past = [m for run in before for m in run.models if m.id == now.id]
        if past:
            found += _changes(now, past)
    return found


def _changes(now: ModelResult, past: Sequence[ModelResult]) -> list[Change]:
    rounds = {
        "p50 us": (now.rounds_p50_us, [x for m in past for x in m.rounds_p50_us]),
        "pipeline CPU ms/s": (now.rounds_pipeline_cpu_ms, [x for m in past for x in m.rounds_pipeline_cpu_ms]),
    }
    pairs: dict[str, tuple[float | None, Sequence[float | None]]] = {
        "p50 us": (now.p50_us, [m.p50_us for m in past]),
        "pipeline CPU ms/s": (now.pipeline_cpu_ms, [m.pipeline_cpu_ms for m in past]),
        "memory MB": (now.memory_mb, [m.memory_mb for m in past]),
        "bytes": (float(now.bytes), [float(m.bytes) for m in past]),
    }
    found = []
    for figure, (value, values) in pairs.items():
        known = [x for x in values if x is not None]
        if value is None or not known:
            continue
        ours, theirs = rounds.get(figure, ((), []))
        is_apart = not ours or not theirs or min(ours) > max(theirs)
        usual = float(median(known))
        found.append(Change(now.id, figure, usual, value, value > (1.0 + WORSE) * usual and is_apart))
    reached = [m.accuracy for m in past if m.accuracy is not None]
    if now.accuracy is not None and reached:
        usual = float(median(reached))
        found.append(Change(now.id, "accuracy", usual, now.accuracy, 100.0 * (usual - now.accuracy) > _LOST_POINTS))
    return found
