"""Streaming rational resampler: any board's rate in, the networks' rate out, delay compensated by index."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Resampler"]

Samples = NDArray[np.float64]

HALF_WIDTH_S = 0.048
"""Half length of the kernel: what an output sample needs to see of its future."""
CUTOFF_HZ = 50.0
"""-6 dB point of the anti-alias low-pass (the QRS lies below 40 Hz)."""
_MAX_PHASES = 4000
_BATCH = 4096
_ROWS = 16


class Resampler:
    """Output sample ``k`` is the input at time ``k / fs_out_hz``: a polyphase windowed sinc, centred.

    Chunk-invariant bit for bit: each output is one sum of fixed length over its own inputs. Before the
    first sample the input is taken to have been that sample for ever. Equal rates pass straight through.

    Parameters
    ----------
    fs_in_hz, fs_out_hz
        Rates in Hz; any ratio; a board that states its rate in millihertz is followed exactly.
    """

    def __init__(self, fs_in_hz: float, fs_out_hz: float) -> None:
        ratio = (Fraction(fs_out_hz) / Fraction(fs_in_hz)).limit_denominator(10**7)
        self._up, self._down = ratio.numerator, ratio.denominator
        # The timing stays exact whatever the ratio; only the table of kernels is bounded.
        self._n_phases = min(self._up, _MAX_PHASES)
        self._half = 0 if ratio == 1 else math.ceil(HALF_WIDTH_S * fs_in_hz)
        cutoff_hz = min(CUTOFF_HZ, 0.4 * fs_in_hz)
        # Tap j of phase p weighs the input j - half + 1 samples after the last one at or before the output.
        phases = np.arange(self._n_phases)[:, None] / self._n_phases
        offset = np.arange(-self._half + 1, self._half + 1)[None, :] - phases
        span = self._half if self._half else 1
        window = 0.54 + 0.46 * np.cos(np.pi * np.clip(offset / span, -1.0, 1.0))
        taps = np.sinc(2.0 * cutoff_hz / fs_in_hz * offset) * window
        self._taps: Samples = taps / taps.sum(axis=1, keepdims=True) if self._half else np.ones((1, 1))
        self._span = np.arange(2 * self._half)
        self._buffer: Samples | None = None
        self._buffer_start = 0
        self._next_out = 0

    def last_input_needed(self, k: int) -> int:
        """The index of the last input sample that output ``k`` needs."""
        return k * self._down // self._up + self._half

    def feed(self, x: Samples) -> Samples:
        """Take the next input samples, ``(n,)``; return the output samples that are now complete."""
        if self._half == 0 or len(x) == 0:
            return x
        if self._buffer is None:
            self._buffer = np.full(self._half, x[0])
            self._buffer_start = -self._half
        self._buffer = np.concatenate([self._buffer, x])
        end = self._buffer_start + len(self._buffer)
        n_out = -(-(end - self._half) * self._up // self._down) - self._next_out
        if n_out <= 0:
            return np.empty(0)
        out = np.empty(n_out)
        if n_out >= _ROWS * self._up:
            # A whole number of periods apart, outputs share one kernel, and their inputs need not be copied.
            windows = np.lib.stride_tricks.sliding_window_view(self._buffer, 2 * self._half)
            for p in range(self._up):
                first, phase = self._place(self._next_out + p)
                n_periods = -(-(n_out - p) // self._up)
                out[p :: self._up] = _products(windows[first :: self._down][:n_periods], self._taps[phase])
        else:
            for start in range(0, n_out, _BATCH):
                stop = min(start + _BATCH, n_out)
                first, phase = self._place(self._next_out + np.arange(start, stop, dtype=np.int64))
                out[start:stop] = _products(self._buffer[first[:, None] + self._span], self._taps[phase])
        self._next_out += n_out
        keep_from = self._next_out * self._down // self._up - self._half + 1
        self._buffer = self._buffer[keep_from - self._buffer_start :].copy()
        self._buffer_start = keep_from
        return out

    def _place(self, k: Any) -> tuple[Any, Any]:
        """Where in the buffer the inputs of output ``k`` begin, and the phase of its kernel; 32 bits overflow here."""
        passed = k * self._down
        return passed // self._up - self._half + 1 - self._buffer_start, passed % self._up * self._n_phases // self._up


def _products(inputs: Samples, taps: Samples) -> Samples:
    """Row by row dot products, ``(n,)``: each is one of its own, so that its bits do not depend on the others."""
    products: Samples = np.matmul(inputs[:, None, :], taps[..., None])[:, 0, 0]
    return products
