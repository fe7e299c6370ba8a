"""Upside Down Labs Chords firmware on Arduino boards.

Sources: Chords-Arduino-Firmware, ``UNO-R3.ino`` and others; Chords-Python, ``chordspy/chords_serial.py``.
"""

from __future__ import annotations

from firmware_bridge.protocols.frames import FrameDecoder, variants_by_channels
from firmware_bridge.protocols.scanner import Byte, Counter, Layout, exactly, numbers

__all__ = ["ChordsDecoder"]

MAX_CHANNELS = 16


def _layout(n_channels: int) -> Layout:
    last = 3 + 2 * n_channels
    return Layout(
        length=last + 1,
        head_bytes=2,
        pattern=(*exactly(0, b"\xc7\x7c"), Byte(last, 0x01)),
        counts=numbers(3, ">u2", n_channels),
        counter=Counter(2),
    )


class ChordsDecoder(FrameDecoder):
    """Unsigned samples of all channels of the board.

    Parameters
    ----------
    n_channels
        1 to 16; None: the distance between frames tells.
    """

    def __init__(self, n_channels: int | None = None) -> None:
        super().__init__(variants_by_channels(_layout, n_channels, MAX_CHANNELS))
