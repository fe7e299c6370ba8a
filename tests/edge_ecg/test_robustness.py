"""Artefacts: a spike of three times the largest wave now and then must not blind the model for the seconds after.

The same R peaks are given with and without the spikes, so that the model and its scaling are judged, not the detector.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.artefact import artefact_cost
from edge_ecg.sources.virtual import EXCERPT

MODEL = "mitdb-baseline-int8"
LARGEST_LOSS = 0.02


@pytest.mark.parametrize("seed", [0, 1])
def test_artefacts_hardly_cost_a_ventricular_beat_of_the_excerpt(seed: int) -> None:
    cost = artefact_cost(MODEL, [EXCERPT], seed)
    assert cost.n_artefacts >= 25
    assert cost.n_found_clean / cost.n_v > 0.8
    assert (cost.n_found_clean - cost.n_found_artefact) / cost.n_v <= LARGEST_LOSS, cost


def test_artefacts_hardly_cost_a_ventricular_beat_of_whole_records(data_dir: Path) -> None:
    cost = artefact_cost(MODEL, [data_dir / "mitdb" / name for name in ("200", "208", "119", "221", "233", "106")])
    assert cost.n_v > 3500
    assert cost.n_artefacts > 800
    assert (cost.n_found_clean - cost.n_found_artefact) / cost.n_v <= LARGEST_LOSS, cost
