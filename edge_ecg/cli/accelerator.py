"""The flag --accelerator, and the model that it opens."""

from __future__ import annotations

from typing import get_args

import click

from edge_ecg.cli.report import tell
from edge_ecg.infer import Accelerator, open_classifier
from edge_ecg.infer.tflite import TfliteClassifier

__all__ = ["accelerator_option", "open_model"]

accelerator_option = click.option(
    "--accelerator",
    type=click.Choice(get_args(Accelerator)),
    default="auto",
    show_default=True,
    help="What runs the model; auto takes an Edge TPU where the model has a file for it and a beat runs there.",
)


def open_model(name: str, accelerator: Accelerator) -> TfliteClassifier:
    """Open a model to label beats, and say on stderr when it does not run where it was meant to."""
    classifier = open_classifier(name, accelerator=accelerator)
    if classifier.remark:
        tell(f"note      {classifier.remark}")
    return classifier
