"""The flags that say what labels, and the model that they open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from edge_ecg.cli.ranges import NumberRange
from edge_ecg.cli.report import tell
from edge_ecg.infer import Accelerator, open_classifier
from edge_ecg.infer.rhythm import RhythmClassifier
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.labels import OPERATING_POINTS, OperatingPoint

__all__ = ["model_options", "open_model"]

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--model", metavar="ID|PATH", help="Shipped model or bundle folder (see `edge-ecg models list`)."),
    click.option(
        "--accelerator",
        type=click.Choice(get_args(Accelerator)),
        default="auto",
        show_default=True,
        help="What runs the model; auto takes an Edge TPU where the model has a file for it and a beat runs there.",
    ),
    click.option(
        "--operating-point",
        type=click.Choice(OPERATING_POINTS),
        help="How ready a rhythm model is to call a beat ectopic; default balanced.",
    ),
    click.option(
        "--min-confidence",
        type=NumberRange(0, 1),
        metavar="X",
        help="Mark beats labelled with less, 0 to 1, as unsure and reject; default 0.",
    ),
)


def model_options(command: F) -> F:
    """Give a command the flags `--model`, `--accelerator`, `--operating-point` and `--min-confidence`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_model(
    name: str, accelerator: Accelerator, operating_point: OperatingPoint | None = None
) -> TfliteClassifier | RhythmClassifier:
    """Open a model to label beats, and say on stderr when it does not run where it was meant to."""
    classifier = open_classifier(name, accelerator=accelerator, operating_point=operating_point)
    if classifier.remark:
        tell(f"note      {classifier.remark}")
    return classifier
