"""A real MQTT broker on a port of its own, and somebody who listens."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

__all__ = ["Mosquitto", "Subscriber", "certificates", "free_port", "until"]

PATIENCE_S = 30.0


def until(done: Callable[[], object], what: str = "it") -> None:
    """Wait for something that will be so."""
    end_s = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < end_s, f"waited {PATIENCE_S:g} s for {what}"
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


class Mosquitto:
    """Keeps its sessions and retained messages from one start to the next, until it is told to forget.

    Parameters
    ----------
    lines
        More of its configuration.
    """

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._file = folder / "mosquitto.conf"
        anonymous = "false" if any("password_file" in line for line in lines) else "true"
        fixed = (
            f"listener {self.port} 127.0.0.1",
            *lines,
            f"allow_anonymous {anonymous}",
            "user root",  # as nobody it could not read the folder; no other user may change it anyhow
            "persistence true",
            "autosave_on_changes true",
            "autosave_interval 1",
            f"persistence_location {folder}/",
            "max_queued_messages 0",
        )
        self._file.write_text("\n".join(fixed) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self._folder / "mosquitto.log").open("ab")
        with log:
            program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
            self._process = subprocess.Popen([program, "-c", self._file], stdout=log, stderr=log)
        until(self._answers, "the broker")

    def stop(self, *, at_once: bool = False) -> None:
        """End it; at once, it has read and kept nothing more."""
        if self._process is not None:
            if at_once:
                self._process.kill()
            self.pause(on=False)
            self._process.terminate()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def pause(self, *, on: bool) -> None:
        """Let it keep its connections and do nothing, or go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def forget(self) -> None:
        (self._folder / "mosquitto.db").unlink()

    def log(self) -> str:
        return (self._folder / "mosquitto.log").read_text()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        ports = [
            int(words[1]) for words in map(str.split, self._file.read_text().splitlines()) if words[0] == "listener"
        ]
        return all(_open(port) for port in ports)


def _open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Subscriber:
    """Gets everything, as `got`; its session outlives the broker's end."""

    def __init__(self, port: int, *, name: str = "listener", topic: str = "#", **login: str) -> None:
        self.got: list[tuple[str, bytes, bool]] = []
        self._subscribed = False
        self._client = Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        if login:
            self._client.username_pw_set(login["username"], login["password"])
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: setattr(self, "_subscribed", True)
        self._client.on_message = lambda client, userdata, message: self.got.append(
            (message.topic, message.payload, message.retain)
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        until(lambda: self._subscribed, "the subscription")

    def of(self, topic: str) -> list[bytes]:
        return [payload for name, payload, _ in list(self.got) if name == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def certificates(folder: Path, name: str = "localhost") -> dict[str, Path]:
    """A certificate authority, and a broker's certificate and key by it."""

    def openssl(*words: Any) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    paths = {what: folder / f"{what}.pem" for what in ("ca", "cakey", "cert", "key", "request", "names")}
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    ca = ("-subj", "/CN=edge-ecg test", "-addext", "keyUsage=critical,keyCertSign", "-days", "2")
    openssl(*new, "-x509", *ca, "-keyout", paths["cakey"], "-out", paths["ca"])
    openssl(*new, "-subj", f"/CN={name}", "-keyout", paths["key"], "-out", paths["request"])
    paths["names"].write_text(f"subjectAltName=DNS:{name}\nauthorityKeyIdentifier=keyid\n")
    by = ("-CA", paths["ca"], "-CAkey", paths["cakey"], "-CAcreateserial", "-days", "2", "-extfile", paths["names"])
    openssl("x509", "-req", "-in", paths["request"], *by, "-out", paths["cert"])
    return paths
