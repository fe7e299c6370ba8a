"""Events to a broker, and what who listens there got of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from typing import Any

from mosquitto import Subscriber, until

from edge_ecg.sinks.mqtt import MqttSink
from edge_ecg.sinks.mqtt_link import Broker, Patience
from edge_ecg.types import (
    Beat,
    Classified,
    EpisodeEvent,
    Event,
    GapEvent,
    LeadOffEvent,
    LinkEvent,
    ModelEvent,
    OutputEvent,
    QualityEvent,
    RhythmEvent,
    StateEvent,
    StreamInfo,
)

__all__ = [
    "EVENTS", "QUICK", "STREAM", "beat", "healthy", "json_of", "needs_mosquitto", "samples", "sink_to", "trouble",
]  # fmt: skip

STREAM = StreamInfo("s1", 250.0, ("I", "II"), start_utc_s=1_000_000_000.0)
QUICK = Patience(answer_s=1.0, first_s=0.05, most_s=0.1, refused_s=0.2)
EVENTS: list[Event] = [
    GapEvent(STREAM, 250, 7, interpolated=True),
    LeadOffEvent(STREAM, 250, off=True),
    QualityEvent(STREAM, 300, 250, noisy=True, quality=0.1, causes=("mains",)),
    RhythmEvent(STREAM, 300, 250, "af_suspected", 0.7),
    EpisodeEvent(STREAM, 300, 250, "v_run", over=False, n_beats=3, length_s=1.2),
    LinkEvent("lost", "no answer", STREAM),
    OutputEvent("recording", "paused", "No space left on device", 1e9),
    StateEvent("streaming", "", 1e9),
    ModelEvent(STREAM, 0, "II", "m1", "ab"),
]


def needs_mosquitto(missing: Callable[[str], None]) -> None:
    if shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        missing("there is no mosquitto: make ci-deps")


def sink_to(port: int, host: str = "127.0.0.1", **options: Any) -> MqttSink:
    login = {name: options.pop(name) for name in ("username", "password", "tls") if name in options}
    return MqttSink(Broker(host, port, "edge-ecg-bed-3", **login), "edge-ecg/bed-3", patience=QUICK, **options)


def beat(n: int, label: str = "N", flags: tuple[str, ...] = (), rr_median_s: float | None = 0.8) -> Classified:
    body = Beat(200 * n, 0.8 * n, 0.8, rr_median_s, 0.9, flags)
    return Classified(STREAM, "II", body, label, ("N", "S", "V"), (0.9, 0.06, 0.04), 0.9, "m1", 0.8, 200 * n + 100)


def json_of(listener: Subscriber, topic: str) -> list[Any]:
    return [json.loads(payload) for payload in listener.of(f"edge-ecg/bed-3/{topic}")]


def samples(listener: Subscriber) -> list[int]:
    """The beats in their order. One that the broker had not yet confirmed when it went comes twice: QoS 1."""
    return list(dict.fromkeys(line["sample"] for line in json_of(listener, "beats")))


def healthy(sink: MqttSink) -> bool:
    try:
        sink.tick()
    except OSError:
        return False
    return True


def trouble(sink: MqttSink) -> str:
    """Why nothing is sent, as soon as that is known."""
    told: list[str] = []

    def failed() -> bool:
        try:
            sink.tick()
        except OSError as error:
            told.append(str(error))
        return bool(told)

    until(failed, "trouble")
    return told[0]
