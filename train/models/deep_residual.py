"""The deep residual CNN: five stages of a pooling block and two identity blocks, 53 convolutions in all.

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
    for ECG Signal Classification (2020).

    The last convolution of a block and its shortcut have no ReLU: the one behind the addition is theirs.
    """

    n_samples: int = 187
    first_filters: int = 32
    stages: tuple[int, ...] = (32, 32, 64, 128, 128)
    taps: int = 5
    n_identity_blocks: int = 2
    convolutions_per_block: int = 3
    top_filters: int = 256
    top_taps: int = 3
    dropout: float = 0.2
    dense: tuple[int, ...] = (32, 32)


def build(n_classes: int, config: Config = Config()) -> Any:
    """A fresh Keras model: input ``(187, 1)``, output ``n_classes`` softmax (one sigmoid for 1)."""
    from tf_keras import Input, Model, layers

    taps = (1, config.taps)

    def block(x: Any, shortcut: Any, filters: int) -> Any:
        for _ in range(config.convolutions_per_block - 1):
            x = layers.Conv2D(filters, taps, padding="same", activation="relu")(x)
        x = layers.Conv2D(filters, taps, padding="same")(x)
        return layers.ReLU()(layers.Add()([x, shortcut]))

    inputs = Input((config.n_samples, 1))
    x = layers.Reshape((1, config.n_samples, 1))(inputs)
    x = layers.Conv2D(config.first_filters, taps, activation="relu")(x)
    for filters in config.stages:
        x = block(x, layers.Conv2D(filters, taps, padding="same")(x), filters)
        x = layers.Dropout(config.dropout)(layers.MaxPooling2D((1, 2))(x))
        for _ in range(config.n_identity_blocks):
            x = layers.Dropout(config.dropout)(block(x, x, filters))
    for _ in range(2):
        x = layers.Conv2D(config.top_filters, (1, config.top_taps), padding="same", activation="relu")(x)
    x = layers.Dropout(config.dropout)(layers.GlobalMaxPooling2D()(x))
    for units in config.dense:
        x = layers.Dense(units, activation="relu")(x)
    activation = "sigmoid" if n_classes == 1 else "softmax"
    return Model(inputs, layers.Dense(n_classes, activation=activation, dtype="float32")(x), name="deep_residual")
