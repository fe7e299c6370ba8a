"""ProtoCentral ADS1292R breakout on an Arduino, ECG and respiration sketch.

Source: protocentral-ads1292r-arduino, ``examples/Example-1-ECG-Respiration-Plot-Openview``. OpenView's own decoder
of this board expects another length and swaps heart and respiration rate; this follows the firmware.
"""

from __future__ import annotations

from firmware_bridge.protocols.openview import ECG_AT, OpenViewDecoder, Packet
from firmware_bridge.protocols.scanner import numbers

__all__ = ["Ads1292rDecoder"]


class Ads1292rDecoder(OpenViewDecoder):
    """One lead, 16 bits, filtered by the sketch, which sends 0 while an electrode is off and does not say so."""

    def __init__(self) -> None:
        super().__init__([Packet(9, numbers(ECG_AT, "<i2"))])
