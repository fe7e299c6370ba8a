"""What one artefact every ten seconds costs: V beats found with and without, given the same R peaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.front import inputs_of_record
from edge_ecg.infer import Classifier, open_classifier
from edge_ecg.io import read_annotations, read_record
from edge_ecg.labels import AAMI5, BeatLabel

__all__ = ["ArtefactCost", "add_artefacts", "artefact_cost"]

SIZE = 3.0
"""Times the largest wave of the past 10 s."""
EVERY_S = 10.0
CLEAR_BEFORE_S, CLEAR_AFTER_S = 0.3, 1.5
"""An artefact keeps so far from the V beats that are scored: it is their scale that is tried, not their shape."""


@dataclass(frozen=True, slots=True)
class ArtefactCost:
    """V beats in all, found clean, found with artefacts; how many artefacts there were."""

    n_v: int
    n_found_clean: int
    n_found_artefact: int
    n_artefacts: int


def add_artefacts(
    samples_mv: NDArray[np.float64], fs_hz: float, avoid: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], int]:
    """Half sines of 30-60 ms, either way up, one about every 10 s, clear of the R peaks ``avoid`` (samples).

    Where V beats leave no room, that artefact is left out. Returns a copy and the number of artefacts.
    """
    rng = np.random.default_rng(seed)
    out, n = samples_mv.copy(), 0
    for nominal_s in np.arange(EVERY_S, len(samples_mv) / fs_hz - 2.0, EVERY_S):
        width = round(rng.uniform(0.030, 0.060) * fs_hz)
        for shift_s in np.arange(0.0, EVERY_S, 0.05):
            at = round((nominal_s + shift_s) * fs_hz)
            near = (avoid > at - CLEAR_AFTER_S * fs_hz) & (avoid < at + width + CLEAR_BEFORE_S * fs_hz)
            if at + width < len(out) and not near.any():
                past = samples_mv[max(0, at - round(EVERY_S * fs_hz)) : at]
                height = SIZE * float(np.abs(past - np.median(past)).max()) * rng.choice([-1.0, 1.0])
                out[at : at + width] += height * np.sin(np.pi * (np.arange(width) + 0.5) / width)
                n += 1
                break
    return out, n


def artefact_cost(model: str, stems: Sequence[Path], seed: int = 0) -> ArtefactCost:
    """Label the annotated V beats of records, clean and with artefacts, by a bundle."""
    classifier = open_classifier(model)
    totals = np.zeros(4, dtype=int)
    for stem in stems:
        record, notes = read_record(stem), read_annotations(stem)
        fs_hz = record.header.fs_hz
        clean = record.samples_mv([record.lead_index(None)])[:, 0].astype(np.float64)
        at = [k for k, s in enumerate(notes.symbol) if s in AAMI5]
        r_pos = notes.sample[at].astype(np.float64)
        is_v = np.array([AAMI5[notes.symbol[k]] == BeatLabel.V for k in at])
        spoilt, n_artefacts = add_artefacts(clean, fs_hz, r_pos[is_v], seed)
        found = [_n_found(classifier, signal, fs_hz, r_pos, is_v) for signal in (clean, spoilt)]
        totals += [int(is_v.sum()), *found, n_artefacts]
    return ArtefactCost(*(int(n) for n in totals))


def _n_found(
    classifier: Classifier,
    samples_mv: NDArray[np.float64],
    fs_hz: float,
    r_pos: NDArray[np.float64],
    is_v: NDArray[np.bool_],
) -> int:
    windows = inputs_of_record(samples_mv, fs_hz, r_pos, classifier.preprocessing)
    said = [int(classifier.classify(w.inputs).argmax()) for w, v in zip(windows, is_v, strict=True) if v]
    return said.count(BeatLabel.V)
