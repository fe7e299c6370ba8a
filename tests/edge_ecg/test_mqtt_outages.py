"""What an outage of the broker costs, and that nothing else waits for it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mosquitto import Mosquitto, Subscriber, free_port, until
from mqtt_listener import beat, healthy, json_of, needs_mosquitto, samples, sink_to, trouble

from edge_ecg.sinks.jsonl import as_json
from edge_ecg.sinks.mqtt_link import TlsContext
from edge_ecg.sinks.queued import QueuedSink
from edge_ecg.types import (
    StateEvent,
)


def test_an_outage_costs_what_memory_does_not_hold_and_says_so_once(broker: Mosquitto, listener: Subscriber) -> None:
    with closing(sink_to(broker.port, most_waiting=100)) as sink:
        for n in range(50):
            sink.emit(beat(n))
        until(lambda: len(samples(listener)) == 50)
        broker.stop()
        until(lambda: not healthy(sink))
        for n in range(50, 350):
            sink.emit(beat(n))
        broker.start()
        until(lambda: healthy(sink))
        sink.emit(beat(350))
        until(lambda: samples(listener)[-1:] == [200 * 350], "the last beat")
        lost = 301 - (len(samples(listener)) - 50)
        assert 200 <= lost <= 220, "a hundred wait, less the tenth that goes at once"
        assert samples(listener) == [200 * n for n in (*range(50), *range(50 + lost, 351))]
        told = json_of(listener, "gap")
        first, last = as_json(beat(50))["utc"], as_json(beat(49 + lost))["utc"]
        assert [(gap["messages"], gap["beats"], gap["from_utc"], gap["to_utc"]) for gap in told] == [
            (lost, lost, first, last)
        ]
        assert sink.n_lost == lost
        order = [
            json.loads(payload).get("sample") for topic, payload, _ in listener.got if topic[14:] in ("/beats", "/gap")
        ]
        assert order[order.index(None) + 1] == 200 * (50 + lost), "the gap stands where the beats are missing"


def test_a_short_outage_costs_nothing(broker: Mosquitto, listener: Subscriber) -> None:
    with closing(sink_to(broker.port)) as sink:
        sink.emit(beat(0))
        until(lambda: samples(listener))
        broker.stop()
        until(lambda: not healthy(sink))
        for n in range(1, 200):
            sink.emit(beat(n))
        broker.start()
        until(lambda: len(samples(listener)) >= 200)
        assert samples(listener) == [200 * n for n in range(200)]
        assert not json_of(listener, "gap")


def test_what_was_under_way_when_the_broker_died_comes_again(broker: Mosquitto, listener: Subscriber) -> None:
    with closing(sink_to(broker.port)) as sink:
        sink.emit(beat(0))
        until(lambda: samples(listener))
        broker.pause(on=True)
        for n in range(1, 11):
            sink.emit(beat(n))
        until(lambda: not sink._outbox._history, "all to be under way")
        broker.stop(at_once=True)
        broker.start()
        until(lambda: len(samples(listener)) == 11)
        assert samples(listener) == [200 * n for n in range(11)]


def test_a_broker_that_forgot_everything_is_told_the_state_again(broker: Mosquitto) -> None:
    with closing(sink_to(broker.port)) as sink:
        sink.emit(StateEvent("streaming", "", 1e9))
        until(lambda: broker.log().count("edge-ecg-bed-3"))
        broker.stop()
        broker.forget()
        until(lambda: not healthy(sink))
        broker.start()
        with closing(Subscriber(broker.port)) as late:
            until(lambda: late.of("edge-ecg/bed-3/status") == [b"online"])
            until(lambda: [line["state"] for line in json_of(late, "state")] == ["streaming"])


def test_a_start_without_a_broker_is_told_once_and_made_good(tmp_path: Path, missing: Callable[[str], None]) -> None:
    needs_mosquitto(missing)
    broker = Mosquitto(tmp_path)
    told: list[str | None] = []
    queued = QueuedSink(
        "mqtt",
        sink_to(broker.port),
        on_failure=lambda q: told.append(q.failure),
        on_recovery=lambda q: told.append("back"),
    )
    with closing(queued):
        queued.emit(beat(0))
        until(lambda: told)
        for n in range(1, 20):
            queued.emit(beat(n))
        until(lambda: not queued.n_waiting)
        assert told == [f"127.0.0.1:{broker.port}: Connection refused"]
        with broker, closing(Subscriber(broker.port)) as listener:
            until(lambda: len(told) == 2, "back")
            queued.emit(beat(20))
            until(lambda: 4000 in samples(listener))
            queued.close()
    assert told[1:] == ["back"]
    assert queued.n_dropped == 0
    assert samples(listener) == sorted(samples(listener))


def test_losses_are_counted_by_the_queue_in_front() -> None:
    sink = sink_to(free_port(), most_waiting=10)
    queued = QueuedSink("mqtt", sink)
    for n in range(100):
        queued.emit(beat(n))
    until(lambda: not queued.n_waiting and queued.n_dropped >= 90)
    queued.close()
    assert queued.n_dropped == sink.n_lost == 90


class Mute:
    """Accepts connections, and never says a word."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                self.held.append(self._server.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()
        for one in self.held:
            one.close()


@pytest.mark.parametrize("tls", [False, True])
def test_a_broker_that_never_answers_holds_up_nobody(tls: bool) -> None:
    with closing(Mute()) as mute:
        sink = sink_to(mute.port, tls=TlsContext() if tls else None)
        until(lambda: mute.held)
        for n in range(5000):
            sink.emit(beat(n))
        assert trouble(sink).startswith(f"127.0.0.1:{mute.port}: ")
        n_before = len(mute.held)
        until(lambda: len(mute.held) > n_before, "another attempt")
        sink.close()
    until(lambda: not any(thread.name == "edge-ecg mqtt link" for thread in threading.enumerate()))


def test_a_broker_that_falls_silent_does_not_hold_up_the_end(broker: Mosquitto, listener: Subscriber) -> None:
    sink = sink_to(broker.port)
    until(lambda: listener.of("edge-ecg/bed-3/status") == [b"online"])
    broker.pause(on=True)
    for n in range(100):
        sink.emit(beat(n))
    sink.close()
    assert not any(thread.name == "edge-ecg mqtt link" for thread in threading.enumerate())
    broker.pause(on=False)
    # The connection ended without a good-bye, so that the broker tells it.
    until(lambda: listener.of("edge-ecg/bed-3/status")[-1:] == [b"offline"])
