"""Who we are to the broker, and who the broker is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mosquitto import Mosquitto, Subscriber, certificates, free_port, until
from mqtt_listener import beat, needs_mosquitto, samples, sink_to, trouble

from edge_ecg.errors import ConfigError, EdgeEcgError
from edge_ecg.settings import MqttSettings
from edge_ecg.sinks.mqtt import open_mqtt
from edge_ecg.sinks.mqtt_link import TlsContext


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
