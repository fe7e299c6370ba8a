"""The decoder of every board whose frames have a fixed length; its own file says what such a frame looks like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.blocks import LinkStats, RawBlock
from firmware_bridge.messages import Message
from firmware_bridge.protocols.samples import BlockMaker
from firmware_bridge.protocols.scanner import FrameScanner, Layout, Run

__all__ = ["FrameDecoder"]


class FrameDecoder:
    """Blocks out of frames.

    Where frames are counted, a gap in the counter is a loss, modulo its size: 256 lost frames of an 8 bit
    counter look like none. Where they are not, only time can tell a loss, and a decoder has no clock.

    Parameters
    ----------
    variants
        What the board may send, see `FrameScanner`.
    """

    def __init__(self, variants: Sequence[Sequence[Layout]]) -> None:
        self._scanner = FrameScanner(variants)
        self._maker = BlockMaker()
        self._bytes_received = 0
        self._frames_ok = 0
        self._host_s = 0.0
        self._last_count: int | None = None

    @property
    def pending(self) -> bytes:
        """The bytes that wait for more."""
        return self._scanner.pending

    def feed(self, data: bytes, host_s: float) -> list[RawBlock | Message]:
        """Return what `data`, which arrived at `host_s`, completes, in order. Never raises."""
        self._bytes_received += len(data)
        self._host_s = host_s
        return self._decode(self._scanner.feed(data))

    def flush(self) -> list[RawBlock | Message]:
        """Return the frames that only waited to be confirmed: the stream has ended."""
        return self._decode(self._scanner.flush())

    def stats(self) -> LinkStats:
        """Return the counters; `frame_errors` tells how often something else stood where a frame was expected."""
        return LinkStats(
            bytes_received=self._bytes_received,
            frames_ok=self._frames_ok,
            crc_errors=self._scanner.crc_errors,
            frame_errors=self._scanner.frame_errors,
            bytes_skipped=self._scanner.bytes_skipped,
            samples_received=self._maker.samples_received,
            samples_lost=self._maker.samples_lost,
        )

    def _decode(self, runs: list[Run]) -> list[RawBlock | Message]:
        out: list[RawBlock | Message] = []
        for layout, frames in runs:
            self._frames_ok += len(frames)
            if layout.counts is None:
                continue
            lost = self._lost_before(layout, frames)
            if layout.is_reset is not None:
                is_sample = ~layout.is_reset(frames)
                frames, lost = frames[is_sample], None if lost is None else lost[is_sample]
            lead_off = None if layout.lead_off is None else layout.lead_off(frames)
            out += self._maker.blocks(layout.counts(frames), self._host_s, lost, lead_off)
        return out

    def _lost_before(self, layout: Layout, frames: NDArray[np.uint8]) -> NDArray[np.int64] | None:
        counter = layout.counter
        if counter is None:
            return None
        counts = counter.read(frames.reshape(-1), np.arange(len(frames)) * layout.length)
        before = np.roll(counts, 1)
        before[0] = counts[0] - 1 if self._last_count is None else self._last_count
        lost = (counts - before - 1) % counter.modulo
        self._last_count = int(counts[-1])
        if layout.is_reset is not None:
            resets = layout.is_reset(frames)
            lost[resets] = 0
            lost[1:][resets[:-1]] = 0
            if resets[-1]:
                self._last_count = None
        return lost
