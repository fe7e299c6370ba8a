"""ProtoCentral HealthyPi 5 with packets of eight samples, as OpenView 2 and later read them.

Source: protocentral_healthypi5_zephyr, ``app/src/data_module.c``; protocentral_openview,
``lib/boards/decoders/healthypi_decoders.dart``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocols.openview import ECG_AT, OpenViewDecoder, Packet
from firmware_bridge.protocols.scanner import numbers

__all__ = ["Hpi5bDecoder"]

SAMPLES = 8
_ecg = numbers(ECG_AT, "<i4", SAMPLES)


def _one_lead(frames: NDArray[np.uint8]) -> NDArray[np.int32]:
    return _ecg(frames).reshape(-1, 1)


class Hpi5bDecoder(OpenViewDecoder):
    """One lead, eight samples a packet, scaled as those of `hpi5`. The PPG packets between are no ECG."""

    def __init__(self) -> None:
        super().__init__([Packet(50, _one_lead, kind=3), Packet(19, None, kind=4)])
