"""What a benchmark report says, whatever it is written as: sections of words, tables and pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from edge_ecg.bench.charts import Bar, Point, bars, frontier, history, scatter
from edge_ecg.bench.history import changes_of, latest_of, left_aside, worth_comparing
from edge_ecg.bench.results import BenchResult, ModelResult

__all__ = ["Caution", "Picture", "Section", "Table", "sections_of"]

_FEW_BEATS = 5_000
_WORTH_TELLING_PERCENT = 5.0
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under heads; the first column names, the others are figures."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing, the name of its file and what it shows."""

    name: str
    title: str
    svg: str


@dataclass(frozen=True, slots=True)
class Caution:
    """A sentence that must not be overlooked."""

    words: str


Block = str | Caution | Table | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """A title and what stands below it."""

    title: str
    blocks: tuple[Block, ...]


def sections_of(results: Sequence[BenchResult]) -> list[Section]:
    """The report of runs that labelled the same beats."""
    latest = latest_of(results)
    found = _reached(latest)
    for result in latest:
        aside = left_aside([r for r in results if r.device == result.device])
        found.append(_device(result, aside))
    if len(latest) > 1:
        found.append(_side_by_side(latest))
    for device in dict.fromkeys(result.device for result in results):
        runs = worth_comparing([r for r in results if r.device == device])
        if len(runs) > 1:
            found.append(_history(device, runs))
    return _own_names(found)


def _own_names(sections: Sequence[Section]) -> list[Section]:
    """Each picture with a name that no other has: two devices may differ in signs that no file name here has."""
    taken: set[str] = set()

    def own(block: Block) -> Block:
        if not isinstance(block, Picture):
            return block
        names = (block.name if k == 1 else f"{block.name}-{k}" for k in count(1))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        return replace(block, name=name)

    return [replace(section, blocks=tuple(own(block) for block in section.blocks)) for section in sections]


def _device(r: BenchResult, aside: Sequence[BenchResult]) -> Section:
    f = r.fingerprint
    facts = [f.board, f.cpu or f.machine, f"{f.cores} cores", f.governor and f"governor {f.governor}"]
    facts += [f"{f.memory_mb} MB" if f.memory_mb else None, f.system, f"Linux {f.kernel}", f"Python {f.python}"]
    facts += [f"numpy {f.numpy}", f.runtime, f"edge-ecg {f.edge_ecg}"]
    if f.cpu_features:
        facts.append("/".join(f.cpu_features))
    blocks: list[Block] = [f"{', '.join(x for x in facts if x)}. Measured {_minute(r)} UTC."]
    blocks += [Caution(words) for words in _warnings(r)]
    if aside:
        whys = (f"{_minute(x)} ({'throttled' if x.throttled else 'stopped early'})" for x in aside)
        blocks.append(Caution(f"Other runs of this device are left aside: {', '.join(whys)}."))
    if r.temperature_c:
        blocks.append(f"{r.temperature_c[0]:.0f} °C before, {r.temperature_c[1]:.0f} °C at the highest.")
    blocks.append(_latency_table(r))
    blocks.append(_cost_table(r))
    notes = [f"{m.id}: {remark}." for m in r.models for remark in m.remarks]
    if r.missing:
        notes.append(f"Not told by this device: {', '.join(r.missing)}.")
    if r.meter:
        notes.append(
            f"Energy: {r.meter}, all that it sees" + ("" if r.idle_w is None else f"; idle {r.idle_w:.2f} W") + "."
        )
    return Section(f"Device {r.device}", (*blocks, *([" ".join(notes)] if notes else [])))


def _warnings(r: BenchResult) -> list[str]:
    found = []
    if not r.complete:
        found.append(f"Stopped early, after {r.rounds} rounds: not all that was asked for.")
    if r.throttled:
        found.append(
            f"The device slowed itself down while it was measured ({', '.join(r.throttled)}): cool and well fed it is faster."
        )
    if r.is_busy:
        found.append(
            f"The machine was busy with other work (load {r.load_before} on {r.fingerprint.usable_cores} cores): times are longer and rougher than they would be."
        )
    if any(m.n_beats < _FEW_BEATS for m in r.models):
        found.append(f"Fewer than {_FEW_BEATS:,} beats: the slowest in a hundred are poorly known.")
    other = [
        f"{m.id} ({m.agreement.n_other} of {m.agreement.n})" for m in r.models if m.agreement and m.agreement.n_other
    ]
    if other:
        found.append(f"Labels that differ from the golden ones: {', '.join(other)}.")
    return found


def _latency_table(r: BenchResult) -> Table:
    heads = ("model", "accuracy", "macro F1", "KB", "p50 µs", "p95", "p99", "max", "rounds", "labels as golden")
    rows = [
        (
            m.id, _fraction(m.accuracy), _fraction(m.macro_f1), f"{m.bytes / 1000:,.0f}", f"{m.p50_us:,.1f}",
            f"{m.p95_us:,.1f}", f"{m.p99_us:,.1f}", f"{m.max_us:,.0f}", _range(m.rounds_p50_us), _labels(m),
        )
        for m in r.models
    ]  # fmt: skip
    return Table(heads, tuple(rows))


def _cost_table(r: BenchResult) -> Table:
    heads = [
        "model",
        "load ms",
        "first beat µs",
        "overhead alone / in place µs",
        "beats/s",
        "all threads p50 / p99 µs",
        "pipeline CPU ms/s",
        "memory MB",
    ]
    heads += ["energy µJ"] if r.meter else []
    rows = []
    for m in r.models:
        t = m.all_threads
        row = [
            m.id,
            f"{m.load_ms:,.1f}",
            f"{m.first_us:,.0f}",
            f"{_number(m.overhead_us, 1)} / {_number(m.overhead_in_place_us, 1)}",
            f"{m.beats_per_s:,.0f}",
        ]
        row += ["-" if t is None else f"{t.threads}: {t.p50_us:,.1f} / {t.p99_us:,.1f}"]
        row += [_number(m.pipeline_cpu_ms, 2), _number(m.memory_mb, 1)]
        rows.append(tuple(row + ([_number(m.energy_uj, 1)] if r.meter else [])))
    return Table(tuple(heads), tuple(rows))


def _reached(latest: Sequence[BenchResult]) -> list[Section]:
    """Cost against what is reached, test set by test set: figures of two test sets are not comparable."""
    sets = dict.fromkeys((m.dataset, m.split) for r in latest for m in r.models if m.accuracy is not None)
    found = []
    for dataset, split in sets:
        blocks: list[Block] = []
        models = {m.id: m for r in latest for m in r.models if (m.dataset, m.split) == (dataset, split)}
        for figure, y_title in (("accuracy", "accuracy"), ("macro_f1", "macro F1")):
            every = [_point(m, m.bytes / 1000, figure) for m in models.values()]
            for r in latest:
                of = [m for m in r.models if (m.dataset, m.split) == (dataset, split)]
                if of:
                    points = [_point(m, m.p50_us, figure) for m in of]
                    name = _slug(f"latency-{figure}-{dataset}-{split}-{r.device}")
                    blocks.append(
                        Picture(
                            name,
                            f"{r.device}: latency against {y_title}",
                            scatter(points, "one beat, p50, µs", y_title, every),
                        )
                    )
            name = _slug(f"size-{figure}-{dataset}-{split}")
            blocks.append(Picture(name, f"Size against {y_title}", scatter(every, "model, KB", y_title)))
        for r in latest:
            points = [_point(m, m.p50_us, "accuracy") for m in r.models if (m.dataset, m.split) == (dataset, split)]
            if points:
                best = ", ".join(f"{p.name} ({p.x:,.0f} µs, {p.y:.4f})" for p in frontier(points))
                blocks.append(f"On {r.device} no other model is at once as fast and as accurate as: {best}.")
        found.append(Section(f"What accuracy costs: {dataset}, {split} split", tuple(blocks)))
    if any(m.accuracy is None for r in latest for m in r.models):
        told = "Rhythm models are not drawn: their figures are of new people, and by other rules (docs/new-patient.md)."
        if found:
            found[-1] = Section(found[-1].title, (*found[-1].blocks, told))
    return found


def _point(m: ModelResult, x: float, figure: str) -> Point:
    return Point(x, float(getattr(m, figure)), m.id, m.network, m.form)


def _side_by_side(latest: Sequence[BenchResult]) -> Section:
    ids = list(dict.fromkeys(m.id for r in latest for m in r.models))
    by = [{m.id: m for m in r.models} for r in latest]
    shared = [name for name in ids if sum(name in models for models in by) > 1]
    blocks: list[Block] = []
    other = [name for name in shared if len({models[name].sha256 for models in by if name in models}) > 1]
    if other:
        blocks.append(Caution(f"Not the same weights on all devices: {', '.join(other)}."))
    rows = [(name, *(f"{models[name].p50_us:,.1f}" if name in models else "-" for models in by)) for name in ids]
    blocks.append("One beat, one thread, p50 in µs.")
    blocks.append(Table(("model", *(r.device for r in latest)), tuple(rows)))
    rates = [
        (name, *(_number(models[name].pipeline_cpu_ms, 2) if name in models else "-" for models in by)) for name in ids
    ]
    blocks += [
        "The whole pipeline: CPU time for one second of ECG, ms.",
        Table(("model", *(r.device for r in latest)), tuple(rates)),
    ]
    values = [
        Bar(name, r.device, models[name].p50_us)
        for name in shared
        for r, models in zip(latest, by, strict=True)
        if name in models
    ]
    if values:
        blocks.append(Picture("devices", "Device against device", bars(values, "one beat, p50, µs (logarithmic)")))
    return Section("Device against device", tuple(blocks))


def _history(device: str, runs: Sequence[BenchResult]) -> Section:
    changes = changes_of(runs)
    worse = [c for c in changes if c.is_regression]
    blocks: list[Block] = [
        f"{len(runs)} runs, {runs[0].measured_utc[:10]} to {runs[-1].measured_utc[:10]}; the newest beside the median of those before."
    ]
    if worse:
        worst = sorted(worse, key=lambda c: -abs(c.percent))[:_MOST_NAMED]
        told = ", ".join(f"{c.model} {c.figure} {c.before:,.4g} → {c.now:,.4g} ({c.percent:+.0f} %)" for c in worst)
        rest = f" and {len(worse) - len(worst)} more" if len(worse) > len(worst) else ""
        busy = " The machine was busy with other work meanwhile: measure again." if runs[-1].is_busy else ""
        blocks.append(Caution(f"Regression: {told}{rest}.{busy}"))
    else:
        blocks.append("No regression: nothing is worse by more than a tenth and beyond the spread of the rounds.")
    machines = dict.fromkeys((run.fingerprint.board, run.fingerprint.cpu, run.fingerprint.cores) for run in runs)
    if len(machines) > 1:
        blocks.append(
            Caution(f"{len(machines)} different machines are called {device}: what changed is not one device's.")
        )
    before, now = runs[-2].fingerprint, runs[-1].fingerprint
    names = ("kernel", "governor", "python", "numpy", "runtime", "edge_ecg", "board", "cpu", "cores", "usable_cores")
    moved = [f"{n} {getattr(before, n)} → {getattr(now, n)}" for n in names if getattr(before, n) != getattr(now, n)]
    if moved:
        blocks.append(f"Other than in the run before: {', '.join(moved)}.")
    ids = [m.id for m in runs[-1].models]
    series = {name: [next((m.p50_us for m in run.models if m.id == name), None) for run in runs] for name in ids}
    stamps = [run.measured_utc[5:16].replace("T", " ") for run in runs]
    title = "one beat, p50, µs (logarithmic), over the runs"
    blocks.append(Picture(_slug(f"history-{device}"), f"{device} over time", history(stamps, series, title)))
    rows = [
        (
            c.model,
            c.figure,
            f"{c.before:,.4g}",
            f"{c.now:,.4g}",
            f"{c.percent:+.1f}",
            "REGRESSION" if c.is_regression else "",
        )
        for c in changes
        if c.is_regression or abs(c.percent) >= _WORTH_TELLING_PERCENT
    ]
    if rows:
        blocks.append(f"What changed by {_WORTH_TELLING_PERCENT:g} % or more:")
        blocks.append(Table(("model", "figure", "before", "now", "change %", "flag"), tuple(rows)))
    return Section(f"{device} over time", tuple(blocks))


def _minute(r: BenchResult) -> str:
    return r.measured_utc[:16].replace("T", " ")


def _labels(m: ModelResult) -> str:
    return "-" if m.agreement is None else f"{m.agreement.n - m.agreement.n_other:,} of {m.agreement.n:,}"


def _range(values: Sequence[float]) -> str:
    return f"{min(values):,.1f} to {max(values):,.1f}"


def _fraction(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", words.lower()).strip("-.")
