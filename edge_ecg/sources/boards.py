"""A board's counts as millivolts, whether its bytes come from a port or from a file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edge_ecg.types import SampleBlock, StreamInfo
from firmware_bridge.blocks import BoardInfo, RawBlock

__all__ = ["NOMINAL_UV_PER_LSB", "BoardScale", "joined"]

NOMINAL_UV_PER_LSB = 5.0
"""Taken for a board that does not know the size of its counts (WFDB's 200 per mV)."""


@dataclass(slots=True)
class BoardScale:
    """Turns raw blocks of one stream into sample blocks that count from 0.

    Parameters
    ----------
    info
        What the board says of itself.
    uv_per_lsb
        Microvolts a count, when the user knows better than the board; None: as the board says.
    """

    info: BoardInfo
    uv_per_lsb: float | None = None
    _first_sample: int | None = None
    _next_index: int = 0

    @property
    def mv_per_count(self) -> float:
        """Millivolts a count."""
        if self.uv_per_lsb is not None:
            return self.uv_per_lsb * 1e-3
        return NOMINAL_UV_PER_LSB * 1e-3 if self.info.lsb_nv is None else self.info.lsb_nv * 1e-6

    @property
    def rate_hz(self) -> float:
        """Samples a second of the host's clock; infinite for a simulated board that keeps no time."""
        return self.info.fs_hz * self.info.time_scale

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

    def begin_anew(self, away_s: float) -> None:
        """From the next block on the board counts from another number, ``away_s`` after its last sample.

        Raises
        ------
        ValueError
            The board keeps no time: nobody knows how many samples are missing.
        """
        if math.isinf(self.rate_hz):
            raise ValueError("a board that keeps no time tells no gap")
        self._next_index += max(0, round(away_s * self.rate_hz))
        self._first_sample = None

    def block(self, raw: RawBlock) -> SampleBlock:
        """The same samples in mV, numbered from the first one of the stream."""
        if self._first_sample is None:
            self._first_sample = raw.first_sample - raw.lost_before - self._next_index
        samples_mv = (raw.counts * self.mv_per_count).astype(np.float32)
        samples_mv.flags.writeable = False
        first_index = raw.first_sample - self._first_sample
        self._next_index = first_index + len(samples_mv)
        return SampleBlock(samples_mv, first_index, raw.lead_off, raw.host_s)


def joined(blocks: Iterable[SampleBlock]) -> list[SampleBlock]:
    """The same samples in as few blocks as can be: each that follows the one before without a gap becomes part of it.

    What stands behind a block costs as much for ten samples as for a hundred. A block came when its first part did.
    """
    runs: list[list[SampleBlock]] = []
    for block in blocks:
        last = runs[-1][-1] if runs else None
        if last is not None and _follows(block, last):
            runs[-1].append(block)
        else:
            runs.append([block])
    return [_one(run) for run in runs]


def _follows(block: SampleBlock, last: SampleBlock) -> bool:
    return block.first_index == last.first_index + len(last.samples_mv) and block.lead_off == last.lead_off


def _one(run: list[SampleBlock]) -> SampleBlock:
    if len(run) == 1:
        return run[0]
    samples_mv = np.concatenate([block.samples_mv for block in run])
    samples_mv.flags.writeable = False
    return SampleBlock(samples_mv, run[0].first_index, run[0].lead_off, run[0].host_s)
