"""The published beat windows: Kachuee, Fazeli & Sarrafzadeh, arXiv 1805.00794, III-A. For comparison only.

They look ahead: scale and T come from the whole ten seconds around a beat, which a device has not seen yet.

Departures: R peaks are the annotations, not found by a threshold, so that no beat is lost; a beat that runs over
the end of its ten seconds goes on in the signal behind them, by the same scale, clipped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.resample import Resampler

__all__ = ["paper_windows"]

_FS_HZ = 125.0
_STRETCH_S = 10.0
_LENGTH_RR = 1.2
_N_SAMPLES = 187


def paper_windows(
    samples_mv: NDArray[np.float64], fs_hz: float, r: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Beat windows ``(n_beats, 187) float32`` in [0, 1] of one lead.

    Parameters
    ----------
    samples_mv
        ``(n,)`` mV at ``fs_hz``, all finite.
    r
        ``(n_beats,)`` R peaks in samples, ascending. T is the median of the intervals between those of one stretch
        of 10 s; of a stretch with fewer than two, that of the record, and 0.8 s without any.
    """
    # The resampler waits for half its kernel: the record goes on as it ended.
    rest = np.full(round(0.1 * fs_hz), samples_mv[-1])
    n_samples = int(len(samples_mv) * _FS_HZ / fs_hz)
    signal = Resampler(fs_hz, _FS_HZ).feed(np.concatenate([samples_mv, rest]))[:n_samples]
    windows = np.zeros((len(r), _N_SAMPLES), np.float32)
    at_s = r / fs_hz
    begins = np.minimum(np.round(at_s * _FS_HZ).astype(np.int64), len(signal) - 1)
    n_stretch = round(_STRETCH_S * _FS_HZ)
    t_record_s = float(np.median(np.diff(at_s))) if len(r) > 1 else 0.8
    stretches = begins // n_stretch
    for k in np.unique(stretches):
        stretch = signal[k * n_stretch : (k + 1) * n_stretch]
        low, high = stretch.min(), stretch.max()
        beats = np.flatnonzero(stretches == k)
        t_s = float(np.median(np.diff(at_s[beats]))) if len(beats) > 1 else t_record_s
        n = min(_N_SAMPLES, max(1, round(_LENGTH_RR * t_s * _FS_HZ)))
        for beat in beats:
            cut = signal[begins[beat] : begins[beat] + n]
            if high > low:
                windows[beat, : len(cut)] = np.clip((cut - low) / (high - low), 0.0, 1.0)
    return windows
