"""Losses that no counter tells: a board with a clock that was silent, and did not make up for it."""

from __future__ import annotations

__all__ = ["SilenceMeter"]

SHORTEST_S = 0.1
"""Shorter silences are the operating system's."""
MADE_UP = 0.5
"""A chunk that holds so much of the silence before it was late, not lost."""


class SilenceMeter:
    """How many samples are missing between two chunks, by the host's clock.

    Parameters
    ----------
    fs_hz
        The board's rate.
    counter_modulo
        Of its counter of samples, which tells losses up to whole turns; None: it has none.
    """

    def __init__(self, fs_hz: float, counter_modulo: int | None) -> None:
        self._fs_hz, self._modulo = fs_hz, counter_modulo
        self._last_s: float | None = None

    def lost(self, n_samples: int, n_known: int, host_s: float) -> int:
        """Missing before a chunk of ``n_samples``, beyond the ``n_known`` that its counter tells."""
        last_s, self._last_s = self._last_s, host_s
        if last_s is None or host_s - last_s < SHORTEST_S:
            return 0
        expected = (host_s - last_s) * self._fs_hz
        if n_samples + n_known > MADE_UP * expected:
            return 0
        missing = round(expected) - n_samples - n_known
        return missing if self._modulo is None else round(missing / self._modulo) * self._modulo
