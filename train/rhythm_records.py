"""The records that the rhythm model learns from and is tested on: one lead, annotated beats, and a disturbed copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from edge_ecg.errors import DataError
from edge_ecg.io import read_annotations, read_record
from edge_ecg.labels import AAMI5
from train.noise import resample_noise
from train.people import is_test_person
from train.record_files import listed_records
from train.splits import DS1

__all__ = ["HEALTHY", "HEALTHY_PEOPLE", "Labelled", "disturbed", "read_labelled", "stem_of", "training_records"]

Samples = NDArray[np.float64]

HEALTHY = "nsrdb_2h"
"""Healthy people: the first `HEALTHY_SAMPLES` of lead ECG1 of some records of nsrdb, 2 h 10 min."""
HEALTHY_PEOPLE = ("16272", "16483", "16786", "17453", "19088", "19140")
HEALTHY_SAMPLES = 1_000_000

_NOISY_S = 120.0
_SNR_DB = (6.0, 24.0)
_R_ERROR_S = 0.016
_MISSED, _EXTRA, _IN_T_WAVE = 0.012, 0.01, 0.6
_GAIN = (0.5, 2.0)


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """One lead with its beats and their classes.

    Attributes
    ----------
    database, name
        Of the record.
    samples_mv
        ``(n,)`` mV at ``fs_hz``, finite.
    r
        ``(n_beats,)`` R peaks in samples, ascending.
    labels
        ``(n_beats,) uint8``, AAMI classes.
    """

    database: str
    name: str
    fs_hz: float
    samples_mv: Samples
    r: Samples
    labels: NDArray[np.uint8]

    @property
    def hours(self) -> float:
        """How long it is."""
        return len(self.samples_mv) / self.fs_hz / 3600.0


def training_records(root: Path) -> list[tuple[str, str]]:
    """Database and name of what may train and choose: DS1, svdb without its test people, `HEALTHY_PEOPLE`.

    Raises
    ------
    DataError
        svdb is not there.
    """
    svdb = [stem.name for stem in listed_records(root / "svdb", "svdb", "edge-ecg data fetch svdb")]
    return [
        *(("mitdb", str(name)) for name in DS1),
        *(("svdb", name) for name in sorted(svdb) if not is_test_person("svdb", name)),
        *((HEALTHY, name) for name in HEALTHY_PEOPLE),
    ]


def stem_of(root: Path, database: str, name: str) -> Path:
    """Path of a record without suffix. Of `HEALTHY` the whole record of nsrdb serves where the piece is not there."""
    stem = root / database / name
    whole = root / "nsrdb" / name
    return whole if database == HEALTHY and not stem.with_suffix(".hea").exists() else stem


def read_labelled(root: Path, database: str, name: str) -> Labelled:
    """A record: lead MLII where there is one, else the first. Raises `DataError` when it is not whole."""
    stem = stem_of(root, database, name)
    hint = f"Get it with `edge-ecg data fetch {stem.parent.name}`"
    try:
        record, notes = read_record(stem), read_annotations(stem)
    except DataError as error:
        raise DataError(error.message, hint) from None
    if problem := record.problem or notes.problem:
        raise DataError(problem, hint)
    lead = record.lead_index(None) if database == "mitdb" else 0
    n = HEALTHY_SAMPLES if database == HEALTHY else len(record.counts)
    x = record.samples_mv([lead])[:n, 0].astype(np.float64)
    finite = np.isfinite(x)
    if not finite.all():
        x = np.interp(np.arange(len(x)), np.flatnonzero(finite), x[finite])
    is_beat = np.array([s in AAMI5 for s in notes.symbol]) & (notes.sample < n)
    labels = np.array([AAMI5[s] for s, of in zip(notes.symbol, is_beat, strict=True) if of], dtype=np.uint8)
    return Labelled(database, name, record.header.fs_hz, x, notes.sample[is_beat].astype(np.float64), labels)


def disturbed(
    record: Labelled, noises: Mapping[str, tuple[Samples, float]], rng: Generator
) -> tuple[Labelled, NDArray[np.bool_]]:
    """The record as a cheap board and its detector see it; and of each beat whether it is an extra one.

    Noise in 120 s of every 240 s, R peaks off by up to 16 ms, some beats missed, some invented (called normal: no class
    is right for what is no beat), another gain, perhaps upside down.

    Parameters
    ----------
    record
        The clean record.
    noises
        Baseline wander ``bw`` and muscle artefact ``ma``: one lead in mV and its rate, Hz.
    rng
        What decides.
    """
    fs_hz, x = record.fs_hz, record.samples_mv.copy()
    half = round(0.05 * fs_hz)
    at = np.rint(record.r).astype(int)
    at = at[(at >= half) & (at < len(x) - half)]
    qrs_mv = float(np.median(np.ptp(x[at[:, None] + np.arange(-half, half + 1)], axis=1))) if len(at) else 1.0
    names = (("ma",), ("bw",), ("ma", "bw"))[rng.integers(3)]
    n_piece = round(_NOISY_S * fs_hz)
    for begin in range(round(rng.uniform(0.0, _NOISY_S) * fs_hz), len(x), 2 * n_piece):
        n = min(n_piece, len(x) - begin)
        piece = np.zeros(n)
        for name in names:
            lead, noise_hz = noises[name]
            lead = resample_noise(lead, noise_hz, fs_hz)
            start = int(rng.integers(len(lead)))
            piece += _unit_power(np.take(lead, np.arange(start, start + n), mode="wrap"))
        snr_db = rng.uniform(*_SNR_DB)
        x[begin : begin + n] += _unit_power(piece) * np.sqrt(qrs_mv**2 / 8.0 / 10.0 ** (snr_db / 10.0))
    x *= rng.uniform(*_GAIN) * (1.0 if rng.random() < 0.5 else -1.0)
    r, labels, extra = _misdetected(record, rng)
    return Labelled(record.database, record.name, fs_hz, x, r, labels), extra


def _unit_power(x: Samples) -> Samples:
    x = x - x.mean()
    unit: Samples = x / (np.sqrt((x * x).mean()) + 1e-9)
    return unit


def _misdetected(record: Labelled, rng: Generator) -> tuple[Samples, NDArray[np.uint8], NDArray[np.bool_]]:
    fs_hz = record.fs_hz
    seen = rng.random(len(record.r)) >= _MISSED
    r = record.r[seen] + rng.uniform(-_R_ERROR_S, _R_ERROR_S, int(seen.sum())) * fs_hz
    labels = record.labels[seen]
    chosen = np.flatnonzero(rng.random(max(0, len(r) - 1)) < _EXTRA)
    gaps = r[chosen + 1] - r[chosen]
    in_t = np.minimum(rng.uniform(0.22, 0.42, len(chosen)) * fs_hz, 0.8 * gaps)
    offset = np.where(rng.random(len(chosen)) < _IN_T_WAVE, in_t, rng.uniform(0.3, 0.7, len(chosen)) * gaps)
    far = (offset >= 0.12 * fs_hz) & (gaps - offset >= 0.12 * fs_hz)
    extras = (r[chosen] + offset)[far]
    all_r = np.concatenate([r, extras])
    all_labels = np.concatenate([labels, np.zeros(len(extras), np.uint8)])
    extra = np.arange(len(all_r)) >= len(r)
    order = np.argsort(all_r, kind="stable")
    order = order[(all_r[order] >= 0) & (all_r[order] < len(record.samples_mv))]
    return all_r[order], all_labels[order], extra[order]
