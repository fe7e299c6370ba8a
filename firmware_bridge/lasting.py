"""A link that comes back: a board that went away is looked for, opened again, and its samples are counted on."""

from __future__ import annotations

import dataclasses
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from firmware_bridge import wire
from firmware_bridge.blocks import BoardInfo, LinkError, LinkStats, RawBlock
from firmware_bridge.clock import SampleClock
from firmware_bridge.link import Link, open_link
from firmware_bridge.ports import list_ports
from firmware_bridge.reader import Tap

__all__ = ["LastingLink", "LinkChange"]

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 1.0
"""Of the back-off, before its jitter: a board that is plugged in again is heard within two seconds."""
STALLED_S = 2.0
SILENT_S = 10.0
"""Without a sample the link is opened anew: USB adapters die without a word."""
RATE_SLACK, SLACK_S = 1.02, 1.0
"""A board that kept its numbers has not sampled more than the host's clock allows, but for what lay in buffers."""


@dataclass(frozen=True, slots=True)
class LinkChange:
    """What happened to the link.

    Attributes
    ----------
    state
        ``stalled`` (no sample for 2 s), ``lost``, ``back``.
    detail
        In words.
    info
        What the board says of itself now; another board may have come.
    kept
        Of ``back``: whether its sample numbers go on, so that the next block tells what was lost, exactly. Else they
        begin anew.
    away_s
        Of ``back``: from the last sample that came to the first one now, by the host's clock.
    """

    state: str
    detail: str
    info: BoardInfo
    kept: bool = True
    away_s: float = 0.0


Item = RawBlock | wire.Message | LinkChange


class LastingLink:
    """A `Link` that is opened again when it is lost, for as long as it takes.

    Between two attempts it waits 0.1 s, then twice as long each time up to 1 s, and a random half of that more, so that
    several programs do not ask in step. A USB board is found again by its serial number, whatever its port is called.

    Parameters
    ----------
    url, baud, handshake_timeout_s
        As of `open_link`, which the first link is opened with: what it raises is not waited out.
    jitter
        Numbers in [0, 1).
    tap
        As of `firmware_bridge.reader.PortReader`.

    Attributes
    ----------
    info
        What the board says of itself.
    """

    def __init__(
        self, url: str, baud: int = 115200, handshake_timeout_s: float = 3.0, *,
        jitter: Callable[[], float] = random.random, tap: Tap | None = None,
    ) -> None:  # fmt: skip
        self._url, self._baud, self._timeout_s, self._jitter, self._tap = url, baud, handshake_timeout_s, jitter, tap
        self._usb_serial = _usb_serial_of(url)
        self._link: Link | None = open_link(url, baud, handshake_timeout_s, tap=tap)
        self._decoder = self._link.decoder
        self.info = self._link.info
        self._expected: int | None = None
        self._last_s = time.monotonic()
        self._stalled = False
        self._wait_s = FIRST_WAIT_S
        self._retry_s = 0.0
        self._reconnects = 0
        self._dropped_bytes = 0
        self._confirming = False
        self._ended = False
        self._cancelled = False
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
        out: list[Item] = []
        for item in received:
            if isinstance(item, RawBlock):
                out += self._took(item)
            else:
                self._ended = self._ended or isinstance(item, wire.Stopped)
                out.append(item)
        silent_s = time.monotonic() - self._last_s
        if silent_s > SILENT_S:
            out.append(self._lose(f"no sample for {SILENT_S:g} s"))
        elif silent_s > STALLED_S and not self._stalled and not self._ended:
            self._stalled = True
            out.append(LinkChange("stalled", f"no sample for {STALLED_S:g} s", self.info))
        return out

    def stop(self) -> list[Item]:
        """Stop the board and return what was under way; at most 1 s, never raises."""
        self._cancelled = True
        return [] if self._link is None else list(self._link.stop())

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
            self._dropped_bytes += self._link.stats().queue_drops
            self._link.close()
            self._link = None

    def stats(self) -> LinkStats:
        """Counters since the first handshake."""
        now = 0 if self._link is None else self._link.stats().queue_drops
        return dataclasses.replace(
            self._decoder.stats(),
            queue_drops=self._dropped_bytes + now,
            reconnects=self._reconnects,
            fs_estimate_hz=None if self._clock is None else self._clock.fs_estimate_hz,
            drift_ppm=None if self._clock is None else self._clock.drift_ppm,
        )

    def __enter__(self) -> LastingLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _took(self, block: RawBlock) -> list[Item]:
        away_s = time.monotonic() - self._last_s
        out: list[Item] = [block]
        if self._confirming:
            self._confirming = False
            rate_hz = self.info.fs_hz * max(1.0, self.info.time_scale)
            jump = 0 if self._expected is None else block.first_sample - self._expected
            kept = 0 <= jump <= rate_hz * (RATE_SLACK * away_s + SLACK_S)
            if not kept:
                block = dataclasses.replace(block, lost_before=0)
                self._clock = self._new_clock()
            detail = "back" if kept else "back, its sample numbers begin anew"
            out = [LinkChange("back", f"{detail}, after {away_s:.1f} s", self.info, kept, away_s), block]
        self._expected = block.first_sample + len(block.counts)
        if self._clock is not None:
            self._clock.push(self._expected, block.host_s)
        self._last_s, self._stalled = time.monotonic(), False
        return out

    def _new_clock(self) -> SampleClock | None:
        """None for a board that plays as fast as it can: it keeps no time."""
        rate_hz = self.info.fs_hz * self.info.time_scale
        return SampleClock(rate_hz) if 0.0 < rate_hz < math.inf else None

    def _lose(self, detail: str) -> LinkChange:
        self.close()
        self._wait_s, self._retry_s = FIRST_WAIT_S, time.monotonic() + FIRST_WAIT_S
        return LinkChange("lost", detail, self.info)

    def _reopen(self, timeout_s: float) -> list[Item]:
        wait_s = min(timeout_s, self._retry_s - time.monotonic())
        if wait_s > 0:
            time.sleep(wait_s)
        if time.monotonic() < self._retry_s or self._cancelled:
            return []
        try:
            self._link = open_link(
                self._where(), self._baud, self._timeout_s,
                resumed=self._decoder, cancelled=lambda: self._cancelled, tap=self._tap,
            )  # fmt: skip
        except LinkError:
            self._wait_s = min(2.0 * self._wait_s, LONGEST_WAIT_S)
            self._retry_s = time.monotonic() + self._wait_s * (1.0 + 0.5 * self._jitter())
            return []
        self.info = self._link.info
        self._reconnects += 1
        self._confirming = True
        self._stalled = False
        return []

    def _where(self) -> str:
        """The port of the same USB device now, else the name it had."""
        if self._usb_serial is None:
            return self._url
        return next((p.device for p in list_ports() if p.serial_number == self._usb_serial), self._url)


def _usb_serial_of(url: str) -> str | None:
    device = os.path.realpath(url)
    return next((port.serial_number for port in list_ports() if port.device in (url, device)), None)
