"""The frame of the ProtoCentral boards: ``0A FA``, length u16, type, payload, ``00 0B``; all little endian.

Sources: the firmware of protocentral-healthypi-v3, protocentral_healthypi_v4, protocentral_healthypi5_zephyr and of
the ADS1292R, ADS1293, MAX30003 and MAX30001 breakouts, as each board's own file names it. The frame has neither
checksum nor counter. Its documents end it with a single ``0B``, the firmware sends ``00 0B``: a stream shows which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocols.frames import FrameDecoder
from firmware_bridge.protocols.scanner import Layout, exactly

__all__ = ["ECG_AT", "OpenViewDecoder", "Packet"]

HEAD = b"\x0a\xfa"
# Footer -> frames in a row that prove it. A frame that lost a byte looks as if it ended with the short one.
FOOTERS = {b"\x00\x0b": 1, b"\x0b": 8}
ECG_AT = 5
"""Where the payload begins, and on every board the ECG with it."""


class Packet:
    """A packet of one type: bytes of payload, and what the frame around it holds (as in `Layout`)."""

    def __init__(
        self,
        payload_bytes: int,
        counts: Callable[[NDArray[np.uint8]], NDArray[np.int32]] | None,
        lead_off: Callable[[NDArray[np.uint8]], NDArray[np.bool_]] | None = None,
        kind: int = 2,
    ) -> None:
        self._header = HEAD + payload_bytes.to_bytes(2, "little") + bytes([kind])
        self._end = len(self._header) + payload_bytes
        self._counts = counts
        self._lead_off = lead_off

    def layout(self, footer: bytes) -> Layout:
        """Return the frame with that footer."""
        return Layout(
            length=self._end + len(footer),
            head_bytes=len(HEAD),
            pattern=exactly(0, self._header) + exactly(self._end, footer),
            counts=self._counts,
            lead_off=self._lead_off,
            proof_links=FOOTERS[footer],
        )


class OpenViewDecoder(FrameDecoder):
    """Decoder of a board that sends these packets."""

    def __init__(self, packets: Sequence[Packet]) -> None:
        super().__init__([[packet.layout(footer) for packet in packets] for footer in FOOTERS])
