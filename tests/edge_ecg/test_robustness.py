"""What is no heart must not be told as one, and a spike now and then must not blind the model for the seconds after.

The same R peaks are given with and without the spikes, so that the model and its scaling are judged, not the detector.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.artefact import artefact_cost
from edge_ecg.infer.stub import StubClassifier
from edge_ecg.io import read_record
from edge_ecg.pipeline import Pipeline
from edge_ecg.sources.virtual import EXCERPT
from edge_ecg.types import Classified, QualityEvent, SampleBlock, StreamInfo

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


@pytest.mark.parametrize("name", ["ma", "bw"])
@pytest.mark.parametrize("lead", [0, 1])
def test_an_hour_of_noise_is_reported_as_noise(data_dir: Path, name: str, lead: int) -> None:
    record = read_record(data_dir / "nstdb" / name)
    half_hour = record.samples_mv([lead])
    # Played back and forth, it has no seam that could pass for a beat.
    hour = np.concatenate([half_hour, half_hour[::-1]])
    pipeline = Pipeline(StubClassifier(), StreamInfo(name, record.header.fs_hz, ("noise",)))
    events = pipeline.feed(SampleBlock(hour, 0)) + pipeline.flush()
    beats = [e for e in events if isinstance(e, Classified)]
    trusted = [e for e in beats if "reject" not in e.beat.flags]
    told = [e for e in events if isinstance(e, QualityEvent)]
    assert len(trusted) <= 10
    assert told[0].noisy
    assert told[-1].noisy
    noisy_s = sum((b.sample - a.sample) / 360.0 for a, b in zip(told, [*told[1:], None], strict=True) if a.noisy and b)
    noisy_s += (len(hour) - told[-1].sample) / 360.0
    assert noisy_s > 0.98 * 3600
