"""The learning rate over a training."""

from __future__ import annotations

import math
from typing import Any

from train.run import Recipe

__all__ = ["Schedule"]


class Schedule:
    """Warm-up, then a cosine down to zero, or a plateau that steps down when the validation part says so.

    The source of the plateau: Naidu & Lavanya Devi (2020), who train with Keras' ReduceLROnPlateau.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._factor = 1.0
        self._waited = 0

    def rate(self, epochs: float) -> float:
        """The rate after so many epochs, a fraction is meant."""
        r = self._recipe
        if epochs < r.warmup_epochs:
            return r.learning_rate * (0.05 + 0.95 * epochs / r.warmup_epochs)
        if r.schedule == "plateau":
            return r.learning_rate * self._factor
        left = max(1e-9, r.epochs - r.warmup_epochs)
        return r.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (epochs - r.warmup_epochs) / left))

    def epoch_done(self, better: bool) -> None:
        """Hear whether the epoch was better than all before it on the validation part."""
        self._waited = 0 if better else self._waited + 1
        if self._waited >= self._recipe.plateau_patience:
            self._factor *= self._recipe.plateau_factor
            self._waited = 0

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"factor": self._factor, "waited": self._waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a kept state."""
        self._factor, self._waited = float(state["factor"]), int(state["waited"])
