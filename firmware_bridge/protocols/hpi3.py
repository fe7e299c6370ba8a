"""ProtoCentral HealthyPi v3, streaming firmware.

Source: protocentral-healthypi-v3, ``firmware/healthypi3_streaming/healthypi3_streaming.ino``.
"""

from __future__ import annotations

from firmware_bridge.protocols.openview import ECG_AT, OpenViewDecoder, Packet
from firmware_bridge.protocols.scanner import numbers

__all__ = ["Hpi3Decoder"]


class Hpi3Decoder(OpenViewDecoder):
    """One lead, 16 bits, filtered by the board; the ECG is 0 while the lead-off bit is set."""

    def __init__(self) -> None:
        super().__init__([Packet(20, numbers(ECG_AT, "<i2"), lambda frames: frames[:, 24] & 0x01 != 0)])
