"""`edge-ecg train` and `edge-ecg evaluate`."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ConfigError, UsageError
from edge_ecg.infer import open_classifier
from edge_ecg.labels import LABEL_SETS
from edge_ecg.schema import decode
from train.load import DATA_SETS, NETWORKS, build_of, load_data, load_network
from train.run import Recipe, find_run, read_run
from train.splits import SPLITS
from train.windows import runs_root

__all__ = ["evaluate", "train"]


@click.command()
@click.option("--network", type=click.Choice(NETWORKS), required=True, help="Which network.")
@click.option("--data", "dataset", type=click.Choice(DATA_SETS), required=True, help="Which database.")
@click.option("--split", type=click.Choice(SPLITS), default="random", show_default=True, help="Which beats test.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of weights and order.")
@click.option("--config", "recipe_file", type=click.Path(path_type=Path), help="Recipe; default: the released one.")
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default under EDGE_ECG_RUNS.")
def train(
    network: str, dataset: str, split: str, seed: int, recipe_file: Path | None, epochs: int | None, out: Path | None
) -> None:
    """Train a network on a database. Prints the run folder that `edge-ecg convert` takes.

    \b
    Example:
      edge-ecg train --network baseline --data mitdb --seed 1
    """
    recipe = _read_recipe(recipe_file or Path(__file__).parent / "configs" / f"{network}.toml")
    if epochs:
        recipe = replace(recipe, epochs=epochs)
    folder = out or runs_root() / f"{dataset}-{network}-{split}-seed{seed}"
    if (folder / "run.json").exists():
        raise UsageError(f"{folder} holds a run already", "Name another folder with --out, or remove it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the run folder {folder}: {error.strerror}", "Name another with --out") from None
    # A missing TensorFlow is told before the beats are cut, not after.
    import tensorflow  # noqa: F401

    from train.fit import fit

    params = PreprocessParams()
    data, parts = load_data(dataset, split, params)
    command = shlex.join(["edge-ecg", *sys.argv[1:]])
    info = fit(build_of(network), data, parts, recipe, params, seed, folder, command)
    click.echo(f"best epoch {info.best_epoch}: validation accuracy {info.validation_accuracy:.4f}, "
               f"macro F1 {info.validation_macro_f1:.4f}")
    click.echo(f"run: {folder}\nnext: edge-ecg convert --int8 {folder}")


@click.command()
@click.argument("model", metavar="RUN|BUNDLE|ID")
@click.option("--data", "dataset", type=click.Choice(DATA_SETS), default="mitdb", show_default=True)
@click.option("--split", type=click.Choice(SPLITS), default="random", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--end-to-end", is_flag=True, help="Records through board bytes, detector and classifier (a bundle).")
@click.option("--records", metavar="DS1|DS2|all|DIR", default="DS2", show_default=True, help="End to end: which.")
@click.option("--lead", metavar="NAME|N", help="End to end: lead; default MLII, else II, else the first.")
@click.option("--noise", metavar="ma|bw|em|RECORD", help="End to end: noise to add by the nst protocol.")
@click.option("--snr", "snr_db", type=float, help="Its strength, 24 to -6 dB.")
@click.option("--class-map", type=click.Choice(["ec57", "aami5"]), default="ec57", show_default=True)
@click.option("--start", "start_s", type=click.FloatRange(0), default=300.0, help="Learning period, s; EC57: 300.")
@click.option("--jobs", type=click.IntRange(1), help="End to end: processes; default: one per processor.")
@click.option("--out", type=click.Path(path_type=Path), help="End to end: folder; default under EDGE_ECG_RUNS.")
@click.pass_context
def evaluate(
    ctx: click.Context, model: str, dataset: str, split: str, as_json: bool, end_to_end: bool, **options: Any
) -> None:
    """Score a run or a bundle on the test part of a split, by annotated beats.

    With --end-to-end: real records as bytes of a simulated board, through decoder, detector and classifier,
    scored by ANSI/AAMI EC57. Writes a WFDB annotation file per record, report.json and report.html.

    \b
    Example:
      edge-ecg evaluate mitdb-baseline-int8
      edge-ecg evaluate --end-to-end mitdb-baseline-int8 --records DS2 --noise ma --snr 12
    """
    given = [option for name, option in _MODES[not end_to_end].items() if _is_given(ctx, name)]
    if given:
        mode = "with" if end_to_end else "without"
        raise UsageError(f"{', '.join(given)} means nothing {mode} --end-to-end", "Leave it out, or see -h")
    if end_to_end:
        from train.evaluate_cli import evaluate_end_to_end

        jobs = options.pop("jobs") or len(os.sched_getaffinity(0))
        evaluate_end_to_end(model, options.pop("records"), jobs=jobs, as_json=as_json, **options)
        return
    _evaluate_windows(model, dataset, split, as_json)


# Parameters that belong to one way of scoring only, by whether it is end to end.
_MODES = {
    True: {
        "records": "--records",
        "lead": "--lead",
        "noise": "--noise",
        "snr_db": "--snr",
        "class_map": "--class-map",
        "start_s": "--start",
        "jobs": "--jobs",
        "out": "--out",
    },
    False: {"dataset": "--data", "split": "--split"},
}


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _evaluate_windows(model: str, dataset: str, split: str, as_json: bool) -> None:
    from edge_ecg.scoring.confusion import Confusion

    labels = LABEL_SETS["aami5"]
    model_id, preprocessing, say = _open(model)
    data, parts = load_data(dataset, split, preprocessing)
    said = say(data.windows[parts.test])
    confusion = Confusion.of(data.labels[parts.test], said, len(labels))
    figures: dict[str, Any] = {
        "model": model_id,
        "dataset": dataset,
        "split": split,
        "patients_on_both_sides": parts.patients_on_both_sides,
        "n": len(said),
        "accuracy": confusion.accuracy,
        "macro_f1": confusion.macro_f1,
        "per_class": {
            name: {"n": c.n, "se": c.se, "ppv": c.ppv, "f1": c.f1}
            for name, c in zip(labels, confusion.per_class(), strict=True)
        },
        "confusion": confusion.counts.tolist(),
    }
    if as_json:
        click.echo(json.dumps(figures, indent=2))
        return
    click.echo(f"{figures['model']} on {dataset}, {split} split, {figures['n']} test beats")
    click.echo(f"accuracy {confusion.accuracy:.4f}  macro F1 {confusion.macro_f1:.4f}")
    for name, c in figures["per_class"].items():
        click.echo(f"  {name}  {c['n']:6d}  Se {100 * c['se']:6.2f} %  +P {100 * c['ppv']:6.2f} %  F1 {c['f1']:.4f}")


def _open(name: str) -> tuple[str, PreprocessParams, Callable[[NDArray[np.float32]], NDArray[np.int64]]]:
    """A run or a bundle: its id, what its windows must be, and what gives the classes of ``(n, 187)`` windows."""
    if (Path(name) / "run.json").exists() or (runs_root() / name / "run.json").exists():
        folder = find_run(name)
        info = read_run(folder)

        def say_float(windows: NDArray[np.float32]) -> NDArray[np.int64]:
            from train.fit import predict

            return predict(load_network(folder, info), windows).argmax(axis=1)

        return folder.name, info.preprocessing, say_float
    classifier = open_classifier(name)
    if classifier.labels != LABEL_SETS["aami5"]:
        raise UsageError(
            f"{classifier.model_id} gives {', '.join(classifier.labels)}, these beats are labelled "
            f"{', '.join(LABEL_SETS['aami5'])}",
            "Name a model of the five classes",
        )
    return (
        classifier.model_id,
        classifier.preprocessing,
        lambda windows: np.array([int(classifier.classify(w).argmax()) for w in windows]),
    )


def _read_recipe(file: Path) -> Recipe:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"recipe {file} cannot be read: {error}", "It is a TOML file of train.run.Recipe") from None
    return decode(Recipe, table, where=str(file), error=ConfigError)
