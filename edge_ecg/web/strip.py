"""The signal as the page draws it: the last seconds, in microvolts, in few bytes."""

from __future__ import annotations

import base64
import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg.types import SampleBlock, StreamInfo

__all__ = ["MISSING", "Strip"]

KEEP_S = 12.0
MOST_HZ = 1000.0
"""A page has no more dots than this a second: of a faster source every second, third, ... sample is shown."""
MISSING = -(2**31)
_MOST_UV = 2.0**31 - 1024

_Piece = tuple[int, NDArray[np.float32]]


class Strip:
    """Keeps the last 12 s, and apart from that what came since it was last taken."""

    def __init__(self) -> None:
        self._stream = ""
        self._step = 1
        self._n_most = 0
        self._kept: deque[_Piece] = deque()
        self._new: deque[_Piece] = deque()

    def take(self, stream: StreamInfo, block: SampleBlock) -> None:
        """Keep a block; one of another stream begins anew."""
        if stream.stream != self._stream:
            self._stream = stream.stream
            self._step = math.ceil(stream.fs_hz / MOST_HZ)
            self._n_most = int(KEEP_S * stream.fs_hz)
            self._kept.clear()
            self._new.clear()
        begin = max(-block.first_index % self._step, len(block.samples_mv) - self._n_most)
        begin += -(block.first_index + begin) % self._step
        samples_mv = block.samples_mv[begin :: self._step]
        if not len(samples_mv):
            return
        piece = block.first_index + begin, samples_mv
        for pieces in (self._kept, self._new):
            pieces.append(piece)
            while pieces[0][0] < piece[0] - self._n_most:
                pieces.popleft()

    def kept(self) -> list[dict[str, Any]]:
        """The last seconds, as JSON; what is new is part of them, and taken with them."""
        self._new.clear()
        return self._told(self._kept)

    def new(self) -> list[dict[str, Any]]:
        """What came since it was last taken, as JSON."""
        told = self._told(self._new)
        self._new.clear()
        return told

    def forget_new(self) -> None:
        """Nobody looks."""
        self._new.clear()

    def _told(self, pieces: deque[_Piece]) -> list[dict[str, Any]]:
        """Pieces that follow on each other as one: first sample, step, and base64 of rows of int32 in uV."""
        joined: list[tuple[int, list[NDArray[np.float32]]]] = []
        expected = -1
        for first, uv in pieces:
            if first == expected and joined[-1][1][0].shape[1:] == uv.shape[1:]:
                joined[-1][1].append(uv)
            else:
                joined.append((first, [uv]))
            expected = first + self._step * len(uv)
        return [
            {"first": first, "step": self._step, "uv": base64.b64encode(_microvolts(np.concatenate(rows))).decode()}
            for first, rows in joined
        ]


def _microvolts(samples_mv: NDArray[np.float32]) -> bytes:
    uv = np.clip(np.rint(samples_mv.astype(np.float64) * 1e3), -_MOST_UV, _MOST_UV)
    return np.where(np.isfinite(uv), uv, MISSING).astype("<i4").tobytes()
