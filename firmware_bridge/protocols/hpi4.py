"""ProtoCentral HealthyPi v4 in its "V3 mode"; its other modes send nothing on the serial line.

Source: protocentral_healthypi_v4, ``firmware/Healthypiv4_Arduino/Healthypiv4_Arduino.ino``.
"""

from __future__ import annotations

from firmware_bridge.protocols.openview import ECG_AT, OpenViewDecoder, Packet
from firmware_bridge.protocols.scanner import numbers

__all__ = ["Hpi4Decoder"]

LEAD_OFF_BITS = 0x1F  # RLD, IN2N, IN2P, IN1N, IN1P of the ADS1292R


class Hpi4Decoder(OpenViewDecoder):
    """One lead, 16 bits, filtered by the board; any of five bits says that an electrode is off."""

    def __init__(self) -> None:
        super().__init__([Packet(20, numbers(ECG_AT, "<i2"), lambda frames: frames[:, 24] & LEAD_OFF_BITS != 0)])
