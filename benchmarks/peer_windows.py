"""The networks' windows as a person would cut them from a whole record: numpy and SciPy, all beats at once.

The same definition as `edge_ecg.dsp.preprocess` (a network can only be used with the windows that it learned), written
without this project's code, and with the whole record at hand.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["person_windows"]

_FS_HZ = 125
_N_SAMPLES = 187
_HISTORY_S = 10


def person_windows(samples_mv: NDArray[np.float64], fs_hz: float, r: NDArray[np.int64]) -> NDArray[np.float32]:
    """Windows ``(n_beats, 187)`` in [0, 1] of R peaks ``(n_beats,)`` in samples, ascending.

    Resampled to 125 Hz, high-passed at 0.5 Hz; from R to R + 1.2 T, T the median of the R-R intervals of the past 10 s;
    scaled by the medians of the maxima and minima of the ten seconds that end with the window; zeros behind it.
    """
    from fractions import Fraction

    from scipy.ndimage import maximum_filter1d, minimum_filter1d
    from scipy.signal import butter, resample_poly, sosfilt, sosfilt_zi

    ratio = Fraction(_FS_HZ / fs_hz).limit_denominator(1000)
    signal = resample_poly(samples_mv, ratio.numerator, ratio.denominator, padtype="line")
    sections = butter(2, 0.5, "highpass", fs=_FS_HZ, output="sos")
    signal, _ = sosfilt(sections, signal, zi=sosfilt_zi(sections) * signal[0])
    begins = np.round(r * (_FS_HZ / fs_hz)).astype(np.int64)
    lengths = np.clip(np.round(1.2 * _FS_HZ * _median_rr_s(r / fs_hz)), 1, _N_SAMPLES).astype(np.int64)
    ends = np.minimum(begins + lengths, len(signal))
    # Of each sample the extremes of the second that ends with it; then of ten such, one behind the other.
    high = maximum_filter1d(signal, _FS_HZ, origin=(_FS_HZ - 1) // 2)
    low = minimum_filter1d(signal, _FS_HZ, origin=(_FS_HZ - 1) // 2)
    seconds = np.maximum(ends[:, None] - 1 - _FS_HZ * np.arange(_HISTORY_S), min(_FS_HZ, len(signal)) - 1)
    lows, highs = np.median(low[seconds], axis=1), np.median(high[seconds], axis=1)
    at = begins[:, None] + np.arange(_N_SAMPLES)
    inside = at < ends[:, None]
    cut = signal[np.minimum(at, len(signal) - 1)]
    scaled = (cut - lows[:, None]) / np.maximum(highs - lows, 0.02)[:, None]
    return np.where(inside, np.clip(scaled, 0.0, 1.0), 0.0).astype(np.float32)


def _median_rr_s(r_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each R peak the median of the intervals that ended in the 10 s before it; 0.8 s where there is none."""
    rr_s = np.diff(r_s)
    firsts = np.searchsorted(r_s[1:], r_s - _HISTORY_S)
    found = np.full(len(r_s), 0.8)
    for k in range(1, len(r_s)):
        past = rr_s[firsts[k] : k]
        past = past[past <= 5.0]
        if len(past):
            found[k] = np.median(past)
    return found
