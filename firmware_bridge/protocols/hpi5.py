"""ProtoCentral HealthyPi 5, firmware v2.1.0 on USB.

Source: protocentral_healthypi5_zephyr, ``app/src/data_module.c``, ``sendData``.
"""

from __future__ import annotations

from firmware_bridge.protocols.openview import ECG_AT, OpenViewDecoder, Packet
from firmware_bridge.protocols.scanner import numbers

__all__ = ["Hpi5Decoder"]


class Hpi5Decoder(OpenViewDecoder):
    """One lead, a MAX30001 code of 18 bits times 64. The board knows of electrodes that are off, and does not tell."""

    def __init__(self) -> None:
        super().__init__([Packet(22, numbers(ECG_AT, "<i4"))])
