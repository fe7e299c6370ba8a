"""Olimex SHIELD-EKG-EMG: the packet of the ModularEEG, version 2.

Source: logston/olimex-ekg-emg, ``sketches/ShieldEkgEmg.ino``. For a second after a reset that sketch sends frames
without samples, the counter at 0 and the switches at 2: they are a mark, neither samples nor a loss.
"""

from __future__ import annotations

from firmware_bridge.protocols.frames import FrameDecoder
from firmware_bridge.protocols.scanner import Byte, Counter, Layout, exactly, numbers

__all__ = ["OlimexDecoder"]

N_LEADS = 6
RESET = 0x02
# Two sync bytes and the version let torn frames through, so the upper six bits of each 10-bit sample count too.
_TEN_BITS = tuple(Byte(offset, 0x00, mask=0xFC) for offset in range(4, 4 + 2 * N_LEADS, 2))


class OlimexDecoder(FrameDecoder):
    """Six channels of 10 bits; a shield uses as many as are stacked."""

    def __init__(self) -> None:
        layout = Layout(
            length=17,
            head_bytes=3,
            pattern=exactly(0, b"\xa5\x5a\x02") + _TEN_BITS,
            counts=numbers(4, ">u2", N_LEADS),
            counter=Counter(3, may_rest=True),
            is_reset=lambda frames: (frames[:, 16] == RESET) & (frames[:, 3] == 0),
        )
        super().__init__([[layout]])
