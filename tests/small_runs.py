"""A run of few synthetic beats that a network of a few filters learns in a second."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_ecg.dsp.preprocess import PreprocessParams
from quantize.source import Source
from train.run import RUN_SCHEMA, Recipe, RunInfo
from train.splits import Split
from train.window_set import WindowSet

PARAMS = PreprocessParams()
RECIPE = Recipe(epochs=1, batch_size=8, average_decay=0.5)


def small_source(network: Any, recipe: Recipe = RECIPE, n: int = 360) -> Source:
    """Five waves in noise, each a class; every third beat trains, validates, tests."""
    rng = np.random.default_rng(0)
    at = np.arange(n)
    labels = (at // 3 % 5).astype(np.uint8)
    which = np.arange(5)[:, None]
    waves = (0.1 + 0.2 * which) * (0.5 + 0.5 * np.sin(np.linspace(0.0, 6.28, 187) * (1.0 + 3.0 * which)))
    windows = np.clip(waves[labels] + rng.normal(0.0, 0.02, (n, 187)), 0.0, 1.0).astype(np.float32)
    data = WindowSet.of(windows, labels, np.ones(n, np.int32), np.ones(n, np.int32), dataset="mitdb")
    split = Split("random", at[::3], at[1::3], at[2::3], patients_on_both_sides=True)
    info = RunInfo(
        RUN_SCHEMA, network.name, "mitdb", "random", True, 1, recipe, PARAMS, PARAMS.fingerprint(), data.sha256,
        "edge-ecg train", "", {}, network.count_params(), label_set="aami5", lead="MLII",
    )  # fmt: skip
    return Source(info, data, split, network)


def small_baseline(seed: int = 1) -> Any:
    """A baseline network with one layer that is worth pruning (3,072 weights), and one that is not."""
    import tf_keras as keras

    from train.models.baseline import Config, build

    keras.utils.set_random_seed(seed)
    return build(5, Config(pairs=((4, 5, 0.1), (32, 3, 0.1)), dense=(16,)))


def small_residual(seed: int = 1) -> Any:
    """A residual network of two blocks."""
    import tf_keras as keras

    from train.models.residual import Config, build

    keras.utils.set_random_seed(seed)
    return build(5, Config(n_blocks=2, filters=8, top_filters=16, dense=(16,)))


def small_deep_residual(seed: int = 1) -> Any:
    """A deep residual network of two stages."""
    import tf_keras as keras

    from train.models.deep_residual import Config, build

    keras.utils.set_random_seed(seed)
    return build(5, Config(first_filters=8, stages=(8, 16), n_identity_blocks=1, top_filters=16, dense=(16,)))
