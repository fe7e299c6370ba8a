"""The one preprocessing: samples and R peaks in, beat windows out. Training and the device run this class.

Device: the pipeline feeds blocks and pushes R peaks as the detector decides them. Training: a whole record is
fed with its R peaks. Given the same R peaks the windows are the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.filters import HighPass, neighbours
from edge_ecg.dsp.resample import Resampler
from edge_ecg.dsp.segment import RrHistory, WindowShape, cut_windows

__all__ = ["PREPROCESSING_VERSION", "BeatWindow", "PreprocessParams", "Preprocessor"]

PREPROCESSING_VERSION = 1
"""Raised whenever the same parameters would give other windows (a golden-window test forces it)."""


@dataclass(frozen=True, slots=True)
class PreprocessParams:
    """What a model's windows depend on; stored in its manifest."""

    highpass_hz: float = 0.5
    window: WindowShape = field(default_factory=WindowShape)

    def __post_init__(self) -> None:
        if not 0.0 < self.highpass_hz < 0.5 * self.window.fs_hz:
            raise ValueError(f"highpass_hz must lie between 0 and half the rate, not at {self.highpass_hz:g}")

    def fingerprint(self) -> str:
        """Hash of the parameters and of the version of this code (not of float outputs: platforms differ)."""
        text = json.dumps({"version": PREPROCESSING_VERSION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, eq=False)
class BeatWindow:
    """One beat as a network sees it.

    Attributes
    ----------
    r_pos
        The R peak as it was pushed, in input samples since the start of the stream.
    rr_s
        The R-R interval before it, s; None for the first beat and behind a gap.
    rr_median_s
        T, the median of the past R-R intervals, s; None while there is none (the window then takes a default).
    inputs
        The window, ``(187,) float32`` in [0, 1].
    needed_index
        Index of the last input sample that the window needed.
    short
        The window was cut by the end of the stretch and zero-padded.
    learning
        No R-R interval was known, or less signal than the scale looks back on.
    """

    r_pos: float
    rr_s: float | None
    rr_median_s: float | None
    inputs: NDArray[np.float32]
    needed_index: int
    short: bool
    learning: bool

    @property
    def recognised(self) -> None:
        """Nobody is remembered here."""


class _Pending(NamedTuple):
    r_pos: float
    rr_s: float | None
    rr_median_s: float | None
    begin: int
    end: int


class Preprocessor:
    """Resample to 125 Hz, high-pass, keep the last seconds, cut the window of each R peak. Causal.

    Parameters
    ----------
    fs_hz
        Rate of the samples that are fed, in Hz.
    params
        From the model's manifest.
    """

    def __init__(self, fs_hz: float, params: PreprocessParams) -> None:
        self._fs_hz = fs_hz
        self._params = params
        self._rr = RrHistory(params.window)
        self._n_scale = round(params.window.scale_history_s * params.window.fs_hz)
        # No window is longer, and none waits longer for its beat to be decided.
        self.longest_s = 1.0 + params.window.n_samples / params.window.fs_hz
        self._begin(0)

    def _begin(self, first_index: int) -> None:
        self._first_index, self._n_fed = first_index, 0
        self._resampler = Resampler(self._fs_hz, self._params.window.fs_hz)
        self._highpass = HighPass(self._params.highpass_hz, self._params.window.fs_hz)
        self._ring = np.empty(0, dtype=np.float32)
        self._ring_start = 0
        self._pending: deque[_Pending] = deque()

    def feed(self, samples_mv: NDArray[np.float64]) -> None:
        """Take the next samples of the lead, ``(n,) float64`` mV, all finite."""
        self._n_fed += len(samples_mv)
        new = self._highpass.feed(self._resampler.feed(samples_mv)).astype(np.float32)
        self._ring = np.concatenate([self._ring, new])

    def push_r(self, r_pos: float, known_index: int = -1) -> None:
        """Ask for the window of an R peak, in input samples since the start of the stream; in order.

        With which sample it was known (``known_index``) is nothing to a window.
        """
        rr_s = self._rr.push(r_pos / self._fs_hz)
        rr_median_s = self._rr.median_s()
        shape = self._params.window
        begin = max(0, round((r_pos - self._first_index) * shape.fs_hz / self._fs_hz))
        self._pending.append(_Pending(r_pos, rr_s, rr_median_s, begin, begin + shape.n_wanted(rr_median_s)))

    def ready(self) -> list[BeatWindow]:
        """The windows that are complete by now, in the order of their R peaks."""
        complete = []
        end = self._ring_start + len(self._ring)
        while self._pending and self._pending[0].end <= end:
            complete.append(self._pending.popleft())
        done = self._cut(complete, end) if complete else []
        self._trim()
        return done

    def flush(self) -> list[BeatWindow]:
        """At the end of a stretch: the windows that will never be complete, zero-padded."""
        pending = list(self._pending)
        self._pending.clear()
        return self._cut(pending, self._ring_start + len(self._ring))

    def resume(self, first_index: int) -> None:
        """Start again behind a gap (after `flush`): filters and scale anew, the R-R history stays."""
        self._rr.forget_last()
        self._begin(first_index)

    def _cut(self, pending: list[_Pending], end: int) -> list[BeatWindow]:
        """The windows of R peaks, as far as the signal goes: it ends before ``end``."""
        shape = self._params.window
        windows = np.zeros((len(pending), shape.n_samples), dtype=np.float32)
        stops = [min(p.end, end) for p in pending]
        n_there = [stop - p.begin for p, stop in zip(pending, stops, strict=True)]
        n_known = [min(stop - self._ring_start, self._n_scale) for stop in stops]
        # At once all whose scale has its full history, and those at the start of a stretch one by one.
        full = [i for i, n in enumerate(n_known) if n == self._n_scale and n_there[i] > 0]
        young = [[i] for i, n in enumerate(n_known) if n < self._n_scale and n_there[i] > 0]
        for rows in [full, *young] if full else young:
            n_past = n_known[rows[0]]
            shifted = neighbours(self._ring, n_past)
            past_mv = shifted[[stops[i] - self._ring_start - n_past for i in rows]]
            windows[rows] = cut_windows(past_mv, [n_there[i] for i in rows], shape)
        done = []
        for p, stop, n, window in zip(pending, stops, n_there, windows, strict=True):
            needed = self._n_fed - 1
            if n > 0:
                needed = min(self._resampler.last_input_needed(stop - 1), needed)
            is_early = needed < shape.scale_history_s * self._fs_hz
            done.append(
                BeatWindow(
                    p.r_pos, p.rr_s, p.rr_median_s, window, self._first_index + needed,
                    short=stop < p.end, learning=p.rr_median_s is None or is_early,
                )
            )  # fmt: skip
        return done

    def _trim(self) -> None:
        # A window is cut at the latest when its beat is decided: its scale, the window, and some room for that.
        shape = self._params.window
        keep = shape.n_samples + round((shape.scale_history_s + 2.0) * shape.fs_hz)
        if self._pending:
            keep = max(keep, self._ring_start + len(self._ring) - self._pending[0].begin + keep)
        if len(self._ring) > 2 * keep:
            self._ring_start += len(self._ring) - keep
            self._ring = self._ring[-keep:].copy()
