"""OpenBCI Cyton, as its USB dongle sends it.

Sources: OpenBCI_Cyton_Library, ``OpenBCI_32bit_Library.cpp``; brainflow, ``openbci/cyton.cpp``. Departure from
brainflow: behind a damaged frame the search goes on at its second byte, not 33 bytes later.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.protocols.frames import FrameDecoder
from firmware_bridge.protocols.scanner import Byte, Counter, Layout

__all__ = ["CytonDecoder"]

N_LEADS = 8
FROM_DONGLE, FROM_BOARD = 0xA0, 0x41
LAST_FOOTER = 0xC6  # C0 to C6 say what the six auxiliary bytes are


def _codes(frames: NDArray[np.uint8]) -> NDArray[np.int32]:
    # The three bytes go to the top of an int32, so the shift back extends the sign.
    wide = np.zeros((len(frames), N_LEADS, 4), np.uint8)
    wide[:, :, :3] = frames[:, 2:26].reshape(-1, N_LEADS, 3)
    return (wide.view(">i4")[:, :, 0] >> 8).astype(np.int32)


class CytonDecoder(FrameDecoder):
    """Eight leads of 24 bits.

    Parameters
    ----------
    direct
        Whether the bytes come from the board's own UART, which begins its frames with another byte.
    """

    def __init__(self, direct: bool = False) -> None:
        begin = FROM_BOARD if direct else FROM_DONGLE
        layout = Layout(
            length=33,
            head_bytes=1,
            pattern=(Byte(0, begin), Byte(32, 0xC0, mask=0xF8)),
            counts=_codes,
            fits=lambda frames: frames[:, 32] <= LAST_FOOTER,
            counter=Counter(1),
        )
        super().__init__([[layout]])
