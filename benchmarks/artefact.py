"""What one artefact every ten seconds costs: V sensitivity with and without, given the same R peaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.preprocess import windows_of_record
from edge_ecg.infer import Classifier, open_classifier
from edge_ecg.io import read_annotations, read_record
from edge_ecg.labels import AAMI5, BeatLabel

__all__ = ["add_artefacts", "v_sensitivity"]

SIZE = 3.0
"""Times the largest wave of the past 10 s."""
WIDTH_S = 0.04
EVERY_S = 10.0
CLEAR_BEFORE_S, CLEAR_AFTER_S = 0.3, 1.5
"""An artefact keeps so far from the V beats that are scored: it is their scale that is tried, not their shape."""


def add_artefacts(
    samples_mv: NDArray[np.float64], fs_hz: float, avoid: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One half-sine bump about every 10 s, clear of the R peaks ``avoid`` (samples); a copy.

    Where V beats leave no room, that artefact is left out.
    """
    out = samples_mv.copy()
    width = round(WIDTH_S * fs_hz)
    bump = np.sin(np.pi * (np.arange(width) + 0.5) / width)
    history = round(EVERY_S * fs_hz)
    for start in range(history, len(samples_mv) - history, history):
        for at in range(start, start + history // 2, width):
            if not ((avoid > at - CLEAR_AFTER_S * fs_hz) & (avoid < at + CLEAR_BEFORE_S * fs_hz)).any():
                past = samples_mv[at - history : at]
                largest = float(np.abs(past - np.median(past)).max())
                out[at : at + width] += SIZE * largest * bump
                break
    return out


def v_sensitivity(model: str, stems: Sequence[Path]) -> dict[str, float]:
    """V sensitivity of a bundle on annotated beats of records, clean and with artefacts, in percent."""
    classifier = open_classifier(model)
    hits = np.zeros(2, dtype=int)
    n = 0
    for stem in stems:
        record, notes = read_record(stem), read_annotations(stem)
        clean = record.samples_mv([record.lead_index(None)])[:, 0].astype(np.float64)
        at = [k for k, s in enumerate(notes.symbol) if s in AAMI5]
        r_pos = notes.sample[at].astype(np.float64)
        is_v = np.array([AAMI5[notes.symbol[k]] == BeatLabel.V for k in at])
        n += int(is_v.sum())
        for k, signal in enumerate((clean, add_artefacts(clean, record.header.fs_hz, r_pos[is_v]))):
            hits[k] += _n_v(classifier, signal, record.header.fs_hz, r_pos, is_v)
    return {
        "beats": n,
        "v_se_clean_percent": round(100 * int(hits[0]) / n, 2),
        "v_se_artefact_percent": round(100 * int(hits[1]) / n, 2),
    }


def _n_v(
    classifier: Classifier,
    samples_mv: NDArray[np.float64],
    fs_hz: float,
    r_pos: NDArray[np.float64],
    is_v: NDArray[np.bool_],
) -> int:
    windows = windows_of_record(samples_mv, fs_hz, r_pos, classifier.preprocessing)
    said = [int(classifier.classify(w.window).argmax()) for w, v in zip(windows, is_v, strict=True) if v]
    return said.count(BeatLabel.V)
