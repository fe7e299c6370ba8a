"""A link that comes back: a board that went away is looked for, opened again, and its samples are counted on."""

from __future__ import annotations

import dataclasses
import math
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from firmware_bridge import diagnosis, wire
from firmware_bridge.blocks import BoardInfo, LinkError, LinkStats, RawBlock
from firmware_bridge.board_link import open_board
from firmware_bridge.boards import BOARDS
from firmware_bridge.clock import SampleClock
from firmware_bridge.link import open_link
from firmware_bridge.outage import away_s, can_go_on
from firmware_bridge.ports import list_ports
from firmware_bridge.protocols.edge import EdgeDecoder
from firmware_bridge.reader import Tap

__all__ = ["LastingLink", "LinkChange", "OneLink", "Opener", "opener_of"]

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 1.0
"""Of the back-off, before its jitter: a board that is plugged in again is heard within two seconds."""
STALLED_S = 2.0
SILENT_S = 10.0
"""Without a sample the link is opened anew: USB adapters die without a word."""


@dataclass(frozen=True, slots=True)
class LinkChange:
    """What happened to the link.

    Attributes
    ----------
    state
        ``stalled`` (no sample for 2 s), ``lost``, ``back``, ``rough`` (the times of its samples are poorly known).
    detail
        In words.
    info
        What the board says of itself now; another board may have come.
    kept
        Of ``back``: whether its sample numbers go on, so that the next block tells what was lost, exactly. Else they
        begin anew.
    away_s
        Of ``back``: from the last sample that came before to the first one now, by the host's clock.
    """

    state: str
    detail: str
    info: BoardInfo
    kept: bool = True
    away_s: float = 0.0


Item = RawBlock | wire.Message | LinkChange


class OneLink(Protocol):
    """A board while it is there: `firmware_bridge.link.Link`, `firmware_bridge.board_link.BoardLink`."""

    info: BoardInfo
    is_new_session: bool

    @property
    def remark(self) -> str:
        """What the user should know of its signal; empty when there is nothing."""

    def read(self, timeout_s: float) -> Sequence[RawBlock | wire.Message]:
        """What came; raises LinkError when the board went away."""

    def stop(self) -> Sequence[RawBlock | wire.Message]:
        """Stop the board; what was under way."""

    def stats(self) -> LinkStats:
        """Counters since it was opened."""

    def close(self) -> None:
        """Give the port back."""


Opener = Callable[[str, Callable[[], bool]], OneLink]
"""Opens the port of a name, unless the second argument says that nobody waits any more."""


def opener_of(
    board: str = "edge", baud: int | None = None, timeout_s: float = 3.0, *,
    fs_hz: float | None = None, tap: Tap | None = None, **options: object,
) -> Opener:  # fmt: skip
    """What opens a board, and opens it again.

    Parameters
    ----------
    board
        A name of `firmware_bridge.boards.BOARDS`.
    baud
        None: its usual speed.
    timeout_s
        How long it may take to answer.
    fs_hz
        Rate to ask a board of ours for; None: as it is.
    tap
        As of `firmware_bridge.reader.PortReader`.
    options
        As of `firmware_bridge.protocols.open_decoder`.

    Raises
    ------
    KeyError
        No board is called so.
    LinkError
        ``fs_hz`` is not the rate of a board of another maker, which cannot be asked for one.
    """
    known = BOARDS[board]
    if fs_hz not in (None, known.fs_hz) and known.decoder != "edge":
        raise diagnosis.rate_is_fixed(known, fs_hz)
    decoder: EdgeDecoder | None = None

    def open_edge(url: str, cancelled: Callable[[], bool]) -> OneLink:
        nonlocal decoder
        # The decoder outlives the link: a board that kept its numbers tells by them what was lost.
        speed = baud or known.bauds[0]
        link = open_link(url, speed, timeout_s, resumed=decoder, fs_hz=fs_hz, cancelled=cancelled, tap=tap)
        decoder = link.decoder
        return link

    def open_other(url: str, cancelled: Callable[[], bool]) -> OneLink:
        return open_board(known, url, baud, timeout_s, cancelled=cancelled, tap=tap, **options)

    return open_edge if known.decoder == "edge" else open_other


class LastingLink:
    """A link that is opened again when it is lost, for as long as it takes.

    Between two attempts it waits 0.1 s, then twice as long each time up to 1 s, and a random half of that more, so that
    several programs do not ask in step. A USB board is found again by its serial number, whatever its port is called.

    Parameters
    ----------
    url
        A device or a pyserial URL.
    opener
        What opens it (`opener_of`). What it raises the first time is not waited out.
    jitter
        Numbers in [0, 1).
    cancelled
        Whether nobody waits any more for the first handshake.

    Attributes
    ----------
    info
        What the board says of itself.
    """

    def __init__(
        self,
        url: str,
        opener: Opener,
        *,
        jitter: Callable[[], float] = random.random,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._url, self._open, self._jitter = url, opener, jitter
        self._usb_serial = _usb_serial_of(url)
        self._cancelled = False
        self._link: OneLink | None = opener(url, cancelled)
        self.info = self._link.info
        self._expected: int | None = None
        self._last_s = self._heard_s = time.monotonic()
        self._frames = 0
        self._stalled = False
        self._remarked = False
        self._wait_s = FIRST_WAIT_S
        self._retry_s = 0.0
        self._reconnects = 0
        self._before = LinkStats()
        self._confirming = self._is_new = False
        self._ended = False
        self._clock = self._new_clock()

    def read(self, timeout_s: float) -> list[Item]:
        """What came, waiting at most `timeout_s` for something, longer only while a board is asked what it is.

        A ``Stopped`` is the end. Raises nothing for a board that goes away: `LinkChange` tells.
        """
        if self._link is None:
            return self._reopen(timeout_s)
        try:
            received = self._link.read(timeout_s)
        except LinkError as error:
            return [self._lose(error.message)]
        out = self._took(received)
        now_s = time.monotonic()
        if received:
            self._heard_s, self._stalled = now_s, False
        elif (frames := self._link.stats().frames_ok) != self._frames:
            # Frames without samples are a sign of life, too: an electrode is off, or the rate is being learnt.
            self._heard_s, self._frames, self._stalled = now_s, frames, False
        if self._link.remark and not self._remarked:
            self._remarked = True
            out.append(LinkChange("rough", self._link.remark, self.info))
        silent_s = now_s - self._heard_s
        if silent_s > SILENT_S:
            out.append(self._lose(f"no sample for {SILENT_S:g} s"))
        elif silent_s > STALLED_S and not self._stalled and not self._ended:
            self._stalled = True
            out.append(LinkChange("stalled", f"no sample for {STALLED_S:g} s", self.info))
        return out

    def stop(self) -> list[Item]:
        """Stop the board and return what was under way; at most 1 s, never raises."""
        self._cancelled = True
        return [] if self._link is None else self._took(self._link.stop())

    def cancel(self) -> None:
        """End an attempt that is under way; safe in a signal handler."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` or `stop` was called."""
        return self._cancelled

    def close(self) -> None:
        """Give the port back. May be called twice."""
        if self._link is not None:
            self._before += self._link.stats()
            self._link.close()
            self._link = None

    def stats(self) -> LinkStats:
        """Counters since the first handshake."""
        stats = self._before if self._link is None else self._before + self._link.stats()
        stats = dataclasses.replace(stats, reconnects=self._reconnects)
        clock = self._clock
        if clock is None or stats.fs_estimate_hz is not None:
            return stats
        return dataclasses.replace(stats, fs_estimate_hz=clock.fs_estimate_hz, drift_ppm=clock.drift_ppm)

    def __enter__(self) -> LastingLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _took(self, items: Sequence[RawBlock | wire.Message]) -> list[Item]:
        out: list[Item] = []
        for item in items:
            if isinstance(item, RawBlock):
                out += self._placed(item)
            else:
                self._ended = self._ended or isinstance(item, wire.Stopped)
                out.append(item)
        return out

    def _placed(self, block: RawBlock) -> list[Item]:
        """A block; of a link that was opened again, the first one behind what tells so."""
        out: list[Item] = [block]
        if self._confirming:
            self._confirming = False
            rate_hz = self.info.fs_hz * self.info.time_scale
            gone_s = away_s(block, self._last_s, rate_hz)
            jump = 0 if self._expected is None else block.first_sample - self._expected
            kept = not self._is_new and can_go_on(jump, rate_hz, gone_s)
            self._wait_s = FIRST_WAIT_S
            if not kept:
                # What its number seems to tell as lost is none.
                self._before = dataclasses.replace(
                    self._before, samples_lost=self._before.samples_lost - block.lost_before
                )
                block = dataclasses.replace(block, lost_before=0)
                self._clock = self._new_clock()
            detail = "back" if kept else "back, its sample numbers begin anew"
            out = [LinkChange("back", f"{detail}, after {gone_s:.1f} s", self.info, kept, gone_s), block]
        self._expected = block.first_sample + len(block.counts)
        if self._clock is not None:
            self._clock.push(self._expected, block.host_s)
        self._last_s = block.host_s
        return out

    def _new_clock(self) -> SampleClock | None:
        """None for a board that plays as fast as it can: it keeps no time."""
        rate_hz = self.info.fs_hz * self.info.time_scale
        return SampleClock(rate_hz) if 0.0 < rate_hz < math.inf else None

    def _lose(self, detail: str) -> LinkChange:
        self.close()
        self._retry_s = time.monotonic() + self._wait_s
        return LinkChange("lost", detail, self.info)

    def _reopen(self, timeout_s: float) -> list[Item]:
        wait_s = min(timeout_s, self._retry_s - time.monotonic())
        if wait_s > 0:
            time.sleep(wait_s)
        if time.monotonic() < self._retry_s or self._cancelled:
            return []
        try:
            self._link = self._open(self._where(), lambda: self._cancelled)
        except LinkError:
            self._wait_s = min(2.0 * self._wait_s, LONGEST_WAIT_S)
            self._retry_s = time.monotonic() + self._wait_s * (1.0 + 0.5 * self._jitter())
            return []
        self.info = self._link.info
        self._heard_s, self._frames, self._is_new = time.monotonic(), 0, self._link.is_new_session
        self._reconnects += 1
        self._confirming = True
        self._stalled = False
        return []

    def _where(self) -> str:
        """The port that the same USB device has now: the one it had, or the only other one of its serial number."""
        same = [port.device for port in list_ports() if self._usb_serial and port.serial_number == self._usb_serial]
        had = os.path.realpath(self._url) in same or self._url in same
        return same[0] if len(same) == 1 and not had else self._url


def _usb_serial_of(url: str) -> str | None:
    device = os.path.realpath(url)
    return next((port.serial_number for port in list_ports() if port.device in (url, device)), None)
