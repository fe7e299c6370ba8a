"""The part of docs/benchmarks.md that `benchmarks.peers` measured.

python -m benchmarks.peer_page          rewrite what stands between its markers
python -m benchmarks.peer_page --check  fail when it is stale
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from benchmarks.training_results import NETWORKS
from edge_ecg.errors import DataError, EdgeEcgError

__all__ = ["BARS", "BEGIN", "END", "Judged", "judged", "rendered", "section"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"

BARS: Mapping[str, Mapping[str, float]] = {
    "float32 TFLite": {"baseline": 3.0, "residual": 2.4, "deep_residual": 2.4},
    "ONNX Runtime, the better of float32 and int8": dict.fromkeys(NETWORKS, 2.5),
    "Keras predict, by the clock": dict.fromkeys(NETWORKS, 500.0),
    "Keras predict, CPU time": dict.fromkeys(NETWORKS, 500.0),
}
"""How many times faster one beat on int8 must be, by what it is compared with."""
JOB_BAR, LIVE_BAR = 2.0, 100.0

_OF: Mapping[str, tuple[str, str | None]] = {
    "float32 TFLite": ("ai-edge-litert", "float32"),
    "ONNX Runtime, the better of float32 and int8": ("onnxruntime", None),
    "Keras predict, by the clock": ("tensorflow · Keras predict", None),
    "Keras predict, CPU time": ("tensorflow · Keras predict", None),
}
_OURS = ("ai-edge-litert", "int8")
_PERSONS = "NeuroKit2 + Keras"
_ALONE = "edge_ecg, detector, windows and network alone"
_WALL, _CPU = "p50_of_runs_us", "cpu_p50_of_runs_us"
_THREADS = "threads"
"""In the name of a call with several: its beats' CPU time is short of what its other threads, still waiting for more
work, are charged with at the next tick, and its rate is not one core's."""
_NOT_ALONE = "edge_ecg classify"
"""It quantises and decides as well: not the interpreter's latency."""

Results = Mapping[str, Any]


class Judged(NamedTuple):
    """A figure beside its bar: how many times faster (in the run that was best for it), and the two calls."""

    against: str
    times: float
    bar: float
    ours: str
    theirs: str

    @property
    def reached(self) -> bool:
        """The figure is at least the bar."""
        return self.times >= self.bar


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when the page is stale.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Default: the first results/*/peers.json.")
@click.option("--page", type=click.Path(path_type=Path), default=PAGE, help="Another page than docs/benchmarks.md.")
def main(check: bool, file: Path | None, page: Path) -> None:
    """Put fresh tables between the markers.

    \b
    Example:
      python -m benchmarks.peer_page --check
    """
    source = file or next(iter(sorted(RESULTS.glob("*/peers.json"))), None)
    if source is None:
        raise DataError(f"nothing measured in {RESULTS}", "`make peers`")
    old = page.read_text(encoding="utf-8")
    new = rendered(old, json.loads(source.read_text(encoding="utf-8")))
    if new != old and not check:
        page.write_text(new, encoding="utf-8")
    click.echo(f"{'stale' if check else 'rewritten'}: {page}" if new != old else "the page is fresh")
    sys.exit(1 if check and new != old else 0)


def rendered(text: str, results: Results) -> str:
    """A page's text with what stands between the markers replaced. Raises `DataError` when it has none."""
    head, found, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not (found and ended):
        raise DataError(f"the page has no {BEGIN} .. {END}", "Put both lines where the tables belong")
    return f"{head}{BEGIN}\n{section(results)}\n{END}{tail}"


def section(results: Results) -> str:
    """All tables, of what was measured."""
    parts = [
        f"Measured on {results['device']} ({results['cpu']}; {results.get('vectors', '')}), Python {results['python']}, edge-ecg "
        f"{results['edge_ecg']}. Another processor gives other ratios: int8 gains most where there is a dot product of bytes "
        "(VNNI, Arm's SDOT)."
    ]
    latency = results.get("latency", {})
    if latency:
        parts += [_bars(latency), *(_latency(name, latency[name]) for name in NETWORKS if name in latency)]
    if "peak" in results:
        parts.append(_peak(results["peak"], latency))
    parts += [_job(name, results["job"][name]) for name in NETWORKS if name in results.get("job", {})]
    return "\n\n".join(parts)


def judged(found: Mapping[str, Any], network: str) -> list[Judged]:
    """Each bar of one network's single-beat latency.

    The best interpreter setting on either side, by the lowest median of all runs; what was not measured is left out.
    Keras is judged by CPU time too, the lowest median of all runs on either side, one thread: the machine may not have
    been alone.
    """
    calls: Mapping[str, Any] = found["calls"]
    rows = []
    for against, bars in BARS.items():
        key = _key_of(against)
        ours, theirs = _best(calls, *_OURS, one_thread=key == _CPU), _best(calls, *_OF[against])
        if ours and theirs:
            times = min(calls[theirs][key]) / min(calls[ours][key])
            rows.append(Judged(against, times, bars[network], ours, theirs))
    return rows


def _key_of(against: str) -> str:
    return _CPU if against.endswith("CPU time") else _WALL


def _best(calls: Mapping[str, Any], library: str, precision: str | None, *, one_thread: bool = False) -> str | None:
    fitting = [
        name for name in calls
        if name.startswith(library) and _NOT_ALONE not in name and (precision is None or name.endswith(precision))
        and not (one_thread and _THREADS in name)
    ]  # fmt: skip
    return min(fitting, key=lambda name: calls[name]["p50_us"], default=None)


def _bars(latency: Mapping[str, Any]) -> str:
    lines = []
    for network in NETWORKS:
        for row in judged(latency[network], network) if network in latency else ():
            key = _key_of(row.against)
            ours, theirs = (f"{min(latency[network]['calls'][c][key]):,.0f} µs ({c})" for c in (row.ours, row.theirs))
            lines.append(
                [NETWORKS[network], row.against, f"{row.times:.2f}", f"{row.bar:g}", _yes(row.reached), ours, theirs]
            )
    head = ["network", "int8 against", "times faster", "bar", "reached", "int8", "the other"]
    return (
        "### One beat: int8 against its bars\n\n"
        "The median of one beat, in the run that was best for each, with the best setting of each library that is listed below; against Keras "
        "by CPU time and with one thread, too, since one of its beats is longer than the scheduler's turn and waits for other programs within it.\n\n"
        + _table(head, lines)
    )


def _latency(network: str, found: Mapping[str, Any]) -> str:
    lines = []
    ordered = sorted(found["calls"].items(), key=lambda item: item[1]["p50_us"])
    for name, call in ordered:
        ratios = found["int8_times_faster"].get(name)
        lines.append(
            [
                name, *(f"{call[p]:,.0f}" for p in ("p50_us", "p95_us", "p99_us", "cpu_p50_us")), f"{call['n']:,}",
                " ".join(f"{p:,.0f}" for p in call["p50_of_runs_us"]),
                f"{statistics.median(ratios):.2f}" if ratios else "", f"{100 * call['agrees']:.0f}",
            ]
        )  # fmt: skip
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    missing = "".join(f" Without {name}: {why}." for name, why in found["missing"].items())
    load = ", ".join(f"{x:g}" for x in found["load_average"])
    head = [
        "library · call · file",
        "p50 µs",
        "p95",
        "p99",
        "CPU p50",
        "beats",
        "p50 of each run",
        "int8 Interpreter is faster by",
        "same class %",
    ]
    return (
        f"### One beat, {NETWORKS[network]}\n\n"
        f"Weights: {found['weights']}. One thread unless it says so, slices of one library after the other in an order that "
        f"changes each round; ours is `ai-edge-litert · Interpreter · int8`. Percentiles are of the best of "
        f"{len(next(iter(found['calls'].values()))['p50_of_runs_us'])} runs; “faster by” is the median of the ratios of slices of "
        f"the same round. Calls above 4 ms (Keras, TensorFlow Lite Micro) had few beats. CPU time with 2 threads is that of the "
        f"calling one and part of the other's. Load average at the end: {load}, 1 of it this benchmark. {versions}.{missing}\n\n" + _table(head, lines)
    )


def _peak(peak: Mapping[str, Any], latency: Mapping[str, Any]) -> str:
    per_s = peak["per_s"]
    told = "; ".join(
        f"{name}: {p['per_s'] / 1e9:.1f} G multiply-adds a second ({p['instructions']})" for name, p in per_s.items()
    )
    bound = ""
    if {"float32", "int8"} <= per_s.keys():
        most = per_s["int8"]["per_s"] / per_s["float32"]["per_s"]
        bound = f" Int8 can at most be {most:.2f} times as fast as float32 here, were both to reach their peak."
    lines = []
    for network in NETWORKS:
        work = peak["multiply_adds"][network]
        cells, rates = [NETWORKS[network], f"{work / 1e6:.2f}"], {}
        for precision in ("float32", "int8"):
            calls = latency[network]["calls"] if network in latency else {}
            name = _best(calls, "ai-edge-litert", precision, one_thread=True)
            if name is None or precision not in per_s:
                cells += ["", ""]
                continue
            rate = work / (calls[name]["p50_us"] * 1e-6)
            rates[precision] = rate
            cells += [f"{rate / 1e9:.1f}", f"{100 * rate / per_s[precision]['per_s']:.0f} %"]
        if len(cells) == 6 and all(cells[2:]):
            needed = BARS["float32 TFLite"][network] * rates["float32"] / per_s["int8"]["per_s"]
            cells.append(f"{100 * needed:.0f} %")
        else:
            cells.append("")
        lines.append(cells)
    head = ["network", "M multiply-adds a beat", "float32 G/s", "of its peak", "int8 G/s", "of its peak"]
    head.append("int8 would need, for its bar against float32")
    return (
        "### What share of the core's peak a network reaches\n\n"
        f"The peak is measured in registers alone (`benchmarks/peak.c`): {told}.{bound} The networks: best setting of "
        "ai-edge-litert with one thread, median of one beat, from setting the input to having the output in Python.\n\n"
        + _table(head, lines)
    )


def _job(network: str, found: Mapping[str, Any]) -> str:
    ways: Mapping[str, Any] = found["ways"]
    theirs = ways[_PERSONS]

    def ratio(name: str) -> float:
        return statistics.median(a / b for a, b in zip(theirs["cpu_s"], ways[name]["cpu_s"], strict=True))

    lines = [
        [
            name, f"{way['cpu_s_median']:.2f}", f"{ratio(name):.2f}", f"{way['wrong']:,}",
            f"{way['missed']} + {way['extra']} + {way['mislabelled']}",
            *(_percent(way[key]) for key in ("q_se", "q_ppv", "v_se", "v_ppv", "s_se", "s_ppv", "accuracy")),
        ]
        for name, way in ways.items()
    ]  # fmt: skip
    head = ["way", "CPU s a record", "times faster", "wrong", "missed + extra + other class"]
    head += ["Q Se", "Q +P", "V Se", "V +P", "S Se", "S +P", "classes right"]
    bundle = next(name for name in ways if name.endswith("-int8"))
    told = [
        f"Whole record: {bundle} is {ratio(bundle):.2f} times as fast as {_PERSONS}, by CPU time (bar {JOB_BAR:g}: {_yes(ratio(bundle) >= JOB_BAR)}).",
        f"Wrong labels: {ways[bundle]['wrong']:,} against {theirs['wrong']:,} (bar: fewer: {_yes(ways[bundle]['wrong'] < theirs['wrong'])}).",
    ]
    live = found["live"]
    ours = next(name for name in live if name.endswith("-int8"))
    times = live[_PERSONS]["cpu_ms_per_s"] / live[ours]["cpu_ms_per_s"]
    told.append(
        f"As it comes in, a second at a time: {live[ours]['cpu_ms_per_s']:.2f} ms of CPU per second of ECG against "
        f"{live[_PERSONS]['cpu_ms_per_s']:.1f} ms: {times:.0f} times as fast (bar {LIVE_BAR:g}: {_yes(times >= LIVE_BAR)}); a person searches the "
        f"last {live['window_s']} s again with each second and calls `predict` for each new beat."
    )
    if _ALONE in ways:
        alone = live[_PERSONS]["cpu_ms_per_s"] / live[_ALONE]["cpu_ms_per_s"]
        told.append(
            f"Our pipeline also judges each second, and listens for flutter, fibrillation and pacing. The part of it that does what the "
            f"person's script does is {ratio(_ALONE):.2f} times as fast as that over a record, and {alone:.0f} times as it comes in."
        )
    return (
        f"### The whole job, {NETWORKS[network]}\n\n"
        f"{len(found['records'])} records of mitdb ({', '.join(map(str, found['records']))}), 30 minutes each, from the file to labels, on one "
        f"core, CPU time in one process without start and imports, the ways in turns. Keras has the weights of {found['weights']}, and "
        f"takes the beats of a record in batches. Scored by {found['rules']}. **The networks have seen beats of these patients** (the split "
        "mixes them), on either side alike.\n\n"
        + _table(head, lines)
        + "\n\n"
        + "\n".join(f"- {line}" for line in told)
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _yes(reached: bool) -> str:
    return "yes" if reached else "**no**"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join([*rows, *(f"| {' | '.join(line)} |" for line in lines)])


if __name__ == "__main__":
    try:
        main()
    except EdgeEcgError as error:
        sys.exit(f"error: {error}")
