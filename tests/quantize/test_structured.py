"""Removing filters: the graph shrinks, and what is left says the same when nothing was lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import small_baseline, small_deep_residual, small_residual, small_source

from edge_ecg.errors import UsageError
from quantize.structured import N_STEPS, filters_after, groups_of, prune_filters, shrink
from quantize.tune import Tuning

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")


def small_foreign() -> Any:
    """What none of ours has: depthwise and separable convolutions, a batch normalisation, a flattened end."""
    from tf_keras import Input, Model, layers

    inputs = Input((187, 1))
    x = layers.Conv1D(8, 5, strides=4, use_bias=False)(inputs)
    x = layers.LeakyReLU()(layers.BatchNormalization()(x))
    x = layers.SeparableConv1D(12, 3, padding="same", activation="relu")(x)
    y = layers.Conv1D(12, 3, padding="same")(x)
    x = layers.Activation("relu")(layers.Multiply()([layers.Add()([x, y]), x]))
    x = layers.DepthwiseConv1D(3, padding="same")(layers.AveragePooling1D(4)(x))
    x = layers.Reshape((11 * 12,))(x)
    x = layers.Dense(8, activation="relu")(x)
    return Model(inputs, layers.Dense(5, activation="softmax")(x), name="foreign")


def small_flat() -> Any:
    """A Sequential one, of a flattened window."""
    import tf_keras as keras

    return keras.Sequential(
        [
            keras.layers.Input((187, 1)),
            keras.layers.Conv1D(8, 9, strides=8, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(8, "relu"),
            keras.layers.Dense(5, "softmax"),
        ],
        name="flat",
    )


NETWORKS = [small_baseline, small_residual, small_deep_residual, small_foreign, small_flat]


@pytest.mark.parametrize("build", NETWORKS)
def test_filters_that_are_zero_go_without_a_trace(build: Any) -> None:
    network = build()
    rng = np.random.default_rng(0)
    # Biases begin at 0, which would hide one that went to the wrong filter.
    network.set_weights([w + rng.normal(0.0, 0.1, w.shape).astype(np.float32) for w in network.get_weights()])
    for layer in network.layers:
        if type(layer).__name__ == "BatchNormalization":
            # Moves a filter of zeros away from zero, unless it shifts nothing.
            gamma, _, _, variance = layer.get_weights()
            layer.set_weights([gamma, np.zeros_like(gamma), np.zeros_like(gamma), np.abs(variance)])
        if type(layer).__name__ == "DepthwiseConv1D":
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, np.zeros_like(bias)])
    keep = {}
    for group in groups_of(network):
        if not group.is_fixed:
            zero = rng.permutation(group.n_channels)[: group.n_channels // 3]
            keep[group.layers[0]] = group.n_channels - len(zero)
            for name in group.layers:
                # A depthwise kernel in front of a separable one is not a filter's.
                weights = network.get_layer(name).get_weights()
                made = weights[1:] if len(weights) == 3 else weights
                for weight in made:
                    weight[..., zero] = 0.0
                network.get_layer(name).set_weights([*weights[: len(weights) - len(made)], *made])
    small = shrink(network, keep)
    assert small.count_params() < network.count_params()
    windows = rng.random((20, 187, 1), np.float32)
    said, meant = small(windows).numpy(), network(windows).numpy()
    assert np.ptp(meant, axis=0).max() > 1e-4, "it says something"
    assert said == pytest.approx(meant, abs=2e-6)


@pytest.mark.parametrize("build", NETWORKS)
def test_nothing_removed_is_the_same_network(build: Any) -> None:
    network = build()
    small = shrink(network, filters_after(groups_of(network), 0.0))
    assert all(np.array_equal(a, b) for a, b in zip(small.get_weights(), network.get_weights(), strict=True))


def test_filters_of_one_addition_go_together() -> None:
    tied = [g for g in groups_of(small_residual()) if len(g.layers) > 1]
    # The first convolution, and the last one of each of the two blocks.
    assert [(len(g.layers), g.n_channels, g.is_fixed) for g in tied] == [(3, 8, False)]
    tied = [g for g in groups_of(small_deep_residual()) if len(g.layers) > 1]
    # In each stage: the shortcut of its pooling block, and the last convolution of both blocks.
    assert [(len(g.layers), g.n_channels) for g in tied] == [(3, 8), (3, 16)]
    fixed = [g for g in groups_of(small_residual()) if g.is_fixed]
    assert [g.n_channels for g in fixed] == [5], "a class is no filter"


def test_how_many_stay() -> None:
    groups = groups_of(small_residual())
    assert sorted(filters_after(groups, 0.5).values()) == [4, 4, 4, 8, 8, 8]
    assert sorted(filters_after(groups, 0.95).values()) == [4, 4, 4, 8, 8, 8], "never none"
    assert sorted(filters_after(groups, 0.4).values()) == [4, 4, 4, 8, 8, 8], "in multiples of four and eight"


def test_the_strongest_filters_stay_with_all_that_belongs_to_them() -> None:
    network = small_baseline()
    layer, *_ = [x for x in network.layers if type(x).__name__ == "Conv2D"][2:]
    kernel, bias = layer.get_weights()
    strong = np.arange(1, 32, 2)
    kernel[..., strong] *= 100.0
    bias[:] = np.arange(32)
    bias[::2] = 0.0
    layer.set_weights([kernel, bias])
    small = shrink(network, {layer.name: 16})
    found_kernel, found_bias = small.get_layer(layer.name).get_weights()
    assert np.array_equal(found_kernel, kernel[..., strong])
    assert np.array_equal(found_bias, bias[strong])


def test_half_the_filters_is_about_a_quarter_of_the_network(tmp_path: Path) -> None:
    network = small_residual()
    before = network.get_weights()
    model, tuned = prune_filters(
        network, small_source(network), 0.5, Tuning(epochs=1, learning_rate=3e-3), tmp_path, teacher=network
    )
    assert len(tuned) == N_STEPS
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))
    assert {g.layers[0]: g.n_channels for g in groups_of(model)} == {
        g.layers[0]: g.n_channels if g.is_fixed else g.n_channels // 2 for g in groups_of(network)
    }
    assert model.count_params() == pytest.approx(network.count_params() / 4, rel=0.15)
    assert model.count_params() == shrink(network, filters_after(groups_of(network), 0.5)).count_params()
    rates = {x.rate for x in model.layers if type(x).__name__ == "Dropout"}
    assert rates == {x.rate for x in network.layers if type(x).__name__ == "Dropout"}, "scaled once: here by 1"


def test_a_layer_that_is_not_understood_is_named() -> None:
    from tf_keras import Input, Model, layers

    def of(make: Any) -> Any:
        inputs = Input((187, 1))
        return Model(inputs, layers.Dense(5)(layers.Flatten()(make(layers.Conv1D(8, 3)(inputs)))))

    twice = layers.Conv1D(8, 3, padding="same", name="twice")
    for make, told in (
        (lambda x: layers.Concatenate(name="both")([x, x]), r"layer both \(Concatenate\) is of a kind"),
        (lambda x: twice(twice(x)), r"layer twice \(Conv1D\) is used more than once"),
        (lambda x: layers.Conv1D(8, 3, groups=2, name="apart")(x), r"layer apart \(Conv1D\) is a convolution in"),
        (lambda x: layers.Add(name="wide")([x, layers.Conv1D(1, 1)(x)]), r"layer wide \(Add\) spreads one input"),
    ):
        with pytest.raises(UsageError, match=told):
            groups_of(of(make))


def test_a_share_that_removes_nothing_or_all(tmp_path: Path) -> None:
    network = small_residual()
    source = small_source(network)
    for share, told in ((0.0, "between 0 and 1"), (50.0, "Give --prune 0.5"), (0.01, "0.01 of the filters .* is none")):
        with pytest.raises(UsageError, match=told):
            prune_filters(network, source, share, Tuning(epochs=1), tmp_path, teacher=network)
