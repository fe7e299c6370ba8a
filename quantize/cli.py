"""`edge-ecg convert`: a run becomes a bundle."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from edge_ecg.errors import DataError, ModelError, UsageError
from edge_ecg.manifest import ModelManifest, SeedFigures, load_bundle
from quantize.bundle import Told, bundle_id
from quantize.changes import Changes, change
from quantize.convert import convert_source
from quantize.folder import check_target
from quantize.foreign import is_model_file, open_model_file
from quantize.hardware import check_hardware, extras_for
from quantize.other_runs import metrics_by_split, runs_by_split, seeds_among
from quantize.parity import DEFAULT_DROP, LostTooMuchError, MaxDrop, parity_lines
from quantize.precision import PRECISIONS
from quantize.rehearsal import rehearse
from quantize.source import Source, open_source
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
@click.option("--prune", type=float, metavar="SHARE", help="Make this share of the weights zero first, such as 0.8.")
@click.option("--structured", is_flag=True, help="With --prune: remove that share of whole filters instead.")
@click.option("--qat", is_flag=True, help="Fine-tune with the rounding of int8 first.")
@click.option("--epochs", type=int, help="Of the fine-tuning that follows a change; default: as many as is usual.")
@click.option("--edgetpu", is_flag=True, help="Report which operators a Coral Edge TPU takes; compile for it.")
@click.option("--mcu", is_flag=True, help="Add C sources for TensorFlow Lite Micro, and the arena it takes.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the bundle; default: its id, here.")
@click.option("--data", help="For a Keras file: the data set that calibrates and scores it.")
@click.option("--split", help="For a Keras file: which beats are for which; default random.")
@click.option("--fold", type=int, help="For a Keras file on the patient split: which fold is the test; default 0.")
@click.option("--max-drop", metavar="A,F", help=f"Points of accuracy and macro F1 it may lose; default {DEFAULT_DROP}.")
@click.option("--force", is_flag=True, help="Write it however much it loses.")
@click.option("--other-split", "other_splits", metavar="RUN", multiple=True,
              help="The same recipe on another split: its figures stand beside. Again for each fold, all are needed.")
@click.option("--among", metavar="RUN", multiple=True, help="Another seed that RUN was chosen from, by validation.")
@click.option("--sturdy", is_flag=True, help="Score it on disturbed records too (mitdb): 2 minutes, once a split.")
@click.option("--bench-only", is_flag=True, help="A bundle that devices refuse: for runs of windows that look ahead.")
@click.option("--calibration-seed", type=int, help="Of the representative beats; default 0.")
def convert(
    run: str,
    prune: float | None,
    structured: bool,
    qat: bool,
    epochs: int | None,
    edgetpu: bool,
    mcu: bool,
    out: Path | None,
    data: str | None,
    split: str | None,
    fold: int | None,
    max_drop: str | None,
    force: bool,
    other_splits: tuple[str, ...],
    among: tuple[str, ...],
    sturdy: bool,
    bench_only: bool,
    calibration_seed: int | None,
    **precisions: bool,
) -> None:
    """Convert a trained run, or a Keras file, into a bundle that a device can run.

    \b
    Example:
      edge-ecg convert --int8 mitdb-baseline-random-seed1 --other-split mitdb-baseline-inter-seed1
      edge-ecg convert --float32 ~/.cache/edge-ecg/runs/mitdb-baseline-random-seed1 --out here
      edge-ecg convert --int8 mitdb-baseline-random-seed1 --prune 0.5 --structured --mcu
      edge-ecg convert --int8 my-network.h5 --data mitdb
    """
    precision = _chosen(precisions)
    if calibration_seed is not None and not PRECISIONS[precision].is_calibrated:
        raise UsageError(f"--calibration-seed means nothing with --{precision}", "Leave it out")
    seed = calibration_seed or 0
    allowed = MaxDrop.parse(max_drop) if max_drop is not None else DEFAULT_DROP
    changes = Changes(prune, structured=structured, qat=qat, epochs=epochs)
    changes.check_precision(precision)
    check_hardware(precision, edgetpu=edgetpu, mcu=mcu)
    if is_model_file(run):
        _refuse_those(run, {"--among": among, "--other-split": other_splits, "--bench-only": bench_only,
                            "--prune": changes.prune, "--qat": qat})  # fmt: skip
        begun = _of_file(run, precision, out, data, split, fold or 0)
    else:
        _refuse_those(run, {"--data": data, "--split": split, "--fold": fold is not None})
        begun = _of_run(run, precision, out, changes, among, other_splits, bench_only=bench_only)
    if sturdy:
        check_sturdy(begun.source.data)
    changed = change(begun.source, changes, begun.folder)
    flags = {"--sturdy": sturdy, "--bench-only": bench_only, "--edgetpu": edgetpu, "--mcu": mcu, "--force": force}
    command = [
        *("edge-ecg", "convert", f"--{precision}", *begun.words, *changes.options),
        *(["--calibration-seed", str(seed)] if PRECISIONS[precision].is_calibrated else []),
        *(word for other in begun.others for word in ("--other-split", other.name)),
        *(word for other in begun.among for word in ("--among", other.name)),
        *(["--max-drop", str(allowed)] if allowed != DEFAULT_DROP else []),
        *(flag for flag, is_given in flags.items() if is_given),
    ]
    told = Told(
        commands=(*(read_run(other).command for other in begun.others), shlex.join(command)),
        other_splits=metrics_by_split(
            begun.others_by_split, precision, changes, calibration_seed=seed, bench_only=bench_only
        ),
        seeds=begun.seeds,
        kept=changed.kept,
        tuned=changed.tuned,
    )
    try:
        bundle = convert_source(
            changed.source, precision, begun.target, told, calibration_seed=seed, convert=changed.convert,
            max_drop=allowed, force=force, sturdy=sturdy, bench_only=bench_only,
            extras=extras_for(edgetpu=edgetpu, mcu=mcu, tell=click.echo),
        )  # fmt: skip
    except LostTooMuchError as error:
        click.echo("\n".join(error.lines), err=True)
        raise
    click.echo("\n".join([*_lines(bundle.manifest), *parity_lines(bundle.manifest)]))
    click.echo(f"bundle: {begun.target} ({bundle.manifest.bytes:,} bytes)")
    click.echo(f"next: edge-ecg models verify {shlex.quote(str(begun.target))}")


@dataclass(frozen=True, slots=True, eq=False)
class _Begun:
    """What is converted: a run's folder or a Keras file, where the bundle goes, and how a command line names it.

    Attributes
    ----------
    others_by_split
        The same recipe on other splits.
    among, seeds
        Other seeds that it was chosen from; validation figures of all.
    """

    folder: Path
    source: Source
    target: Path
    words: Sequence[str]
    others_by_split: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    among: Sequence[Path] = ()
    seeds: Mapping[str, SeedFigures] = field(default_factory=dict)

    @property
    def others(self) -> list[Path]:
        """Runs of all other splits."""
        return [other for runs in self.others_by_split.values() for other in runs]


def _of_file(run: str, precision: str, out: Path | None, data: str | None, split: str | None, fold: int) -> _Begun:
    if data is None:
        raise UsageError(f"{run} does not say which data set it is for", "Give it with --data, such as --data mitdb")
    if out is not None:
        check_target(out)
    source = open_model_file(Path(run), data, split or "random", fold)
    rehearse(Path(run), source.network, precision)
    target = out or Path(bundle_id(source.info, precision))
    check_target(target)
    words = [Path(run).name, "--data", data, "--split", source.split.name]
    words += [] if source.split.fold is None else ["--fold", str(source.split.fold)]
    return _Begun(Path(run), source, target, words)


def _of_run(
    run: str, precision: str, out: Path | None, changes: Changes, among: Sequence[str], other_splits: Sequence[str], *,
    bench_only: bool,
) -> _Begun:  # fmt: skip
    folder = _run_of(run)
    target = out or Path(bundle_id(read_run(folder), precision, changes.told))
    check_target(target)
    seeds_of = [find_run(name) for name in among]
    seeds = seeds_among(folder, seeds_of)
    others = runs_by_split(folder, [find_run(name) for name in other_splits])
    source = open_source(folder, bench_only=bench_only)
    return _Begun(folder, source, target, [folder.name], others, seeds_of, seeds)


def _run_of(name: str) -> Path:
    try:
        return find_run(name)
    except DataError:
        try:
            bundle = load_bundle(name)
        except ModelError:
            bundle = None
        if bundle is None:
            raise
        of = bundle.manifest
        words = ["--network", of.network, "--data", of.dataset, "--split", of.split, "--start", name, "--epochs", "0"]
        raise UsageError(
            f"{name} is a bundle already, and convert takes runs",
            f"Make a run of it: {shlex.join(['edge-ecg', 'train', *words])}",
        ) from None


def _refuse_those(run: str, given: Mapping[str, object]) -> None:
    """Options that mean nothing for what is converted."""
    option = next((name for name, value in given.items() if value), None)
    if option is not None:
        what = "a Keras file" if is_model_file(run) else "a run, which has its own"
        raise UsageError(f"{option} means nothing with {what}", "Leave it out")


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
