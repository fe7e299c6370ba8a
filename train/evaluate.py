"""`edge-ecg evaluate`: a network on test beats, or the whole device on records."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from edge_ecg.errors import UsageError
from edge_ecg.labels import OPERATING_POINTS
from train.load import DATA_SETS
from train.splits import SPLITS
from train.window_set import SEGMENTATIONS

__all__ = ["evaluate"]

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
        "operating_point": "--operating-point",
    },
    False: {
        "dataset": "--data",
        "split": "--split",
        "fold": "--fold",
        "segmentation": "--segmentation",
        "part": "--part",
        "as_html": "--html",
        "sturdy": "--sturdy",
    },
}


@click.command()
@click.argument("models", metavar="RUN|BUNDLE|ID...", nargs=-1, required=True)
@click.option("--data", "dataset", metavar="|".join([*DATA_SETS, "DIR"]), help="Default: what it was trained on.")
@click.option("--split", type=click.Choice(SPLITS), help="Default: the one it was trained on, else random.")
@click.option("--fold", type=click.IntRange(0), help="Of the patient split; default: the run's own.")
@click.option("--segmentation", type=click.Choice(SEGMENTATIONS), help="How windows are cut; default: the model's.")
@click.option(
    "--part",
    type=click.Choice(["test", "validation"]),
    default="test",
    show_default=True,
    help="Of the split; validation: the run's own, to tune a recipe by.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--html", "as_html", is_flag=True, help="Write a page with pictures to --out.")
@click.option("--sturdy", is_flag=True, help="Noise, R jitter, gain, inverted lead too (mitdb; 2 minutes once).")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for what is written; default in EDGE_ECG_RUNS.")
@click.option("--end-to-end", is_flag=True, help="Records through board bytes, detector and classifier (a bundle).")
@click.option("--records", metavar="DS1|DS2|all|svdb|svdb-test|DIR|RECORD", default="DS2", show_default=True,
              help="End to end: which records, of mitdb where no other is said.")
@click.option("--lead", metavar="NAME|N", help="End to end: lead; default MLII, else II, else the first.")
@click.option("--noise", metavar="ma|bw|em|RECORD", help="End to end: noise to add by the nst protocol.")
@click.option("--snr", "snr_db", type=float, help="Its strength, 24 to -6 dB.")
@click.option("--class-map", type=click.Choice(["ec57", "aami5"]), default="ec57", show_default=True)
@click.option("--start", "start_s", type=click.FloatRange(0), default=300.0, help="Learning period, s; EC57: 300.")
@click.option("--operating-point", type=click.Choice(OPERATING_POINTS), help="End to end: of a rhythm model.")
@click.option("--jobs", type=click.IntRange(1), help="End to end: processes; default: one per processor.")
@click.pass_context
def evaluate(ctx: click.Context, models: tuple[str, ...], end_to_end: bool, **options: Any) -> None:
    """Score a run or a bundle on the test part of a split, by single beats at known positions.

    Several models are the folds of one split: each is scored on its own fold, and the beats are pooled.

    Whoever tunes a recipe asks for --part validation: the test part chooses nothing.

    With --end-to-end: real records as bytes of a simulated board, through decoder, detector and classifier,
    scored by ANSI/AAMI EC57. Writes a WFDB annotation file per record, report.json and report.html.

    \b
    Example:
      edge-ecg evaluate mitdb-baseline-int8 --split random --html --sturdy
      edge-ecg evaluate ptb-residual-patient-fold{0,1,2,3,4}-seed1 --json
      edge-ecg evaluate --end-to-end mitdb-baseline-int8 --records DS2 --noise ma --snr 12
      edge-ecg evaluate --end-to-end rhythm --records svdb-test
    """
    given = [option for name, option in _MODES[not end_to_end].items() if _is_given(ctx, name)]
    if given:
        mode = "with" if end_to_end else "without"
        raise UsageError(f"{', '.join(given)} means nothing {mode} --end-to-end", "Leave it out, or see -h")
    own = {name: options[name] for name in (*_MODES[end_to_end], "out", "as_json")}
    if not end_to_end:
        from train.evaluation_run import evaluate_windows

        evaluate_windows(models, **own)
        return
    if len(models) > 1:
        raise UsageError(f"{len(models)} models are given, end to end runs one", "Name one bundle")
    from train.evaluate_cli import evaluate_end_to_end

    jobs = own.pop("jobs") or len(os.sched_getaffinity(0))
    evaluate_end_to_end(models[0], own.pop("records"), jobs=jobs, **own)


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
