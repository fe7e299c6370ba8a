"""ProtoCentral MAX30001 breakout on an Arduino, ECG and bioimpedance sketch.

Source: protocentral_max30001_arduino_library, ``examples/Example1-ECG-BioZ-stream-Openview``.
"""

from __future__ import annotations

from firmware_bridge.protocols.openview import ECG_AT, OpenViewDecoder, Packet
from firmware_bridge.protocols.scanner import numbers

__all__ = ["Max30001Decoder"]


class Max30001Decoder(OpenViewDecoder):
    """One lead of 18 bits."""

    def __init__(self) -> None:
        super().__init__([Packet(12, numbers(ECG_AT, "<i4"))])
