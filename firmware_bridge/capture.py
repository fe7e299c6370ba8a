"""What came over a line, byte for byte and when: kept in a file, and read again.

A capture begins with a line ``edge-ecg capture 1`` and a line of JSON (`About`). Then come chunks, each of a
little-endian head (seconds since the beginning as f64, length as u32) and its bytes. A file that was cut short reads up
to there.
"""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import FileIO
from typing import BinaryIO

from firmware_bridge.blocks import LinkError

__all__ = ["MAGIC", "About", "CaptureWriter", "read_about", "read_chunks"]

MAGIC = b"edge-ecg capture 1\n"
_HEAD = struct.Struct("<dI")
_LONGEST = 1 << 20
_LONGEST_S = 7 * 86_400.0
"""No pause of a capture is longer."""


@dataclass(frozen=True, slots=True)
class About:
    """What was captured: which board (a key of `firmware_bridge.boards.BOARDS`), where, at which speed, since when.

    ``start_utc_s`` is in seconds since 1970 UTC.
    """

    board: str
    port: str
    baud: int
    start_utc_s: float


class CaptureWriter:
    """Writes a capture; the file is the caller's.

    Parameters
    ----------
    begin_s
        The monotonic clock at ``about.start_utc_s``.
    """

    def __init__(self, file: BinaryIO | FileIO, about: About, begin_s: float) -> None:
        self._file = file
        self._begin_s = begin_s
        self._head = MAGIC + json.dumps(asdict(about)).encode() + b"\n"

    def write(self, data: bytes, host_s: float) -> None:
        """Take bytes that arrived at ``host_s`` of a monotonic clock. Raises OSError as the file does."""
        if self._head:
            # Not sooner: where no board answers, no file says that it is a capture.
            self._put(self._head)
            self._head = b""
        for at in range(0, len(data), _LONGEST):
            part = data[at : at + _LONGEST]
            self._put(_HEAD.pack(host_s - self._begin_s, len(part)) + part)

    def _put(self, data: bytes) -> None:
        # A file without a buffer takes what there is room for, and says so.
        if self._file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_about(file: BinaryIO) -> About | None:
    """The head of a capture; None when the file is none, or of another version. Leaves the file behind the head."""
    if file.read(len(MAGIC)) != MAGIC:
        return None
    try:
        held = json.loads(file.readline(_LONGEST))
        return About(str(held["board"]), str(held["port"]), int(held["baud"]), float(held["start_utc_s"]))
    except (ValueError, KeyError, TypeError):
        return None


def read_chunks(file: BinaryIO) -> Iterator[tuple[bytes, float]]:
    """Bytes and when they arrived, s since the beginning.

    Raises
    ------
    LinkError
        After the last whole chunk of a file that was cut short or damaged.
    """
    last_s = 0.0
    while head := file.read(_HEAD.size):
        at_s, n = _HEAD.unpack(head) if len(head) == _HEAD.size else (0.0, _LONGEST + 1)
        data = file.read(n) if n <= _LONGEST and last_s <= at_s <= last_s + _LONGEST_S else b""
        if len(data) != n or not n:
            raise LinkError("the capture is cut short or damaged", "What came before was read")
        last_s = at_s
        yield data, at_s
