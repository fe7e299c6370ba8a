"""A trained network that teaches another: what it says of each beat is part of what the other learns.

G. Hinton, O. Vinyals, J. Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_ecg.errors import DataError, UsageError
from train.load import load_network
from train.run import WEIGHTS, RunInfo, find_run, read_run
from train.window_set import runs_root

__all__ = ["Teacher", "divergence", "open_teacher"]

SAME = (
    *("dataset", "label_set", "segmentation", "lead", "preprocessing_fingerprint", "data_sha256"),
    *("split", "fold", "n_folds"),
)
"""Of `RunInfo`: what a teacher and its pupil have to share."""

_SURELY_NOT = 1e-7
"""Least probability that is told apart from 0."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A run that teaches.

    Attributes
    ----------
    folder, info
        The run.
    sha256
        Hash of the file of its weights.
    """

    folder: Path
    info: RunInfo
    sha256: str

    @property
    def name(self) -> str:
        """What `find_run` finds it by, from wherever it is asked."""
        folder = self.folder.resolve()
        return folder.name if folder.parent == runs_root().resolve() else str(folder)

    def check(self, facts: Mapping[str, Any]) -> None:
        """Raise `UsageError` where ``facts`` of its pupil's `RunInfo` say that they learn from other beats.

        A teacher of another split may have learnt from those that test its pupil.
        """
        for key in SAME:
            its = getattr(self.info, key)
            if key in facts and its != facts[key]:
                raise UsageError(
                    f"{self.folder.name} cannot teach this run: it learnt with another {key} ({its}, here "
                    f"{facts[key]}), maybe from beats that test here",
                    "Name a teacher of the same data, split and fold; train one first if there is none",
                )

    def network(self) -> Any:
        """Its Keras model. Raises `DataError` when the weights cannot be read."""
        return load_network(self.folder, self.info)


def open_teacher(name: str | Path, sha256: str | None = None) -> Teacher:
    """The teacher in a run folder, by path or by a name under `runs_root`. Loads no TensorFlow.

    Raises
    ------
    DataError
        There is no such run, or it cannot be read.
    UsageError
        Its weights are not those of ``sha256``, where that is given.
    """
    try:
        folder = find_run(name)
        info = read_run(folder)
    except DataError as error:
        raise DataError(f"the teacher: {error.message}", error.hint) from None
    with (folder / WEIGHTS).open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 is not None and found != sha256:
        raise UsageError(
            f"the teacher {folder} has changed: its {WEIGHTS} were {sha256[:12]}, now {found[:12]}",
            "Put the old ones back, or train anew into another folder",
        )
    return Teacher(folder, info, found)


def divergence(tf: Any, taught: Any, said: Any, temperature: float) -> Any:
    """``temperature``² times the Kullback-Leibler divergence of each beat ``(n,)``, from teacher to pupil.

    Parameters
    ----------
    taught, said
        Probabilities ``(n, n_outputs)`` of the two, of a softmax or of one sigmoid.
    temperature
        Both are softened by it. The square keeps the gradient as long as that of the labels.
    """

    def softened(probs: Any) -> Any:
        both = tf.concat([1.0 - probs, probs], axis=1) if probs.shape[1] == 1 else probs
        return tf.nn.log_softmax(tf.math.log(tf.maximum(both, _SURELY_NOT)) / temperature)

    target, own = softened(taught), softened(said)
    return temperature**2 * tf.reduce_sum(tf.exp(target) * (target - own), axis=1)
