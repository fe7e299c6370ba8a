"""The batches of an epoch: which beats come when, what is changed about them, what each counts."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.labels import LABEL_SETS
from train.beat_augment import Augmenter, noise_bank
from train.beat_strips import strips_of
from train.models import n_outputs
from train.run import Recipe
from train.window_set import WindowSet

__all__ = ["Batches"]

Array = NDArray[np.float32]


class Batches:
    """Training beats in batches; an epoch's are a function of the seed and its number alone.

    Parameters
    ----------
    data, part
        Beats and which of them train.
    recipe
        Batch size, class balance, augmentation.
    params
        What the windows are: noise is filtered as they were.
    seed
        Of order and augmentation.
    """

    def __init__(
        self, data: WindowSet, part: NDArray[np.int64], recipe: Recipe, params: PreprocessParams, seed: int
    ) -> None:
        self._data, self._part, self._size, self._seed = data, np.sort(part), recipe.batch_size, seed
        self._augment: Augmenter | None = None
        if recipe.augment.changes:
            bank = noise_bank(recipe.augment, params)
            self._augment = Augmenter(strips_of(data, self._part), recipe.augment, bank, params.window.fs_hz)
        n_classes = len(LABEL_SETS[data.label_set])
        labels = data.labels[self._part]
        self._targets: Array = np.eye(n_classes, dtype=np.float32)[labels]
        if n_outputs(data.label_set) == 1:
            self._targets = self._targets[:, 1:]
        counts = np.bincount(labels, minlength=n_classes)
        weights = np.where(counts > 0, (len(labels) / np.maximum(counts, 1)) ** recipe.class_balance, 0.0)
        # A mean weight of 1 leaves the meaning of the learning rate as it is.
        self._weights: Array = (weights / weights[labels].mean())[labels].astype(np.float32)
        self.n_steps = math.ceil(len(self._part) / recipe.batch_size)

    def of_epoch(self, epoch: int) -> Iterator[tuple[Array, Array, Array]]:
        """Windows ``(n, 187, 1)``, targets ``(n, n_outputs)`` and weights ``(n,)``."""
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(len(self._part))
        for begin in range(0, len(order), self._size):
            rows = order[begin : begin + self._size]
            x = self._augment(rows, rng) if self._augment else self._data.windows[self._part[rows]]
            yield x[:, :, None], self._targets[rows], self._weights[rows]
