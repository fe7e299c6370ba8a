"""Beats with what lies around their windows: what a jittered, stretched or longer window would have shown.

The window of a beat begins at its R and ends 1.2 T behind it, so the beat that follows begins inside it, mostly.
Where the first samples of one window are found again in the window before, the two are one piece of signal: the
later one continues the earlier, the earlier one holds what lies before the later one's R.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.window_set import WindowSet

__all__ = ["AFTER", "BEFORE", "Strips", "lengths_of", "strips_of"]

BEFORE, AFTER = 4, 40
"""Samples that a strip has before R, and behind the end of the longest window."""

_N_SAME = 12
"""Samples (96 ms at 125 Hz) by which a window is found in the one before."""
_MAX_RMS = 0.03
"""Two windows are scaled by their own last 10 s: the same signal differs by so much at most."""
_MIN_RANGE = 0.1
_CHUNK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Strips:
    """The training beats as pieces of signal.

    Attributes
    ----------
    x
        ``(n, BEFORE + n_samples + AFTER) float32``; the R peak stands in column ``BEFORE``. What is not known
        stays at the first and the last value that is.
    length
        ``(n,)`` samples from R on that the window holds, the rest of it is padding.
    n_known
        ``(n,)`` samples from R on that are signal, at least ``length``.
    has_before
        ``(n,)`` whether the samples before R are known.
    """

    x: NDArray[np.float32]
    length: NDArray[np.int64]
    n_known: NDArray[np.int64]
    has_before: NDArray[np.bool_]


def lengths_of(windows: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many samples of each window ``(n, n_samples)`` come before its zero padding, at least 1."""
    behind = (windows[:, ::-1] != 0.0).argmax(axis=1)
    return np.where(windows.any(axis=1), windows.shape[1] - behind, 1)


def strips_of(data: WindowSet, part: NDArray[np.int64]) -> Strips:
    """Strips of the beats ``part`` (ascending), pieced together from windows of that part alone.

    A beat that tests or validates lends no sample, though it may stand next to one that trains.
    """
    windows, records = data.windows[part], data.records[part]
    n, n_samples = windows.shape
    length = lengths_of(windows)
    follows = (np.diff(part) == 1) & (records[1:] == records[:-1])
    places = np.full(n, -1)
    pairs = np.flatnonzero(follows)
    for begin in range(0, len(pairs), _CHUNK):
        at = pairs[begin : begin + _CHUNK]
        places[at] = _places(windows[at], windows[at + 1], length[at])

    x = np.empty((n, BEFORE + n_samples + AFTER), np.float32)
    x[:, :BEFORE] = windows[:, :1]
    x[:, BEFORE : BEFORE + n_samples] = windows
    n_known = length.copy()
    for place in np.unique(places[places >= 0]).tolist():
        earlier = np.flatnonzero(places == place)
        x[earlier + 1, :BEFORE] = windows[earlier, place - BEFORE : place]
        end = min(place + n_samples, n_samples + AFTER)
        # Columns past the earlier window's own samples only: those it has are its own.
        taken = x[earlier, BEFORE:]
        new = np.arange(n_samples + AFTER) >= length[earlier, None]
        new[:, end:] = False
        shifted = np.zeros_like(taken)
        shifted[:, place:end] = windows[earlier + 1, : end - place]
        x[earlier, BEFORE:] = np.where(new, shifted, taken)
        n_known[earlier] = np.maximum(n_known[earlier], np.minimum(place + length[earlier + 1], n_samples + AFTER))
    last = x[np.arange(n), BEFORE + n_known - 1]
    unknown = np.arange(n_samples + AFTER) >= n_known[:, None]
    x[:, BEFORE:] = np.where(unknown, last[:, None], x[:, BEFORE:])
    has_before = np.concatenate([[False], places[:-1] >= 0])
    return Strips(x, length, n_known, has_before)


def _places(earlier: NDArray[np.float32], later: NDArray[np.float32], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where in each earlier window ``(k, n_samples)`` the later one begins; -1: nowhere, or one cannot tell."""
    start = later[:, :_N_SAME]
    pieces = np.lib.stride_tricks.sliding_window_view(earlier, _N_SAME, axis=1)
    error = (pieces**2).sum(axis=2) - 2.0 * np.einsum("nds,ns->nd", pieces, start) + (start**2).sum(axis=1)[:, None]
    error[np.arange(error.shape[1]) > length[:, None] - _N_SAME] = np.inf
    error[:, : 2 * _N_SAME] = np.inf
    best = error.argmin(axis=1)
    found = error[np.arange(len(best)), best] < _N_SAME * _MAX_RMS**2
    return np.where(found & (np.ptp(start, axis=1) >= _MIN_RANGE), best, -1)
