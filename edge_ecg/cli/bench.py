"""`edge-ecg bench`: what models cost on this device, and devices beside each other."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from edge_ecg.bench.results import BenchResult, check_same_beats, read_result, text_of
from edge_ecg.cli.interrupt import orderly_stop
from edge_ecg.cli.report import DISCLAIMER, tell
from edge_ecg.errors import DataError, UsageError

_BEATS = 5_000


@click.group()
def bench() -> None:
    """Measure what models cost on this device, and compare devices.

    \b
    Example:
      edge-ecg bench run --out mine.json
      edge-ecg bench report mine.json other.json --html out
    """


@bench.command()
@click.option(
    "--models", metavar="ID|PATH,...", multiple=True, help="What to measure, repeatable; default: all shipped."
)
@click.option("--device", metavar="NAME", help="What this machine is called; default: its board or processor.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON file of the figures.")
@click.option(
    "--beats", type=click.IntRange(10), default=_BEATS, show_default=True, help="Times each model labels one."
)
def run(models: tuple[str, ...], device: str | None, out: Path, beats: int) -> None:
    """Measure latency, memory, energy and labels of models on this device; a few minutes.

    All models take turns. Ctrl-C ends it: what whole rounds gave is written, marked as incomplete.

    \b
    Example:
      edge-ecg bench run --out mine.json
      edge-ecg bench run --models rhythm,./my-bundle --device kitchen-pi --out kitchen.json
    """
    from edge_ecg.bench.fingerprint import default_device, fingerprint
    from edge_ecg.bench.measure import ROUNDS, STEPS, Bench
    from edge_ecg.bench.subject import open_subject
    from edge_ecg.bundles import shipped_ids

    if device is not None and not (device.strip() and device.isprintable()):
        raise UsageError(f"--device {device!r} is no name", "Take letters, digits and dashes")
    _check_target(out)
    here = fingerprint()
    subjects = [open_subject(name) for name in dict.fromkeys(_named(models) or shipped_ids())]
    twice = [name for name, n in Counter(subject.manifest.id for subject in subjects).items() if n > 1]
    if twice:
        raise UsageError(f"two of the models are called {twice[0]!r}", "Measure one alone, or give it another id")
    n_steps = STEPS * ROUNDS * len(subjects)
    with (
        click.progressbar(
            length=n_steps,
            label="measuring",
            file=sys.stderr,
            item_show_func=_shown,
            show_pos=True,
        ) as bar,
        orderly_stop(lambda: None) as interrupted,
    ):
        measured = Bench(
            subjects,
            (device or default_device(here)).strip(),
            here,
            n_beats=beats,
            stopped=lambda: interrupted.happened,
            on_step=lambda name: bar.update(1, name),
        ).run()
    if measured is None:
        tell("edge-ecg: stopped before a round was whole: nothing is written")
        raise KeyboardInterrupt
    for line in _lines(measured):  # before the file: should that fail, the minutes were not for nothing
        click.echo(line)
    _write(out, measured)
    click.echo(f"written: {out}\nnext: edge-ecg bench report {out} --html out\n{DISCLAIMER}")
    if not measured.complete:
        tell(f"edge-ecg: stopped early: {out} holds what {measured.rounds} of {ROUNDS} rounds gave")
        raise KeyboardInterrupt


@bench.command()
@click.argument("files", metavar="FILE.json...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--html", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Write page, pictures, CSV here."
)
@click.option("--png", is_flag=True, help="With --html: pictures as PNG, too (by rsvg-convert or Chromium).")
def report(files: Sequence[Path], folder: Path | None, png: bool) -> None:
    """Compare runs: devices beside each other, and one device over time.

    Without --html the tables as Markdown. Files that are no results are told of and left out.

    \b
    Example:
      edge-ecg bench report mine.json
      edge-ecg bench report benchmarks/results/*/bench-*.json --html out
    """
    from edge_ecg.bench.report import markdown, write_report

    results = _read(files)
    check_same_beats(results)
    held = [result for _, result in results]
    if folder is None:
        click.echo(markdown(held, pictures_at=None))
        return
    for line in write_report(folder, held, png=png):
        click.echo(line)


def _named(given: Sequence[str]) -> list[str]:
    """The models of all ``--models``; a comma parts two, unless it belongs to a path that is there."""
    return [name for words in given for name in ([words] if Path(words).exists() else words.split(",")) if name]


def _shown(name: str | None) -> str:
    """What a progress bar says of the model that is measured."""
    return name or ""


def _read(files: Sequence[Path]) -> list[tuple[str, BenchResult]]:
    results = []
    for file in dict.fromkeys(files):
        try:
            results.append((str(file), read_result(file)))
        except DataError as error:
            tell(f"edge-ecg: left out: {error}")
    if not results:
        raise DataError(
            "none of the files is a result of `edge-ecg bench run`", "Make one: edge-ecg bench run --out mine.json"
        )
    return results


def _check_target(out: Path) -> None:
    """Refuse before minutes are spent: a folder that is not there, a file of something else."""
    if out.is_dir() or not out.parent.is_dir():
        why = "it is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise UsageError(f"cannot write {out}: {why}", "Name a file in a folder that is there")
    if out.exists():
        try:
            read_result(out)
        except DataError:
            raise UsageError(f"{out} is there and no benchmark result", "Choose another name for --out") from None
    part = out.with_name(f"{out.name}.part")
    try:
        part.touch()
        part.unlink()
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}", "Name a file in a folder that is yours") from None


def _write(out: Path, measured: BenchResult) -> None:
    from edge_ecg.io.whole import write_whole

    try:
        write_whole(out, text_of(measured).encode())
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror}", "Make room, or name another file") from None


def _lines(r: BenchResult) -> list[str]:
    """What was found, for a terminal."""
    lines = [f"{r.device}: {r.fingerprint.cpu or r.fingerprint.machine}, {r.fingerprint.runtime}, {r.seconds:.0f} s"]
    lines.append(f"{'model':<28} {'KB':>6} {'p50 us':>8} {'p99 us':>8} {'first':>8} {'CPU ms/s':>8} {'MB':>5}  labels")
    for m in r.models:
        a = m.agreement
        labels = "not compared" if a is None else f"{a.n - a.n_other} of {a.n} as golden"
        cpu, memory = (("-" if x is None else f"{x:.1f}") for x in (m.pipeline_cpu_ms, m.memory_mb))
        lines.append(
            f"{m.id:<28} {m.bytes / 1000:6.0f} {m.p50_us:8.1f} {m.p99_us:8.1f} {m.first_us:8.0f} {cpu:>8} "
            f"{memory:>5}  {labels}"
        )
        lines += [f"  {remark}" for remark in m.remarks]
    if r.throttled:
        lines.append(
            f"throttled while it was measured: {', '.join(r.throttled)}: cool it, or feed it better, and measure again"
        )
    if r.is_busy:
        lines.append(f"busy before it began (load {r.load_before}): times are longer and rougher than they would be")
    if r.missing:
        lines.append(f"not told by this device: {', '.join(r.missing)}")
    return lines
