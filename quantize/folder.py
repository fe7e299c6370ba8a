"""The folder of a network's bundle: what may lie in it. How it is replaced is `train.bundle_folder`'s to say."""

from __future__ import annotations

from pathlib import Path

from train import bundle_folder
from train.bundle_folder import replace_folder

__all__ = ["check_target", "replace_folder"]

FILES = frozenset(
    {
        *("model.tflite", "manifest.json", "golden.json", "card.md"),
        *("measurements.json", "report.html"),
        *("model_edgetpu.tflite", "edgetpu.md", "mcu"),
    }
)
"""What may lie in it: the model and what is known of it; what this machine measured; for other hardware."""


def check_target(folder: Path) -> None:
    """Refuse a place that holds anything but an older bundle of a network. Raises `UsageError`."""
    bundle_folder.check_target(folder, FILES)
