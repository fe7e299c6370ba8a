"""The decoder of the project's own protocol (PROTOCOL.md)."""

from __future__ import annotations

import numpy as np

from firmware_bridge import wire
from firmware_bridge.blocks import LinkStats, RawBlock
from firmware_bridge.framing import Deframer

__all__ = ["EdgeDecoder"]

LEAP_SAMPLES = 1024
"""A longer jump must be confirmed by the next frame: of 65536 damaged frames, one passes its CRC."""

RESTART_FRAMES = 16
"""So many older frames that continue one another are a counter that was reset, not duplicates."""


class EdgeDecoder:
    """Blocks out of the bytes of one session after another.

    A loss at the end of a session, known from the count in STOPPED, comes as a block without samples whose
    ``lost_before`` tells it. A decoder that begins in mid-session takes what it missed for such a loss.

    Parameters
    ----------
    n_leads
        How many leads the board has, when HELLO has been read elsewhere; without it the first sample tells.
    awaits_stopped
        Whether a STOPPED before the first sample answers a STOP of before the session, and is no end of it.

    Attributes
    ----------
    foreign_version
        The protocol version of the last good frame that was not of version 1, or None.
    late_frames
        Frames dropped because they were sent twice or overtaken; also counted as frame errors.
    echoed
        Whether a command of the host came back.
    """

    def __init__(self, n_leads: int | None = None, *, awaits_stopped: bool = False) -> None:
        self._awaits_stopped = awaits_stopped
        self.foreign_version: int | None = None
        self.late_frames = 0
        self.echoed = False
        self._deframer = Deframer()
        self._frames_ok = 0
        self._frames_unusable = 0
        self._samples_received = 0
        self._samples_lost = 0
        self._overruns = 0
        self._n_leads = n_leads
        self._last_sequence: int | None = None
        self._expected = 0  # the next sample number, in 64 bits
        self._fresh = True  # no sample of this session yet: its first number may be any
        self._greeted = False  # HELLO since the last sample: a smaller number is a board that was reset
        self._accounted = 0  # samples of this session delivered or reported lost
        self._last_sent: int | None = None  # in the session that ended last
        self._stopped_sequence: int | None = None  # of the frame that told so
        self._held: RawBlock | None = None  # beyond a leap, waiting to be confirmed
        self._older_next = -1
        self._older_run = 0

    @property
    def pending(self) -> bytes:
        """The bytes of a frame that is not complete yet (at most ``MAX_ENCODED_BYTES``)."""
        return self._deframer.pending

    def feed(self, data: bytes, host_s: float) -> list[RawBlock | wire.Message]:
        """Return what `data`, which arrived at `host_s`, completes, in order. Never raises."""
        out: list[RawBlock | wire.Message] = []
        for payload in self._deframer.feed(data):
            frame = wire.parse(payload)
            if frame is None or not isinstance(frame.message, wire.BOARD_MESSAGES):
                self._frames_unusable += 1
                if frame is not None:
                    self._notice_foreign(frame)
                continue
            message = frame.message
            if frame.sequence == self._last_sequence and not isinstance(message, wire.Hello):
                self.late_frames += 1
                continue
            self._last_sequence = frame.sequence
            self._frames_ok += 1
            if isinstance(message, wire.Data):
                if self._is_overtaken(frame.sequence):
                    self._drop_late_frame()
                else:
                    self._take_data(message, host_s, out)
                continue
            if isinstance(message, wire.Hello):
                self._greeted = True
                self._last_sent = self._stopped_sequence = None
                self._n_leads = message.n_leads
            elif isinstance(message, wire.Status):
                self._overruns = message.overruns
            elif isinstance(message, wire.Stopped):
                if self._fresh and self._awaits_stopped:
                    self._awaits_stopped = False
                    continue
                self._stopped_sequence = frame.sequence
                self._end_session(message.samples_sent, host_s, out)
            out.append(message)
        return out

    def flush(self) -> list[RawBlock | wire.Message]:
        """Return nothing: a frame is whole or it is none, and a leap that nobody confirmed is not believed."""
        return []

    def stats(self) -> LinkStats:
        """Return the counters; unusable, repeated and overtaken frames count as frame errors."""
        deframer = self._deframer
        return LinkStats(
            bytes_received=deframer.bytes_received,
            frames_ok=self._frames_ok,
            crc_errors=deframer.crc_errors,
            frame_errors=deframer.frame_errors + self._frames_unusable + self.late_frames,
            bytes_skipped=deframer.bytes_skipped,
            samples_received=self._samples_received,
            samples_lost=self._samples_lost,
            overruns=self._overruns,
        )

    def _notice_foreign(self, frame: wire.Frame) -> None:
        if frame.version != wire.VERSION:
            self.foreign_version = frame.version
        elif frame.message is not None:
            self.echoed = True

    def _is_overtaken(self, sequence: int) -> bool:
        """Whether a frame was sent before the STOPPED that came already: what it holds was told as lost."""
        if not self._fresh or self._stopped_sequence is None:
            return False
        return sequence - self._stopped_sequence & 0xFFFF >= 1 << 15

    def _take_data(self, data: wire.Data, host_s: float, out: list[RawBlock | wire.Message]) -> None:
        n, n_leads = data.counts.shape
        if self._n_leads is None:
            self._n_leads = n_leads
        elif n_leads != self._n_leads:
            self._drop_good_frame()
            return
        jump = (data.first_sample - self._expected) & 0xFFFFFFFF
        if jump >= 1 << 31:
            jump -= 1 << 32
        if jump < 0 or self._fresh:
            if not (self._fresh or self._greeted or self._is_reset(data.first_sample, n)):
                self._drop_late_frame()
                return
            self._begin_at(data.first_sample if jump < 0 else self._expected + jump)
            jump = 0
        lead_off = bool(data.lead_off & 0x7F) if data.lead_off & wire.LEAD_OFF_KNOWN else None
        first_sample = self._expected + jump
        if self._held is not None:
            held, self._held = self._held, None
            if 0 <= first_sample - held.first_sample - len(held.counts) <= LEAP_SAMPLES:
                self._deliver(held, out)
            else:
                self._drop_good_frame()
        jump = first_sample - self._expected
        block = RawBlock(data.counts, first_sample, lead_off, jump, host_s)
        if jump > LEAP_SAMPLES:
            self._held = block
        else:
            self._deliver(block, out)

    def _begin_at(self, first_sample: int) -> None:
        if self._held is not None:
            self._held = None
            self._drop_good_frame()
        self._expected = first_sample
        self._accounted = 0
        self._fresh = False

    def _is_reset(self, first_sample: int, n: int) -> bool:
        self._older_run = self._older_run + 1 if first_sample == self._older_next else 1
        self._older_next = first_sample + n & 0xFFFFFFFF
        return self._older_run >= RESTART_FRAMES

    def _drop_late_frame(self) -> None:
        self._frames_ok -= 1
        self.late_frames += 1

    def _drop_good_frame(self) -> None:
        self._frames_ok -= 1
        self._frames_unusable += 1

    def _deliver(self, block: RawBlock, out: list[RawBlock | wire.Message]) -> None:
        n = len(block.counts)
        self._expected = block.first_sample + n
        self._accounted += block.lost_before + n
        self._samples_received += n
        self._samples_lost += block.lost_before
        self._greeted = False
        self._older_run = 0
        out.append(block)

    def _end_session(self, samples_sent: int, host_s: float, out: list[RawBlock | wire.Message]) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            if self._accounted + held.lost_before + len(held.counts) <= samples_sent:
                self._deliver(held, out)
            else:
                self._drop_good_frame()
        # To a STOP without a session a board repeats the count of the last one: the host may have missed it.
        missing = 0 if self._fresh and samples_sent == self._last_sent else samples_sent - self._accounted
        n_leads = self._n_leads
        if missing > 0 and n_leads is None:
            self._samples_lost += missing  # the shape of a block is not known: not one frame came
        elif missing > 0 and n_leads is not None:
            empty = np.zeros((0, n_leads), np.int32)
            empty.flags.writeable = False
            self._deliver(RawBlock(empty, self._expected + missing, None, missing, host_s), out)
        self._accounted = 0
        self._fresh = True
        self._last_sent = samples_sent
