"""What came over a line, byte for byte and when: kept in a file, and read again.

A capture begins with a line ``edge-ecg capture 1`` and a line of JSON (`About`). Then come chunks, each of a
little-endian head (seconds since the beginning as f64, length as u32) and its bytes. A file that was cut short reads up
to there.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import BinaryIO

from firmware_bridge.blocks import LinkError

__all__ = ["MAGIC", "About", "CaptureWriter", "read_about", "read_chunks"]

MAGIC = b"edge-ecg capture 1\n"
_HEAD = struct.Struct("<dI")
_LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class About:
    """What was captured: the protocol, where, at which speed, since when (s since 1970 UTC)."""

    protocol: str
    port: str
    baud: int
    start_utc_s: float


class CaptureWriter:
    """Writes a capture; the file is the caller's."""

    def __init__(self, file: BinaryIO, about: About) -> None:
        self._file = file
        self._begin_s: float | None = None
        file.write(MAGIC + json.dumps(asdict(about)).encode() + b"\n")

    def write(self, data: bytes, host_s: float) -> None:
        """Take bytes that arrived at ``host_s`` of a monotonic clock. Raises OSError as the file does."""
        if self._begin_s is None:
            self._begin_s = host_s
        for at in range(0, len(data), _LONGEST):
            part = data[at : at + _LONGEST]
            self._file.write(_HEAD.pack(host_s - self._begin_s, len(part)) + part)


def read_about(file: BinaryIO) -> About | None:
    """The head of a capture; None when the file is none, or of another version. Leaves the file behind the head."""
    if file.read(len(MAGIC)) != MAGIC:
        return None
    try:
        held = json.loads(file.readline(_LONGEST))
        return About(str(held["protocol"]), str(held["port"]), int(held["baud"]), float(held["start_utc_s"]))
    except (ValueError, KeyError, TypeError):
        return None


def read_chunks(file: BinaryIO) -> Iterator[tuple[bytes, float]]:
    """Bytes and when they arrived, s since the beginning.

    Raises
    ------
    LinkError
        After the last whole chunk of a file that was cut short or damaged.
    """
    while head := file.read(_HEAD.size):
        at_s, n = _HEAD.unpack(head) if len(head) == _HEAD.size else (0.0, _LONGEST + 1)
        data = file.read(n) if n <= _LONGEST and at_s >= 0.0 else b""
        if len(data) != n or not n:
            raise LinkError("the capture is cut short or damaged", "What came before was read")
        yield data, at_s
