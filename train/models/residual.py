"""The residual CNN: a convolution, five blocks with an identity shortcut, two convolutions, global maximum.

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
    for ECG Signal Classification (2020), who give the last convolutions fewer filters when there are two classes.

    The last convolution of a block has no ReLU of its own: the one behind the addition is its.
    """

    n_samples: int = 187
    n_blocks: int = 5
    filters: int = 32
    taps: int = 5
    top_filters: int = 256
    top_filters_binary: int = 32
    top_taps: int = 3
    dropout: float = 0.2
    dense: tuple[int, ...] = (32, 32)


def build(n_classes: int, config: Config = Config()) -> Any:
    """A fresh Keras model: input ``(187, 1)``, output ``n_classes`` softmax (one sigmoid for 1)."""
    from tf_keras import Input, Model, layers

    inputs = Input((config.n_samples, 1))
    x = layers.Reshape((1, config.n_samples, 1))(inputs)
    x = layers.Conv2D(config.filters, (1, config.taps), activation="relu")(x)
    for _ in range(config.n_blocks):
        y = layers.Conv2D(config.filters, (1, config.taps), padding="same", activation="relu")(x)
        y = layers.Conv2D(config.filters, (1, config.taps), padding="same")(y)
        x = layers.ReLU()(layers.Add()([y, x]))
        x = layers.MaxPooling2D((1, 2))(x)
    top_filters = config.top_filters if n_classes > 1 else config.top_filters_binary
    for _ in range(2):
        x = layers.Conv2D(top_filters, (1, config.top_taps), padding="same", activation="relu")(x)
    x = layers.Dropout(config.dropout)(layers.GlobalMaxPooling2D()(x))
    for units in config.dense:
        x = layers.Dense(units, activation="relu")(x)
    activation = "sigmoid" if n_classes == 1 else "softmax"
    return Model(inputs, layers.Dense(n_classes, activation=activation, dtype="float32")(x), name="residual")
