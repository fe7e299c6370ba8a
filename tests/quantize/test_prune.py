"""Magnitude pruning: exact zeros where they were asked for, and none elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_runs import small_baseline, small_residual, small_source

from edge_ecg.errors import UsageError
from quantize.precision import to_float32
from quantize.prune import gzip_bytes, prune, pruned_layers, sparsity_of, stored_sparsity
from quantize.tune import Tuning

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")


def test_the_share_that_was_asked_for_is_zero(tmp_path: Path) -> None:
    network = small_baseline()
    # Biases of zeros, with which it begins, are stored once.
    rng = np.random.default_rng(0)
    network.set_weights([w + 0.01 * rng.normal(size=w.shape) for w in network.get_weights()])
    before = network.get_weights()
    source = small_source(network)
    # 45 steps: the schedule ends with the 27th, in the second epoch.
    model, tuned = prune(network, source, 0.8, Tuning(epochs=3, learning_rate=3e-3), tmp_path, teacher=network)
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))
    assert [type(x).__name__ for x in model.layers] == [type(x).__name__ for x in network.layers], "no wrapper is left"
    assert model.count_params() == network.count_params()
    assert tuned.best_epoch >= 2, "the first has not all zeros yet"

    (pruned,) = pruned_layers(network)
    assert next(x for x in network.layers if x.name == pruned).kernel.shape == (1, 3, 32, 32)
    for layer in sparsity_of(model):
        assert layer.is_pruned == (layer.name == pruned)
        assert layer.share == pytest.approx(0.8 if layer.is_pruned else 0.0, abs=0.001)
    assert {layer.n_zeros for layer in sparsity_of(network)} == {0}

    # The graph is the same, and it compresses better.
    dense, sparse = to_float32(network, source.data.windows), to_float32(model, source.data.windows)
    assert len(sparse) == len(dense)
    assert gzip_bytes(sparse) < 0.75 * gzip_bytes(dense)
    assert gzip_bytes(sparse) == gzip_bytes(sparse), "no time of day in it"
    of_file = {(k.n_weights, k.n_zeros) for k in stored_sparsity(sparse)}
    assert of_file == {(k.n_weights, k.n_zeros) for k in sparsity_of(model)}

    # Done once; the finished one is the same to the last bit.
    again, found = prune(network, source, 0.8, Tuning(epochs=3, learning_rate=3e-3), tmp_path, teacher=network)
    assert found.was_done
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))


def test_what_cannot_be_pruned_is_told(tmp_path: Path) -> None:
    network = small_residual()
    source = small_source(network)
    for share, told in (
        (1.0, "between 0 and 1, found 1. Try --prune 0.8"),
        (80.0, "found 80. Give --prune 0.8"),
        (0.8, "residual has no layer to prune: none between the first and the last has 2,000 weights"),
    ):
        with pytest.raises(UsageError) as caught:
            prune(network, source, share, Tuning(epochs=1), tmp_path, teacher=network)
        assert told in str(caught.value)
    assert not list(tmp_path.iterdir())
