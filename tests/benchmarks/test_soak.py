"""An hour of ECG in a minute: the real daemon, all its outputs, and a cable with every fault."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.soak import recorded_samples, soak
from edge_ecg.io import INVALID_COUNT, write_record


def test_a_recording_is_counted_without_what_was_filled_in_and_one_that_is_short_is_told(tmp_path: Path) -> None:
    counts = np.zeros((1000, 2), np.int32)
    counts[100:130] = INVALID_COUNT["16"]
    (tmp_path / "2026-11-23").mkdir()
    stem = tmp_path / "2026-11-23" / "bed_120000"
    write_record(stem, counts, 250.0, ["I", "II"], 1000.0, fmt="16")
    assert recorded_samples(tmp_path) == (970, [])
    os.truncate(stem.with_suffix(".dat"), 4 * 600)
    n_valid, (wrong,) = recorded_samples(tmp_path)
    assert n_valid == 570
    assert "bed_120000" in wrong


@pytest.mark.timeout(180)
def test_an_hour_leaves_nothing_behind_and_every_lost_sample_is_told() -> None:
    report = soak(minutes=1.0, speed=60.0, seed=1)
    assert report["wrong"] == []
    assert report["outages"] >= 2
    assert report["samples"]["lost"] > 0
    assert report["beats"] > 1000
    assert report["samples"]["recorded"] == report["samples"]["received"] > 0
    outputs = ["hooks", "jsonl", "recording", "web", *(["mqtt"] if report["mqtt"] else [])]
    for dropped in report["dropped"].values():
        assert dropped == {f'{{output="{name}"}}': 0.0 for name in outputs}
