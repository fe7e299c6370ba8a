"""Outputs behind queues: one that is slow, full, broken or hangs takes nothing from the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
from pipelines import STREAM

from edge_ecg.sinks.fan import Fan
from edge_ecg.sinks.queued import QueuedSink
from edge_ecg.types import Event, LeadOffEvent, ModelEvent, SampleBlock, StateEvent, StreamInfo


def states(n: int) -> list[Event]:
    return [StateEvent("streaming", str(i), 0.0) for i in range(n)]


def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never came")


class Kept:
    """Keeps what it gets, in the order of coming."""

    lasting: ClassVar[bool] = True

    def __init__(self) -> None:
        self.got: list[object] = []
        self.threads: set[str] = set()
        self.ticks = 0
        self.closed = False

    def emit(self, event: Event) -> None:
        self.got.append(event)
        self.threads.add(threading.current_thread().name)

    def take_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        self.got.append(block)
        self.threads.add(threading.current_thread().name)

    def tick(self) -> None:
        self.ticks += 1

    def close(self) -> None:
        self.closed = True


class Held(Kept):
    """Takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def emit(self, event: Event) -> None:
        self.go.wait(20.0)
        super().emit(event)


class Failing(Kept):
    """Raises while it is told to."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error

    def emit(self, event: Event) -> None:
        if self.error is not None:
            raise self.error
        super().emit(event)


def test_events_and_blocks_come_in_order_in_one_thread_and_all_before_the_end() -> None:
    kept = Kept()
    queued = QueuedSink("kept", kept)
    block = SampleBlock(np.zeros((4, 2), np.float32), 0)
    events = states(3)
    queued.emit(events[0])
    queued.take_samples(STREAM, block)
    for event in events[1:]:
        queued.emit(event)
    queued.close()
    assert kept.got == [events[0], block, *events[1:]]
    assert kept.threads == {"edge-ecg kept"}
    assert kept.closed


def test_a_sink_that_hangs_takes_nothing_from_the_others_and_its_losses_are_counted() -> None:
    held, kept = Held(), Kept()
    fan = Fan()
    fan.put("held", QueuedSink("held", held, most_events=10))
    fan.put("kept", QueuedSink("kept", kept))
    for event in states(100):
        fan.emit(event)
    until(lambda: len(kept.got) == 100)
    sinks = fan.sinks
    # One is in its hands, ten wait: the others were dropped.
    assert sinks["held"].n_dropped in (89, 90)
    assert sinks["kept"].n_dropped == 0
    held.go.set()
    fan.close()
    assert len(held.got) + sinks["held"].n_dropped == 100
    assert [event.detail for event in held.got] == [str(i) for i in range(len(held.got))]  # a whole piece


def test_a_sink_that_hangs_for_ever_does_not_hold_up_the_end() -> None:
    held = Held()
    queued = QueuedSink("held", held)
    queued.emit(states(1)[0])
    queued.close(timeout_s=0.05)  # comes back at all
    held.go.set()
    until(lambda: held.closed)


def test_a_full_disk_is_told_once_and_its_end_too() -> None:
    told: list[tuple[str, str | None]] = []
    failing = Failing(OSError(28, "No space left on device"))
    queued = QueuedSink(
        "disk",
        failing,
        on_failure=lambda s: told.append(("paused", s.failure)),
        on_recovery=lambda s: told.append(("back", s.failure)),
    )
    for event in states(20):
        queued.emit(event)
    until(lambda: queued.n_waiting == 0 and bool(told))
    assert told == [("paused", "No space left on device")]
    n_lost = queued.n_dropped
    assert n_lost > 0
    failing.error = None
    for event in states(200):
        queued.emit(event)
    until(lambda: len(told) == 2)
    queued.close()
    assert told[1] == ("back", None)
    assert len(failing.got) + queued.n_dropped == 220


def test_a_bug_of_a_sink_ends_that_sink_alone() -> None:
    told: list[str | None] = []
    queued = QueuedSink("buggy", Failing(ZeroDivisionError("oh")), on_failure=lambda s: told.append(s.failure))
    kept = Kept()
    fan = Fan()
    fan.put("buggy", queued)
    fan.put("kept", QueuedSink("kept", kept))
    for event in states(5):
        fan.emit(event)
    until(lambda: len(kept.got) == 5 and bool(told))
    assert told == ["ZeroDivisionError: oh"]
    assert not queued.alive
    fan.emit(states(1)[0])
    fan.close()
    assert queued.n_dropped == 6


def test_a_full_queue_of_blocks_leaves_the_events_alone() -> None:
    held = Held()
    queued = QueuedSink("held", held, most_blocks=5)
    queued.emit(states(1)[0])
    for i in range(50):
        queued.take_samples(STREAM, SampleBlock(np.zeros((4, 2), np.float32), 4 * i))
    queued.emit(states(1)[0])
    held.go.set()
    queued.close()
    blocks = [item for item in held.got if isinstance(item, SampleBlock)]
    assert len(blocks) == 5
    assert queued.n_blocks_dropped == 45
    assert queued.n_dropped == 0
    assert len(held.got) == 7


class Troubled(Kept):
    """Takes nothing, and says so in each way."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def emit(self, event: Event) -> None:
        raise self.error

    take_samples = tick = emit  # type: ignore[assignment]


def test_blocks_that_a_full_disk_refuses_are_counted_and_events_are_offered_with_them() -> None:
    queued = QueuedSink("disk", sink := Troubled(OSError(28, "No space left on device")))
    sink.take_samples = lambda stream, block: sink.emit(None)  # type: ignore[method-assign]
    for i in range(10):
        queued.take_samples(STREAM, SampleBlock(np.zeros((4, 2), np.float32), 4 * i))
    for event in states(5):
        queued.emit(event)
    queued.close()
    assert (queued.n_dropped, queued.n_blocks_dropped) == (5, 10)


def test_the_last_error_is_the_one_that_is_shown() -> None:
    failing = Failing(OSError(111, "Connection refused"))
    queued = QueuedSink("broker", failing)
    queued.emit(states(1)[0])
    until(lambda: queued.failure == "Connection refused")
    failing.error = OSError(13, "Not authorised")
    for event in states(5):
        queued.emit(event)
    until(lambda: queued.failure == "Not authorised")
    queued.close()


def test_a_bug_is_called_no_more_and_costs_no_event_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_ecg.sinks.queued.TICK_S", 0.01)

    class Ticking(Kept):
        def tick(self) -> None:
            super().tick()
            raise ZeroDivisionError

    sink, told = Ticking(), []
    queued = QueuedSink("buggy", sink, on_failure=told.append)
    until(lambda: bool(told))
    time.sleep(0.05)
    queued.close()
    assert sink.ticks == 1
    assert queued.n_dropped == 0


def test_what_waits_at_the_end_is_counted_and_told() -> None:
    held = Held()
    queued = QueuedSink("held", held)
    for event in states(10):
        queued.emit(event)
    until(lambda: queued.n_waiting == 9)
    queued.close(timeout_s=0.05)
    assert queued.n_dropped == 9
    assert "did not end" in str(queued.failure)
    held.go.set()
    until(lambda: held.closed)


def test_an_error_at_the_end_is_told() -> None:
    class Unclosed(Kept):
        def close(self) -> None:
            raise OSError(5, "Input/output error")

    told: list[str | None] = []
    queued = QueuedSink("disk", Unclosed(), on_failure=lambda s: told.append(s.failure))
    queued.close()
    assert told == ["Input/output error"]


def test_an_output_that_comes_behind_the_end_is_closed() -> None:
    fan, kept = Fan(), Kept()
    fan.close()
    fan.put("late", QueuedSink("late", kept))
    until(lambda: kept.closed)


def test_a_sink_ticks_when_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_ecg.sinks.queued.TICK_S", 0.02)
    kept = Kept()
    queued = QueuedSink("kept", kept)
    until(lambda: kept.ticks >= 3)
    queued.close()


def test_an_output_that_comes_later_hears_how_things_are() -> None:
    model = ModelEvent(STREAM, 0, "MLII", "rhythm", "0")
    old, off, on = LeadOffEvent(STREAM, 1, True), LeadOffEvent(STREAM, 2, True), LeadOffEvent(STREAM, 3, False)
    fan = Fan()
    for event in (old, model, off, on, StateEvent("streaming", "", 0.0)):
        fan.emit(event)
    kept = Kept()
    fan.put("late", QueuedSink("late", kept))
    fan.close()
    assert set(kept.got) == {model, on, StateEvent("streaming", "", 0.0)}
