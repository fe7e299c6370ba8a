"""The beat detector's front end: three polarity-free energy envelopes at 90 to 180 Hz.

Complex Gabor filters at 6 Hz (T and P waves, wide beats), 13.5 Hz (the QRS) and 24 Hz (its steep part).
The magnitude of a Gabor response does not know which way up the electrodes are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.filters import FirStream, windowed_sinc

__all__ = ["EnvelopeFrontEnd", "Envelopes"]

Samples = NDArray[np.float64]

LOW_HZ, LOW_SIGMA_S = 6.0, 0.045
QRS_HZ, QRS_SIGMA_S = 13.5, 0.030
HIGH_HZ, HIGH_SIGMA_S = 24.0, 0.018


@dataclass(frozen=True, slots=True, eq=False)
class Envelopes:
    """The next samples of the decimated signal and of its envelopes, each ``(n_i,)`` in mV.

    The four differ in length within one step, since their filters differ in delay.
    """

    decimated: Samples
    low: Samples
    qrs: Samples
    high: Samples


class EnvelopeFrontEnd:
    """Decimate to 90-180 Hz and take the three envelopes, streaming and chunk-invariant.

    Attributes
    ----------
    factor
        Input samples per decimated sample.
    fd_hz
        The decimated rate, in Hz.
    decimation_half
        Input samples that a decimated sample needs to see of its future.
    qrs_half
        Decimated samples that the QRS envelope needs to see of its future.
    """

    def __init__(self, fs_hz: float) -> None:
        self.factor = max(1, round(fs_hz / 120.0))
        self.fd_hz = fs_hz / self.factor
        self.decimation_half = round(0.0125 * fs_hz) if self.factor > 1 else 0
        self._decimate = FirStream(windowed_sinc(self.decimation_half, 0.42 * self.fd_hz, fs_hz))
        self._bands = [
            _gabor(hz, sigma_s, self.fd_hz)
            for hz, sigma_s in ((LOW_HZ, LOW_SIGMA_S), (QRS_HZ, QRS_SIGMA_S), (HIGH_HZ, HIGH_SIGMA_S))
        ]
        self.qrs_half = self._bands[1][0].half
        self._n_filtered = 0
        self._offset_mv: float | None = None

    def feed(self, x_mv: Samples) -> Envelopes:
        """Take the next samples in mV, ``(n,)``, all finite."""
        if self._offset_mv is None and len(x_mv):
            self._offset_mv = float(x_mv[0])
        filtered = self._decimate.feed(x_mv - (self._offset_mv or 0.0))
        decimated = filtered[-self._n_filtered % self.factor :: self.factor]
        self._n_filtered += len(filtered)
        low, qrs, high = (_magnitude(re.feed(decimated), im.feed(decimated)) for re, im in self._bands)
        return Envelopes(decimated, low, qrs, high)


def _magnitude(re: Samples, im: Samples) -> Samples:
    # hypot guards against overflow, which no ECG reaches, and takes five times as long.
    return np.sqrt(re * re + im * im)


def _gabor(f0_hz: float, sigma_s: float, fd_hz: float) -> tuple[FirStream, FirStream]:
    """Real and imaginary part of a Gabor filter of unit complex gain at ``f0_hz`` and none at 0 Hz."""
    half = int(2.0 * sigma_s * fd_hz)
    t_s = np.arange(-half, half + 1) / fd_hz
    gauss = np.exp(-0.5 * (t_s / sigma_s) ** 2)
    kernel = gauss * np.exp(2j * np.pi * f0_hz * t_s)
    kernel -= gauss * kernel.sum() / gauss.sum()
    kernel /= (kernel * np.exp(-2j * np.pi * f0_hz * t_s)).sum()
    return FirStream(kernel.real), FirStream(kernel.imag)
