"""Blocks out of counts: numbers the samples, and begins a new block where something changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.blocks import Counts, RawBlock

__all__ = ["BlockMaker"]


class BlockMaker:
    """Numbers the samples of one stream, received and lost ones alike.

    Attributes
    ----------
    samples_received, samples_lost
        What the blocks so far hold, and what they tell as missing.
    """

    def __init__(self) -> None:
        self.samples_received = 0
        self.samples_lost = 0

    def blocks(
        self,
        counts: Counts,
        host_s: float,
        lost_before: NDArray[np.int64] | None = None,
        lead_off: NDArray[np.bool_] | bool | None = None,
    ) -> list[RawBlock]:
        """Return `counts` ``(n, n_leads)`` as blocks, cut where samples are missing or the electrodes change.

        Parameters
        ----------
        lost_before
            ``(n,)``: samples missing before each; None: none.
        lead_off
            ``(n,)``: whether an electrode is off, or one value for all.
        """
        n = len(counts)
        if not n:
            return []
        counts.flags.writeable = False
        cut = np.zeros(n, bool)
        if lost_before is not None:
            cut[1:] |= lost_before[1:] > 0
        if isinstance(lead_off, np.ndarray):
            cut[1:] |= lead_off[1:] != lead_off[:-1]
        starts = [0, *np.flatnonzero(cut).tolist()]
        out = []
        for start, end in zip(starts, [*starts[1:], n], strict=True):
            lost = 0 if lost_before is None else int(lost_before[start])
            off = bool(lead_off[start]) if isinstance(lead_off, np.ndarray) else lead_off
            out.append(self._block(counts[start:end], off, lost, host_s))
        return out

    def electrodes_off(self, n_leads: int, dtype: type[np.int32 | np.float64], host_s: float) -> RawBlock:
        """Return a block without samples, which only tells that an electrode is off."""
        counts = np.zeros((0, n_leads), dtype)
        counts.flags.writeable = False
        return self._block(counts, True, 0, host_s)

    def _block(self, counts: Counts, lead_off: bool | None, lost: int, host_s: float) -> RawBlock:
        self.samples_lost += lost
        first_sample = self.samples_received + self.samples_lost
        self.samples_received += len(counts)
        return RawBlock(counts, first_sample, lead_off, lost, host_s)
