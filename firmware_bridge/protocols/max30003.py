"""ProtoCentral MAX30003 breakout on an Arduino.

Source: protocentral_max30003, ``examples/Example1-ECG-stream-Openview`` and ``src/protocentral_Max30003.cpp``.
OpenView reads the word as a plain number, which leaves the low bits wrong; this puts the code together again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocols.openview import ECG_AT, OpenViewDecoder, Packet
from firmware_bridge.protocols.scanner import numbers

__all__ = ["Max30003Decoder"]

_words = numbers(ECG_AT, "<i4")


def _codes(frames: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Bits 17 to 2 of the code stand in the upper half of the word, bits 1 and 0 at its low end."""
    words = _words(frames)
    return words >> 16 << 2 | words & 3


class Max30003Decoder(OpenViewDecoder):
    """One lead of 18 bits."""

    def __init__(self) -> None:
        super().__init__([Packet(12, _codes)])
