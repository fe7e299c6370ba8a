"""The graph that is converted."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__all__ = ["fixed_batch"]


def fixed_batch(model: Any) -> Any:
    """A Keras model for one beat at a time: a batch that is fixed to 1 leaves no shape arithmetic in the graph."""
    import tf_keras as keras

    inputs = keras.Input(batch_shape=(1, *model.input_shape[1:]))
    return keras.Model(inputs, model(inputs))
