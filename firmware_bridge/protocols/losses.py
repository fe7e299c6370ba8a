"""Losses by the counter of frames, when a counter may be damaged too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocols.scanner import Counter, Layout

__all__ = ["LossMeter"]

Frames = NDArray[np.uint8]
Numbers = NDArray[np.int64]


class LossMeter:
    """Tells how many frames are missing before each, modulo the size of the counter.

    A frame behind a gap waits for the next one. When the way from the last frame to the next one over this one's
    counter is a whole turn longer than without it, that counter is damaged (or the frame was sent twice): it then
    takes the place behind the last, and nothing is lost before it. One flipped bit would else seem a loss of 256.

    Attributes
    ----------
    layout
        The frame that is counted.
    """

    def __init__(self, layout: Layout, counter: Counter) -> None:
        self.layout = layout
        self._counter = counter
        self._last: int | None = None
        self._waiting = np.zeros((0, layout.length), np.uint8)

    def take(self, frames: Frames) -> tuple[Frames, Numbers]:
        """Return the frames that are sure now, ``(n, length)``, and how many were lost before each, ``(n,)``."""
        return self._advance(frames, at_end=False)

    def flush(self) -> tuple[Frames, Numbers]:
        """Return the frame that waited, if any: no other one comes."""
        return self._advance(self._waiting[:0], at_end=True)

    def _advance(self, frames: Frames, at_end: bool) -> tuple[Frames, Numbers]:
        frames = np.concatenate([self._waiting, frames])
        n = len(frames)
        if not n:
            return frames, np.zeros(0, np.int64)
        resets = np.zeros(n, bool) if self.layout.is_reset is None else self.layout.is_reset(frames)
        counts = self._counter.read(frames.reshape(-1), np.arange(n) * self.layout.length)
        steps = self._steps(counts, resets)
        if steps[-1] > 1 and not at_end:
            n -= 1
        self._waiting = frames[n:]
        if n:
            self._last = None if resets[n - 1] else int(counts[n - 1])
        return frames[:n], steps[:n] - 1

    def _steps(self, counts: Numbers, resets: NDArray[np.bool_]) -> Numbers:
        """Return how far each frame is ahead of the one before, 1 to the size of the counter; mends `counts`."""
        modulo = self._counter.modulo
        before = np.roll(counts, 1)
        before[0] = counts[0] - 1 if self._last is None else self._last
        steps = (counts - before - 1) % modulo + 1
        steps[resets] = 1
        steps[1:][resets[:-1]] = 1
        for i in np.flatnonzero(steps[:-1] > 1).tolist():
            way = int(steps[i] + steps[i + 1])
            if way > modulo and steps[i] > 1:
                counts[i] = (counts[i] - steps[i] + 1) % modulo
                steps[i] = 1
                steps[i + 1] = max(1, way - modulo - 1)
        return steps
