"""The networks: structure and size are those of the published table; the smallest is small."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_ecg.errors import UsageError
from edge_ecg.labels import LABEL_SETS
from train.models import NETWORKS, build_of, n_outputs

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")


def kinds(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def test_networks_are_the_files_of_their_folder() -> None:
    assert NETWORKS == ("baseline", "deep_residual", "residual", "tiny")
    with pytest.raises(UsageError, match="There are: baseline, deep_residual, residual, tiny"):
        build_of("vgg")
    with pytest.raises(UsageError):
        build_of("os")


@pytest.mark.parametrize(
    ("network", "five", "binary", "n_convolutions"),
    [
        ("baseline", 254_901, 254_641, 8),
        ("residual", 282_853, 60_065, 13),
        ("deep_residual", 2_152_101, 2_151_969, 53),
        ("tiny", 18_245, 17_985, 7),
    ],
)
def test_parameters_are_those_of_the_table(network: str, five: int, binary: int, n_convolutions: int) -> None:
    for label_set, n_parameters in (("aami5", five), ("binary", binary)):
        model = build_of(network)(n_outputs(label_set))
        assert model.name == network
        assert model.count_params() == n_parameters
        assert kinds(model).count("Conv2D") == n_convolutions
        assert model.input_shape == (None, 187, 1)
        softmax = len(LABEL_SETS[label_set]) > 2
        assert model.output_shape == (None, 5 if softmax else 1)
        assert model.layers[-1].activation.__name__ == ("softmax" if softmax else "sigmoid")
        # Convolutions of one row behind one reshape: what quantises per channel, and an Edge TPU takes.
        assert kinds(model).count("Reshape") == 1
        assert {layer.kernel_size[0] for layer in model.layers if type(layer).__name__ == "Conv2D"} == {1}


def test_the_layers_of_the_baseline() -> None:
    model = build_of("baseline")(5)
    pair = ["Conv2D", "Conv2D", "MaxPooling2D", "Dropout"]
    last = ["Conv2D", "Conv2D", "GlobalMaxPooling2D", "Dropout"]
    assert kinds(model) == ["InputLayer", "Reshape", *pair * 3, *last, "Dense", "Dense", "Dense"]
    convolutions = [(c.filters, c.kernel_size[1]) for c in model.layers if type(c).__name__ == "Conv2D"]
    assert convolutions == [(16, 5)] * 2 + [(32, 3)] * 4 + [(256, 3)] * 2
    assert [d.rate for d in model.layers if type(d).__name__ == "Dropout"] == [0.1, 0.1, 0.1, 0.2]
    assert [d.units for d in model.layers if type(d).__name__ == "Dense"] == [64, 64, 5]


def test_the_layers_of_the_residual_network() -> None:
    model = build_of("residual")(5)
    block = ["Conv2D", "Conv2D", "Add", "ReLU", "MaxPooling2D"]
    top = ["Conv2D", "Conv2D", "GlobalMaxPooling2D", "Dropout", "Dense", "Dense", "Dense"]
    assert kinds(model) == ["InputLayer", "Reshape", "Conv2D", *block * 5, *top]
    lengths = [layer.output_shape[2] for layer in model.layers if type(layer).__name__ == "MaxPooling2D"]
    assert lengths == [91, 45, 22, 11, 5]
    binary = [c.filters for c in build_of("residual")(1).layers if type(c).__name__ == "Conv2D"]
    assert binary[-2:] == [32, 32]


def test_the_layers_of_the_deep_residual_network() -> None:
    model = build_of("deep_residual")(5)
    assert [kinds(model).count(kind) for kind in ("Add", "MaxPooling2D", "GlobalMaxPooling2D")] == [15, 5, 1]
    assert [d.rate for d in model.layers if type(d).__name__ == "Dropout"] == [0.2] * 16
    filters = [c.filters for c in model.layers if type(c).__name__ == "Conv2D"]
    assert filters == [32] + [32] * 10 + [32] * 10 + [64] * 10 + [128] * 10 + [128] * 10 + [256] * 2
    assert [d.units for d in model.layers if type(d).__name__ == "Dense"] == [32, 32, 5]


def test_the_layers_of_the_smallest_network() -> None:
    model = build_of("tiny")(5)
    pair, single = ["MaxPooling2D", "Conv2D", "Conv2D"], ["MaxPooling2D", "Conv2D"]
    layers = ["InputLayer", "Reshape", "Conv2D", "Conv2D", *pair, *pair, *single, "GlobalMaxPooling2D", "Dense"]
    assert kinds(model) == layers
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert [c.filters for c in convolutions] == [16, 16, 24, 24, 32, 32, 64]
    assert [c.output_shape[2] for c in convolutions] == [94, 94, 47, 47, 23, 23, 11]
    # Multiply-adds of a beat: what a microcontroller of some ten million a second does in a fraction of one.
    assert sum(c.output_shape[2] * int(np.prod(c.kernel.shape)) for c in convolutions) == 547_680


def test_the_smallest_network_is_small_in_int8() -> None:
    from quantize.int8 import to_int8

    rng = np.random.default_rng(0)
    model = build_of("tiny")(5)
    # Biases of 0, as before any training, would be stored once for all layers.
    model.set_weights([rng.normal(scale=0.1, size=w.shape) for w in model.get_weights()])
    assert len(to_int8(model, rng.random((3, 187), dtype=np.float32))) <= 32_768


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_answers_with_probabilities(network: str) -> None:
    from train.fit import predict

    windows = np.random.default_rng(0).random((3, 187), dtype=np.float32)
    for label_set in ("aami5", "binary"):
        probs = predict(build_of(network)(n_outputs(label_set)), windows)
        assert probs.shape == (3, len(LABEL_SETS[label_set]))
        np.testing.assert_allclose(probs.sum(axis=1), 1.0, rtol=1e-5)
