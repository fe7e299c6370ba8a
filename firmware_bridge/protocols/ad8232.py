"""SparkFun AD8232 on an Arduino: a number a line, or ``!`` while an electrode is off.

Source: sparkfun/AD8232_Heart_Rate_Monitor, ``Heart_Rate_Display_Arduino.ino``. The speed
of the line sets the rate of samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from firmware_bridge.protocols.lines import LineDecoder

__all__ = ["Ad8232Decoder"]


class Ad8232Decoder(LineDecoder):
    """Whole numbers of any ADC (an ESP32's have 12 bits); labels and more columns are taken too.

    Parameters
    ----------
    columns
        Which columns are leads, counted from 0. None: all that are whole numbers.
    """

    def __init__(self, columns: Sequence[int] | None = None) -> None:
        super().__init__(np.int32, off_mark="!", columns=columns)
