"""ProtoCentral ADS1293 breakout on an Arduino, five-electrode sketch.

Source: protocentral-ads1293-arduino, ``examples/Example-3-5leadECGstream-openview``.
"""

from __future__ import annotations

from firmware_bridge.protocols.openview import ECG_AT, OpenViewDecoder, Packet
from firmware_bridge.protocols.scanner import numbers

__all__ = ["Ads1293Decoder"]


class Ads1293Decoder(OpenViewDecoder):
    """Three leads of 24 bits."""

    def __init__(self) -> None:
        super().__init__([Packet(12, numbers(ECG_AT, "<i4", 3))])
