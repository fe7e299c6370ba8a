"""The faults of a cable, seeded: what a board sends goes in, what the host gets comes out."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from firmware_bridge.simulator import VirtualBoard

__all__ = ["FaultInjector", "FaultPlan", "FaultyBoard"]

REORDER_S = 0.1
"""A frame that is to come behind the next one comes after so long when there is no next one."""
MAX_GARBAGE = 64
_OF_FRAMES = ("burst", "drop", "truncate", "garbage", "duplicate", "reorder", "stall")
MAX_DRIFT_PPM = 500.0


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """How often what happens. Shares are from 0 to 1, of frames where nothing else is said.

    Attributes
    ----------
    seed
        The same frames meet the same faults.
    drop, duplicate, truncate
        A frame does not come; comes twice; ends early.
    flip
        Share of bytes, in each of which one bit is another.
    reorder
        A frame comes behind the next one.
    garbage
        Up to 64 random bytes come before a frame, as of another baud rate.
    burst, burst_frames
        A frame does not come, nor do the next ones: so many in all.
    stall, stall_s
        From a frame on nothing comes for so long, then all at once.
    banner
        Text before everything else, as of a boot loader.
    disconnect_every_s, disconnect_s
        The cable is pulled so long after it was plugged in, and for how long; 0: never.
    reset
        The board loses its supply with the cable, and its counters with that.
    drift_ppm
        How much faster than it says the board samples, up to 500 either way.
    first_sample
        Number of the first sample: near 2^32 it wraps.
    """

    seed: int = 0
    drop: float = 0.0
    duplicate: float = 0.0
    truncate: float = 0.0
    flip: float = 0.0
    reorder: float = 0.0
    garbage: float = 0.0
    burst: float = 0.0
    burst_frames: int = 25
    stall: float = 0.0
    stall_s: float = 1.0
    banner: str = ""
    disconnect_every_s: float = 0.0
    disconnect_s: float = 1.0
    reset: bool = False
    drift_ppm: float = 0.0
    first_sample: int = 0

    def __post_init__(self) -> None:
        for name in (*_OF_FRAMES, "flip"):
            if not 0.0 <= (share := getattr(self, name)) <= 1.0:
                raise ValueError(f'"{name}" must be from 0 to 1, found {share:g}')
        for name in ("seed", "burst_frames", "stall_s", "disconnect_every_s", "disconnect_s", "first_sample"):
            if not 0 <= (value := getattr(self, name)) < 1 << 63:
                raise ValueError(f'"{name}" must be 0 or more, found {value:g}')
        if not abs(self.drift_ppm) <= MAX_DRIFT_PPM:
            raise ValueError(f'"drift_ppm" must be from -500 to 500, found {self.drift_ppm:g}')

    def __str__(self) -> str:
        """What differs from a good cable."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        usual = FaultPlan()
        return ", ".join(f"{k} {v!r}" for k, v in values.items() if v != getattr(usual, k)) or "none"


class FaultInjector:
    """Between a board of the project's own protocol, whose frames end with a zero byte, and the host."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._rng = np.random.default_rng(plan.seed)
        self._part = b""
        self._held: list[tuple[float, bytes]] = []
        self._stalled_until_s = -np.inf
        self._burst_left = 0
        self._begun = not plan.banner

    @property
    def waiting(self) -> bool:
        """Whether something is held back."""
        return bool(self._held or self._part)

    def feed(self, data: bytes, now_s: float) -> bytes:
        """What the host gets by ``now_s``, of ``data`` and of what was held back."""
        *whole, self._part = (self._part + data).split(b"\0")
        out = bytearray()
        if not self._begun and data:
            self._begun = True
            out += self._plan.banner.encode()
        if now_s >= self._stalled_until_s:
            out += b"".join(frame for at_s, frame in self._held if at_s <= now_s)
            self._held = [one for one in self._held if one[0] > now_s]
        for frame in whole:
            self._pass(frame + b"\0", now_s, out)
        return bytes(out)

    def _pass(self, frame: bytes, now_s: float, out: bytearray) -> None:
        if frame == b"\0":  # a spare delimiter is no frame
            self._give(frame, now_s, out)
            return
        plan, rng = self._plan, self._rng
        # Every draw is made for every frame, so that one fault more leaves the others where they were.
        happens = {name: rng.random() < getattr(plan, name) for name in _OF_FRAMES}
        flips = rng.random(len(frame)) < plan.flip
        bits = rng.integers(8, size=len(frame))
        cut = int(rng.integers(len(frame)))
        noise = rng.bytes(int(rng.integers(1, MAX_GARBAGE + 1)))
        if happens["burst"] and not self._burst_left:
            self._burst_left = plan.burst_frames
        if self._burst_left:
            self._burst_left -= 1
            return
        if happens["drop"]:
            return
        if happens["stall"] and now_s >= self._stalled_until_s:
            self._stalled_until_s = now_s + plan.stall_s
        frame = bytes(np.frombuffer(frame, np.uint8) ^ np.where(flips, 1 << bits, 0).astype(np.uint8))
        frame = frame[:cut] if happens["truncate"] else frame
        frame = noise + frame if happens["garbage"] else frame
        frame = frame * 2 if happens["duplicate"] else frame
        if happens["reorder"]:
            self._held.append((now_s + REORDER_S, frame))
            return
        self._give(frame, now_s, out)
        if now_s >= self._stalled_until_s:
            out += b"".join(held for _, held in self._held)
            self._held.clear()

    def _give(self, frame: bytes, now_s: float, out: bytearray) -> None:
        if now_s < self._stalled_until_s:
            self._held.append((self._stalled_until_s, frame))
        else:
            out += frame


class FaultyBoard:
    """A `VirtualBoard` on a bad cable: the same commands in, what is left of its frames out."""

    def __init__(self, board: VirtualBoard, plan: FaultPlan) -> None:
        self.board = board
        self._plan = plan
        self._faults = FaultInjector(plan)
        self._plugged_s: float | None = None
        self._pulled = self._greets = False

    @property
    def finished(self) -> bool:
        """Whether the record has come to its end and nothing is held back."""
        return self.board.finished and not self._faults.waiting

    def receive(self, data: bytes, now_s: float) -> bytes:
        """What the host gets of the answers to the commands that ``data`` completes."""
        return self._faults.feed(self.board.receive(data, now_s), now_s)

    def advance(self, now_s: float) -> bytes:
        """What the host gets of the frames due by ``now_s``."""
        hello, self._greets = self.board.greet() if self._greets else b"", False
        return self._faults.feed(hello + self.board.advance(now_s), now_s)

    def is_plugged(self, now_s: float) -> bool:
        """Whether the cable is in, by the plan; a board that is reset greets when it comes back."""
        plan = self._plan
        if not plan.disconnect_every_s:
            return True
        if self._plugged_s is None:
            self._plugged_s = now_s
        if not self._pulled and now_s >= self._plugged_s + plan.disconnect_every_s:
            self._pulled = True
            if plan.reset:
                self.board.reset()
        if self._pulled and now_s >= self._plugged_s + plan.disconnect_every_s + plan.disconnect_s:
            self._pulled, self._plugged_s = False, now_s
            self._greets = plan.reset
        return not self._pulled
