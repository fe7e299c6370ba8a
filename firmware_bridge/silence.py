"""Losses that no counter tells: a board with a clock that was silent, and did not make up for it."""

from __future__ import annotations

import dataclasses

from firmware_bridge.blocks import RawBlock

__all__ = ["SilenceMeter"]

SHORTEST_S = 0.1
"""Shorter silences are the operating system's."""
MADE_UP = 0.5
"""What comes so much of a silence behind it was late, not lost."""


class SilenceMeter:
    """Tells how many samples are missing behind a silence, by the host's clock.

    A backlog may come in pieces: what comes behind a silence waits until it is made up for, or for `SHORTEST_S`; then a
    loss is told. It is told short by up to what one chunk holds: the samples that the board had ready when it fell
    silent come, if at all, with those behind.

    Parameters
    ----------
    fs_hz
        The board's rate.
    counter_modulo
        Of its counter of samples, which tells losses up to whole turns; None: it has none.
    """

    def __init__(self, fs_hz: float, counter_modulo: int | None) -> None:
        self._fs_hz, self._turn = fs_hz, counter_modulo or 1
        self._last_s: float | None = None
        self._silent_s = self._end_s = 0.0
        self._held: list[RawBlock] = []
        self._lost = 0

    def feed(self, blocks: list[RawBlock]) -> list[RawBlock]:
        """Take the blocks of a chunk, which tell the losses of its counter; give those that need not wait."""
        if not blocks:
            return []
        host_s, last_s = blocks[0].host_s, self._last_s
        out = self.flush() if self._held and host_s >= self._end_s + SHORTEST_S else []
        self._last_s = host_s
        if not self._held:
            if last_s is None or host_s - last_s < SHORTEST_S:
                return out + self._numbered(blocks)
            self._silent_s, self._end_s = host_s - last_s, host_s
        self._held += blocks
        return out if self._missing() else out + self.flush()

    def flush(self) -> list[RawBlock]:
        """What waits behind a silence, with what it lost."""
        if not self._held:
            return []
        missing = self._missing()
        self._lost += missing
        (first, *rest), self._held = self._numbered(self._held), []
        return [dataclasses.replace(first, lost_before=first.lost_before + missing), *rest]

    def _numbered(self, blocks: list[RawBlock]) -> list[RawBlock]:
        return [dataclasses.replace(block, first_sample=block.first_sample + self._lost) for block in blocks]

    def _missing(self) -> int:
        """Of the silence: what the board took until the last chunk, and has not come."""
        assert self._last_s is not None
        came = sum(len(block.counts) + block.lost_before for block in self._held)
        missing = (self._silent_s + self._last_s - self._end_s) * self._fs_hz - came
        if missing <= (1.0 - MADE_UP) * self._silent_s * self._fs_hz:
            return 0
        return round(missing / self._turn) * self._turn
