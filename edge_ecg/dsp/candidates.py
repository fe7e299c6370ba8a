"""Where a beat may be: every maximum of the QRS envelope, and what the signal alone says of it.

All that is known of a candidate without knowing the patient: its size in three bands, its shape, a patch of the
envelopes around and before it, and how it compares with the largest of the past three seconds. What the patient's
own beats add is `edge_ecg.dsp.rhythm`; how the two decide, and where they come from, `edge_ecg.dsp.qrs`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.envelopes import EnvelopeFrontEnd
from edge_ecg.dsp.filters import neighbours

__all__ = ["N_INPUTS", "SHAPE_POINTS", "CandidateFinder", "Candidates"]

Samples = NDArray[np.float64]

MAX_DECISION_S = 0.350
"""Bound on the time from an R peak to the input sample that decides on it, at any rate from 100 to 1000 Hz."""

LOOK_AHEAD_S = 0.225
PEAK_HALF_WIDTH_S = 0.09
R_SEARCH_S = 0.045
FLOOR_MV = 0.004
SHAPE_POINTS = 21
_SHAPE_OFFSETS_S: Samples = 0.0083 * (np.arange(float(SHAPE_POINTS)) - SHAPE_POINTS // 2)
_RAMP_POWER = float((_SHAPE_OFFSETS_S * _SHAPE_OFFSETS_S).sum())
_LOW_OFFSETS_S: Samples = 0.05 * np.arange(-3.0, 4.0)
_QRS_OFFSETS_S: Samples = 0.025 * np.array([float(k) for k in range(-7, 10) if k != 0])
_HIGH_OFFSETS_S: Samples = 0.025 * np.arange(-7.0, 10.0)
_RECENT_EDGES_S: Samples = 0.05 * np.arange(9.0) - 0.625
_OLDER_EDGES_S: Samples = 0.15 * np.arange(6.0) - 1.525
_HISTORY_S = 3.0
_LEVELS_AT_LEAST: Samples = np.array([-1.5, -3.0, -3.0, -3.0, -3.0, -3.0])
_LEVELS_AT_MOST: Samples = np.array([3.0, 1.0, 0.5, 0.5, 1.0, 1.0])
N_INPUTS = 82
"""Inputs of a candidate that need no memory: 76 of the patch, 6 of the levels."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """``n`` maxima of the QRS envelope, ascending; mV and s.

    Attributes
    ----------
    t_s
        ``(n,)`` time of the maximum since the start of the stretch.
    size, low, high
        ``(n,)`` envelope there, and the largest of the low and the high band within 35 ms.
    max_3s, high_max_3s
        ``(n,)`` the smaller of the largest envelopes of the last 1.5 s and of the 1.5 s before them.
    shape, norm
        ``(n, 21)`` the signal around it without mean and slope, of unit norm; ``(n,)`` that norm.
    inputs
        ``(n, 82)`` what a net sees of it.
    r_pos, decided_at
        ``(n,)`` R peak and deciding sample, in input samples since the start of the stretch.
    """

    t_s: Samples
    size: Samples
    low: Samples
    high: Samples
    max_3s: Samples
    high_max_3s: Samples
    shape: Samples
    norm: Samples
    inputs: Samples
    r_pos: Samples
    decided_at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.t_s)


_NONE = np.empty(0)
NO_CANDIDATES = Candidates(
    t_s=_NONE,
    size=_NONE,
    low=_NONE,
    high=_NONE,
    max_3s=_NONE,
    high_max_3s=_NONE,
    shape=np.empty((0, SHAPE_POINTS)),
    norm=_NONE,
    inputs=np.empty((0, N_INPUTS)),
    r_pos=_NONE,
    decided_at=np.empty(0, dtype=np.int64),
)


class CandidateFinder:
    """Samples in, candidates out: streaming, the same bit for bit however the stream is cut.

    Parameters
    ----------
    fs_hz
        Sampling rate, 100 to 1000 Hz.
    """

    def __init__(self, fs_hz: float) -> None:
        self._front = EnvelopeFrontEnd(fs_hz)
        fd_hz = self._fd_hz = self._front.fd_hz
        self._r_half = int(R_SEARCH_S * fd_hz)
        self._mean_half = round(0.1 * fd_hz)
        # At some rates the rounding up of 225 ms would cost the bound: the last sample is then held.
        spare_s = MAX_DECISION_S - self._front.decimation_half / fs_hz
        self._ahead = min(
            math.ceil(LOOK_AHEAD_S * fd_hz),
            int(spare_s * fd_hz - self._front.qrs_half - self._r_half - 0.5 + 1e-9),
        )
        self._behind = math.ceil(_HISTORY_S * fd_hz) + 1
        self._peak_half = round(PEAK_HALF_WIDTH_S * fd_hz)
        self._near = round(0.035 * fd_hz)
        self._shape_at = _Interpolation(_SHAPE_OFFSETS_S * fd_hz)
        self._bands_at = tuple(
            _Interpolation(np.minimum(offsets_s * fd_hz, self._ahead))
            for offsets_s in (_LOW_OFFSETS_S, _QRS_OFFSETS_S, _HIGH_OFFSETS_S)
        )
        self._recent = _starts(_RECENT_EDGES_S, fd_hz)
        self._older = _starts(np.append(_OLDER_EDGES_S, _RECENT_EDGES_S[0]), fd_hz) + self._behind
        # Before the start of a stretch an envelope is 0.
        self._low = self._qrs = self._high = np.zeros(self._behind)
        self._decimated = np.empty(0)
        self._start = self._next = -self._behind  # indices of the buffers' first sample and the next to look at

    def feed(self, x_mv: Samples) -> Candidates:
        """Take the next samples in mV, ``(n,)``, all finite; return the candidates that are now complete."""
        new = self._front.feed(x_mv)
        if len(self._decimated) == 0 and len(new.decimated):
            self._decimated = np.full(self._behind, new.decimated[0])
        self._decimated = np.concatenate([self._decimated, new.decimated])
        self._low = np.concatenate([self._low, new.low])
        self._qrs = np.concatenate([self._qrs, new.qrs])
        self._high = np.concatenate([self._high, new.high])
        begin, end = max(0, self._next), self._start + len(self._qrs) - self._ahead
        if end <= begin:
            return NO_CANDIDATES
        at = self._maxima(begin, end)
        found = self._candidates(at) if len(at) else NO_CANDIDATES
        self._next = end
        self._trim()
        return found

    def _trim(self) -> None:
        keep = max(0, self._next - self._behind - self._start)
        if keep > len(self._qrs) // 2:
            self._decimated, self._low = self._decimated[keep:], self._low[keep:]
            self._qrs, self._high = self._qrs[keep:], self._high[keep:]
            self._start += keep

    def _maxima(self, begin: int, end: int) -> NDArray[np.intp]:
        """Indices in [begin, end) whose QRS envelope is the largest within the peak's half width."""
        half, first, stop = self._peak_half, begin - self._start, end - self._start
        here = self._qrs[first:stop]
        tops = (here > self._qrs[first - 1 : stop - 1]) & (here >= self._qrs[first + 1 : stop + 1]) & (here > FLOOR_MV)
        at = first + tops.nonzero()[0]
        if len(at) == 0:
            return at
        windows = neighbours(self._qrs, half)
        peaks = self._qrs[at]
        is_peak = (peaks > windows[at - half].max(axis=1)) & (peaks >= windows[at + 1].max(axis=1))
        return np.asarray(at[is_peak])

    def _candidates(self, k: NDArray[np.intp]) -> Candidates:
        """All of the candidates at positions ``k`` of the buffers."""
        fd_hz, near = self._fd_hz, self._near
        size = self._qrs[k]
        qrs, high = (self._around(band, k, -self._behind, self._ahead + 1) for band in (self._qrs, self._high))
        low = self._around(self._low, k, self._recent[0], near + 1)
        lo = low[:, -2 * near - 1 :].max(axis=1)
        zero = self._behind
        hi = high[:, zero - near : zero + near + 1].max(axis=1)
        recent, older = zero - round(1.5 * fd_hz), zero - round(3.0 * fd_hz)
        ahead = zero + int(0.2 * fd_hz) + 1
        e1, h1 = qrs[:, recent:ahead].max(axis=1), high[:, recent:ahead].max(axis=1)
        i = k.astype(np.int64) + self._start  # 32 bits of a kHz are 24 days
        known = i >= 1.9 * fd_hz
        e2 = np.where(known, np.minimum(e1, qrs[:, older:recent].max(axis=1)), e1)
        h2 = np.where(known, np.minimum(h1, high[:, older:recent].max(axis=1)), h1)
        patch = np.concatenate(
            [
                *(at.of(band, k) for at, band in zip(self._bands_at, (self._low, self._qrs, self._high), strict=True)),
                *(self._past(band, first) for band, first in ((low, self._recent[0]), (qrs, -zero), (high, -zero))),
                *(self._long_past(band) for band in (qrs, high)),
            ],
            axis=1,
        )
        inputs = np.concatenate(
            [
                np.minimum(1.5, np.log(patch / size[:, None] + 0.03)),
                _log_ratios(np.stack([lo, hi, size, hi, size, hi], 1), np.stack([size, size, e1, h1, e2, h2], 1)),
            ],
            axis=1,
        )
        shape = self._shape_at.of(self._decimated, k)
        shape = shape - shape.mean(axis=1, keepdims=True)
        ramp = _SHAPE_OFFSETS_S
        slope = (shape * ramp).sum(axis=1) / _RAMP_POWER
        shape = shape - slope[:, None] * ramp
        norm = np.maximum(1e-12, np.sqrt((shape * shape).sum(axis=1)))
        factor = self._front.factor
        return Candidates(
            t_s=i / fd_hz,
            size=size,
            low=lo,
            high=hi,
            max_3s=e2,
            high_max_3s=h2,
            shape=shape / norm[:, None],
            norm=norm,
            inputs=inputs,
            r_pos=(i + self._r_offset(k)) * factor,
            decided_at=(i + self._ahead + self._front.qrs_half) * factor + self._front.decimation_half,
        )

    def _around(self, band: Samples, k: NDArray[np.intp], begin: int, end: int) -> Samples:
        """Rows ``band[k + begin : k + end]``."""
        return np.asarray(neighbours(band, end - begin)[k + begin])

    def _past(self, rows: Samples, first: int) -> Samples:
        """Largest of the eight bins of 50 ms that end 225 ms before the candidate."""
        starts = self._recent - first
        return np.maximum.reduceat(rows[:, : starts[-1]], starts[:-1], axis=1)

    def _long_past(self, rows: Samples) -> Samples:
        """Largest of the six bins of 150 ms that end 625 ms before the candidate."""
        starts = self._older
        return np.maximum.reduceat(rows[:, : starts[-1]], starts[:-1], axis=1)

    def _r_offset(self, k: NDArray[np.intp]) -> Samples:
        """The R peak as an offset from the candidates, in decimated samples and a fraction of one."""
        around, half = self._r_half, self._mean_half
        rows = self._around(self._decimated, k, -around - half - 1, around + half + 1)
        total = np.cumsum(rows, axis=1)
        width = 2 * half + 1
        means = (total[:, width:] - total[:, :-width]) / width  # [:, j]: of the sample j - around from the candidate
        samples = rows[:, half + 1 : half + 2 + 2 * around]
        best = np.abs(samples - means).argmax(axis=1)
        row = np.arange(len(k))
        mean = means[row, best]
        before, here, after = (np.abs(rows[row, best + half + j] - mean) for j in (0, 1, 2))
        curvature = before - 2.0 * here + after
        is_top = curvature < 0.0
        offset = 0.5 * (before - after) / np.where(is_top, curvature, 1.0)
        return np.asarray(best - around + np.where(is_top, np.clip(offset, -0.5, 0.5), 0.0))


class _Interpolation:
    """Values between samples at fixed offsets from a candidate.

    Offsets are relative: absolute positions would round differently from chunk to chunk.
    """

    def __init__(self, offsets: Samples) -> None:
        # An offset that is a whole number but for rounding takes that sample, and none behind it.
        whole = np.rint(offsets)
        offsets = np.where(np.abs(offsets - whole) < 1e-9, whole, offsets)
        self._first = np.floor(offsets).astype(np.int64)
        self._share = offsets - self._first
        self._second = self._first + (self._share > 0.0)

    def of(self, band: Samples, k: NDArray[np.intp]) -> Samples:
        """``(n, n_offsets)`` for candidates at positions ``k``."""
        at = k[:, None]
        return np.asarray(band[at + self._first] * (1.0 - self._share) + band[at + self._second] * self._share)


def _starts(edges_s: Samples, fd_hz: float) -> NDArray[np.intp]:
    """First sample of each half-open bin, from the candidate; as `reduceat` of a 32-bit machine takes them."""
    return np.ceil(edges_s * fd_hz - 1e-9).astype(np.intp)


def _log_ratios(a: Samples, b: Samples) -> Samples:
    """The six level inputs, each within its limits. Not numpy.clip: its own checks take longer than a candidate."""
    ratios = np.log(np.maximum(a, 1e-9) / np.maximum(b, 1e-9))
    return np.asarray(np.minimum(_LEVELS_AT_MOST, np.maximum(_LEVELS_AT_LEAST, ratios)))
