"""Losses that no counter tells: a board with a clock that was silent, and did not make up for it."""

from __future__ import annotations

__all__ = ["SilenceMeter"]

SHORTEST_S = 0.1
"""Shorter silences are the operating system's."""
MADE_UP = 0.5
"""What comes so much of a silence behind it was late, not lost."""


class SilenceMeter:
    """How many samples are missing behind a silence, by the host's clock.

    A backlog may come in pieces: whether it does is clear `SHORTEST_S` behind the silence, and a loss is told then. It is
    told short by up to what one chunk holds: the samples that the board had ready when it fell silent come, if at all,
    with those behind.

    Parameters
    ----------
    fs_hz
        The board's rate.
    counter_modulo
        Of its counter of samples, which tells losses up to whole turns; None: it has none.
    """

    def __init__(self, fs_hz: float, counter_modulo: int | None) -> None:
        self._fs_hz, self._turn = fs_hz, counter_modulo or 1
        self._last_s: float | None = None
        self._silent_s = self._end_s = 0.0
        self._came = 0

    def lost(self, n_samples: int, n_known: int, host_s: float) -> int:
        """Missing before a chunk of ``n_samples``, beyond the ``n_known`` that its counter tells."""
        last_s, self._last_s = self._last_s, host_s
        if last_s is None:
            return 0
        missing = 0
        if self._silent_s and host_s >= self._end_s + SHORTEST_S:
            missing = self._missing(last_s)
            self._silent_s = 0.0
        if self._silent_s:
            self._came += n_samples + n_known
        elif host_s - last_s >= SHORTEST_S:
            self._silent_s, self._end_s, self._came = host_s - last_s, host_s, n_samples + n_known
        return missing

    def _missing(self, last_s: float) -> int:
        """Of the silence that is over: what the board took until ``last_s``, and has not come by then."""
        missing = (self._silent_s + last_s - self._end_s) * self._fs_hz - self._came
        if missing <= (1.0 - MADE_UP) * self._silent_s * self._fs_hz:
            return 0
        return round(missing / self._turn) * self._turn
