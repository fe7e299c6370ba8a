"""The networks as Conv1D: what their 1 x k form is measured against."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.conv_graph import one_dimensional
from train.models import build_of


@pytest.mark.parametrize("name", ["baseline", "residual"])
def test_the_same_network_in_one_dimension(name: str) -> None:
    network = build_of(name)(5)
    model = one_dimensional(network)
    assert not any(type(layer).__name__.endswith("2D") for layer in model.layers)
    x = np.random.default_rng(0).random((4, 187, 1)).astype(np.float32)
    np.testing.assert_allclose(model(x), network(x), atol=1e-6)
