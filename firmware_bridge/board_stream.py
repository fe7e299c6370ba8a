"""Bytes of a board of another maker as numbered samples at one rate, whether they come from a port or from a file."""

from __future__ import annotations

import dataclasses

from firmware_bridge.blocks import BoardInfo, LinkStats, RawBlock
from firmware_bridge.boards import Board
from firmware_bridge.freerun import FS_HZ, FreeRunner
from firmware_bridge.protocols import open_decoder
from firmware_bridge.silence import SilenceMeter

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
        self._more = 0  # samples lost beyond those that the decoder knows of
        self.info: BoardInfo | None = None

    def feed(self, data: bytes, host_s: float) -> list[RawBlock]:
        """What ``data``, which arrived at ``host_s``, completes. `info` is known with the first sample."""
        return self._blocks([item for item in self._decoder.feed(data, host_s) if isinstance(item, RawBlock)])

    def flush(self) -> list[RawBlock]:
        """The stream has ended: what waited to be confirmed."""
        return self._blocks([item for item in self._decoder.flush() if isinstance(item, RawBlock)])

    def stats(self) -> LinkStats:
        """Counters since it began."""
        stats = self._decoder.stats()
        rate = None if self._runner is None else self._runner.fs_estimate_hz
        return dataclasses.replace(stats, samples_lost=stats.samples_lost + self._more, fs_estimate_hz=rate)

    @property
    def remark(self) -> str:
        """What the user should know of the signal's timing; empty when there is nothing."""
        if self._runner is None or not self._runner.is_rough:
            return ""
        jitter = f"times of samples are uncertain by {self._runner.jitter_ms:.0f} ms"
        return f"{jitter}: use a sketch with a timer, at 115200 baud"

    def _blocks(self, blocks: list[RawBlock]) -> list[RawBlock]:
        """Blocks of one chunk as they are handed out."""
        if self.info is None and blocks:
            self.info = self._info(blocks[0].counts.shape[1])
        if self._board.lead_off == "hint":
            blocks = [dataclasses.replace(block, lead_off=block.lead_off or None) for block in blocks]
        if self._runner is not None:
            return [out for block in blocks for out in self._resampled(self._runner, block)]
        out = []
        for k, block in enumerate(blocks):
            more = 0 if k or self._silence is None else self._lost(blocks)
            self._more += more
            first, lost = block.first_sample + self._more, block.lost_before + more
            out.append(dataclasses.replace(block, first_sample=first, lost_before=lost))
        return out

    @staticmethod
    def _resampled(runner: FreeRunner, block: RawBlock) -> list[RawBlock]:
        if len(block.counts):
            return runner.feed(block)
        # An electrode is off, and with it the samples.
        return [dataclasses.replace(block, first_sample=runner.next_sample)]

    def _lost(self, blocks: list[RawBlock]) -> int:
        assert self._silence is not None
        return self._silence.lost(sum(len(b.counts) for b in blocks), blocks[0].lost_before, blocks[0].host_s)

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
