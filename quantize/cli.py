"""`edge-ecg convert`: a run becomes a bundle."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import click

from edge_ecg.errors import UsageError
from edge_ecg.manifest import ModelManifest
from quantize.bundle import bundle_id, check_target
from quantize.convert import convert_source
from quantize.other_runs import metrics_by_split, runs_by_split, seeds_among
from quantize.precision import PRECISIONS
from quantize.source import open_source
from train.run import find_run, read_run
from train.sturdiness import check_sturdy

__all__ = ["convert"]


def _precision_flags(command: Callable[..., None]) -> Callable[..., None]:
    for name in reversed(PRECISIONS):
        command = click.option(f"--{name}", name, is_flag=True, help=PRECISIONS[name].what)(command)
    return command


@click.command()
@click.argument("run", metavar="RUN")
@_precision_flags
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the bundle; default: its id, here.")
@click.option("--other-split", "other_splits", metavar="RUN", multiple=True,
              help="The same recipe on another split: its figures stand beside. Again for each fold, all are needed.")
@click.option("--among", metavar="RUN", multiple=True, help="Another seed that RUN was chosen from, by validation.")
@click.option("--sturdy", is_flag=True, help="Score it on disturbed records too (mitdb): 2 minutes, once a split.")
@click.option("--bench-only", is_flag=True, help="A bundle that devices refuse: for runs of windows that look ahead.")
@click.option("--calibration-seed", type=int, help="Of the representative beats; default 0.")
def convert(
    run: str,
    out: Path | None,
    other_splits: tuple[str, ...],
    among: tuple[str, ...],
    sturdy: bool,
    bench_only: bool,
    calibration_seed: int | None,
    **precisions: bool,
) -> None:
    """Convert a trained run into a bundle that a device can run.

    \b
    Example:
      edge-ecg convert --int8 mitdb-baseline-random-seed1 --other-split mitdb-baseline-inter-seed1
      edge-ecg convert --float32 ~/.cache/edge-ecg/runs/mitdb-baseline-random-seed1 --out here
    """
    precision = _chosen(precisions)
    if calibration_seed is not None and not PRECISIONS[precision].is_calibrated:
        raise UsageError(f"--calibration-seed means nothing with --{precision}", "Leave it out")
    seed = calibration_seed or 0
    folder = find_run(run)
    target = out or Path(bundle_id(read_run(folder), precision))
    check_target(target)
    seeds_of = [find_run(name) for name in among]
    seeds = seeds_among(folder, seeds_of)
    others = runs_by_split(folder, [find_run(name) for name in other_splits])
    source = open_source(folder, bench_only=bench_only)
    if sturdy:
        check_sturdy(source.data)
    again = ["edge-ecg", "convert", f"--{precision}", folder.name]
    again += ["--calibration-seed", str(seed)] if PRECISIONS[precision].is_calibrated else []
    other_runs = [other for runs in others.values() for other in runs]
    for option, names in {"--other-split": other_runs, "--among": seeds_of}.items():
        again += [arg for name in names for arg in (option, name.name)]
    again += [*(["--sturdy"] if sturdy else []), *(["--bench-only"] if bench_only else [])]
    bundle = convert_source(
        source,
        precision,
        target,
        calibration_seed=seed,
        commands=(*(read_run(other).command for other in other_runs), shlex.join(again)),
        other_splits=metrics_by_split(others, precision, calibration_seed=seed, bench_only=bench_only),
        seeds=seeds,
        sturdy=sturdy,
        bench_only=bench_only,
    )
    click.echo("\n".join([*_lines(bundle.manifest), f"bundle: {target} ({bundle.manifest.bytes:,} bytes)"]))
    click.echo(f"next: edge-ecg models verify {shlex.quote(str(target))}")


def _chosen(precisions: dict[str, bool]) -> str:
    given = [name for name, is_given in precisions.items() if is_given]
    if len(given) != 1:
        flags = ", ".join(f"--{name}" for name in PRECISIONS)
        found = f"{len(given)} precisions are given ({', '.join(given)})" if given else "no precision is given"
        raise UsageError(found, f"Give one of {flags}")
    return given[0]


def _lines(m: ModelManifest) -> list[str]:
    rows = {f"Keras, {m.split}": m.float_metrics, f"{m.precision}, {m.split}": m.metrics}
    rows |= {f"{m.precision}, {name}": x for name, x in m.metrics_of_other_splits.items()}
    of_two = any(x.roc_auc is not None for x in rows.values())
    lines = [f"{'':18} accuracy  macro F1{'  AUC' if of_two else ''}"]
    for name, x in rows.items():
        area = f"  {_figure(x.roc_auc)}" if x.roc_auc is not None else ""
        lines.append(f"{name:18} {x.accuracy:8.4f}  {x.macro_f1:8.4f}{area}")
        if x.per_patient:
            p = x.per_patient
            lines.append(f"{f'  {p.n} patients':18} {p.accuracy:8.4f}  {'':8}  {_figure(p.roc_auc)}")
    if m.sturdiness:
        losses = ", ".join(f"{name} {c.loss_points:.2f}" for name, c in m.sturdiness.conditions.items())
        lines.append(f"points of accuracy lost: {losses}")
    return lines


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
