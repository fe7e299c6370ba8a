"""How far the samples of a stream have come apart from the wall clock: no board's rate is quite what it says."""

from __future__ import annotations

import math

from edge_ecg.types import SampleBlock, StreamInfo

__all__ = ["Drift"]

LARGEST_S = 5.0
"""Of what a stream lives with."""
LEAST_LASTED_S = 3600.0
"""A stream lasts so long at least, however wrong its rate: what labels it learns anew in each."""
WINDOW_S = 60.0


class Drift:
    """Compares when blocks came with the times of their samples.

    A block that was held up comes late, none comes before it was taken: of each minute only the one counts that came
    soonest.

    Parameters
    ----------
    stream
        Of a board that keeps the time of life; of a faster one nothing is told.
    """

    def __init__(self, stream: StreamInfo) -> None:
        self._stream = stream
        self._begun_s: float | None = None
        self._until_s = 0.0
        self._least_s = math.inf

    def feed(self, block: SampleBlock, wall_ahead_s: float) -> float | None:
        """How far the samples are behind the wall clock, s, once it is too far; below 0 they are ahead of it.

        Parameters
        ----------
        block
            The next of the stream.
        wall_ahead_s
            Wall clock (seconds since 1970 UTC) less the host's monotonic one.
        """
        utc_s = self._stream.utc_s(block.first_index + len(block.samples_mv))
        if utc_s is None or block.host_s is None or self._stream.time_scale != 1.0:
            return None
        if self._begun_s is None:
            self._begun_s, self._until_s = block.host_s, block.host_s + WINDOW_S
        told = None
        if block.host_s >= self._until_s:
            if abs(self._least_s) > LARGEST_S and block.host_s >= self._begun_s + LEAST_LASTED_S:
                told = self._least_s
            self._until_s, self._least_s = block.host_s + WINDOW_S, math.inf
        self._least_s = min(self._least_s, block.host_s + wall_ahead_s - utc_s - self._stream.board_delay_s)
        return told
