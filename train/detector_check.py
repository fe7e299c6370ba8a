"""How the beat detector does on those who choose its seed: validation people, and DS1, also in noise not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.nets import QrsNets
from edge_ecg.dsp.qrs import decide
from edge_ecg.dsp.rhythm import Rhythm
from edge_ecg.scoring.matching import MATCH_WINDOW_S, match_beats
from train.candidate_set import find_candidates
from train.motion import electrode_motion
from train.noise import noisy_stretches, nst_mix, read_noise
from train.recordings import Recording, lead1_people, lead1_pieces, wfdb_recording

__all__ = ["Figures", "check", "first_half", "validation_sets"]

LEAD1_SCORED_S = (2.5, 9.5)
IN_NOISE = (101, 106, 112, 114, 118, 119, 201, 203, 208, 209, 215, 223)
"""Records of DS1 with noise: clean ones and those with many ectopic beats."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one set: matched, missed, extra beats."""

    matched: int
    missed: int
    extra: int

    @property
    def f1_percent(self) -> float:
        """Harmonic mean of Se and +P, in percent."""
        return 200.0 * self.matched / max(1, 2 * self.matched + self.missed + self.extra)


def first_half(noise_mv: NDArray[np.float64], *, validates: bool) -> NDArray[np.float64]:
    """The half of a noise that fits; its last quarter validates and is not fitted to. The other half is for reports."""
    n_fit, n_half = 3 * len(noise_mv) // 8, len(noise_mv) // 2
    return noise_mv[n_fit:n_half] if validates else noise_mv[:n_fit]


def validation_sets(root: Path, svdb: Sequence[str], mitdb: Sequence[int]) -> dict[str, list[Recording]]:
    """Lead-I people 1 mod 4, a fifth of svdb, and DS1: clean, in noise that was kept from the fit, in motion."""
    clean = [wfdb_recording(root / "mitdb", str(r)) for r in mitdb]
    in_noise = [r for r in clean if int(r.name.rpartition("/")[2]) in IN_NOISE]
    pieces = [p for s in lead1_people(root / "ecgdb_lead1", (1,)) for p in lead1_pieces(root / "ecgdb_lead1", s)]
    first_s, last_s = LEAD1_SCORED_S
    sets = {
        "lead I, validation": [
            replace(p, ignore=((-1.0, first_s * p.fs_hz), (last_s * p.fs_hz, float(len(p.samples_mv)))))
            for p in pieces
        ],
        "svdb, validation": [wfdb_recording(root / "svdb", name) for name in svdb],
        "mitdb DS1": clean,
    }
    for name, snr_db in (("ma", 12.0), ("ma", 6.0), ("bw", 6.0), ("motion", 6.0)):
        sets[f"mitdb DS1, {name} {snr_db:g} dB"] = [_noisy(r, name, snr_db, k) for k, r in enumerate(in_noise)]
    return sets


def check(nets: QrsNets, sets: dict[str, list[Recording]], n_processes: int) -> dict[str, Figures]:
    """Figures on each set."""
    figures = {}
    for name, recordings in sets.items():
        with Pool(n_processes) as pool:
            rows = pool.starmap(_score, [(nets, r) for r in recordings], 4)
        figures[name] = Figures(*(sum(column) for column in zip(*rows, strict=True)))
    return figures


def _score(nets: QrsNets, recording: Recording) -> tuple[int, int, int]:
    found = find_candidates(recording.samples_mv, recording.fs_hz)
    r = np.array([found.r_pos[d.at] for d in decide(found, Rhythm(), nets) if d.is_beat])

    def outside(at: NDArray[np.float64]) -> list[float]:
        keep = at <= len(recording.samples_mv) - 1
        for begin, end in recording.ignore:
            keep &= ~((at >= begin) & (at <= end))
        return [float(v) for v in at[keep]]

    match = match_beats(outside(recording.r), outside(r), MATCH_WINDOW_S * recording.fs_hz)
    return len(match.pairs), len(match.missed), len(match.extra)


def _noisy(recording: Recording, noise: str, snr_db: float, seed: int) -> Recording:
    """With noise by the protocol of `nst`; only the noisy stretches count."""
    x, n, fs_hz = recording.samples_mv, len(recording.samples_mv), recording.fs_hz
    if noise == "motion":
        noise_mv, noise_hz = electrode_motion(n, fs_hz, np.random.default_rng([900, seed])), fs_hz
    else:
        both, noise_hz = read_noise(noise)
        noise_mv = first_half(both[:, 0], validates=True)
    mixed = nst_mix(x, noise_mv, recording.r, fs_hz, snr_db, noise_fs_hz=noise_hz)
    edges = [0, *(edge for stretch in noisy_stretches(n, fs_hz) for edge in stretch), n]
    clean = tuple((float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=True))
    return replace(recording, samples_mv=mixed, ignore=clean + recording.ignore)
