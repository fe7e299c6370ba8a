"""`edge-ecg convert`: a run becomes a bundle."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

import click

from edge_ecg.errors import UsageError
from edge_ecg.manifest import Metrics, SeedFigures
from quantize.bundle import bundle_id, check_target
from quantize.convert import convert_run
from train.run import RunInfo, find_run, read_run

__all__ = ["convert"]


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--int8", "precision", flag_value="int8", help="Full int8: int8 in, int8 out, no float operator.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the bundle; default ./DATA-NETWORK-PRECISION.")
@click.option("--other-split", metavar="RUN", help="The same recipe on another split: its figures stand beside.")
@click.option("--among", metavar="RUN", multiple=True, help="Another seed that RUN was chosen from, by validation.")
@click.option("--bench-only", is_flag=True, help="A bundle that devices refuse: for runs of windows that look ahead.")
@click.option("--calibration-seed", type=int, default=0, show_default=True, help="Of the representative beats.")
def convert(
    run: str,
    precision: str | None,
    out: Path | None,
    other_split: str | None,
    among: tuple[str, ...],
    bench_only: bool,
    calibration_seed: int,
) -> None:
    """Quantise a trained run into a bundle that a device can run.

    \b
    Example:
      edge-ecg convert --int8 ~/.cache/edge-ecg/runs/mitdb-baseline-random-seed1
    """
    if precision is None:
        raise UsageError("which precision?", "Give --int8")
    folder = find_run(run)
    info = read_run(folder)
    target = out or Path(bundle_id(info, precision))
    check_target(target)
    again = ["edge-ecg", "convert", f"--{precision}", folder.name, "--calibration-seed", str(calibration_seed)]
    again += ["--bench-only"] if bench_only else []
    commands: tuple[str, ...] = ()
    others: dict[str, Metrics] = {}
    if other_split is not None:
        other = find_run(other_split)
        other_info = read_run(other)
        if not _same_recipe(info, other_info) or (info.split, other_info.split) != ("random", "inter"):
            raise UsageError(
                f"{other} is not the recipe of {folder.name} on the inter split", "Train it with --split inter"
            )
        with tempfile.TemporaryDirectory() as scratch:
            bundle = convert_run(
                other, Path(scratch) / "bundle", calibration_seed=calibration_seed, bench_only=bench_only
            )
        others[other_info.split] = bundle.manifest.metrics
        commands = (other_info.command,)
        again += ["--other-split", other.name]
    seeds = _seeds(folder, info, among)
    for name in among:
        again += ["--among", find_run(name).name]
    bundle = convert_run(
        folder,
        target,
        calibration_seed=calibration_seed,
        commands=(*commands, shlex.join(again)),
        other_splits=others,
        seeds=seeds,
        bench_only=bench_only,
    )
    m = bundle.manifest
    click.echo(f"{'':18} accuracy  macro F1")
    rows = {f"float32, {m.split}": m.float_metrics, f"{m.precision}, {m.split}": m.metrics}
    rows |= {f"{m.precision}, {name}": x for name, x in m.metrics_of_other_splits.items()}
    for name, x in rows.items():
        click.echo(f"{name:18} {x.accuracy:8.4f}  {x.macro_f1:8.4f}")
    click.echo(f"bundle: {target} ({m.bytes:,} bytes)\nnext: edge-ecg models verify {target}")


def _same_recipe(a: RunInfo, b: RunInfo) -> bool:
    return (a.network, a.dataset, a.segmentation, a.recipe) == (b.network, b.dataset, b.segmentation, b.recipe)


def _seeds(folder: Path, info: RunInfo, among: tuple[str, ...]) -> dict[str, SeedFigures]:
    """Validation figures by seed. Raises `UsageError` unless this run is the best of them."""
    runs = [info, *(read_run(find_run(name)) for name in among)]
    if any(not _same_recipe(info, r) or (r.split, r.fold) != (info.split, info.fold) for r in runs):
        hint = "Seeds are compared with all else equal"
        raise UsageError("--among names a run of another recipe, split or fold", hint)
    best = max(runs, key=lambda r: r.validation_score)
    if best.seed != info.seed:
        raise UsageError(f"seed {best.seed} did better than {folder.name} on the validation part", "Convert that one")
    return {str(r.seed): SeedFigures(r.validation_accuracy, r.validation_macro_f1, r.validation_auc) for r in runs}
