"""Finds frames of fixed length in a stream of bytes, run by run; knows no board.

A board says what its frame looks like (`Layout`). While one frame ends where the next begins, each is taken as
it stands. Where that breaks, the scanner goes on byte by byte, and takes the next frame only when what
follows it begins like a frame too; where a frame has little to be known by, so must those that follow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Byte", "Counter", "FrameScanner", "Layout", "Run", "exactly", "numbers"]

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Counts = NDArray[np.int32]


class Byte(NamedTuple):
    """A byte that every frame has: ``frame[offset] & mask == value``."""

    offset: int
    value: int
    mask: int = 0xFF


def exactly(offset: int, data: bytes) -> tuple[Byte, ...]:
    """Return the pattern of constant bytes that begin at `offset`."""
    return tuple(Byte(offset + i, value) for i, value in enumerate(data))


def numbers(offset: int, dtype: str, n: int = 1) -> Callable[[Bytes], Counts]:
    """Return a function that reads `n` numbers of a numpy `dtype` from frames: ``(n_frames, n) int32``."""
    end = offset + n * np.dtype(dtype).itemsize
    return lambda frames: np.ascontiguousarray(frames[:, offset:end]).view(dtype).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter of frames: ``frame[offset] >> shift``, modulo `modulo`; `may_rest`: it may also stand still."""

    offset: int
    modulo: int = 256
    shift: int = 0
    may_rest: bool = False

    def read(self, buffer: Bytes, at: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the counters of the frames that begin at `at`."""
        return (buffer[at + self.offset] >> self.shift).astype(np.int64) % self.modulo


@dataclass(frozen=True, slots=True)
class Layout:
    """A frame of fixed length. Frames come to the functions below as ``(n, length) uint8``.

    Attributes
    ----------
    length
        Bytes of a frame.
    head_bytes
        How many bytes at the beginning tell that a frame begins; 0: none, then the counter must tell.
    pattern
        The bytes that are the same in every frame.
    counts
        The samples in frames, ``(n x samples a frame, n_leads) int32``; None: frames without ECG.
    lead_off
        Whether an electrode is off, one bool a frame; None: not on the wire.
    fits
        A check beyond the pattern (a checksum), one bool a frame.
    counter
        The counter of frames.
    is_reset
        Frames that only tell that the board began anew: no samples, and the counter is new after them.
    telling
        Bytes asked for only while variants are told apart.
    links, proof_links
        How many frames in a row must each be continued by the next, before the first is believed; while
        variants are told apart, before this one is.
    """

    length: int
    head_bytes: int
    pattern: tuple[Byte, ...]
    counts: Callable[[Bytes], Counts] | None
    lead_off: Callable[[Bytes], Mask] | None = None
    fits: Callable[[Bytes], Mask] | None = None
    counter: Counter | None = None
    is_reset: Callable[[Bytes], Mask] | None = None
    telling: tuple[Byte, ...] = ()
    links: int = 1
    proof_links: int = 3

    @property
    def reach(self) -> int:
        """How many bytes of the next frame tell that it continues this one."""
        return max(self.head_bytes, 0 if self.counter is None else self.counter.offset + 1)

    def good(self, buffer: Bytes) -> Mask:
        """Return, for each byte, whether a whole frame begins there by its own bytes."""
        mask = np.zeros(len(buffer), bool)
        n = len(buffer) - self.length + 1
        if n <= 0:
            return mask
        found = mask[:n]
        found[:] = True
        for offset, value, bits in self.pattern:
            found &= buffer[offset : offset + n] & bits == value
        if self.fits is not None:
            at = np.flatnonzero(found)
            found[at] = self.fits(np.lib.stride_tricks.sliding_window_view(buffer, self.length)[at])
        return mask

    def in_step(self, buffer: Bytes, good: Mask) -> Mask:
        """Return where a frame is taken when another one, good or damaged, ended just before.

        Without sync bytes a checksum of few bits says little: the counter must go on from the frame before, or
        from the one before that when it is damaged.
        """
        if self.head_bytes or self.counter is None:
            return good
        at = np.flatnonzero(good)
        ok = np.zeros(len(at), bool)
        for back in (1, 2):
            known = at >= back * self.length
            here = at[known]
            step = self.counter.read(buffer, here) - self.counter.read(buffer, here - back * self.length)
            ok[known] |= (step % self.counter.modulo == back) & (good[here - self.length] == (back == 1))
        mask = np.zeros(len(buffer), bool)
        mask[at[ok]] = True
        return mask

    def linked(self, buffer: Bytes, good: Mask, at_end: bool) -> Mask:
        """Return where a good frame begins that the next one continues; its counter goes on, of a chain by 1.

        At the end of a stream, one that has no next one will do; without sync bytes it must be the very end.
        """
        at = np.flatnonzero(good)
        known = at + self.length + self.reach <= len(buffer)
        here = at[known]
        then = here + self.length
        follows = np.ones(len(here), bool) if self.head_bytes else good[then]
        for offset, value, bits in self.pattern:
            if offset < self.head_bytes:
                follows &= buffer[then + offset] & bits == value
        if self.counter is not None:
            step = (self.counter.read(buffer, then) - self.counter.read(buffer, here)) % self.counter.modulo
            if self.links > 1:
                follows &= step == 1
            elif not self.counter.may_rest:  # samples that do not change may look like frames
                follows &= step > 0
        ok = at_end & ((self.head_bytes > 0) | (at + self.length == len(buffer)))
        ok[known] = follows
        mask = np.zeros(len(buffer), bool)
        mask[at[ok]] = True
        return mask


class Run(NamedTuple):
    """Frames that follow each other without a byte between: ``frames (n, layout.length) uint8``."""

    layout: Layout
    frames: Bytes


class FrameScanner:
    """Runs of frames out of bytes that arrive in pieces. Never raises; keeps a few frames of bytes.

    Parameters
    ----------
    variants
        What the board may send: each variant is the layouts that occur side by side. With more than one, the
        first that shows enough frames in a row is taken, for good.

    Attributes
    ----------
    bytes_skipped
        Bytes that belonged to no good frame.
    frame_errors, crc_errors
        How often a frame was expected and something else came; of those without sync bytes, how often
        the checksum was wrong.
    """

    def __init__(self, variants: Sequence[Sequence[Layout]]) -> None:
        self.bytes_skipped = 0
        self.frame_errors = 0
        self.crc_errors = 0
        self._variants = variants
        self._rest = b""
        self._at = 0  # in `_rest`: what is before was decided and only serves to look back
        self._in_step = False

    @property
    def pending(self) -> bytes:
        """The bytes that wait for more, and those kept to look back."""
        return self._rest

    def feed(self, data: bytes) -> list[Run]:
        """Return the runs that `data` completes."""
        return self._advance(self._rest + data, at_end=False)

    def flush(self) -> list[Run]:
        """Return the frames that waited for what would follow them; nothing will."""
        return self._advance(self._rest, at_end=True)

    def _advance(self, data: bytes, at_end: bool) -> list[Run]:
        self._rest = data
        if len(self._variants) > 1 and not (self._choose_last() if at_end else self._choose()):
            return []
        buffer = np.frombuffer(self._rest, np.uint8)
        marks = [_Marks(layout, buffer) for layout in self._variants[0]]
        runs = self._scan(buffer, marks, at_end)
        self._keep_from(self._at)
        return runs

    def _keep_from(self, at: int) -> None:
        kept = max(0, at - max(0 if x.head_bytes else 2 * x.length for x in self._variants[0]))
        self._rest = self._rest[kept:]
        self._at = at - kept

    def _scan(self, buffer: Bytes, marks: list[_Marks], at_end: bool) -> list[Run]:
        runs: list[Run] = []
        starts: NDArray[np.intp] | None = None  # needed only where the step was lost
        while self._at < len(buffer):
            if self._in_step:
                mark, n = max(((mark, mark.run(self._at)) for mark in marks), key=lambda found: found[1])
                if n:
                    runs.append(self._take(buffer, mark.layout, n))
                elif not self._stumble(marks, len(buffer), at_end):
                    break
                continue
            if starts is None:
                starts = _starts(marks, buffer, at_end)
            limit = len(buffer) if at_end else max(self._at, len(buffer) - _bytes_to_decide(marks) + 1)
            k = int(np.searchsorted(starts, self._at))
            found = int(starts[k]) if k < len(starts) and starts[k] < limit else limit
            self._skip(found - self._at)
            if found == limit:
                break
            runs.append(self._take(buffer, next(mark.layout for mark in marks if mark.good[found]), 1))
            self._in_step = True
        return runs

    def _take(self, buffer: Bytes, layout: Layout, n: int) -> Run:
        end = self._at + n * layout.length
        frames = buffer[self._at : end].reshape(n, layout.length)
        self._at = end
        return Run(layout, frames)

    def _skip(self, n: int) -> None:
        self.bytes_skipped += n
        self._at += n

    def _stumble(self, marks: list[_Marks], n_bytes: int, at_end: bool) -> bool:
        """Where a frame was expected stands none: count it and lose the step; False when that is not sure yet.

        Without sync bytes a single damaged frame is stepped over, since its neighbour tells where it ends.
        """
        layout = marks[0].layout
        after = self._at + layout.length
        steps_over = not layout.head_bytes and not marks[0].good[self._at]
        if self._at + max(mark.layout.length for mark in marks) > n_bytes:
            if at_end:
                self._in_step = False  # less than a frame is left
            return at_end
        if steps_over and after + layout.length > n_bytes and not at_end:
            return False
        if steps_over:
            self.crc_errors += 1
        else:
            self.frame_errors += 1
        if steps_over and after < n_bytes and marks[0].in_step[after]:
            self._skip(layout.length)
        else:
            self._in_step = False
        return True

    def _choose(self) -> bool:
        """Settle on a variant as soon as one is sure, and forget what cannot belong to any."""
        buffer = np.frombuffer(self._rest, np.uint8)
        limit = len(buffer)
        firsts = []
        for order, variant in enumerate(self._variants):
            marks = [_Marks(_telling(layout, layout.proof_links), buffer) for layout in variant]
            limit = min(limit, max(0, len(buffer) - _bytes_to_decide(marks) + 1))
            starts = _starts(marks, buffer, at_end=False)
            if len(starts):
                firsts.append((int(starts[0]), order))
        first, order = min(firsts, default=(limit, 0))
        chosen = first < limit
        if chosen:
            self._variants = (self._variants[order],)
        skipped = min(first, limit)
        self.bytes_skipped += skipped
        self._rest = self._rest[skipped:]
        return chosen

    def _choose_last(self) -> bool:
        """Settle on the variant that explains most of the few bytes there are."""
        if self.bytes_skipped and not self._variants[0][0].head_bytes:
            self.bytes_skipped += len(self._rest)  # after so much else, one checksum that fits is chance
            self._rest = b""
            return False

        def unexplained(variant: Sequence[Layout]) -> int:
            trial = FrameScanner(([_telling(layout, layout.links) for layout in variant],))
            trial.feed(self._rest)
            trial.flush()
            return trial.bytes_skipped

        self._variants = (min(self._variants, key=unexplained),)
        return True


class _Marks:
    """Where frames of one layout stand in a buffer."""

    def __init__(self, layout: Layout, buffer: Bytes) -> None:
        self.layout = layout
        self.good = layout.good(buffer)
        self.in_step = layout.in_step(buffer, self.good)
        self._breaks: dict[int, NDArray[np.intp]] = {}

    def run(self, at: int) -> int:
        """Return how many frames in step follow each other from `at` on, in a time that does not depend on it."""
        first, phase = divmod(at, self.layout.length)
        if phase not in self._breaks:
            steps = self.in_step[phase :: self.layout.length]
            self._breaks[phase] = np.append(np.flatnonzero(~steps), len(steps))
        breaks = self._breaks[phase]
        return int(breaks[np.searchsorted(breaks, first)]) - first


def _telling(layout: Layout, links: int) -> Layout:
    """Return the layout as it is asked for while variants are told apart."""
    return replace(layout, pattern=layout.pattern + layout.telling, telling=(), links=links)


def _bytes_to_decide(marks: list[_Marks]) -> int:
    """Return how many bytes tell whether frames may be believed from here on."""
    return max(mark.layout.links * mark.layout.length + mark.layout.reach for mark in marks)


def _starts(marks: list[_Marks], buffer: Bytes, at_end: bool) -> NDArray[np.intp]:
    """Return where enough frames begin that are each continued by the next."""
    linked = [mark.layout.linked(buffer, mark.good, at_end) for mark in marks]
    chain = np.logical_or.reduce(linked)
    for _ in range(max(mark.layout.links for mark in marks) - 1):
        longer = np.zeros(len(buffer), bool)
        for mark, here in zip(marks, linked, strict=True):
            length = mark.layout.length
            rest = np.zeros(len(buffer), bool)
            rest[:-length] = chain[length:]
            if at_end:
                rest[max(0, len(buffer) - 2 * length + 1) :] = True  # no whole frame is left behind this one
            longer |= here & rest
        chain = longer
    return np.flatnonzero(chain)
