"""What the pages are told: the state of the view, the signal and the beats, as messages of a few a second."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from edge_ecg.health import Health
from edge_ecg.live import LiveBeat, LiveView
from edge_ecg.types import Classified, Event, SampleBlock, StateEvent, StreamInfo
from edge_ecg.web.metrics import metrics_text
from edge_ecg.web.strip import Strip

__all__ = ["BATCH_S", "Desk"]

BATCH_S = 0.15
"""What comes within this time is one message."""
STATE_S = 1.0


class Desk:
    """Takes events and blocks in one thread, tells what to show in any.

    A message that tells of a piece of the signal or of a beat twice does no harm: pages put both where their sample
    number says.

    Parameters
    ----------
    health
        As of `edge_ecg.web.server.open_web`.
    clock, utc
        The host's monotonic clock and its wall clock, s.
    """

    def __init__(
        self,
        health: Callable[[], Health],
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._health = health
        self._clock, self._utc = clock, utc
        self._lock = threading.Lock()
        self._view = LiveView()
        self._strip = Strip()
        self._beats: list[LiveBeat] = []
        self._told_stream: str | None = None
        self._message_s = self._state_s = clock()
        self._is_news = False

    def take_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        """Take one block."""
        with self._lock:
            self._view.take_samples(stream, block)
            self._strip.take(stream, block)

    def emit(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            self._view.emit(event)
            if isinstance(event, Classified):
                self._beats.append(self._view.beats[-1])
            else:
                self._is_news = True
            if isinstance(event, StateEvent):
                self._message_s = float("-inf")  # such as: stopping

    def is_due(self) -> bool:
        """Whether it is time for the next message."""
        return self._clock() >= self._message_s + BATCH_S

    def message(self) -> bytes:
        """What is new since the last message; of a stream that has begun, all."""
        with self._lock:
            now_s = self._clock()
            self._message_s = now_s
            if self._stream() != self._told_stream:
                self._told_stream, self._state_s, self._is_news = self._stream(), now_s, False
                self._beats.clear()
                return self._all()
            told: dict[str, Any] = {}
            if signal := self._strip.new():
                told["signal"] = signal
            if self._beats:
                told["beats"] = [beat.as_list() for beat in self._beats]
                self._beats.clear()
            if self._is_news or now_s >= self._state_s + STATE_S:
                self._state_s, self._is_news = now_s, False
                told["state"] = self._state()
            return _event(told) if told else b""

    def forget_new(self) -> None:
        """Nobody looks: who comes is told all."""
        with self._lock:
            self._message_s = self._clock()
            self._told_stream = self._stream()
            self._strip.forget_new()
            self._beats.clear()

    def hello(self) -> bytes:
        """All that a new page draws."""
        with self._lock:
            return self._all()

    def state(self) -> dict[str, Any]:
        """The figures, as `/state` gives them."""
        with self._lock:
            return self._state()

    def metrics(self, n_viewers: int) -> str:
        """The figures for Prometheus."""
        with self._lock:
            return metrics_text(self._health(), self._view, n_viewers, self._utc())

    def _stream(self) -> str | None:
        return None if self._view.stream is None else self._view.stream.stream

    def _state(self) -> dict[str, Any]:
        return self._view.as_dict(self._health(), self._utc())

    def _all(self) -> bytes:
        beats = [beat.as_list() for beat in self._view.beats]
        return _event({"begin": True, "state": self._state(), "beats": beats, "signal": self._strip.kept()})


def _event(told: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(told, separators=(",", ":"), allow_nan=False).encode() + b"\n\n"
