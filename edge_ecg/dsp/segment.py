"""Cut the beat window that a network sees out of the high-passed 125 Hz signal, scaled to [0, 1].

The window of Kachuee, Fazeli & Sarrafzadeh (arXiv 1805.00794, III-A), made causal: from R to R + 1.2 T, T the
median of the R-R intervals of the *past* 10 s instead of the surrounding 10 s, zero-padded on the right. The
scale is the median of the per-second maxima and minima of the 10 s that end with the window, then clipped, so
that one artefact does not shrink the ten seconds behind it; the paper's plain minimum and maximum do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["RrHistory", "WindowShape", "cut_windows"]

_MIN_RANGE_MV = 0.02


@dataclass(frozen=True, slots=True)
class WindowShape:
    """Parameters of the beat window; part of a model's preprocessing fingerprint.

    An R-R interval above ``rr_longest_s`` says that beats were not seen, not how far apart they are: T leaves it out.
    """

    fs_hz: float = 125.0
    n_samples: int = 187
    length_rr: float = 1.2
    rr_history_s: float = 10.0
    rr_default_s: float = 0.8
    rr_longest_s: float = 5.0
    scale_history_s: float = 10.0
    scale: Literal["robust"] = "robust"

    def __post_init__(self) -> None:
        for name in ("fs_hz", "n_samples", "length_rr", "rr_history_s", "rr_default_s", "rr_longest_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"window.{name} must lie above 0, not {getattr(self, name)}")
        if self.fs_hz < 50.0 or self.scale_history_s < 1.0:
            raise ValueError("a beat window has at least 50 Hz and a scale of at least the past second")

    def n_wanted(self, rr_median_s: float | None) -> int:
        """Samples from R on that a beat of this rhythm fills, at most `n_samples`; None: not known yet."""
        rr_s = self.rr_default_s if rr_median_s is None else rr_median_s
        return min(self.n_samples, max(1, round(self.length_rr * rr_s * self.fs_hz)))


class RrHistory:
    """The R-R intervals of the last seconds; `median_s` is T."""

    def __init__(self, shape: WindowShape) -> None:
        self._shape = shape
        self._ends: deque[tuple[float, float]] = deque()
        self._last_r_s: float | None = None

    def push(self, r_s: float) -> float | None:
        """Take the next R peak at ``r_s`` seconds; return the R-R interval before it, in s, if known."""
        rr_s = None if self._last_r_s is None else r_s - self._last_r_s
        self._last_r_s = r_s
        if rr_s is not None and rr_s <= self._shape.rr_longest_s:
            self._ends.append((r_s, rr_s))
        while self._ends and self._ends[0][0] < r_s - self._shape.rr_history_s:
            self._ends.popleft()
        return rr_s

    def forget_last(self) -> None:
        """The next R peak follows a gap: the interval before it is not known."""
        self._last_r_s = None

    def median_s(self) -> float | None:
        """T, in s: the median of the remembered intervals; None while there is none."""
        ordered, n = sorted([rr_s for _, rr_s in self._ends]), len(self._ends)
        return 0.5 * (ordered[(n - 1) // 2] + ordered[n // 2]) if n else None


def cut_windows(past_mv: NDArray[np.float32], n_window: Sequence[int], shape: WindowShape) -> NDArray[np.float32]:
    """Scale and pad beat windows, each by itself.

    Parameters
    ----------
    past_mv
        ``(n, n_past) float32``, mV, for each window the signal that *ends with it*, at most the scaling history.
    n_window
        ``(n,)``, how many samples at its end are the window, 1 .. `shape.n_samples`.
    shape
        The windows' parameters.

    Returns
    -------
    ``(n, n_samples) float32`` in [0, 1], zero behind the window. A signal without range gives zeros.
    """
    n, n_past = past_mv.shape
    second = round(shape.fs_hz)
    n_seconds = min(round(shape.scale_history_s), max(1, n_past // second))
    by_second = past_mv[:, -n_seconds * second :].reshape(n, n_seconds, -1)
    low, high = _medians(by_second.min(axis=2)), _medians(by_second.max(axis=2))
    has_range = high - low >= _MIN_RANGE_MV
    # What lies behind a window is as low as can be: it comes out as zero.
    scaled = np.full((n, shape.n_samples), -np.inf)
    for row, past, n_there in zip(scaled, past_mv, n_window, strict=True):
        row[:n_there] = past[n_past - n_there :]
    scaled -= low
    scaled /= np.where(has_range, high - low, 1.0)
    scaled[~has_range[:, 0]] = 0.0
    np.minimum(np.maximum(scaled, 0.0, out=scaled), 1.0, out=scaled)
    return scaled.astype(np.float32)


def _medians(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The median of each row, ``(n, k)`` to ``(n, 1)``."""
    ordered = np.sort(values, axis=1).astype(np.float64)
    k = values.shape[1]
    middle: NDArray[np.float64] = 0.5 * (ordered[:, (k - 1) // 2, None] + ordered[:, k // 2, None])
    return middle
