"""Events to a real broker: what arrives, what an outage costs, and that nothing else waits for it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mosquitto import Mosquitto, Subscriber, certificates, free_port, until

from edge_ecg.errors import ConfigError, EdgeEcgError
from edge_ecg.settings import MqttSettings
from edge_ecg.sinks.jsonl import as_json
from edge_ecg.sinks.mqtt import MqttSink, open_mqtt
from edge_ecg.sinks.mqtt_link import Broker, Patience, TlsContext
from edge_ecg.sinks.queued import QueuedSink
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

STREAM = StreamInfo("s1", 250.0, ("I", "II"), start_utc_s=1_000_000_000.0)
QUICK = Patience(answer_s=1.0, first_s=0.05, most_s=0.1, refused_s=0.2)


@pytest.fixture(name="broker")
def broker_fixture(tmp_path: Path, missing: Callable[[str], None]) -> Iterator[Mosquitto]:
    needs_mosquitto(missing)
    with Mosquitto(tmp_path) as broker:
        yield broker


def needs_mosquitto(missing: Callable[[str], None]) -> None:
    if shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        missing("there is no mosquitto: make ci-deps")


@pytest.fixture(name="listener")
def listener_fixture(broker: Mosquitto) -> Iterator[Subscriber]:
    with closing(Subscriber(broker.port)) as listener:
        yield listener


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


# What arrives


def test_each_beat_arrives_once_and_in_order_as_its_json_line(broker: Mosquitto, listener: Subscriber) -> None:
    beats = [beat(n, "NSV"[n % 3]) for n in range(300)]
    with closing(sink_to(broker.port)) as sink:
        for event in beats:
            sink.emit(event)
        until(lambda: len(listener.of("edge-ecg/bed-3/beats")) >= 300, "the beats")
    assert json_of(listener, "beats") == [as_json(event) for event in beats]


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


# Outages


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


# Status


def test_the_end_is_told_and_a_sudden_one_by_the_broker(broker: Mosquitto, listener: Subscriber) -> None:
    sink = sink_to(broker.port)
    until(lambda: listener.of("edge-ecg/bed-3/status") == [b"online"])
    for n in range(100):
        sink.emit(beat(n))
    sink.close()
    sink.close()
    until(lambda: listener.of("edge-ecg/bed-3/status") == [b"online", b"offline"])
    assert len(samples(listener)) == 100, "what waited came before the end"
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


# Who we are, and who the broker is


def secret(path: Path, text: str = "correct horse\n", mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_wrong_password_is_told_and_never_shown(tmp_path: Path, missing: Callable[[str], None]) -> None:
    needs_mosquitto(missing)
    held = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", held, "ecg", "correct horse"], check=True, capture_output=True)
    with Mosquitto(tmp_path, f"password_file {held}") as broker:
        with closing(sink_to(broker.port, username="ecg", password="battery staple")) as sink:
            why = trouble(sink)
            assert "refuses us (not authorized); check mqtt.username" in why
            assert "battery" not in why + repr(sink._link._broker)
            assert "ecg" in repr(sink._link._broker)
        settings = MqttSettings(
            "127.0.0.1", broker.port, username="ecg", password_file=secret(tmp_path / "pw"), device="bed-3"
        )
        with (
            closing(Subscriber(broker.port, username="ecg", password="correct horse")) as listener,
            closing(open_mqtt(settings)),
        ):
            until(lambda: listener.of("edge-ecg/bed-3/status") == [b"online"])


def test_the_password_may_be_a_credential_of_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: Callable[[str], None]
) -> None:
    needs_mosquitto(missing)
    held = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", held, "ecg", "correct horse"], check=True, capture_output=True)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    secret(credentials / "mqtt-password", mode=0o440)  # as with an access list for the service's user
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    with (
        Mosquitto(tmp_path, f"password_file {held}") as broker,
        closing(Subscriber(broker.port, username="ecg", password="correct horse")) as listener,
        closing(open_mqtt(MqttSettings("127.0.0.1", broker.port, username="ecg", device="bed-3"))),
    ):
        until(lambda: listener.of("edge-ecg/bed-3/status") == [b"online"])


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620])
def test_a_password_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret(tmp_path / "pw", mode=mode)
    with pytest.raises(ConfigError, match=rf"mqtt.password_file: others may use .*\. Run `chmod 600 {path}`") as told:
        open_mqtt(MqttSettings("localhost", username="ecg", password_file=path))
    assert "horse" not in str(told.value)


@pytest.mark.parametrize(
    ("held", "told"),
    [("", "not one line"), (" \n", "not one line"), ("a\nb\n", "not one line"), ("x" * 5000, "not one line")],
)
def test_a_password_file_with_no_password_is_refused(tmp_path: Path, held: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        open_mqtt(MqttSettings("localhost", username="ecg", password_file=secret(tmp_path / "pw", held)))


def test_settings_that_make_no_sense_are_refused_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "empty.pem").touch()
    base = MqttSettings("localhost", username="ecg")
    cases = {
        "cannot read .*absent: No such file": replace(base, password_file=str(tmp_path / "absent")),
        "not a regular file": replace(base, password_file=str(tmp_path / "pipe")),
        "Set mqtt.username": replace(base, username=None, password_file=secret(tmp_path / "pw")),
        "Set mqtt.tls = true": replace(base, ca_file="/etc/ca.pem"),
        "cannot use /absent.pem: No such file": replace(base, tls=True, ca_file="/absent.pem"),
        "it holds no certificate": replace(base, tls=True, ca_file=str(tmp_path / "empty.pem")),
        "Name the broker": MqttSettings(),
    }
    for told, settings in cases.items():
        with pytest.raises(EdgeEcgError, match=told):
            open_mqtt(settings)
    monkeypatch.setitem(sys.modules, "paho.mqtt.enums", None)
    with pytest.raises(EdgeEcgError, match=r'not installed. Run `pip install "edge-ecg\[mqtt\]"`'):
        open_mqtt(base)


@pytest.mark.parametrize("name", ["a/b", "a#", "+", "", "x" * 65, "bed 3"])
def test_names_that_would_break_topics_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"mqtt\.device"):
        MqttSettings("localhost", device=name)
    with pytest.raises(ValueError, match=r"mqtt\.topic"):
        MqttSettings("localhost", topic={"a/b": "/a", "x" * 65: "x" * 201, "bed 3": "$SYS"}.get(name, name))


def test_tls_with_an_authority_of_ones_own(tmp_path: Path, missing: Callable[[str], None]) -> None:
    needs_mosquitto(missing)
    paths = certificates(tmp_path)
    plain = free_port()
    lines = (f"certfile {paths['cert']}", f"keyfile {paths['key']}", f"listener {plain} 127.0.0.1")
    with Mosquitto(tmp_path, *lines) as broker:
        settings = MqttSettings("localhost", broker.port, tls=True, ca_file=str(paths["ca"]), device="bed-3")
        with closing(Subscriber(plain)) as listener, closing(open_mqtt(settings)) as sink:
            for n in range(500):
                sink.emit(beat(n))
            until(lambda: len(samples(listener)) >= 500)
            assert samples(listener) == [200 * n for n in range(500)]
        # The same broker by a name that its certificate does not hold, and without its authority.
        for host, context in (("127.0.0.1", TlsContext(str(paths["ca"]))), ("localhost", TlsContext())):
            with closing(sink_to(broker.port, host, tls=context)) as sink:
                assert "its certificate is not to be trusted" in trouble(sink)


# Home Assistant


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
