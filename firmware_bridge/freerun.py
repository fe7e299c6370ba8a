"""Boards that send when they get round to it: their samples placed by when they arrived, and brought to one rate."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.blocks import RawBlock

__all__ = ["FS_HZ", "FreeRunner"]

FS_HZ = 250.0
"""Of what comes out: more than most such boards send."""
LEARN_S = 1.0
"""Of arrivals before the first sample is placed."""
BANDWIDTH_HZ = 0.3
"""How fast the loop follows a rate that changes, as with the number of digits in a line."""
GAP_S = 0.3
"""A silence of so long is a loss, not a jitter, unless a backlog follows it."""
SETTLED_S = 0.1
"""So long behind a silence it is clear whether one does: it may come in pieces."""
ROUGH_MS = 15.0
"""Jitter beyond which the shape of a beat suffers."""
FAST_HZ = 1000.0
"""Boards that send more are filtered, lest what is above half of `FS_HZ` fold into the beats."""
CUTOFF_HZ = 100.0
"""Of that filter, at -6 dB: 60 Hz passes, from 142 Hz on next to nothing does."""
FILTER_DELAY_S = 0.02
"""Of that filter: half its length."""


class FreeRunner:
    """Resamples a board without a known rate to `FS_HZ`, by linear interpolation.

    Chunks arrive when the operating system lets them. A delay-locked loop of second order smooths their times (F.
    Adriaensen, Using a DLL to filter time, Linux Audio Conference 2005); the samples of a chunk lie evenly between the
    times of two. Of a board faster than `FAST_HZ` they pass a low-pass before, and come out `FILTER_DELAY_S` late:
    ``group_delay_ms`` in `firmware_bridge.boards` counts it.

    Attributes
    ----------
    fs_estimate_hz
        How many samples the board sends a second, now; None in the first second.
    """

    def __init__(self) -> None:
        self.fs_estimate_hz: float | None = None
        self._first: list[RawBlock] = []
        self._held: list[RawBlock] = []  # behind a silence that may be made up for
        self._end_s = 0.0  # smoothed, of the last sample that was placed
        self._error2 = 0.0
        self._next: int | None = None  # number of the next sample that comes out
        self._begin_s: float | None = None  # of number 0
        self._last: NDArray[np.float64] | None = None
        self._last_s = 0.0
        self._low_pass: _LowPass | None = None

    @property
    def jitter_ms(self) -> float:
        """How far arrivals lie from where they are expected, root mean square over some seconds."""
        return 1e3 * math.sqrt(self._error2)

    @property
    def is_rough(self) -> bool:
        """Whether the times of samples are known too badly for a beat's shape."""
        return self.jitter_ms > ROUGH_MS

    def feed(self, block: RawBlock) -> list[RawBlock]:
        """Take the samples that came at once; give those at `FS_HZ` that lie before the last of them.

        A block without samples says that an electrode is off, and with it the samples: time goes on.
        """
        if not len(block.counts):
            return self._off(block)
        if self.fs_estimate_hz is None:
            return self._learn(block)
        out = self.flush() if self._held and block.host_s >= self._held[0].host_s + SETTLED_S else []
        if self._held or self._late_s(block, self.fs_estimate_hz) > GAP_S:
            self._held.append(block)
            return out
        return out + self._follow(block, self.fs_estimate_hz)

    def flush(self) -> list[RawBlock]:
        """What waited behind a silence: a backlog that makes up for it, or the samples behind a gap."""
        if not self._held or self.fs_estimate_hz is None:
            return []
        counts = np.concatenate([one.counts for one in self._held])
        block = dataclasses.replace(self._held[-1], counts=counts)
        self._held.clear()
        if self._late_s(block, self.fs_estimate_hz) <= GAP_S:
            return self._follow(block, self.fs_estimate_hz)
        self._end_s, self._last = block.host_s, None
        self._filter_at(self.fs_estimate_hz)
        return self._place(block, block.host_s - len(counts) / self.fs_estimate_hz)

    def _off(self, block: RawBlock) -> list[RawBlock]:
        out = self.flush()
        self._first.clear()  # they tell no rate with a pause among them
        if self._begin_s is None:
            self._begin_s, self._next = block.host_s, 0
        return [*out, dataclasses.replace(block, first_sample=self._next or 0)]

    def _late_s(self, block: RawBlock, fs_hz: float) -> float:
        """How much later a block came than what was before it lets expect."""
        return block.host_s - self._end_s - len(block.counts) / fs_hz

    def _follow(self, block: RawBlock, fs_hz: float) -> list[RawBlock]:
        """Place what goes on without a gap, and follow its rate."""
        n, late_s, begin_s = len(block.counts), self._late_s(block, fs_hz), self._end_s
        omega = min(2.0 * math.pi * BANDWIDTH_HZ * n / fs_hz, 0.5)
        self._end_s += n / fs_hz + math.sqrt(2.0) * omega * late_s
        self._end_s = max(self._end_s, begin_s + 1e-6)
        period_s = 1.0 / fs_hz + omega * omega * late_s / n
        self.fs_estimate_hz = min(max(1.0 / max(period_s, 1e-6), 1.0), 1e5)
        self._error2 += min(1.0, n / self.fs_estimate_hz / 5.0) * (late_s * late_s - self._error2)
        return self._place(block, begin_s)

    def _learn(self, block: RawBlock) -> list[RawBlock]:
        """The rate of the first second: from the end of the first chunk to the end of the last."""
        self._first.append(block)
        first, *rest = self._first
        took_s = block.host_s - first.host_s
        if took_s > 2.0 * LEARN_S + GAP_S:
            self._first = [block]
            return []
        if took_s < LEARN_S or len(rest) < 2:
            return []
        self.fs_estimate_hz = sum(len(one.counts) for one in rest) / took_s
        self._end_s = self._last_s = first.host_s
        if self._begin_s is None:
            self._begin_s = first.host_s
        self._first.clear()
        self._filter_at(self.fs_estimate_hz)
        return [out for one in rest for out in self.feed(one)]

    def _filter_at(self, fs_hz: float) -> None:
        """Begin anew with the filter that a board of this rate needs."""
        self._low_pass = _LowPass(fs_hz) if fs_hz > FAST_HZ else None

    def _place(self, block: RawBlock, begin_s: float) -> list[RawBlock]:
        assert self._begin_s is not None
        n = len(block.counts)
        times_s = begin_s + (self._end_s - begin_s) * np.arange(1, n + 1) / n
        values = np.asarray(block.counts, np.float64)
        if self._low_pass is not None:
            values = self._low_pass.feed(values)
        if self._last is not None:
            times_s, values = np.append(self._last_s, times_s), np.vstack([self._last, values])
        behind = math.floor((times_s[-1] - self._begin_s) * FS_HZ) + 1
        first = max(self._next or 0, math.ceil((times_s[0] - self._begin_s) * FS_HZ))
        grid_s = self._begin_s + np.arange(first, behind) / FS_HZ
        self._last, self._last_s = values[-1], float(times_s[-1])
        if not len(grid_s):
            return []
        counts = np.column_stack([np.interp(grid_s, times_s, column) for column in values.T])
        counts.flags.writeable = False
        lost = 0 if self._next is None else first - self._next
        self._next = behind
        return [dataclasses.replace(block, counts=counts, first_sample=first, lost_before=lost)]


class _LowPass:
    """A windowed sinc. Before the first sample, the input is taken to have been that sample for ever."""

    def __init__(self, fs_hz: float) -> None:
        half = round(FILTER_DELAY_S * fs_hz)
        taps = np.sinc(2.0 * CUTOFF_HZ / fs_hz * np.arange(-half, half + 1)) * np.hamming(2 * half + 1)
        self._taps: NDArray[np.float64] = taps / taps.sum()
        self._past: NDArray[np.float64] | None = None

    def feed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Filter the next samples ``(n, n_leads)``, at least one; returns as many."""
        n_past = len(self._taps) - 1
        past = np.repeat(values[:1], n_past, axis=0) if self._past is None else self._past
        values = np.vstack([past, values])
        self._past = values[-n_past:]
        return np.column_stack([np.convolve(column, self._taps, "valid") for column in values.T])
