"""The daemon's recording: signal and labels as WFDB records, one folder a day (docs/recording.md)."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from edge_ecg import __version__
from edge_ecg.errors import ConfigError
from edge_ecg.settings import RecordingSettings
from edge_ecg.sinks.marks import Mark, Standing, mark_of
from edge_ecg.sinks.scale import Scale
from edge_ecg.sinks.shelf import Shelf
from edge_ecg.sinks.take import Beginning, Take
from edge_ecg.types import LAST_UTC_S, Event, LinkEvent, ModelEvent, SampleBlock, StreamInfo

__all__ = ["RecordingSink", "open_recording"]

LONGEST_FILL_S = 60.0
"""So many lost samples become invalid ones; more end the record."""
LATE_S = 30.0
"""So long after its end a record takes beats that became known late."""
RETRY_S = 10.0
"""How often a disk without room is looked at again."""
_MEND = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}


def open_recording(settings: RecordingSettings) -> RecordingSink:
    """The sink of these settings. A disk that is full or read-only is no error: recording waits for room.

    Raises
    ------
    ConfigError
        No folder is named, or it is not for us to write to.
    """
    if settings.folder is None:
        raise ConfigError("recording.folder is not set", "Name the directory of the recordings")
    folder = Path(os.path.expanduser(settings.folder))
    shelf = Shelf(folder, settings.max_gb, settings.min_free_gb)
    try:
        shelf.check_again()
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno in _MEND:
            why = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"recording.folder {folder} cannot be written: {why}", "Name a directory that is yours"
            ) from None
    return RecordingSink(settings, shelf)


class RecordingSink:
    """Writes blocks and events as they come: what was taken is with the system, and on the disk after each sync.

    Parameters
    ----------
    settings
        Of the section ``recording``.
    shelf
        The folder.
    clock
        The host's monotonic clock, s.
    wall_clock
        Seconds since 1970 UTC: when a stream begins that does not know.

    Attributes
    ----------
    n_lost
        Beats and notes that stand in no record, since the signal about them did not come.
    """

    lasting: ClassVar[bool] = True

    def __init__(
        self,
        settings: RecordingSettings,
        shelf: Shelf,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._shelf = settings, shelf
        self._clock, self._wall_clock = clock, wall_clock
        self._stream: StreamInfo | None = None
        self._model: ModelEvent | None = None
        self._standing = Standing()
        self._take: Take | None = None
        self._previous: Take | None = None
        self._better: Scale | None = None
        self._failure: OSError | None = None
        self._retry_s = 0.0
        self._synced_s = clock()
        self._is_mended = False
        self.n_lost = 0

    def take_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        """Append a block.

        Raises
        ------
        OSError
            It is lost: no room, or recording waits for room.
        """
        with self._pausing():
            self._go_on()
            self._follow(stream)
            self._append(stream, block)

    def emit(self, event: Event) -> None:
        """Write what an event marks. Raises `OSError` as `take_samples` does; what lasts is heard all the same."""
        with self._pausing():
            if isinstance(event, ModelEvent):
                self._follow(event.stream)
                self._model = event
            ours = _is_same(getattr(event, "stream", None), self._stream)
            if ours:
                self._standing.hear(event)
            if self._failure is not None:
                raise _again(self._failure)
            if not ours:
                return
            if isinstance(event, LinkEvent):
                if event.state == "ended":
                    self._finish_all()
            elif (mark := mark_of(event)) is not None:
                self._put(mark)

    def tick(self) -> None:
        """Sync, remove what is too old, look for room. Raises `OSError` as `take_samples` does."""
        with self._pausing():
            self._go_on()
            if self._clock() < self._synced_s + self._settings.sync_every_s:
                return
            self._synced_s = self._clock()
            for take in (self._previous, self._take):
                if take is not None:
                    take.sync()
            if self._take is not None and self._shelf.is_large(self._take.n_bytes):
                self._end_take()
            self._shelf.remove_oldest()
            self._shelf.check_room()

    def close(self) -> None:
        """Finish what is open. Raises `OSError` where it could not be; it reads all the same."""
        self._finish_all()

    # Streams and records

    def _follow(self, stream: StreamInfo) -> None:
        """Indices begin anew with another stream."""
        if _is_same(stream, self._stream):
            return
        self._finish_all()
        self._stream, self._model, self._better, self._standing = stream, None, None, Standing()

    def _append(self, stream: StreamInfo, block: SampleBlock) -> None:
        first, samples_mv = block.first_index, block.samples_mv
        if self._take is not None and first < self._take.next_index:
            samples_mv = samples_mv[self._take.next_index - first :]
            first = self._take.next_index
        while len(samples_mv):
            take = self._take
            if take is not None and not self._reaches(take, first):
                self._end_take()
                take = None
            if take is None:
                take = self._take = self._begin(stream, first)
            piece = samples_mv[: take.end_index - first]
            take.add(piece, watched=not block.lead_off)
            first, samples_mv = first + len(piece), samples_mv[len(piece) :]
            if take.next_index >= take.end_index or take.better is not None:
                self._end_take()
                self._better = take.better
        if self._previous is not None and first > self._previous.next_index + LATE_S * stream.fs_hz:
            previous, self._previous = self._previous, None
            previous.finish()

    def _reaches(self, take: Take, first: int) -> bool:
        """Fill up to sample ``first``; False when too much was lost, or another day has begun meanwhile."""
        n_lost = first - take.next_index
        if n_lost > LONGEST_FILL_S * take.stream.fs_hz or first >= take.end_index:
            return False
        if n_lost:
            take.skip(n_lost)
        return True

    def _begin(self, stream: StreamInfo, first: int) -> Take:
        self._shelf.check_room()
        if not self._is_mended:
            self._is_mended = True
            self._shelf.mend()
        self._shelf.remove_oldest()
        utc_s = stream.utc_s(first)
        knows_time = utc_s is not None and abs(utc_s) < LAST_UTC_S
        start = datetime.fromtimestamp(utc_s if knows_time and utc_s is not None else self._wall_clock(), UTC)
        beginning = Beginning(stream, first, start, knows_time, self._better)
        self._better = None
        take = Take(beginning, lambda at: self._shelf.new_stem(self._settings.subject, at), self._comments(beginning))
        for mark in self._standing.marks():
            take.mark(mark)
        return take

    def _comments(self, beginning: Beginning) -> Callable[[], list[str]]:
        """What a header says, once it is written: the model is known by then."""

        def told() -> list[str]:
            stream, model = beginning.stream, self._model
            lines = [
                f"edge-ecg {__version__}: research use, not a medical device",
                f"subject: {self._settings.subject}",
                f"stream: {stream.stream}",
                f"first sample in the stream: {beginning.first_index}",
                f"amplitudes: {'calibrated' if stream.calibrated else 'arbitrary units'}",
            ]
            if model is not None:
                point = f", {model.operating_point}" if model.operating_point else ""
                lines.append(f"labels: {model.model_id} (sha256 {model.sha256}{point}), lead {model.lead}")
            if not beginning.knows_time:
                lines.append("time: the source knows none; by the recorder's clock when it began")
            if stream.time_scale != 1.0:
                lines.append(f"time: simulated, at {stream.time_scale:g} times the real speed")
            return lines

        return told

    def _put(self, mark: Mark) -> None:
        """Write a mark to the record that its sample belongs to."""
        take, previous = self._take, self._previous
        if previous is not None and mark.sample < previous.next_index:
            if mark.sample >= previous.first_index:
                previous.mark(mark)
            if take is not None and mark.lasts:  # it lasts into the next
                take.mark(mark)
        elif take is not None and (mark.lasts or mark.sample < take.next_index):
            if not (mark.is_beat and mark.sample < take.first_index):
                take.mark(mark)
        elif not mark.lasts and (take is not None or previous is not None):
            self.n_lost += 1  # a queue in front that was full holds more events than blocks

    def _end_take(self) -> None:
        """No more samples for this record; beats that are known late may still come."""
        take, self._take = self._take, None
        previous, self._previous = self._previous, take
        if previous is not None:
            previous.finish()

    def _finish_all(self) -> None:
        self._end_take()
        self._end_take()

    # Room

    @contextlib.contextmanager
    def _pausing(self) -> Iterator[None]:
        """An error ends the records as well as it can be done, and what comes is refused until there is room."""
        try:
            yield
        except OSError as error:
            if self._failure is None:
                self._failure = error
                self._retry_s = self._clock() + RETRY_S
                for take in (self._previous, self._take):
                    if take is not None:
                        with contextlib.suppress(OSError):
                            take.finish()
                self._take = self._previous = None
                self._is_mended = False  # what could not be finished now is, when there is room
            raise

    def _go_on(self) -> None:
        """Refuse, or go on when there is room again."""
        if self._failure is None:
            return
        if self._clock() >= self._retry_s:
            self._retry_s = self._clock() + RETRY_S
            try:
                self._shelf.check_again()
            except OSError as error:
                self._failure = error
            else:
                self._failure = None
                return
        raise _again(self._failure)


def _again(error: OSError) -> OSError:
    return OSError(error.errno, error.strerror or str(error))


def _is_same(stream: StreamInfo | None, other: StreamInfo | None) -> bool:
    return stream is not None and other is not None and stream.stream == other.stream
