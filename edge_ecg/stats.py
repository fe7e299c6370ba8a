"""Counters of a run: bounded, however long it lasts."""

from __future__ import annotations

from collections import Counter

import numpy as np

from edge_ecg.types import Classified, Event, GapEvent

__all__ = ["DelayHistogram", "RunStats"]

_BIN_S = 0.001
_N_BINS = 20_000


class DelayHistogram:
    """Delays in bins of 1 ms up to 20 s; what is longer counts as 20 s."""

    def __init__(self) -> None:
        self._counts = np.zeros(_N_BINS, dtype=np.int64)

    def add(self, delay_s: float) -> None:
        """Count one delay, in s."""
        self._counts[min(_N_BINS - 1, max(0, int(delay_s / _BIN_S)))] += 1

    def percentile_s(self, percent: float) -> float | None:
        """The delay that ``percent`` of all stay below, s, to 1 ms; None when there is none."""
        total = int(self._counts.sum())
        if not total:
            return None
        at = int(np.searchsorted(np.cumsum(self._counts), percent / 100.0 * total))
        return (min(at, _N_BINS - 1) + 1) * _BIN_S


class RunStats:
    """What went by in a run."""

    def __init__(self) -> None:
        self.labels: Counter[str] = Counter()
        self.n_rejected = 0
        self.n_gaps = 0
        self.n_samples_lost = 0
        self.n_samples = 0
        self.processing_s = 0.0
        self.delays = DelayHistogram()

    @property
    def n_beats(self) -> int:
        """Beats labelled."""
        return sum(self.labels.values())

    def count(self, event: Event) -> None:
        """Count one event."""
        match event:
            case Classified():
                self.labels[event.label] += 1
                self.n_rejected += "reject" in event.beat.flags
                self.delays.add(event.lag_s)
            case GapEvent():
                self.n_gaps += 1
                self.n_samples_lost += event.n_lost
            case _:
                pass
