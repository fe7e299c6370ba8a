"""Causal, chunk-invariant filters: a high-pass and a centred FIR that knows its own delay.

Both give bit-identical output however the stream is cut: the high-pass is one matrix product of fixed shape per
block of samples on a fixed grid, the FIR one dot product of fixed length per output sample.
"""

from __future__ import annotations

import math
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["FirStream", "HighPass", "hold_last", "neighbours", "windowed_sinc"]

Samples = NDArray[np.float64]
_Real = TypeVar("_Real", np.float32, np.float64)

_BLOCK = 64
"""Samples the high-pass takes at once: few enough for a library of matrices to stay on one thread."""


class HighPass:
    """High-pass of first or second order, primed so that a constant start gives zero at once.

    Its zeros at 0 Hz are the first or second difference of the input; its poles take a block of that and the last two
    outputs through one fixed matrix. What stands in the block for samples that have not come yet has a weight of
    exactly zero in the rows before them: each output is the same sum of the same terms whenever it is asked for.

    Parameters
    ----------
    cutoff_hz
        The -3 dB frequency, in Hz.
    fs_hz
        Sampling rate, in Hz.
    order
        2: Butterworth, in closed form (bilinear transform with pre-warping). 1: one pole, which bends the slow waves
        behind a QRS less.
    """

    def __init__(self, cutoff_hz: float, fs_hz: float, order: Literal[1, 2] = 2) -> None:
        self._order = order
        if order == 1:
            a1, a2 = -math.exp(-2.0 * math.pi * cutoff_hz / fs_hz), 0.0
            norm = 0.5 * (1.0 - a1)
        else:
            k = math.tan(math.pi * cutoff_hz / fs_hz)
            norm = 1.0 / (1.0 + math.sqrt(2.0) * k + k * k)
            a1, a2 = 2.0 * (k * k - 1.0) * norm, (1.0 - math.sqrt(2.0) * k + k * k) * norm
        # Column by column what the last two outputs and each difference of the block give.
        rows = np.eye(2 + _BLOCK)
        for i in range(2, 2 + _BLOCK):
            rows[i] = norm * rows[i] - a1 * rows[i - 1] - a2 * rows[i - 2]
        self._matrix = rows[2:].copy()
        self._known, self._outputs = np.zeros(2 + _BLOCK), np.empty(_BLOCK)
        self._n_known = 0
        self._last_two: Samples | None = None

    def feed(self, x: Samples) -> Samples:
        """Filter the next finite samples, ``(n,)``; returns as many."""
        if len(x) == 0:
            return x
        past = np.concatenate((x[[0, 0]] if self._last_two is None else self._last_two, x))
        self._last_two = past[-2:].copy()
        slope = past[1:] - past[:-1]
        steps = slope[1:] if self._order == 1 else slope[1:] - slope[:-1]
        known, outputs, n_known = self._known, self._outputs, self._n_known
        y = np.empty(len(x))
        done = 0
        while done < len(x):
            n_new = min(_BLOCK - n_known, len(x) - done)
            n_now = n_known + n_new
            known[2 + n_known : 2 + n_now] = steps[done : done + n_new]
            self._matrix.dot(known, outputs)
            y[done : done + n_new] = outputs[n_known:n_now]
            if n_now == _BLOCK:
                known[:2] = outputs[-2:]
                n_now = 0
            n_known = n_now
            done += n_new
        self._n_known = n_known
        return y


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
        self._reversed = np.ascontiguousarray(taps[::-1], dtype=np.float64)
        self.half = len(taps) // 2
        self._tail: Samples | None = None

    def feed(self, x: Samples) -> Samples:
        """Filter the next samples, ``(n,)``; returns those whose right half is now known."""
        if len(x) == 0:
            return x
        if self._tail is None:
            self._tail = np.full(self.half, x[0])
        buffer = np.concatenate([self._tail, x])
        n_taps = len(self._reversed)
        if len(buffer) < n_taps:
            self._tail = buffer
            return np.empty(0)
        self._tail = buffer[len(buffer) - (n_taps - 1) :]
        return np.correlate(buffer, self._reversed, "valid")


def windowed_sinc(half: int, cutoff_hz: float, fs_hz: float) -> Samples:
    """Low-pass taps ``(2 half + 1,)``: Hamming-windowed sinc with unit gain at 0 Hz."""
    n = np.arange(-half, half + 1)
    taps = np.sinc(2.0 * cutoff_hz / fs_hz * n) * np.hamming(2 * half + 1)
    return np.asarray(taps / taps.sum(), dtype=np.float64)


def neighbours(x: NDArray[_Real], n: int) -> NDArray[_Real]:
    """All runs of ``n`` samples of a contiguous array as rows ``(len(x) - n + 1, n)``, not copied.

    `numpy.lib.stride_tricks.sliding_window_view`, whose set-up takes longer than a beat.
    """
    return np.ndarray((len(x) - n + 1, n), x.dtype, x, strides=x.strides * 2)


def hold_last(x: Samples, last: float) -> Samples:
    """Replace what is not a finite number by the last value that was one (``last`` before the first)."""
    finite = np.isfinite(x)
    if finite.all():
        return x
    at = np.maximum.accumulate(np.where(finite, np.arange(len(x)), -1))
    return np.where(at >= 0, x[np.maximum(at, 0)], last)
