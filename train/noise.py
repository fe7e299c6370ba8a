"""Noise of a known strength on a clean recording, by the protocol of PhysioNet's `nst`. Pure but for `read_noise`.

Source: G. B. Moody, W. K. Muldrow, R. G. Mark, A noise stress test for arrhythmia detectors, Computers in
Cardiology 11:381 (1984), and what the WFDB programs `nst` and `sigamp` do: the record is clean for 5 minutes,
then noisy and clean for 2 minutes in turn; signal is the trimmed mean of the first 300 normal beats' peak-to-peak
amplitude within 50 ms of the annotation, squared, over 8; noise is the trimmed mean of the rms of the first 300
seconds, each about its own mean, squared ("trimmed": without the lowest and the highest twentieth). Noise is
read in step with the record and begins anew at its end; neither there nor at a switch does the signal jump.

Departures: a noise of another rate is resampled linearly (`nst` calls `xform`), also when the rates differ by less
than 10 %; samples stay floats, where the programs round to counts.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_ecg.datasets import data_root
from edge_ecg.errors import DataError, UsageError
from edge_ecg.io import read_record

__all__ = [
    "NOISES",
    "NORMAL_SYMBOLS",
    "first_half",
    "noisy_stretches",
    "nst_mix",
    "read_noise",
    "resample_noise",
    "scale_for_snr",
    "second_half",
]

Samples = NDArray[np.float64]

NOISES = ("bw", "ma", "em")
"""Records of the MIT-BIH Noise Stress Test Database: baseline wander, muscle artefact, electrode motion."""

NORMAL_SYMBOLS = frozenset("NLRBaAJSejn/fx")
"""Beats whose amplitude is measured: `sigamp`'s normal ones, which is all but ventricular, fusion and unknown."""

CLEAN_S = 300.0
SEGMENT_S = 120.0
_QRS_HALF_S = 0.05
_RMS_WINDOW_S = 1.0
_N_MEASURED = 300


def noisy_stretches(n_samples: int, fs_hz: float) -> list[tuple[int, int]]:
    """Half-open intervals ``[a, b)`` of samples that are noisy in a record of this length."""
    stretches = []
    k = 0
    while (first := round((CLEAN_S + 2 * k * SEGMENT_S) * fs_hz)) < n_samples:
        stretches.append((first, min(n_samples, round((CLEAN_S + (2 * k + 1) * SEGMENT_S) * fs_hz))))
        k += 1
    return stretches


def scale_for_snr(clean_mv: Samples, r_samples: ArrayLike, noise_mv: Samples, fs_hz: float, snr_db: float) -> float:
    """What the noise is multiplied with for a signal-to-noise ratio.

    Parameters
    ----------
    clean_mv
        ``(n,)`` the record, mV.
    r_samples
        ``(n_beats,)`` its normal beats, in samples.
    noise_mv
        ``(m,)`` the noise, mV, at the same rate.
    fs_hz
        Rate of both, Hz.
    snr_db
        Signal over noise, dB.

    Raises
    ------
    DataError
        No normal beat or a flat one, or noise without power: no scale gives the ratio.
    """
    half = round(_QRS_HALF_S * fs_hz)
    heights = []
    for r in np.asarray(r_samples).round().astype(np.int64).tolist():
        around = clean_mv[r - half : r + half + 1] if r >= half else clean_mv[:0]
        if len(around) == 2 * half + 1 and np.isfinite(around).all():
            heights.append(float(np.ptp(around)))
        if len(heights) == _N_MEASURED:
            break
    n_window = max(1, round(_RMS_WINDOW_S * fs_hz))
    n_windows = min(_N_MEASURED, len(noise_mv) // n_window)
    rms = np.nan_to_num(noise_mv)[: n_windows * n_window].reshape(n_windows, n_window).std(axis=1)
    height_mv, noise_rms_mv = _trimmed_mean(np.array(heights)), _trimmed_mean(rms)
    if not height_mv > 0.0 or not noise_rms_mv > 0.0:
        what = "the noise has no power" if height_mv > 0.0 else "the record has no normal beat to measure"
        raise DataError(f"no scale gives {snr_db:g} dB: {what}", "Take another record or another noise")
    return math.sqrt(height_mv**2 / 8.0 / 10.0 ** (snr_db / 10.0)) / noise_rms_mv


def nst_mix(
    clean_mv: Samples,
    noise_mv: Samples,
    r_samples: ArrayLike,
    fs_hz: float,
    snr_db: float,
    *,
    noise_fs_hz: float | None = None,
) -> Samples:
    """The record with noise, ``(n,) float64`` mV: untouched for 5 minutes, then noisy in `noisy_stretches`.

    After a noisy stretch the offset that the noise ended with stays, as with `nst`.

    Parameters
    ----------
    clean_mv, r_samples, fs_hz, snr_db
        As of `scale_for_snr`.
    noise_mv
        ``(m,)`` the noise, mV; repeated when it is shorter than the record.
    noise_fs_hz
        Its rate, Hz; None: that of the record.
    """
    clean_mv = np.asarray(clean_mv, np.float64)
    noise_mv = np.nan_to_num(np.asarray(noise_mv, np.float64))
    if noise_fs_hz is not None:
        noise_mv = resample_noise(noise_mv, noise_fs_hz, fs_hz)
    scale = scale_for_snr(clean_mv, r_samples, noise_mv, fs_hz, snr_db)
    # Summed from its steps, the noise jumps nowhere: none where it begins anew, none outside the noisy stretches.
    steps = np.diff(noise_mv, prepend=noise_mv[0])
    gains = np.zeros(len(clean_mv))
    for a, b in noisy_stretches(len(clean_mv), fs_hz):
        gains[a:b] = scale
    return clean_mv + np.cumsum(gains * np.resize(steps, len(clean_mv)))


def resample_noise(noise_mv: Samples, from_hz: float, to_hz: float) -> Samples:
    """The noise at another rate, linearly interpolated."""
    if from_hz == to_hz:
        return noise_mv
    n = int((len(noise_mv) - 1) * to_hz / from_hz) + 1
    return np.asarray(np.interp(np.arange(n) * (from_hz / to_hz), np.arange(len(noise_mv)), noise_mv))


def read_noise(name_or_path: str | Path) -> tuple[Samples, float]:
    """A noise as ``(n, n_leads)`` mV and its rate: a name of `NOISES`, or the path of a WFDB record.

    Raises
    ------
    UsageError
        Neither a name nor a record; the message lists the names.
    DataError
        The record cannot be read, or is not what its header says.
    """
    name = str(name_or_path)
    path = data_root() / "nstdb" / name if name in NOISES else Path(name).expanduser()
    if not path.with_name(f"{path.name.removesuffix('.hea')}.hea").is_file():
        if name in NOISES:
            raise DataError(f"no noise record {path}", "Get it with `edge-ecg data fetch nstdb`")
        raise UsageError(f"no noise {name!r}", f"Known are {', '.join(NOISES)}; or give the path of a WFDB record")
    record = read_record(path)
    if record.problem:
        raise DataError(record.problem, "Noise must be whole")
    return record.samples_mv().astype(np.float64), record.header.fs_hz


def first_half(noise_mv: Samples) -> Samples:
    """The half of a noise that training and what chooses among trainings may use."""
    return noise_mv[: len(noise_mv) // 2]


def second_half(noise_mv: Samples) -> Samples:
    """The half of a noise that tests: the detector is fitted on the first."""
    return noise_mv[len(noise_mv) // 2 :]


def _trimmed_mean(values: Samples) -> float:
    cut = len(values) // 20
    kept = np.sort(values)[cut : len(values) - cut]
    return float(kept.mean()) if len(kept) else 0.0
