"""The baseline CNN: eight convolutions in four pairs, global maximum, two dense layers.

Conv1D written as Conv2D with 1 x k kernels behind a reshape: the same arithmetic and parameters, and every
operator of it quantises per channel to int8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Config", "build"]


@dataclass(frozen=True, slots=True)
class Config:
    """Structure of the network, by the text of Naidu & Lavanya Devi, An Optimized Solution: Deep Residual Learning
    for ECG Signal Classification (2020); windows and classes of Kachuee et al., arXiv 1805.00794.
    """

    n_samples: int = 187
    pairs: tuple[tuple[int, int, float], ...] = ((16, 5, 0.1), (32, 3, 0.1), (32, 3, 0.1), (256, 3, 0.2))
    dense: tuple[int, ...] = (64, 64)


def build(n_classes: int, config: Config = Config()) -> Any:
    """A fresh Keras model: input ``(187, 1)``, output ``n_classes`` softmax (one sigmoid for 1)."""
    from tf_keras import Input, Model, layers

    inputs = Input((config.n_samples, 1))
    x = layers.Reshape((1, config.n_samples, 1))(inputs)
    for stage, (filters, taps, dropout) in enumerate(config.pairs):
        for _ in range(2):
            x = layers.Conv2D(filters, (1, taps), activation="relu")(x)
        last = stage == len(config.pairs) - 1
        x = layers.GlobalMaxPooling2D()(x) if last else layers.MaxPooling2D((1, 2))(x)
        x = layers.Dropout(dropout)(x)
    for units in config.dense:
        x = layers.Dense(units, activation="relu")(x)
    activation = "sigmoid" if n_classes == 1 else "softmax"
    return Model(inputs, layers.Dense(n_classes, activation=activation, dtype="float32")(x), name="baseline")
