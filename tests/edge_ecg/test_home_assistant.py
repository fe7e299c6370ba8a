"""What Home Assistant is told."""

from __future__ import annotations

import json
from contextlib import closing

from mosquitto import Mosquitto, Subscriber, until
from mqtt_listener import EVENTS, beat

from edge_ecg.settings import MqttSettings
from edge_ecg.sinks.mqtt import open_mqtt
from edge_ecg.types import (
    StateEvent,
)


def test_home_assistant_is_told_what_there_is(broker: Mosquitto, listener: Subscriber) -> None:
    with closing(open_mqtt(MqttSettings("127.0.0.1", broker.port, device="bed.3"))) as sink:
        sink.emit(EVENTS[-1])
        sink.emit(StateEvent("streaming", "", 1e9))
        sink.emit(beat(1, "V"))
        until(lambda: listener.of("edge-ecg/bed.3/beats"))
        with closing(Subscriber(broker.port, name="late")) as late:
            until(lambda: sum(topic.startswith("homeassistant/") for topic, *_ in late.got) == 8)
            told = {topic: json.loads(payload) for topic, payload, _ in late.got if topic.startswith("homeassistant/")}
            assert all(kept for topic, _, kept in late.got if topic in told)
    for topic, config in told.items():
        prefix, component, node, name, end = topic.split("/")
        assert (prefix, node, end) == ("homeassistant", "edge_ecg_bed_3", "config")
        assert component in ("sensor", "binary_sensor")
        assert config["unique_id"] == f"edge_ecg_bed_3_{name}"
        assert config["device"]["identifiers"] == ["edge_ecg_bed_3"]
        assert config["origin"]["name"] == "edge-ecg"
        assert config["availability_topic"] == "edge-ecg/bed.3/status"
        assert config["name"]
        # Each value is one that is published: the topic is there, and the key that the template names.
        assert config["state_topic"].startswith("edge-ecg/bed.3/")
    assert len({config["unique_id"] for config in told.values()}) == 8
    rate = told["homeassistant/sensor/edge_ecg_bed_3/heart_rate/config"]
    assert (rate["unit_of_measurement"], rate["state_class"], rate["expire_after"]) == ("bpm", "measurement", 60)


def test_the_topics_that_home_assistant_is_told_of_are_published(broker: Mosquitto, listener: Subscriber) -> None:
    """Renders the templates as far as they are a key of the JSON."""
    settings = MqttSettings("127.0.0.1", broker.port, device="bed-3")
    with closing(open_mqtt(settings)) as sink:
        until(lambda: listener.of("edge-ecg/bed-3/status") == [b"online"])
        for event in (EVENTS[-1], StateEvent("streaming", "", 1e9), beat(1, "V")):
            sink.emit(event)
    until(lambda: listener.of("edge-ecg/bed-3/status")[-1:] == [b"offline"])
    configs = [json.loads(payload) for topic, payload, _ in listener.got if topic.startswith("homeassistant/")]
    values = {}
    for config in configs:
        line = json.loads(listener.of(config["state_topic"])[-1])
        path = config["value_template"].partition("value_json.")[2].replace("}", " ").split()[0]
        for key in path.split("."):
            line = line.get(key) if isinstance(line, dict) else None
        values[config["unique_id"].removeprefix("edge_ecg_bed-3_")] = line
    assert values == {
        "heart_rate": 75.0,
        "state": "streaming",
        "rhythm": "unknown",
        "lead_off": False,
        "label": "V",
        "beats": 1,
        "v_beats": 1,
        "s_beats": None,
    }


def test_home_assistant_may_be_left_out(broker: Mosquitto, listener: Subscriber) -> None:
    with closing(open_mqtt(MqttSettings("127.0.0.1", broker.port, device="bed-3", discovery=False))):
        until(lambda: listener.of("edge-ecg/bed-3/status") == [b"online"])
    assert not [topic for topic, *_ in listener.got if topic.startswith("homeassistant/")]
