"""The recordings that beat detectors are compared on: annotated, cut, made noisy or otherwise hard, by name."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import detector_stress as stress
from edge_ecg.datasets import data_root
from edge_ecg.errors import DataError
from edge_ecg.io import read_annotations, read_record
from train.noise import NORMAL_SYMBOLS, noisy_stretches, nst_mix, read_noise, second_half
from train.splits import DS1

__all__ = ["NOISE_DB", "NOISE_RECORDS", "RATES_HZ", "SETS", "STRESSES", "Excerpt", "RecordSet"]

Samples = NDArray[np.float64]
Spans = tuple[tuple[float, float], ...]

NOISE_RECORDS = (118, 119, 100, 103, 105, 111, 113, 117, 121, 123, 200, 202)
NOISE_DB = (24, 18, 12, 6, 0, -6)
MOTION_DB = (12, 6)
RATES_HZ = (125, 128, 250, 500)
STRESSES: dict[str, Callable[[Samples, Samples, float, int], Samples] | None] = {
    "as recorded": None,
    "T waves x 3": stress.tripled_t,
    "QRS halved": stress.halved_qrs,
    "dissociated P added": stress.p_train,
    "wide QRS": stress.wide_qrs,
}
WHOLE: Spans = ((0.0, np.inf),)

QUICK_N, QUICK_S = 2, 600
"""A quick run takes the first recordings of people who are in no test, and ten minutes of each."""


@dataclass(frozen=True, slots=True, eq=False)
class Excerpt:
    """One recording to be searched, and what is to be found.

    Attributes
    ----------
    name
        Record, or number of the person, whose pieces are counted together.
    samples_mv
        ``(n,) float64``, mV.
    r_samples
        ``(n_beats,) float64`` annotated beats, ascending, in samples.
    spans
        By name of the rule: the half-open intervals of samples that are scored. The first is the main one.
    flutter
        Intervals in which nothing counts.
    normal
        Which beats measure the amplitude when noise is added, ``(n_beats,) bool``.
    """

    name: str
    fs_hz: float
    samples_mv: Samples
    r_samples: Samples
    spans: dict[str, Spans] = field(default_factory=lambda: {"whole": WHOLE})
    flutter: Spans = ()
    normal: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class RecordSet:
    """Recordings under a name, with the rules they are scored by.

    ``excerpts(quick)`` makes them one after the other; ``database`` says whose names they bear. A ``clean`` set is for
    every detector and all tolerances, one ``of_ours`` for this project's detector alone.
    """

    name: str
    database: str
    rules: str
    excerpts: Callable[[bool], Iterator[Excerpt]]
    clean: bool = False
    of_ours: bool = False


def mitdb(quick: bool) -> Iterator[Excerpt]:
    """All 48 records, MLII (first lead of 102 and 104); rules ``whole`` and ``ec57`` (from 5:00)."""
    for name in _chosen("mitdb", DS1, quick):
        excerpt = _record("mitdb", name, None, quick)
        yield replace(excerpt, spans={"whole": WHOLE, "ec57": ((300 * excerpt.fs_hz, np.inf),)})


def svdb(quick: bool) -> Iterator[Excerpt]:
    """All 52 records, first lead."""
    for name in _chosen("svdb", (801, 802), quick):
        yield _record("svdb", name, 0, quick)


def lead1(remainder: int) -> Callable[[bool], Iterator[Excerpt]]:
    """The 10 s pieces of the lead-I people with PTB number mod 4 = ``remainder``; validation people for a quick run."""

    def pieces(quick: bool) -> Iterator[Excerpt]:
        folder = data_root() / "ecgdb_lead1"
        try:
            rows = list(csv.DictReader((folder / "subjects.csv").read_text(encoding="utf-8").splitlines()))
        except OSError:
            raise _missing("ecgdb_lead1", folder) from None
        spans: dict[str, Spans] = {"2.5-9.5 s": ((2.5 * 125.0, 9.5 * 125.0),)}
        people = [row for row in rows if int(row["ptbdb_patient"]) % 4 == (1 if quick else remainder)]
        for row in people[: 2 * QUICK_N if quick else None]:
            # Volts at the ADC, amplified some 1000 times: read as millivolts.
            signals = np.loadtxt(folder / "data_ECG" / f"subject_{row['subject']}.csv", delimiter=",")
            masks = np.loadtxt(folder / "data_Rpeaks" / f"Rpeaks_subject_{row['subject']}.csv", delimiter=",")
            for samples_mv, mask in zip(signals, masks, strict=True):
                at = np.flatnonzero(mask).astype(np.float64)
                yield Excerpt(row["ptbdb_patient"], 125.0, samples_mv, at, spans)

    return pieces


def stressed(name: str) -> Callable[[bool], Iterator[Excerpt]]:
    """The validation people of `lead1` made hard; pieces of one person get one seed."""
    change = STRESSES[name]

    def pieces(quick: bool) -> Iterator[Excerpt]:
        for excerpt in lead1(1)(quick):
            if change is None:
                yield excerpt
            else:
                seed = zlib.crc32(f"{name}/{excerpt.name}".encode())
                hard_mv = change(excerpt.samples_mv, excerpt.r_samples, excerpt.fs_hz, seed)
                yield replace(excerpt, samples_mv=hard_mv)

    return pieces


def noisy(noise: str, snr_db: float) -> Callable[[bool], Iterator[Excerpt]]:
    """Twelve records of mitdb with noise by the nst protocol, scored in the noisy stretches."""

    def records(quick: bool) -> Iterator[Excerpt]:
        for number in NOISE_RECORDS[: QUICK_N if quick else None]:
            clean = _record("mitdb", str(number), None, quick)
            n, fs_hz = len(clean.samples_mv), clean.fs_hz
            if noise == "motion":
                noise_mv, noise_hz = stress.motion_noise(n, fs_hz, seed=number), fs_hz
            else:
                both_mv, noise_hz = read_noise(noise)
                noise_mv = second_half(both_mv[:, 0])
            normal = clean.r_samples[clean.normal]
            mixed_mv = nst_mix(clean.samples_mv, noise_mv, normal, fs_hz, snr_db, noise_fs_hz=noise_hz)
            yield replace(clean, samples_mv=mixed_mv, spans={"noisy": tuple(noisy_stretches(n, fs_hz))})

    return records


def resampled(fs_hz: int) -> Callable[[bool], Iterator[Excerpt]]:
    """`mitdb` at another rate."""

    def records(quick: bool) -> Iterator[Excerpt]:
        from scipy.signal import resample_poly

        for excerpt in mitdb(quick):
            ratio = fs_hz / excerpt.fs_hz
            first_mv = excerpt.samples_mv[0]
            samples_mv = first_mv + resample_poly(excerpt.samples_mv - first_mv, fs_hz, round(excerpt.fs_hz))
            yield replace(
                excerpt,
                fs_hz=float(fs_hz),
                samples_mv=samples_mv,
                r_samples=excerpt.r_samples * ratio,
                spans={rule: tuple((a * ratio, b * ratio) for a, b in s) for rule, s in excerpt.spans.items()},
                flutter=tuple((a * ratio, b * ratio) for a, b in excerpt.flutter),
            )

    return records


def _record(database: str, name: str, lead: int | None, quick: bool) -> Excerpt:
    """A whole annotated record; invalid samples are bridged, because no peer takes them."""
    stem = data_root() / database / name
    record, notes = read_record(stem), read_annotations(stem)
    if record.problem or notes.problem:
        raise DataError(str(record.problem or notes.problem), "A comparison wants whole records")
    fs_hz = record.header.fs_hz
    samples_mv = record.samples_mv([record.lead_index(lead)])[:, 0].astype(np.float64)
    samples_mv = samples_mv[: round(QUICK_S * fs_hz) if quick else None]
    known = np.isfinite(samples_mv)
    samples_mv = np.interp(np.arange(len(samples_mv)), np.flatnonzero(known), samples_mv[known])
    flutter, begin = [], None
    for sample, symbol in zip(notes.sample.tolist(), notes.symbol, strict=True):
        if symbol == "[":
            begin = sample
        elif symbol == "]" and begin is not None:
            flutter.append((float(begin), sample + 1.0))
            begin = None
    if begin is not None:
        flutter.append((float(begin), np.inf))
    at = np.flatnonzero(notes.is_beat & (notes.sample < len(samples_mv)))
    normal = np.array([notes.symbol[k] in NORMAL_SYMBOLS for k in at], dtype=np.bool_)
    r_samples = notes.sample[at].astype(np.float64)
    return Excerpt(name, fs_hz, samples_mv, r_samples, flutter=tuple(flutter), normal=normal)


def _chosen(database: str, quick_from: tuple[int, ...], quick: bool) -> list[str]:
    if quick:
        return [str(number) for number in islice(quick_from, QUICK_N)]
    folder = data_root() / database
    try:
        return (folder / "RECORDS").read_text(encoding="utf-8").split()
    except OSError:
        raise _missing(database, folder) from None


def _missing(database: str, folder: Path) -> DataError:
    return DataError(f"no {database} in {folder}", f"Get it with `edge-ecg data fetch {database}`")


def _all_sets() -> Iterator[RecordSet]:
    whole = "whole records, flutter of 207 left out"
    pieces = "2.5-9.5 s of each piece"
    mlii = "48 records, MLII (first lead of 102, 104)"
    yield RecordSet("mitdb", "mitdb", f"mitdb, {mlii}, {whole}", mitdb, clean=True)
    yield RecordSet("svdb", "svdb", "svdb, 52 records, first lead, whole records", svdb, clean=True)
    yield RecordSet("lead1", "ecgdb_lead1", f"lead I, test people, {pieces}", lead1(0), clean=True)
    for noise, levels in (("ma", NOISE_DB), ("bw", NOISE_DB), ("motion", MOTION_DB)):
        for snr_db in levels:
            kind = "synthetic electrode motion" if noise == "motion" else f"`{noise}`, second half"
            rules = f"12 records of mitdb, {kind}, {snr_db} dB by the nst protocol, noisy stretches only"
            yield RecordSet(f"{noise} {snr_db} dB", "mitdb", rules, noisy(noise, snr_db))
    for name in STRESSES:
        yield RecordSet(name, "ecgdb_lead1", f"lead I, validation people, {pieces}, {name}", stressed(name))
    for fs_hz in RATES_HZ:
        rules = f"mitdb resampled to {fs_hz} Hz, {mlii}, {whole}"
        yield RecordSet(f"mitdb {fs_hz} Hz", "mitdb", rules, resampled(fs_hz), of_ours=True)


SETS = {record_set.name: record_set for record_set in _all_sets()}
"""The sets by name."""
