"""Bytes of a board of another maker as numbered samples at one rate, whether they come from a port or from a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from firmware_bridge.blocks import BoardInfo, LinkStats, RawBlock
from firmware_bridge.boards import Board
from firmware_bridge.freerun import FS_HZ, FreeRunner
from firmware_bridge.protocols import open_decoder
from firmware_bridge.silence import SilenceMeter
from firmware_bridge.wire import Message

__all__ = ["BoardStream"]


class BoardStream:
    """Decodes a board, and knows of it what its bytes do not say.

    Losses that its frames do not tell are told by the host's clock; a board that keeps no rate is brought to
    `firmware_bridge.freerun.FS_HZ`. Its lead-off is passed on as far as it can be trusted: where 0 proves nothing, as
    None. Owns no clock: whoever feeds it brings the time.

    Parameters
    ----------
    board
        Which.
    options
        As of `open_decoder`.
    """

    def __init__(self, board: Board, **options: object) -> None:
        self._board = board
        self._decoder = open_decoder(board.decoder, **options)
        self._runner = FreeRunner() if not board.is_isochronous or board.fs_hz is None else None
        self._silence: SilenceMeter | None = None
        self._received = self._lost = 0  # samples of the blocks that were handed out, and between them
        self.info: BoardInfo | None = None

    def feed(self, data: bytes, host_s: float) -> list[RawBlock]:
        """What ``data``, which arrived at ``host_s``, completes. `info` is known with the first sample."""
        return self._counted(self._at_one_rate(self._decoder.feed(data, host_s)))

    def flush(self) -> list[RawBlock]:
        """The stream has ended: what waited to be confirmed."""
        out = self._at_one_rate(self._decoder.flush())
        held = self._runner or self._silence
        return self._counted(out if held is None else out + held.flush())

    def stats(self) -> LinkStats:
        """Counters since it began; samples are those of the blocks that were handed out."""
        decoded = self._decoder.stats()
        stats = dataclasses.replace(decoded, samples_received=self._received, samples_lost=self._lost)
        if self._runner is None:
            return stats
        return dataclasses.replace(
            stats, samples_resampled=decoded.samples_received, fs_estimate_hz=self._runner.fs_estimate_hz
        )

    @property
    def remark(self) -> str:
        """What the user should know of the signal's timing; empty when there is nothing."""
        if self._runner is None or not self._runner.is_rough:
            return ""
        jitter = f"times of samples are uncertain by {self._runner.jitter_ms:.0f} ms"
        return f"{jitter}: use a sketch with a timer, at 115200 baud"

    def _counted(self, blocks: list[RawBlock]) -> list[RawBlock]:
        self._received += sum(len(block.counts) for block in blocks)
        self._lost += sum(block.lost_before for block in blocks)
        return blocks

    def _at_one_rate(self, items: Sequence[RawBlock | Message]) -> list[RawBlock]:
        """Blocks of one chunk as they are handed out."""
        blocks = [item for item in items if isinstance(item, RawBlock)]
        if self.info is None and blocks:
            self.info = self._info(blocks[0].counts.shape[1])
        if self._board.lead_off == "hint":
            blocks = [dataclasses.replace(block, lead_off=block.lead_off or None) for block in blocks]
        if self._runner is not None:
            return [out for block in blocks for out in self._runner.feed(block)]
        return blocks if self._silence is None else self._silence.feed(blocks)

    def _info(self, n_leads: int) -> BoardInfo:
        board = self._board
        leads = board.leads if len(board.leads) == n_leads else tuple(str(k + 1) for k in range(n_leads))
        fs_hz = FS_HZ
        if self._runner is None and board.fs_hz is not None:
            fs_hz = board.fs_hz
            self._silence = SilenceMeter(fs_hz, board.counter_modulo)
        return BoardInfo(
            board.title, "", board.name, fs_hz, leads, board.lsb_nv, 1.0, 0, group_delay_ms=board.group_delay_ms
        )
