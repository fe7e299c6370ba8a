"""What boards send: samples as the bytes of each board, written from the published layouts, not from the decoders."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from firmware_bridge import wire

Rows = Sequence[Sequence[int]]


@dataclass(frozen=True)
class BoardStream:
    """One board: how many leads, which counts it can send, and the bytes of a frame (with its number)."""

    name: str
    n_leads: int
    lowest: int
    highest: int
    frame: Callable[[int, Rows], bytes]
    samples_per_frame: int = 1
    options: dict[str, object] = field(default_factory=dict)
    modulo: int | None = None
    step: int = 1
    divisor: int = 1

    def __str__(self) -> str:
        return f"{self.name}-{self.n_leads}" + ("-told" if self.options else "")

    def rows(self, n: int, first: int = 0) -> np.ndarray:
        """Counts that tell where they stand: `n` samples, all different as long as the range lasts."""
        span = (self.highest - self.lowest) // self.step
        at = (np.arange(first, first + n)[:, None] * 7 + np.arange(self.n_leads) * 1000003) % span
        return self.lowest + at * self.step

    def frames(self, n: int, first: int = 0) -> list[bytes]:
        """The first `n` frames of a session."""
        rows = self.rows(n * self.samples_per_frame, first * self.samples_per_frame).tolist()
        k = self.samples_per_frame
        return [self.frame(first + i, rows[i * k : (i + 1) * k]) for i in range(n)]


def openview(kind: int, payload: bytes) -> bytes:
    return b"\x0a\xfa" + struct.pack("<HB", len(payload), kind) + payload + b"\x00\x0b"


def hpi(k: int, rows: Rows) -> bytes:
    return openview(2, struct.pack("<hhiiHBBBBBB", rows[0][0], -45, k << 10, k, 3652, 15, 98, 72, 80, 0, 0))


def hpi5(k: int, rows: Rows) -> bytes:
    return openview(2, struct.pack("<iiBiiHBBB", rows[0][0], -k, 0, k, k << 8, 3652, 98, 72, 15))


def hpi5b(k: int, rows: Rows) -> bytes:
    ecg = struct.pack("<8i4iBB", *(row[0] for row in rows), 1, 2, 3, 4, 72, 15)
    return openview(3, ecg) + (openview(4, struct.pack("<8h3B", *range(8), 98, 1, 1)) if k % 2 else b"")


def ads1292r(k: int, rows: Rows) -> bytes:
    return openview(2, struct.pack("<hhHHB", rows[0][0], k % 100, 15, 72, 0))


def ads1293(k: int, rows: Rows) -> bytes:
    return openview(2, struct.pack("<3i", *rows[0]))


def max30003(k: int, rows: Rows) -> bytes:
    code = rows[0][0] & 0x3FFFF
    return openview(2, struct.pack("<III", code >> 2 << 16 | code & 3, 832, 72))


def max30001(k: int, rows: Rows) -> bytes:
    return openview(2, struct.pack("<iiI", rows[0][0], k, 0xFF * (k % 2)))


def cyton(k: int, rows: Rows) -> bytes:
    codes = b"".join(code.to_bytes(3, "big", signed=True) for code in rows[0])
    return bytes([0xA0, k % 256]) + codes + struct.pack(">3h", 0, 0, 8192) + bytes([0xC0 + k % 7])


def olimex(k: int, rows: Rows) -> bytes:
    return struct.pack(">4B6HB", 0xA5, 0x5A, 2, k % 256, *rows[0], 1)


def chords(k: int, rows: Rows) -> bytes:
    return struct.pack(f">3B{len(rows[0])}HB", 0xC7, 0x7C, k % 256, *rows[0], 1)


def spiker(k: int, rows: Rows) -> bytes:
    sevens = [part for code in rows[0] for part in (code >> 7, code & 0x7F)]
    return bytes([sevens[0] | 0x80, *sevens[1:]])


def bitalino_crc(frame: bytes) -> int:
    """Bit by bit over the frame, whose last four bits count as 0."""
    crc = 0
    number = int.from_bytes(frame, "big") & ~0x0F
    for bit in range(8 * len(frame) - 1, -1, -1):
        crc <<= 1
        if crc & 0x10:
            crc ^= 0x13
        crc ^= number >> bit & 1
    return crc


def bitalino(k: int, rows: Rows) -> bytes:
    """Channels lie from the end of the frame on: counter and CRC, digital lines, A1, A2 and so forth."""
    row = rows[0]
    a = [*row[:4], *(code >> 4 for code in row[4:]), *[0] * (6 - len(row))]
    from_the_end = [
        k % 16 << 4,
        0b1001 << 4 | a[0] >> 6,
        (a[0] & 63) << 2 | a[1] >> 8,
        a[1] & 255,
        a[2] >> 2,
        (a[2] & 3) << 6 | a[3] >> 4,
        (a[3] & 15) << 4 | a[4] >> 2,
        (a[4] & 3) << 6 | a[5],
    ]
    frame = bytes(reversed(from_the_end[: {1: 3, 2: 4, 3: 6, 4: 7, 5: 8, 6: 8}[len(row)]]))
    return frame[:-1] + bytes([frame[-1] | bitalino_crc(frame)])


def ad8232(k: int, rows: Rows) -> bytes:
    return b"%d\r\n" % rows[0][0]


def eifwd(k: int, rows: Rows) -> bytes:
    return ",".join(f"{code / 8}" for code in rows[0]).encode() + b"\r\n"


def edge(k: int, rows: Rows) -> bytes:
    return wire.encode(wire.Data(10 * k, 0x80, np.array(rows, np.int32)), k)


STREAMS = [
    BoardStream("hpi3", 1, -(2**15), 2**15 - 1, hpi),
    BoardStream("hpi4", 1, -(2**15), 2**15 - 1, hpi),
    BoardStream("hpi5", 1, -(2**23), 2**23 - 1, hpi5, step=64),
    BoardStream("hpi5b", 1, -(2**23), 2**23 - 1, hpi5b, samples_per_frame=8, step=64),
    BoardStream("ads1292r", 1, -(2**15), 2**15 - 1, ads1292r),
    BoardStream("ads1293", 3, -(2**23), 2**23 - 1, ads1293),
    BoardStream("max30003", 1, -(2**17), 2**17 - 1, max30003),
    BoardStream("max30001", 1, -(2**17), 2**17 - 1, max30001),
    BoardStream("cyton", 8, -(2**23), 2**23 - 1, cyton, modulo=256),
    BoardStream("olimex", 6, 0, 1023, olimex, modulo=256),
    BoardStream("chords", 6, 0, 2**14 - 1, chords, modulo=256),
    BoardStream("chords", 16, 0, 2**12 - 1, chords, modulo=256, options={"n_channels": 16}),
    BoardStream("spiker", 1, 0, 1023, spiker),
    BoardStream("spiker", 3, 0, 2**14 - 1, spiker),
    *(BoardStream("bitalino", n, 0, 1023, bitalino, modulo=16) for n in (1, 2, 3, 4)),
    *(BoardStream("bitalino", n, 0, 1008, bitalino, modulo=16, step=16) for n in (5, 6)),
    BoardStream("bitalino", 5, 0, 1008, bitalino, modulo=16, step=16, options={"n_channels": 5}),
    BoardStream("ad8232", 1, 0, 4095, ad8232),
    BoardStream("eifwd", 2, -(2**15), 2**15 - 1, eifwd, divisor=8),
    BoardStream("edge", 2, -(2**23), 2**23 - 1, edge, samples_per_frame=10, modulo=2**16),
]
