"""One record in the making: a stretch of a stream, from its first sample to midnight of UTC at most."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.io import RecordHeader, SignalSpec
from edge_ecg.io.append import RecordAppender
from edge_ecg.sinks.marks import Mark
from edge_ecg.sinks.scale import Scale, ScaleWatch, extremes
from edge_ecg.types import StreamInfo

__all__ = ["Beginning", "Take"]

OPENING_S = 1.0
"""So much signal says how large it is; then the record begins."""
RESCALE_S = 60.0
"""A record lasts at least this before another scale may end it."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a record begins.

    Attributes
    ----------
    stream
        It is part of.
    first_index
        Its first sample, in the stream.
    start
        Wall time of that sample, UTC.
    knows_time
        False when ``start`` is the recorder's own clock.
    scale
        When it is settled already.
    """

    stream: StreamInfo
    first_index: int
    start: datetime
    knows_time: bool = True
    scale: Scale | None = None

    @property
    def end_index(self) -> int:
        """The first sample of the next day."""
        midnight = self.start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        scale = self.stream.time_scale
        rate_hz = self.stream.fs_hz * (scale if 0.0 < scale < math.inf else 1.0)
        return self.first_index + max(1, math.ceil((midnight - self.start).total_seconds() * rate_hz - 1e-3))


class Take:
    """Gathers the first second, then appends to the files.

    Parameters
    ----------
    beginning
        Where it begins.
    stem_of
        Gives the name when the record is opened.
    comments_of
        Gives the header's comments then.

    Attributes
    ----------
    next_index
        The sample of the stream that comes next.
    better
        The scale that the signal needs, once it is not this one's; None: it fits.
    """

    def __init__(
        self, beginning: Beginning, stem_of: Callable[[datetime], Path], comments_of: Callable[[], Sequence[str]]
    ) -> None:
        self.stream = beginning.stream
        self.first_index = self.next_index = beginning.first_index
        self.end_index = beginning.end_index
        self.better: Scale | None = None
        self._beginning = beginning
        self._stem_of, self._comments_of = stem_of, comments_of
        self._scale = beginning.scale
        self._appender: RecordAppender | None = None
        self._early: list[NDArray[np.float32]] = []
        self._marks: list[Mark] = []
        self._watch = ScaleWatch(self.stream.fs_hz, len(self.stream.leads))

    def add(self, samples_mv: NDArray[np.float32], *, watched: bool = True) -> None:
        """Append samples, as many as there are before ``end_index``. ``watched``: electrodes are on.

        Raises
        ------
        OSError
            They could not be written; the record can only be finished.
        """
        self.next_index += len(samples_mv)
        if self._appender is None:
            self._early.append(samples_mv)
            if self._scale is not None or self.next_index - self.first_index >= OPENING_S * self.stream.fs_hz:
                self._open()
            return
        assert self._scale is not None
        counts = self._scale.counts(samples_mv)
        self._appender.append(counts)
        lasted = self.next_index - self.first_index >= RESCALE_S * self.stream.fs_hz
        if watched and (needed := self._watch.feed(samples_mv, counts)) and needed != self._scale and lasted:
            self.better = needed

    def skip(self, n_samples: int) -> None:
        """Samples that were lost: as many invalid ones."""
        self.add(np.full((n_samples, len(self.stream.leads)), np.nan, np.float32), watched=False)

    def mark(self, mark: Mark) -> None:
        """Write an annotation; what lasts may come from before or behind, and stands at its end. Raises `OSError`."""
        if self._appender is None:
            self._marks.append(mark)
            return
        sample = min(max(0, mark.sample - self.first_index), self.next_index - 1 - self.first_index)
        if mark.symbol == '"':
            sample = max(1, sample)  # at 0 it would be a note on the file itself
        self._appender.annotate(sample, mark.symbol, mark.subtype, mark.chan, mark.num, mark.aux)

    @property
    def n_bytes(self) -> int:
        """What its signal takes."""
        return 2 * len(self.stream.leads) * (self.next_index - self.first_index)

    def sync(self) -> None:
        """Bring all to the disk. Raises `OSError`."""
        if self._appender is not None:
            self._appender.sync()

    def finish(self) -> None:
        """Complete the record; what was shorter than a second becomes one, too. Raises `OSError`."""
        if self._appender is None and self._early:
            self._open()
        if self._appender is not None:
            self._appender.finish()

    def _open(self) -> None:
        samples_mv = np.concatenate(self._early)
        self._early.clear()
        if self._scale is None:
            self._scale = Scale.spanning(*extremes(samples_mv))
        start = self._beginning.start
        stem = self._stem_of(start)
        signals = tuple(
            SignalSpec(
                file_name=f"{stem.name}.dat",
                fmt="16",
                gain_per_mv=gain,
                baseline=baseline,
                units="mV" if self.stream.calibrated else "au",
                adc_bits=16,
                description=" ".join(lead.split()),
            )
            for lead, gain, baseline in zip(
                self.stream.leads, self._scale.gains_per_mv, self._scale.baselines, strict=True
            )
        )
        comments = tuple(" ".join(text.split()) for text in self._comments_of())
        header = RecordHeader(
            stem.name, self.stream.fs_hz, None, signals, start.astimezone(UTC).replace(tzinfo=None), comments
        )
        self._appender = RecordAppender(stem, header, self._scale.counts(samples_mv))
        for mark in self._marks:
            self.mark(mark)
        self._marks.clear()
