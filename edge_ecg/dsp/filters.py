"""Causal, chunk-invariant filters: a high-pass biquad and a centred FIR that knows its own delay.

Both give bit-identical output however the stream is cut: the biquad runs in plain Python floats, sample by
sample (cheap at 125 Hz, and free of any library on the device); the FIR is one dot product of fixed length
per output sample.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["FirStream", "HighPass", "hold_last", "windowed_sinc"]

Samples = NDArray[np.float64]


class HighPass:
    """Second-order Butterworth high-pass, primed so that a constant start gives zero at once.

    Coefficients in closed form (bilinear transform with pre-warping); transposed direct form II.

    Parameters
    ----------
    cutoff_hz
        The -3 dB frequency, in Hz.
    fs_hz
        Sampling rate, in Hz.
    """

    def __init__(self, cutoff_hz: float, fs_hz: float) -> None:
        k = math.tan(math.pi * cutoff_hz / fs_hz)
        norm = 1.0 / (1.0 + math.sqrt(2.0) * k + k * k)
        self._b0 = norm
        self._a1 = 2.0 * (k * k - 1.0) * norm
        self._a2 = (1.0 - math.sqrt(2.0) * k + k * k) * norm
        self._state: tuple[float, float] | None = None

    def feed(self, x: Samples) -> Samples:
        """Filter the next samples, ``(n,)``; returns as many."""
        if len(x) == 0:
            return x
        b0, a1, a2 = self._b0, self._a1, self._a2
        b1 = -2.0 * b0
        values: list[float] = x.tolist()
        z0, z1 = self._state if self._state is not None else (-b0 * values[0], b0 * values[0])
        for i, v in enumerate(values):
            y = b0 * v + z0
            z0 = b1 * v - a1 * y + z1
            z1 = b0 * v - a2 * y
            values[i] = y
        self._state = (z0, z1)
        return np.array(values)


class FirStream:
    """A symmetric-delay FIR: output ``n`` is centred on input ``n`` and comes ``half`` samples later.

    Before the first sample the input is taken to have been that sample for ever.

    Parameters
    ----------
    taps
        ``(2 half + 1,)`` coefficients.
    """

    def __init__(self, taps: Samples) -> None:
        if len(taps) % 2 == 0:
            raise ValueError(f"a centred FIR has an odd number of taps, not {len(taps)}")
        self._taps = np.ascontiguousarray(taps, dtype=np.float64)
        self.half = len(taps) // 2
        self._tail: Samples | None = None

    def feed(self, x: Samples) -> Samples:
        """Filter the next samples, ``(n,)``; returns those whose right half is now known."""
        if len(x) == 0:
            return x
        if self._tail is None:
            self._tail = np.full(self.half, x[0])
        buffer = np.concatenate([self._tail, x])
        n_taps = len(self._taps)
        if len(buffer) < n_taps:
            self._tail = buffer
            return np.empty(0)
        self._tail = buffer[len(buffer) - (n_taps - 1) :]
        return np.convolve(buffer, self._taps, "valid")


def windowed_sinc(half: int, cutoff_hz: float, fs_hz: float) -> Samples:
    """Low-pass taps ``(2 half + 1,)``: Hamming-windowed sinc with unit gain at 0 Hz."""
    n = np.arange(-half, half + 1)
    taps = np.sinc(2.0 * cutoff_hz / fs_hz * n) * np.hamming(2 * half + 1)
    return np.asarray(taps / taps.sum(), dtype=np.float64)


def hold_last(x: Samples, last: float) -> Samples:
    """Replace what is not a finite number by the last value that was one (``last`` before the first)."""
    finite = np.isfinite(x)
    if finite.all():
        return x
    at = np.maximum.accumulate(np.where(finite, np.arange(len(x)), -1))
    return np.where(at >= 0, x[np.maximum(at, 0)], last)
