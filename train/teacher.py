"""A trained network that teaches another: what it says of each beat is part of what the other learns.

G. Hinton, O. Vinyals, J. Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from edge_ecg.errors import UsageError
from train.trained import Trained

__all__ = ["Teacher", "divergence"]

_SURELY_NOT = 1e-7
"""Least probability that is told apart from 0."""


class Teacher(Trained):
    """A run or bundle that teaches."""

    __slots__ = ()
    role: ClassVar[str] = "teacher"

    def check(self, facts: Mapping[str, Any]) -> None:
        """Raise `UsageError` where ``facts`` of its pupil's `RunInfo` say that they learn from other beats.

        A teacher of another split may have learnt from those that test its pupil.
        """
        key = self.other(facts)
        if key:
            raise UsageError(
                f"{self.folder.name} cannot teach this run: it learnt with another {key} ({getattr(self.info, key)}, "
                f"here {facts[key]}), maybe from beats that test here",
                "Name a teacher of the same data, split and fold; train one first if there is none",
            )


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
