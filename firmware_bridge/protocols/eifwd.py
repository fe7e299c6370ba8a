"""Lines for the Edge Impulse data forwarder: numbers, divided by commas, tabs or spaces.

Source: edge-impulse-cli, ``README-data-forwarder.md`` and ``cli/data-forwarder.ts``. Departures: the first line is
only left out when its columns differ from those of the next ones; a line ``ERR...`` is told, the stream goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from firmware_bridge.protocols.lines import LineDecoder

__all__ = ["EifwdDecoder"]


class EifwdDecoder(LineDecoder):
    """Numbers with or without fractions, in units that nobody tells.

    Parameters
    ----------
    columns
        Which columns are leads, counted from 0: ``(1,)`` for lines of ``timestamp,measurement``. None: all.
    """

    def __init__(self, columns: Sequence[int] | None = None) -> None:
        super().__init__(np.float64, columns=columns)
