"""BITalino (r)evolution: packed bits, a counter of four bits and a checksum of four bits, no sync byte.

Sources: firmware-bitalino-revolution, ``live.c`` and ``main.c``; revolution-python-api, ``bitalino.py``. Departures
from the Python API: one wrong checksum is a loss of one frame, not the end; the six bits of A5 and A6 stand
where they are in the ten of the others, so that one count means the same on all channels.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocols.frames import FrameDecoder, variants_by_channels
from firmware_bridge.protocols.scanner import Byte, Counter, Layout

__all__ = ["BitalinoDecoder"]

LENGTHS = {1: 3, 2: 4, 3: 6, 4: 7, 5: 8, 6: 8}
"""Channels -> bytes of a frame."""

_CRC = np.array([0, 3, 6, 5, 12, 15, 10, 9, 11, 8, 13, 14, 7, 4, 1, 2], np.uint8)  # x^4 + x + 1, a nibble a step


def _crc_fits(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Run the checksum over all nibbles, its own taken as 0."""
    high, low = frames >> 4, frames & 0x0F
    crc = high[:, 0]
    for column in range(1, frames.shape[1]):
        crc = _CRC[_CRC[crc] ^ low[:, column - 1]] ^ high[:, column]
    fits: NDArray[np.bool_] = _CRC[crc] == low[:, -1]
    return fits


def _codes(frames: NDArray[np.uint8], n_channels: int) -> NDArray[np.int32]:
    """Channels fill a frame from its end: ``A1`` below the digital lines, then the others towards its begin."""
    b = frames.astype(np.int32).T[::-1]
    channels = [(b[1] & 0x0F) << 6 | b[2] >> 2]
    if n_channels > 1:
        channels.append((b[2] & 0x03) << 8 | b[3])
    if n_channels > 2:
        channels.append(b[4] << 2 | b[5] >> 6)
    if n_channels > 3:
        channels.append((b[5] & 0x3F) << 4 | b[6] >> 4)
    if n_channels > 4:
        channels.append(((b[6] & 0x0F) << 2 | b[7] >> 6) << 4)
    if n_channels > 5:
        channels.append((b[7] & 0x3F) << 4)
    return np.stack(channels, axis=1)


def _layout(n_channels: int) -> Layout:
    length = LENGTHS[n_channels]
    return Layout(
        length=length,
        head_bytes=0,
        pattern=(),
        counts=partial(_codes, n_channels=n_channels),
        fits=_crc_fits,
        counter=Counter(length - 1, modulo=16, shift=4),
        links=3,  # checksum and counter together let one wrong frame in 256 pass
        # Frames of five and six channels are equally long; without a sixth its bits are 0.
        telling=(Byte(0, 0x00, mask=0x3F),) if n_channels == 5 else (),
    )


class BitalinoDecoder(FrameDecoder):
    """Up to four channels of 10 bits, then two of 6 bits.

    Parameters
    ----------
    n_channels
        1 to 6; None: the bytes tell, but for a sixth channel that reads 0, which is then left out.
    """

    def __init__(self, n_channels: int | None = None) -> None:
        super().__init__(variants_by_channels(_layout, n_channels, max(LENGTHS)))
