"""`edge-ecg train`."""

from __future__ import annotations

import os
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from edge_ecg.datasets import data_root
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ConfigError, UsageError
from edge_ecg.schema import decode
from train.beat_augment import noise_bank
from train.load import DATA_SETS, NETWORKS, build_of, load_data
from train.rhythm_card import summary
from train.room import check_room
from train.run import Recipe, RunInfo, find_run, read_run
from train.run_folder import training_in
from train.splits import SPLITS, check_split, check_trains
from train.start import Start
from train.teacher import Teacher
from train.window_set import SEGMENTATIONS, runs_root
from train.workers import ALONE, join_workers

__all__ = ["train"]

RHYTHM = "rhythm"


@click.command()
@click.option("--network", type=click.Choice([*NETWORKS, RHYTHM]), help="Which network; or the rhythm model.")
@click.option("--data", "dataset", metavar="NAME|DIR", help=f"{', '.join(DATA_SETS)}, or a folder of own data.")
@click.option("--split", type=click.Choice(SPLITS), default="random", show_default=True, help="Which beats test.")
@click.option("--fold", type=click.IntRange(0), default=0, show_default=True, help="Of a split in folds, which tests.")
@click.option("--segmentation", type=click.Choice(SEGMENTATIONS), default="causal", show_default=True,
              help="As the device cuts beats, or as published, with a look ahead.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of weights, order, augmentation.")
@click.option("--config", "recipe_file", type=click.Path(path_type=Path), help="Recipe; default: the network's own.")
@click.option(
    "--teacher", metavar="RUN|BUNDLE", multiple=True, help="Learn from what it says of the same beats, too; repeatable."
)
@click.option("--start", metavar="RUN|BUNDLE", help="Begin with its weights instead of chance.")
@click.option(
    "--epochs", type=click.IntRange(0), help="Instead of the recipe's; 0, with --start: a run of its weights."
)
@click.option("--threads", type=click.IntRange(0), default=0, help="Of TensorFlow; default: all processors.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default under EDGE_ECG_RUNS.")
@click.option("--resume", metavar="RUN", help="Go on with a run that was stopped, bit for bit.")
@click.option("--strategy", type=click.Choice(["multiworker"]), help="Several machines; TF_CONFIG names them.")
@click.pass_context
def train(ctx: click.Context, resume: str | None, threads: int, strategy: str | None, **options: Any) -> None:
    """Train a network on a database. Prints the run folder that `edge-ecg convert` takes.

    \b
    Example:
      edge-ecg train --network baseline --data mitdb --seed 1
      edge-ecg train --network tiny --data mitdb --teacher mitdb-deep_residual-int8
      edge-ecg train --network residual --data ./my-clinic --start mitdb-residual-int8
      edge-ecg train --network rhythm
      edge-ecg train --resume mitdb-baseline-random-seed1
    """
    given = [p.opts[0] for p in ctx.command.params if p.name in options and _is_given(ctx, str(p.name))]
    if resume and given:
        raise UsageError(f"{', '.join(given)} means nothing with --resume", "A run goes on as it began: leave it out")
    if options["network"] == RHYTHM:
        _train_rhythm(given, options["seed"], options["out"], threads)
        return
    workers = join_workers(threads, lambda line: click.echo(line, err=True)) if strategy else ALONE
    taught_by, begins_with = options.pop("teacher"), options.pop("start")
    teachers = [_teacher(run, options) for run in taught_by]
    start = _start(begins_with, options) if begins_with else None
    if options["epochs"] == 0 and not start:
        raise UsageError("0 epochs train nothing", "Give 1 or more; or weights to begin with, by --start")
    with workers.together():
        folder, begun, recipe = workers.ask_chief(lambda: _resumed(resume) if resume else _new_run(**options))
    if begun:
        teachers = [Teacher.open(*its) for its in zip(begun.teachers, begun.teachers_sha256, strict=True)]
        start = Start.open(begun.starts[0].name, begun.starts[0].sha256) if begun.starts else None
    check_room("training", memory_bytes=1_500_000_000, disk_bytes=150_000_000, folder=folder)
    # What is missing is told before the beats are cut, not after.
    import tensorflow  # noqa: F401

    from train.fit import fit

    params = begun.preprocessing if begun else PreprocessParams()
    noise_bank(recipe.augment, params)
    o = options if begun is None else asdict(begun)
    data, parts = load_data(o["dataset"], o["split"], params, segmentation=o["segmentation"], fold=o["fold"] or 0)
    check_trains(data, parts)
    command = begun.command if begun else shlex.join(["edge-ecg", *sys.argv[1:]])
    # Several workers have begun with theirs before they know the run.
    threads = threads or (begun.threads if begun and not strategy else 0)
    with workers.together(folder):
        info = fit(
            build_of(o["network"]), data, parts, recipe, params, o["seed"], folder, command,
            threads=threads, resume=begun is not None, workers=workers, teachers=teachers, start=start,
        )  # fmt: skip
    if not workers.is_chief:
        return
    click.echo(f"best epoch {info.best_epoch}: validation accuracy {info.validation_accuracy:.4f}, "
               f"macro F1 {info.validation_macro_f1:.4f}")
    if not info.is_done:
        raise KeyboardInterrupt  # As any command ends that was stopped; `fit` has told how to go on.
    click.echo(f"run: {folder}\nnext: edge-ecg convert --int8 {folder}")


def _train_rhythm(given: Sequence[str], seed: int, out: Path | None, threads: int) -> None:
    refused = [name for name in given if name not in ("--network", "--seed", "--out")]
    if refused:
        hint = f"Leave it out: it learns from mitdb's DS1, svdb and nsrdb; {', '.join(refused)} is for networks"
        raise UsageError(f"{', '.join(refused)} means nothing with --network {RHYTHM}", hint)
    folder = out or runs_root() / f"{RHYTHM}-seed{seed}"
    check_room("training", memory_bytes=1_500_000_000, disk_bytes=150_000_000, folder=folder)
    from train.rhythm_run import train_rhythm

    # Neither the folder nor the number of processes changes what comes out.
    command = f"edge-ecg train --network {RHYTHM} --seed {seed}"
    with training_in(folder):
        try:
            bundle = train_rhythm(data_root(), seed, folder, command, jobs=threads or os.cpu_count() or 1)
        except KeyboardInterrupt:
            click.echo("what is done is kept: the same command goes on", err=True)
            raise
    for line in summary(bundle.manifest):
        click.echo(line)
    click.echo(f"bundle: {bundle.folder}\nnext: edge-ecg models verify {shlex.quote(str(bundle.folder))}")


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _new_run(
    network: str | None, dataset: str | None, split: str, fold: int, segmentation: str, seed: int,
    recipe_file: Path | None, epochs: int | None, out: Path | None,
) -> tuple[Path, None, Recipe]:  # fmt: skip
    """Its folder, made; no run that it goes on with; its recipe."""
    if not network or not dataset:
        choices = f"--network ({', '.join(NETWORKS)}) and --data ({', '.join(DATA_SETS)})"
        raise UsageError("train what?", f"Give {choices}, or --resume RUN")
    recipe = _read_recipe(recipe_file or _own_recipe(network, dataset))
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    check_split(dataset, split, fold)
    name = [Path(dataset).resolve().name, network, split, f"seed{seed}"]
    if segmentation != "causal":
        name.insert(1, segmentation)
    if split == "patient":
        name.insert(-1, f"fold{fold}")
    folder = out or runs_root() / "-".join(name)
    if (folder / "run.json").exists():
        hint = f"Go on with it (--resume {folder}), or name another folder with --out"
        raise UsageError(f"{folder} holds a run already", hint)
    with training_in(folder):
        return folder, None, recipe


def _teacher(run: str, options: Mapping[str, Any]) -> Teacher:
    """Refused by what is known of its beats before they are cut; `fit` knows the rest."""
    teacher = Teacher.open(run)
    teacher.check({name: options[name] for name in ("split", "segmentation")})
    return teacher


def _start(name: str, options: Mapping[str, Any]) -> Start:
    """As `_teacher`."""
    start = Start.open(name)
    if options["network"] and options["dataset"]:
        start.check({key: options[key] for key in ("network", "dataset", "split", "segmentation")})
    return start


def _resumed(name: str) -> tuple[Path, RunInfo, Recipe]:
    folder = find_run(name)
    begun = read_run(folder)
    if begun.is_done:
        whole = begun.epochs_done >= begun.recipe.epochs
        how = f"all {begun.epochs_done} epochs of it" if whole else f"nothing better in {begun.recipe.patience} epochs"
        raise UsageError(f"{folder} is done, {how}", f"Convert it: edge-ecg convert --int8 {folder}")
    with training_in(folder):
        return folder, begun, begun.recipe


def _own_recipe(network: str, dataset: str) -> Path:
    """The recipe of the network on that data set, where it has one of its own."""
    configs = Path(__file__).parent / "configs"
    own = configs / f"{network}-{dataset}.toml"
    return own if dataset in DATA_SETS and own.is_file() else configs / f"{network}.toml"


def _read_recipe(file: Path) -> Recipe:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"recipe {file} cannot be read: {error}", "It is a TOML file of train.run.Recipe") from None
    recipe = decode(Recipe, table, where=str(file), error=ConfigError)
    if recipe.epochs == 0:
        raise ConfigError(f'{file}: "epochs" must be above 0', "A run of the weights that it begins with: --epochs 0")
    return recipe
