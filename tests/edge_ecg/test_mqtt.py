"""Events to a real broker: what arrives, and what the end of it says."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mosquitto import Mosquitto, Subscriber, until
from mqtt_listener import EVENTS, STREAM, beat, json_of, samples, sink_to

from edge_ecg.sinks.jsonl import as_json
from edge_ecg.types import (
    LinkEvent,
    ModelEvent,
    StateEvent,
)


def test_each_beat_arrives_once_and_in_order_as_its_json_line(broker: Mosquitto, listener: Subscriber) -> None:
    beats = [beat(n, "NSV"[n % 3]) for n in range(300)]
    with closing(sink_to(broker.port)) as sink:
        for event in beats:
            sink.emit(event)
        until(lambda: len(listener.of("edge-ecg/bed-3/beats")) >= 300, "the beats")
    assert json_of(listener, "beats") == [as_json(event) for event in beats]


def test_each_event_has_a_topic_of_its_type(broker: Mosquitto, listener: Subscriber) -> None:
    with closing(sink_to(broker.port)) as sink:
        for event in EVENTS:
            sink.emit(event)
    for event in EVENTS:
        line = as_json(event)
        until(lambda line=line: json_of(listener, f"events/{line['type']}") == [line], line["type"])  # type: ignore[misc]


def test_who_comes_late_finds_the_state_and_no_old_beat(broker: Mosquitto, listener: Subscriber) -> None:
    with closing(sink_to(broker.port)) as sink:
        for event in (EVENTS[-1], StateEvent("waiting", "", 1e9), *EVENTS[:-1], beat(1)):
            sink.emit(event)
        until(lambda: samples(listener))
        with closing(Subscriber(broker.port, name="late")) as late:
            until(lambda: json_of(late, "state") == [as_json(EVENTS[7])])
            until(lambda: json_of(late, "lead_off") == [as_json(EVENTS[1])])
            until(lambda: json_of(late, "rhythm") == [as_json(EVENTS[3])])
            until(lambda: json_of(late, "model") == [as_json(EVENTS[-1])])
            assert late.of("edge-ecg/bed-3/status") == [b"online"]
            assert not samples(late)
            assert not json_of(late, "heart_rate")


def test_a_new_stream_forgets_the_electrode_and_the_rhythm_of_the_last(broker: Mosquitto, listener: Subscriber) -> None:
    with closing(sink_to(broker.port)) as sink:
        for event in (EVENTS[1], EVENTS[3], ModelEvent(STREAM, 0, "II", "m1", "ab")):
            sink.emit(event)
    until(lambda: listener.of("edge-ecg/bed-3/status")[-1:] == [b"offline"])
    assert json_of(listener, "lead_off")[-1]["off"] is False
    assert json_of(listener, "rhythm")[-1]["state"] == "unknown"


def test_the_heart_rate_comes_at_most_once_a_second_and_never_of_a_rejected_beat(
    broker: Mosquitto, listener: Subscriber
) -> None:
    now_s = [0.0]
    with closing(sink_to(broker.port, clock=lambda: now_s[0])) as sink:
        until(lambda: listener.of("edge-ecg/bed-3/status") == [b"online"])
        script = [(0.0, beat(1)), (0.5, beat(2)), (1.0, beat(3, flags=("reject",))), (1.2, beat(4, rr_median_s=None))]
        for now_s[0], event in [*script, (1.4, beat(5, rr_median_s=0.5)), (2.3, beat(6))]:
            sink.emit(event)
            n = event.beat.r_index // 200
            until(lambda n=n: len(samples(listener)) == n)  # type: ignore[misc]
        until(lambda: len(json_of(listener, "heart_rate")) == 2)
    assert [(line["sample"], line["hr_bpm"]) for line in json_of(listener, "heart_rate")] == [
        (200, 75.0),
        (1000, 120.0),
    ]


def test_beats_are_counted_by_label_without_the_rejected(broker: Mosquitto, listener: Subscriber) -> None:
    with closing(sink_to(broker.port)) as sink:
        for n, label in enumerate("NNVSV"):
            sink.emit(beat(n, label))
        sink.emit(beat(9, "V", flags=("reject",)))
    until(lambda: json_of(listener, "counts"))
    told = json_of(listener, "counts")[-1]
    assert (told["beats"], told["rejected"], told["labels"]) == (6, 1, {"N": 2, "S": 1, "V": 2})


def test_long_words_are_cut(broker: Mosquitto, listener: Subscriber) -> None:
    with closing(sink_to(broker.port)) as sink:
        sink.emit(LinkEvent("error", "x" * 100_000, STREAM))
        with pytest.raises(OSError, match="more than is sent"):
            sink.emit(ModelEvent(replace(STREAM, leads=("x" * 10_000,)), 0, "II", "m1", "ab"))
    until(lambda: json_of(listener, "events/link"))
    assert json_of(listener, "events/link")[0]["detail"] == "x" * 500
    assert not json_of(listener, "events/model")


def test_the_end_is_told_and_a_sudden_one_by_the_broker(broker: Mosquitto, listener: Subscriber) -> None:
    sink = sink_to(broker.port)
    until(lambda: listener.of("edge-ecg/bed-3/status") == [b"online"])
    for n in range(20):
        sink.emit(beat(n))
    sink.close()
    sink.close()
    until(lambda: listener.of("edge-ecg/bed-3/status") == [b"online", b"offline"])
    assert len(samples(listener)) == 20, "what waited came before the end"
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from edge_ecg.settings import MqttSettings\n"
        "from edge_ecg.sinks.mqtt import open_mqtt\n"
        "sink = open_mqtt(MqttSettings('127.0.0.1', int(sys.argv[1]), device='bed-3'))\n"
        "sys.stdin.read()"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(broker.port), str(root)], stdin=subprocess.PIPE
    ) as publisher:
        until(lambda: listener.of("edge-ecg/bed-3/status")[2:] == [b"online"])
        publisher.send_signal(signal.SIGKILL)
    until(lambda: listener.of("edge-ecg/bed-3/status")[3:] == [b"offline"])
    with closing(Subscriber(broker.port, name="late")) as late:
        until(lambda: late.of("edge-ecg/bed-3/status") == [b"offline"])
        assert next(kept for topic, _, kept in late.got if topic == "edge-ecg/bed-3/status"), "it is retained"
