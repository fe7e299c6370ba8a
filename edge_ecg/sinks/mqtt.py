"""Events to an MQTT broker: each as its JSON, the newest values retained, and behind an outage what was not sent."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from edge_ecg.errors import ConfigError, UsageError
from edge_ecg.secret import read_secret, systemd_credential
from edge_ecg.settings import MqttSettings
from edge_ecg.sinks.jsonl import SCHEMA, as_json
from edge_ecg.sinks.mqtt_discovery import discovery
from edge_ecg.sinks.mqtt_link import Broker, BrokerLink, Patience, TlsContext
from edge_ecg.sinks.mqtt_outbox import MOST_WAITING, Loss, Message, Outbox
from edge_ecg.types import Classified, Event, LeadOffEvent, ModelEvent, RhythmEvent, StateEvent

__all__ = ["MqttSink", "open_mqtt"]

PORT, TLS_PORT = 1883, 8883
CREDENTIAL = "mqtt-password"
HEART_RATE_EVERY_S = 1.0
COUNTS_EVERY_S = 10.0
MOST_DETAIL = 500
"""Characters of what a board or an output says."""
MOST_BYTES = 8192
"""Of one message."""


class MqttSink:
    """Hands events to a broker. While it is away they wait in memory; what does not fit there is told when it is back.

    No call waits for the network. As long as the broker is away `tick` raises `OSError`, which says why.

    Parameters
    ----------
    broker
        Where to.
    base
        What topics begin with.
    device
        Its name for Home Assistant; None tells it nothing.
    most_waiting
        Messages in memory.
    clock
        The host's monotonic clock, s.
    """

    lasting: ClassVar[bool] = False

    def __init__(
        self,
        broker: Broker,
        base: str,
        device: str | None = None,
        *,
        most_waiting: int = MOST_WAITING,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = base
        self._clock = clock
        self._told_rate_s = self._told_counts_s = -1e9
        self._n_beats = self._n_rejected = self._n_told = 0
        self._labels: Counter[str] = Counter()
        self._outbox = Outbox(self._loss, most_waiting)
        online = Message(f"{base}/status", b"online", retain=True, shown=True)
        for message in (online, *(() if device is None else discovery(base, device))):
            self._outbox.show(message)
        offline = Message(f"{base}/status", b"offline", retain=True, shown=True)
        self._link = BrokerLink(broker, self._outbox, offline, patience)

    @property
    def n_lost(self) -> int:
        """Messages that nobody will get."""
        return self._outbox.n_lost

    def emit(self, event: Event) -> None:
        """Take one event; `OSError` for one that is too large to send."""
        line = as_json(event)
        if "detail" in line:
            line["detail"] = line["detail"][:MOST_DETAIL]
        beat = isinstance(event, Classified)
        topic = "beats" if beat else f"events/{line['type']}"
        message = Message(f"{self._base}/{topic}", _packed(line), utc=line.get("utc"), beat=beat)
        if len(message.payload) > MOST_BYTES:
            raise OSError(f"a message of {len(message.payload)} bytes is more than is sent ({line['type']})")
        self._outbox.put(message)
        match event:
            case Classified():
                self._count(event)
                self._tell_rate(event, line)
            case ModelEvent():
                # A new stream: what was told of the last one holds no longer.
                self._show("model", line)
                self._show("lead_off", as_json(LeadOffEvent(event.stream, event.at_index, off=False)))
                self._show("rhythm", as_json(RhythmEvent(event.stream, event.at_index, event.at_index, "unknown", 0.0)))
            case StateEvent() | LeadOffEvent() | RhythmEvent():
                self._show(line["type"], line)
        self._link.wake()

    def tick(self) -> None:
        """Tell the counts; `OSError` while the broker is away."""
        if self._n_beats > self._n_told and self._clock() >= self._told_counts_s + COUNTS_EVERY_S:
            self._tell_counts()
        if self._link.trouble is not None:
            raise OSError(self._link.trouble)

    def close(self) -> None:
        """Send what waits, as far as there is time, and say that nothing more comes."""
        if self._n_beats > self._n_told:
            self._tell_counts()
        self._link.close()

    def _count(self, event: Classified) -> None:
        self._n_beats += 1
        if "reject" in event.beat.flags:
            self._n_rejected += 1
        else:
            self._labels[event.label] += 1

    def _tell_rate(self, event: Classified, line: Mapping[str, Any]) -> None:
        """A rate that is not to be trusted is not told; Home Assistant then says that it knows none."""
        if line["hr_bpm"] is None or line["reject"] or self._clock() < self._told_rate_s + HEART_RATE_EVERY_S:
            return
        self._told_rate_s = self._clock()
        told = {key: line[key] for key in ("schema", "stream", "sample", "utc", "hr_bpm")}
        self._show("heart_rate", {"type": "heart_rate", **told}, retain=False)

    def _tell_counts(self) -> None:
        self._told_counts_s, self._n_told = self._clock(), self._n_beats
        told = {"beats": self._n_beats, "rejected": self._n_rejected, "labels": dict(sorted(self._labels.items()))}
        self._show("counts", {"schema": SCHEMA, "type": "counts", **told})
        self._link.wake()

    def _show(self, topic: str, line: Mapping[str, Any], *, retain: bool = True) -> None:
        self._outbox.show(Message(f"{self._base}/{topic}", _packed(line), retain=retain, shown=True))

    def _loss(self, loss: Loss) -> Message:
        told = {"messages": loss.n_messages, "beats": loss.n_beats, "from_utc": loss.from_utc, "to_utc": loss.to_utc}
        return Message(f"{self._base}/gap", _packed({"schema": SCHEMA, "type": "not_sent", **told}), loss=loss)


def open_mqtt(settings: MqttSettings) -> MqttSink:
    """The output that the settings describe. It need not find the broker: that is tried from here on.

    Raises
    ------
    UsageError
        paho-mqtt is not installed.
    ConfigError
        A password without a name, or that others can read; certificates that cannot be read, or without TLS.
    """
    if settings.host is None:
        raise ConfigError("mqtt.host is not set", "Name the broker")
    try:
        import paho.mqtt.client
        import paho.mqtt.enums  # noqa: F401  (not in paho-mqtt 1)
    except ModuleNotFoundError:
        raise UsageError(
            "MQTT needs paho-mqtt 2.1 or newer, which is not installed", 'Run `pip install "edge-ecg[mqtt]"`'
        ) from None
    device = settings.device or _host_name()
    base = f"{settings.topic}/{device}"
    broker = Broker(
        host=settings.host,
        port=settings.port or (TLS_PORT if settings.tls else PORT),
        client_id=base.replace("/", "-"),
        username=settings.username,
        password=_password(settings),
        tls=_tls(settings),
    )
    return MqttSink(broker, base, device if settings.discovery else None)


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname().partition(".")[0])[:64] or "device"


def _password(settings: MqttSettings) -> str | None:
    if settings.password_file is not None:
        if settings.username is None:
            raise ConfigError("mqtt.password_file needs a name to log in with", "Set mqtt.username")
        return read_secret(settings.password_file, "mqtt.password_file")
    credential = systemd_credential(CREDENTIAL) if settings.username is not None else None
    return None if credential is None else read_secret(credential, f"credential {CREDENTIAL}")


def _tls(settings: MqttSettings) -> TlsContext | None:
    if not settings.tls:
        if settings.ca_file is not None:
            raise ConfigError("mqtt.ca_file is of no use without TLS", "Set mqtt.tls = true")
        return None
    try:
        return TlsContext(settings.ca_file)
    except ssl.SSLError:
        reason = "it holds no certificate"
    except OSError as error:
        reason = error.strerror or str(error)
    raise ConfigError(f"mqtt.ca_file: cannot use {settings.ca_file}: {reason}", "Name a file of certificates (PEM)")


def _packed(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":"), allow_nan=False).encode()
