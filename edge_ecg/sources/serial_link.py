"""A board on a serial port as a source."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator

from edge_ecg.sources import Item
from edge_ecg.sources.boards import BoardScale, joined
from edge_ecg.sources.drift import Drift
from edge_ecg.types import LinkEvent, SampleBlock
from firmware_bridge.blocks import BoardInfo, LinkError, LinkStats, RawBlock
from firmware_bridge.lasting import LastingLink, LinkChange, opener_of
from firmware_bridge.probe import find_board
from firmware_bridge.wire import Error, Stopped

__all__ = ["SerialLinkSource"]

_POLL_S = 0.1
_END_WITHIN_S = 1.0
_GATHER_S = 0.11
"""Frames wait for each other so long, three of them: a board sends one every 40 ms, and each wake has its price."""
LARGEST_STEP_S = 60.0
"""Of the wall clock, that a stream lives with."""


class SerialLinkSource:
    """Opens the port, shakes hands, and hands out blocks until the board stops; waits for one that goes away.

    A board that comes back goes on in the same stream. What is missing then is what its sample numbers tell; of a board
    that was reset, which begins anew with them, what the host's clock tells. Another board is another stream, and so is
    a simulated one that keeps no time and begins anew.

    Parameters
    ----------
    port
        Device or pyserial URL.
    baud
        Bits per second; None: the board's usual.
    handshake_timeout_s
        How long the board may take to answer.
    uv_per_lsb
        Microvolts a count, when the user knows better than the board.
    wait_s
        How long to wait for a board that went away, s; None: for ever.
    board
        A name of `firmware_bridge.boards.BOARDS`; ``auto``: what `firmware_bridge.probe` finds.
    fs_hz
        Rate to ask a board of ours for; None: as it is.
    cancelled
        Whether nobody waits any more for the port to be opened.
    check
        Raises `SourceError` for a board that is of no use; asked about each that comes.
    wall_clock
        Seconds since 1970 UTC. It is read when a stream begins, and watched: one that is set to another time, as on a
        computer that had none of its own and now hears of it, begins another stream; so do samples that drift away.

    Raises
    ------
    LinkError
        When the port cannot be opened or nothing comes that this board would send.
    """

    def __init__(
        self,
        port: str,
        baud: int | None = None,
        handshake_timeout_s: float = 5.0,
        uv_per_lsb: float | None = None,
        wait_s: float | None = None,
        board: str = "edge",
        fs_hz: float | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        check: Callable[[BoardInfo], None] = lambda info: None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._check, self._wall_clock = check, wall_clock
        self._port, self._uv_per_lsb, self._wait_s = port, uv_per_lsb, wait_s
        if board == "auto":
            board, baud = find_board(port, cancelled)
        opener = opener_of(board, baud, handshake_timeout_s, fs_hz=fs_hz)
        self._link = LastingLink(port, opener, cancelled=cancelled)
        self._stopping = False
        self._read_s = 0.0

    @property
    def info(self) -> BoardInfo:
        """What the board says of itself."""
        return self._link.info

    def stats(self) -> LinkStats:
        """Counters of the link so far."""
        return self._link.stats()

    def items(self) -> Iterator[Item | None]:
        """A stream and its blocks; another stream for another board.

        Raises
        ------
        LinkError
            When the board went away and was waited for long enough, after all that came before was handed out.
        """
        yield from self._begin()
        lost_s, why = 0.0, ""
        while not self._stopping:
            if why and self._wait_s is not None and time.monotonic() >= lost_s + self._wait_s:
                raise LinkError(why, "Check cable and supply")
            self._gather()
            received = self._link.read(_POLL_S)
            if not received:
                yield None
            blocks: list[SampleBlock] = []
            for message in received:
                if isinstance(message, RawBlock):
                    block = self._scale.block(message)
                    if (wrong := self._wrong_time(block, message.lost_before)) is None:
                        blocks.append(block)
                        continue
                yield from joined(blocks)
                blocks.clear()
                match message:
                    case LinkChange("lost"):
                        # Lost again without a sample between: it has been away since the first time.
                        lost_s, why = lost_s if why else time.monotonic(), message.detail
                        yield LinkEvent("lost", why, self._stream)
                    case LinkChange("back"):
                        why = ""
                        yield from self._back(message)
                    case LinkChange():
                        yield LinkEvent(message.state, message.detail, self._stream)
                    case RawBlock():
                        assert wrong is not None
                        yield from self._end(*wrong)
                        yield self._scale.block(message)
                    case Error():
                        yield LinkEvent("error", message.text, self._stream)
                    case Stopped():
                        told = f"the board stopped after {message.samples_sent} samples"
                        yield LinkEvent("ended", told, self._stream)
                        return
            yield from joined(blocks)
        yield from self._last()

    def _last(self) -> Iterator[Item]:
        until_s = time.monotonic() + _END_WITHIN_S
        n_left = 0
        for message in self._link.stop():
            if isinstance(message, LinkChange):
                yield from self._back(message)
            elif isinstance(message, RawBlock) and time.monotonic() < until_s:
                yield self._scale.block(message)
            elif isinstance(message, RawBlock):
                n_left += len(message.counts)
        yield LinkEvent("ended", "stopped" + (f", {n_left} samples too late for it" if n_left else ""), self._stream)

    def stop(self) -> None:
        """Stop the board; `items` hands out what was under way, what takes a second at most, and ends."""
        self._stopping = True
        self._link.cancel()

    def close(self) -> None:
        """Give the port back."""
        self._link.close()

    def _gather(self) -> None:
        """Let what a board sends in the time of life gather a little; of a faster one there is enough anyway."""
        now_s = time.monotonic()
        wait_s = self._read_s + _GATHER_S - now_s
        if wait_s > 0.0 and self.info.time_scale <= 1.0:
            time.sleep(wait_s)
        self._read_s = time.monotonic()

    def _begin(self, utc_s: float | None = None) -> Iterator[Item]:
        info = self.info
        self._check(info)
        self._scale = BoardScale(info, self._uv_per_lsb)
        # The wall clock is read once: small steps of it (NTP) do not move samples.
        wall_s = self._wall_clock()
        self._wall_ahead_s = wall_s - time.monotonic()
        self._stream = self._scale.stream(secrets.token_hex(6), wall_s if utc_s is None else utc_s)
        self._drift = Drift(self._stream)
        yield self._stream
        firmware = f", firmware {info.firmware}" if info.firmware else ""
        told = f"{info.name}{firmware}, on {self._port}: {info.fs_hz:g} Hz, {_n_leads(info)}"
        yield LinkEvent("connected", told, self._stream)

    def _wrong_time(self, block: SampleBlock, n_lost: int) -> tuple[str, float] | None:
        """Why the stream must end for samples to have their time, and when the next begins; None: they have it."""
        wall_s = self._wall_clock()
        ahead_s = wall_s - time.monotonic()
        jump_s = ahead_s - self._wall_ahead_s
        if abs(jump_s) > LARGEST_STEP_S:
            return f"the clock of this machine was set, by {jump_s:+.0f} s", wall_s
        drift_s = self._drift.feed(block, ahead_s)
        begin_s = self._stream.utc_s(block.first_index - n_lost)
        if drift_s is None or begin_s is None:
            return None
        where = "behind" if drift_s > 0.0 else "ahead of"
        told = f"its samples were {abs(drift_s):.1f} s {where} the clock of this machine"
        return told, begin_s + self._stream.board_delay_s + drift_s

    def _back(self, change: LinkChange) -> Iterator[Item]:
        if change.info != self._scale.info:
            yield from self._end("another board came")
        elif not change.kept and math.isinf(self._scale.rate_hz):
            yield from self._end("the board began anew, and keeps no time: nobody knows how much is missing")
        else:
            if not change.kept:
                self._scale.begin_anew(change.away_s)
            yield LinkEvent("back", change.detail, self._stream)

    def _end(self, why: str, utc_s: float | None = None) -> Iterator[Item]:
        """End the stream, begin another, now or at ``utc_s``."""
        yield LinkEvent("ended", why, self._stream)
        yield from self._begin(utc_s)


def _n_leads(info: BoardInfo) -> str:
    n = len(info.leads)
    return f"{n} leads" if n > 1 else f"lead {info.leads[0]}"
