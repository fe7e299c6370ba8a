"""An hour of ECG in a minute: the real daemon, all its outputs, and a cable with every fault."""

from __future__ import annotations

import pytest

from benchmarks.soak import soak


@pytest.mark.timeout(180)
def test_an_hour_leaves_nothing_behind_and_every_lost_sample_is_told() -> None:
    report = soak(minutes=1.0, speed=60.0, seed=1)
    assert report["wrong"] == []
    assert report["outages"] >= 2
    assert report["samples"]["lost"] > 0
    assert report["beats"] > 1000
