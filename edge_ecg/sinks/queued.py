"""A sink behind a queue and a thread of its own: however slow it is, nothing else waits for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from edge_ecg.sinks import CountsLosses, GuardedSink, Sink, TakesSamples
from edge_ecg.stats import DelayHistogram
from edge_ecg.types import Classified, Event, SampleBlock, StreamInfo

__all__ = ["QueuedSink"]

MOST_EVENTS = 20_000
MOST_BLOCKS = 2_000
"""At 40 ms a block 80 s of signal: 1 MB of two leads at 500 Hz."""
TICK_S = 1.0
BLOCKS_EVERY_S = 0.2
"""Blocks wait for each other so long: to wake a thread for each costs more than what most sinks do with it."""


class QueuedSink:
    """Hands events and blocks to a sink in order, in the sink's own thread. What the queue cannot hold is dropped.

    A full queue drops what is new: what a slow sink has is then a whole piece, and its end tells what is missing.
    Whatever a sink raises is its own failure; of an error that is no `OSError`, which is a bug of the sink, it is left
    alone from then on.

    Parameters
    ----------
    name
        What the sink is called in events, counters and the name of its thread.
    sink
        All its methods are called in one thread.
    most_events, most_blocks
        How many may wait.
    on_failure, on_recovery
        Called in the sink's thread with this object, when the sink begins to lose what it gets, and when it takes it
        again.
    clock
        The host's monotonic clock, s.

    Attributes
    ----------
    delays
        Of beats, from R until the sink had taken it.
    n_dropped, n_blocks_dropped
        Events and blocks that the sink did not get or could not take.
    failure
        The last error, as text; None while all is well.
    """

    lasting: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        sink: Sink,
        *,
        most_events: int = MOST_EVENTS,
        most_blocks: int = MOST_BLOCKS,
        on_failure: Callable[[QueuedSink], None] = lambda sink: None,
        on_recovery: Callable[[QueuedSink], None] = lambda sink: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.sink = sink
        self.delays = DelayHistogram()
        self.failure: str | None = None
        self._most = (most_events, most_blocks)
        self._on_failure, self._on_recovery = on_failure, on_recovery
        self._clock = clock
        self._guard = GuardedSink(sink)
        self._wants_samples = isinstance(sink, TakesSamples)
        self._queue: deque[tuple[Event | SampleBlock, StreamInfo | None, float]] = deque()
        self._n_waiting = [0, 0]
        self._n_refused = [0, 0]
        self._losing = self._dead = self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"edge-ecg {name}", daemon=True)
        self._thread.start()

    @property
    def n_dropped(self) -> int:
        """Events lost to this sink."""
        later = self.sink.n_lost if isinstance(self.sink, CountsLosses) else 0
        return self._n_refused[0] + self._guard.n_dropped + later

    @property
    def n_blocks_dropped(self) -> int:
        """Blocks of samples that found the queue full, or that the sink could not take."""
        return self._n_refused[1] + self._guard.n_blocks_dropped

    @property
    def n_waiting(self) -> int:
        """Events and blocks in the queue."""
        return len(self._queue)

    @property
    def alive(self) -> bool:
        """Whether the sink still gets what comes."""
        return not (self._dead or self._guard.gone)

    def emit(self, event: Event) -> None:
        """Queue an event; never blocks, never raises."""
        self._put(event, None, 0)

    def take_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        """Queue a block, for a sink that wants it."""
        if self._wants_samples:
            self._put(block, stream, 1)

    def close(self, timeout_s: float = 1.0) -> None:
        """Let the sink take what waits and finish; it is left behind, with what waits, when that takes too long."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            with self._changed:
                left, self._n_waiting = self._n_waiting, [0, 0]
                self._queue.clear()
                self._n_refused = [a + b for a, b in zip(self._n_refused, left, strict=True)]
            self.failure = f"it did not end within {timeout_s:g} s"

    def _put(self, item: Event | SampleBlock, stream: StreamInfo | None, kind: int) -> None:
        with self._changed:
            if self._n_waiting[kind] >= self._most[kind] or not self.alive or self._closing:
                self._n_refused[kind] += 1
                return
            self._n_waiting[kind] += 1
            self._queue.append((item, stream, self._clock()))
            if kind == 0:
                self._changed.notify()

    def _work(self) -> None:
        ticked_s = self._clock()
        while True:
            with self._changed:
                if not self._queue and not self._closing:
                    wait_s = ticked_s + TICK_S - self._clock()
                    self._changed.wait(max(0.0, min(wait_s, BLOCKS_EVERY_S) if self._wants_samples else wait_s))
                taken = self._queue.popleft() if self._queue else None
                if taken is None and self._closing:
                    break
                if taken is not None:
                    self._n_waiting[taken[1] is not None] -= 1
            if taken is not None:
                self._guarded(lambda taken=taken: self._hand_on(*taken))  # type: ignore[misc]
            if self._clock() >= ticked_s + TICK_S:
                ticked_s = self._clock()
                if not self._dead:
                    self._guarded(self._guard.tick)
            self._tell()
        self._guarded(self._guard.close)
        self._tell()

    def _hand_on(self, item: Event | SampleBlock, stream: StreamInfo | None, put_s: float) -> None:
        taken = False
        try:
            if self._dead:
                return
            if isinstance(item, SampleBlock):
                assert stream is not None
                self._guard.take_samples(stream, item)
            else:
                self._guard.emit(item)
            taken = True
        finally:
            if not taken:
                self._n_refused[isinstance(item, SampleBlock)] += 1
        if isinstance(item, Classified):
            self.delays.add(item.lag_s + self._clock() - put_s)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BrokenPipeError:
            self.failure = "its reader went away"
        except Exception as error:  # a bug of one sink is not the end of the others
            self._dead = True
            self.failure = f"{type(error).__name__}: {error}"

    def _tell(self) -> None:
        """Say once that the sink begins to lose what it gets, and once that it takes it again."""
        if self._guard.reason is not None and not self._dead:
            self.failure = self._guard.reason
        losing = self._guard.failing or not self.alive
        if losing == self._losing:
            return
        self._losing = losing
        if losing:
            self._on_failure(self)
        else:
            self.failure = self._guard.reason = None
            self._on_recovery(self)
