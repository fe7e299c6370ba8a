"""Backyard Brains SpikerShield: two bytes of seven bits a channel, the first byte of a frame marked by its top bit.

Source: BackyardBrains/Spike-Recorder, ``src/engine/ArduinoSerial.cpp``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.blocks import RawBlock
from firmware_bridge.messages import Message
from firmware_bridge.protocols.frames import FrameDecoder, variants_by_channels
from firmware_bridge.protocols.scanner import Byte, Layout

__all__ = ["SpikerDecoder"]

MAX_CHANNELS = 10
TEXT_BEGINS = b"\xff\xff\x01\x01\x80\xff"
TEXT_ENDS = b"\xff\xff\x01\x01\x81\xff"
MAX_TEXT_BYTES = 256


def _codes(frames: NDArray[np.uint8]) -> NDArray[np.int32]:
    sevens = frames.astype(np.int32) & 0x7F
    return sevens[:, 0::2] << 7 | sevens[:, 1::2]


def _layout(n_channels: int) -> Layout:
    length = 2 * n_channels
    return Layout(
        length=length,
        head_bytes=1,
        pattern=(Byte(0, 0x80, mask=0x80), *(Byte(i, 0x00, mask=0x80) for i in range(1, length))),
        counts=_codes,
        links=4,  # one bit a byte is all there is to know a frame by
        proof_links=16,
    )


class SpikerDecoder(FrameDecoder):
    """Samples of 10 or 14 bits. Texts of the board between the samples (buttons, names) are left out.

    Parameters
    ----------
    n_channels
        1 to 10; None: the distance between frames tells.
    """

    def __init__(self, n_channels: int | None = None) -> None:
        super().__init__(variants_by_channels(_layout, n_channels, MAX_CHANNELS))
        self._held = b""  # what may be a text, or the first bytes of its mark

    @property
    def pending(self) -> bytes:
        """The bytes that wait for more."""
        return super().pending + self._held

    def feed(self, data: bytes, host_s: float) -> list[RawBlock | Message]:
        """Return what `data`, which arrived at `host_s`, completes, in order. Never raises."""
        self._bytes_received += len(data)
        self._host_s = host_s
        return self._decode(self._scanner.feed(self._without_texts(self._held + data)))

    def flush(self) -> list[RawBlock | Message]:
        """Return the frames that only waited to be confirmed: the stream has ended."""
        held, self._held = self._held, b""
        return self._decode(self._scanner.feed(held) + self._scanner.flush())

    def _without_texts(self, data: bytes) -> bytes:
        parts = []
        at = 0
        while (begin := data.find(TEXT_BEGINS, at)) >= 0:
            parts.append(data[at:begin])
            at = begin + len(TEXT_BEGINS)
            limit = at + MAX_TEXT_BYTES + len(TEXT_ENDS)
            end = data.find(TEXT_ENDS, at, limit)
            if end >= 0:
                at = end + len(TEXT_ENDS)
            elif len(data) < limit:
                self._held = data[begin:]
                return b"".join(parts)
        n_mark = next((n for n in range(len(TEXT_BEGINS) - 1, 0, -1) if data.endswith(TEXT_BEGINS[:n], at)), 0)
        whole = len(data) - n_mark
        self._held = data[whole:]
        return b"".join([*parts, data[at:whole]])
