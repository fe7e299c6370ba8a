"""A board's counts as millivolts, whether its bytes come from a port or from a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_ecg.types import SampleBlock, StreamInfo
from firmware_bridge.blocks import BoardInfo, RawBlock

__all__ = ["NOMINAL_UV_PER_LSB", "BoardScale"]

NOMINAL_UV_PER_LSB = 5.0
"""Taken for a board that does not know the size of its counts (WFDB's 200 per mV)."""


@dataclass(slots=True)
class BoardScale:
    """Turns raw blocks of one session into sample blocks that count from 0.

    Parameters
    ----------
    info
        What the board says of itself.
    uv_per_lsb
        Microvolts a count, when the user knows better than the board; None: as the board says.
    """

    info: BoardInfo
    uv_per_lsb: float | None = None
    first_sample: int | None = None

    @property
    def mv_per_count(self) -> float:
        """Millivolts a count."""
        if self.uv_per_lsb is not None:
            return self.uv_per_lsb * 1e-3
        return NOMINAL_UV_PER_LSB * 1e-3 if self.info.lsb_nv is None else self.info.lsb_nv * 1e-6

    def stream(self, name: str, start_utc_s: float | None) -> StreamInfo:
        """The stream that these blocks make."""
        return StreamInfo(
            stream=name,
            fs_hz=self.info.fs_hz,
            leads=self.info.leads,
            calibrated=self.uv_per_lsb is not None or self.info.lsb_nv is not None,
            # Its own filters hand a sample on so much later than it was taken.
            start_utc_s=None if start_utc_s is None else start_utc_s - 1e-3 * self.info.group_delay_ms,
            board_delay_s=1e-3 * self.info.group_delay_ms,
            time_scale=self.info.time_scale,
        )

    def begin_anew(self, raw: RawBlock, index: int) -> None:
        """From this block on the board counts from another number: it is sample ``index`` of the stream."""
        self.first_sample = raw.first_sample - index

    def block(self, raw: RawBlock) -> SampleBlock:
        """The same samples in mV, numbered from the first one of the session."""
        if self.first_sample is None:
            self.first_sample = raw.first_sample - raw.lost_before
        samples_mv = (raw.counts * self.mv_per_count).astype(np.float32)
        samples_mv.flags.writeable = False
        return SampleBlock(samples_mv, raw.first_sample - self.first_sample, raw.lead_off, raw.host_s)
