"""Artefacts: a spike of three times the largest wave now and then must not blind the model for the seconds after.

The same R peaks are given with and without the spikes, so that the model and its scaling are judged, not the detector.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_ecg.dsp.preprocess import windows_of_record
from edge_ecg.infer import open_classifier
from edge_ecg.io import BEAT_SYMBOLS, read_annotations, read_record
from edge_ecg.leads import pick_lead

EXCERPT = Path(__file__).parents[2] / "edge_ecg" / "excerpts" / "mitdb_223"
MODEL = "mitdb-baseline-int8"
LARGEST_LOSS = 0.02
EVERY_S = 10.0


def with_artefacts(
    x_mv: np.ndarray, fs_hz: float, forbidden: list[tuple[float, float]], seed: int
) -> tuple[np.ndarray, list[int]]:
    """Half sine waves of 30-60 ms, 3 x the largest wave of the 10 s before, one every 10 s or so.

    ``forbidden`` are intervals in samples, in which none lies.
    """
    rng = np.random.default_rng(seed)
    y, places = x_mv.copy(), []
    for nominal in np.arange(EVERY_S, len(x_mv) / fs_hz - 2.0, EVERY_S):
        width = round(rng.uniform(0.030, 0.060) * fs_hz)
        for shift_s in np.arange(0.0, EVERY_S, 0.05):
            at = round((nominal + shift_s) * fs_hz)
            if at + width < len(y) and not any(a <= at + width and at <= b for a, b in forbidden):
                past = x_mv[max(0, at - round(10 * fs_hz)) : at]
                height = 3.0 * np.abs(past - np.median(past)).max() * rng.choice([-1.0, 1.0])
                y[at : at + width] += height * np.sin(np.pi * (np.arange(width) + 0.5) / width)
                places.append(at)
                break
    return y, places


def v_hits(stem: Path, seed: int) -> tuple[int, int, int, int]:
    """V beats, those found clean, those found with artefacts, and how many artefacts there were."""
    classifier = open_classifier(MODEL)
    record, annotations = read_record(stem), read_annotations(stem)
    fs_hz, lead = record.header.fs_hz, pick_lead(record.header.leads, None)
    x_mv = record.samples_mv()[:, lead].astype(np.float64)
    beats = [(s, k) for s, k in zip(annotations.sample, annotations.symbol, strict=True) if k in BEAT_SYMBOLS]
    r_pos = np.array([s for s, _ in beats], dtype=np.float64)
    is_v = [k in "VE" for _, k in beats]
    clean = windows_of_record(x_mv, fs_hz, r_pos, classifier.preprocessing)
    forbidden = [
        (w.r_pos - 0.3 * fs_hz, w.r_pos + 1.2 * w.rr_median_s * fs_hz) for w, v in zip(clean, is_v, strict=True) if v
    ]
    y_mv, places = with_artefacts(x_mv, fs_hz, forbidden, seed)
    spoilt = windows_of_record(y_mv, fs_hz, r_pos, classifier.preprocessing)
    v = classifier.labels.index("V")

    def found(windows: list) -> int:
        return sum(int(classifier.classify(w.window).argmax()) == v for w, k in zip(windows, is_v, strict=True) if k)

    return sum(is_v), found(clean), found(spoilt), len(places)


@pytest.mark.parametrize("seed", [0, 1])
def test_artefacts_hardly_cost_a_ventricular_beat_of_the_excerpt(seed):
    n, clean, spoilt, n_artefacts = v_hits(EXCERPT, seed)
    assert n_artefacts >= 25
    assert clean / n > 0.8
    assert (clean - spoilt) / n <= LARGEST_LOSS, f"{clean} of {n} V found clean, {spoilt} with {n_artefacts} artefacts"


def test_artefacts_hardly_cost_a_ventricular_beat_of_whole_records(data_dir):
    rows = {name: v_hits(data_dir / "mitdb" / name, seed=0) for name in ("200", "208", "119", "221", "233", "106")}
    n, clean, spoilt, n_artefacts = (sum(column) for column in zip(*rows.values(), strict=True))
    assert n > 3500
    assert n_artefacts > 800
    assert (clean - spoilt) / n <= LARGEST_LOSS, f"{rows}"
