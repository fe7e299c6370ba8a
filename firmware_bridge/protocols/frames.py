"""The decoder of every board whose frames have a fixed length; its own file says what such a frame looks like."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.blocks import LinkStats, RawBlock
from firmware_bridge.messages import Message
from firmware_bridge.protocols.losses import LossMeter
from firmware_bridge.protocols.samples import BlockMaker
from firmware_bridge.protocols.scanner import FrameScanner, Layout, Run

__all__ = ["FrameDecoder", "variants_by_channels"]


def variants_by_channels(
    layout: Callable[[int], Layout], n_channels: int | None, max_channels: int
) -> list[list[Layout]]:
    """Return the variants of a board that may have 1 to `max_channels` channels: one, or all when it is not said.

    Raises
    ------
    ValueError
        The board cannot have so many.
    """
    if n_channels is None:
        return [[layout(n)] for n in range(1, max_channels + 1)]
    if not 1 <= n_channels <= max_channels:
        raise ValueError(f"this board has 1 to {max_channels} channels, not {n_channels}")
    return [[layout(n_channels)]]


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
        self._losses: LossMeter | None = None

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
        return self._decode(self._scanner.flush(), at_end=True)

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

    def _decode(self, runs: list[Run], at_end: bool = False) -> list[RawBlock | Message]:
        out: list[RawBlock | Message] = []
        for layout, frames in runs:
            self._frames_ok += len(frames)
            if layout.counter is None:
                out += self._blocks(layout, frames)
                continue
            if self._losses is None:
                self._losses = LossMeter(layout, layout.counter)
            out += self._blocks(layout, *self._losses.take(frames))
        if at_end and self._losses is not None:
            out += self._blocks(self._losses.layout, *self._losses.flush())
        return out

    def _blocks(
        self, layout: Layout, frames: NDArray[np.uint8], lost_before: NDArray[np.int64] | None = None
    ) -> list[RawBlock]:
        if layout.counts is None or not len(frames):
            return []
        if layout.is_reset is not None:
            is_sample = ~layout.is_reset(frames)
            frames, lost_before = frames[is_sample], None if lost_before is None else lost_before[is_sample]
        lead_off = None if layout.lead_off is None else layout.lead_off(frames)
        return self._maker.blocks(layout.counts(frames), self._host_s, lost_before, lead_off)
