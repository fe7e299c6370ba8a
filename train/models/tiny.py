"""The smallest network, for microcontrollers: seven convolutions, global maximum, one dense layer.

Its int8 file has at most 32,768 bytes, in which an operator costs half a kilobyte and a filter 28 bytes beside its
weights: so no shortcuts, few layers, and dense kernels rather than separable ones, which quantise worse, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Config", "build"]


@dataclass(frozen=True, slots=True)
class Config:
    """Structure of the network: filters, taps and stride of the first convolution; filters and taps of the others,
    by stage, with a pooling between stages.

    The stride halves the work of what follows, where most of it is.
    """

    n_samples: int = 187
    first: tuple[int, int, int] = (16, 7, 2)
    stages: tuple[tuple[tuple[int, int], ...], ...] = (((16, 5),), ((24, 5), (24, 5)), ((32, 3), (32, 3)), ((64, 3),))


def build(n_classes: int, config: Config = Config()) -> Any:
    """A fresh Keras model: input ``(187, 1)``, output ``n_classes`` softmax (one sigmoid for 1)."""
    from tf_keras import Input, Model, layers

    inputs = Input((config.n_samples, 1))
    x = layers.Reshape((1, config.n_samples, 1))(inputs)
    filters, taps, stride = config.first
    x = layers.Conv2D(filters, (1, taps), strides=(1, stride), padding="same", activation="relu")(x)
    for stage, convolutions in enumerate(config.stages):
        if stage:
            x = layers.MaxPooling2D((1, 2))(x)
        for filters, taps in convolutions:
            x = layers.Conv2D(filters, (1, taps), padding="same", activation="relu")(x)
    x = layers.GlobalMaxPooling2D()(x)
    activation = "sigmoid" if n_classes == 1 else "softmax"
    return Model(inputs, layers.Dense(n_classes, activation=activation, dtype="float32")(x), name="tiny")
