"""The settings that there are, a section a class: each with its default, its meaning and its bounds, written once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeVar

from edge_ecg.labels import OperatingPoint
from edge_ecg.schema import nearest
from firmware_bridge.boards import BOARDS

__all__ = [
    "HookSettings",
    "LinkSettings",
    "ModelSettings",
    "MqttSettings",
    "OutputSettings",
    "PatientSettings",
    "RecordingSettings",
    "Settings",
    "SignalSettings",
    "WebSettings",
]

MAX_BAUD = 20_000_000
MAX_HANDSHAKE_S = 30.0
"""Half of what systemd waits for a sign of life."""
MAX_FS_HZ = 100_000.0
MAX_NAME = 64
MAX_PORT = 65535
MAX_TOPIC = 200

T = TypeVar("T")


def _setting(default: T, doc: str, *, example: T | None = None, above: float | None = None) -> T:
    """Declare one setting: its default, the sentence that `example` prints, an open lower bound."""
    value: T = field(default=default, metadata={"doc": doc, "example": example, "above": above})
    return value


def _refuse_empty(**texts: str | None) -> None:
    for key, text in texts.items():
        if text is not None and not text.strip():
            raise ValueError(f'"{key.replace("__", ".")}" must not be empty')


def _refuse_no_name(key: str, text: str) -> None:
    """What becomes the name of a file."""
    if not re.fullmatch(rf"[A-Za-z0-9_-][A-Za-z0-9_.-]{{0,{MAX_NAME - 1}}}", text):
        raise ValueError(
            f'"{key}" must be of letters, digits, "-", "_" and ".", at most {MAX_NAME}, found {text[:MAX_NAME]!r}'
        )


def _refuse_above(key: str, value: float, limit: float) -> None:
    if value > limit:
        raise ValueError(f'"{key}" must be at most {limit}, found {value}')


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """The serial line to the ADC board."""

    port: str | None = _setting(None, "Serial port of the board; not set: the only one found.", example="/dev/ttyACM0")
    board: str = _setting("edge", "What is on the port: a name that `edge-ecg boards list` shows, or auto.")
    baud: int | None = _setting(
        None, "Speed of the serial line in bits per second; not set: the board's usual.", example=115200, above=0
    )
    fs_hz: float | None = _setting(
        None, "Rate to ask a board with our firmware for, in Hz; not set: as it is.", example=500.0, above=0
    )
    handshake_timeout_s: float = _setting(5.0, "Longest wait for the board to answer, in seconds.", above=0)

    wait_s: float | None = _setting(
        None,
        "How long to wait for a board that went away, in seconds; 0: end at once; not set: for ever.",
        example=3600.0,
    )

    def __post_init__(self) -> None:
        _refuse_empty(link__port=self.port)
        if self.fs_hz is not None:
            _refuse_above("link.fs_hz", self.fs_hz, MAX_FS_HZ)
        if self.wait_s is not None and not self.wait_s >= 0.0:
            raise ValueError(f'"link.wait_s" must be 0 or more, found {self.wait_s:g}')
        if self.board not in (*BOARDS, "auto"):
            near = nearest(self.board, [*BOARDS, "auto"])
            raise ValueError(f'"link.board" is no board, found "{self.board}". {near}')
        if self.baud is not None:
            _refuse_above("link.baud", self.baud, MAX_BAUD)
        _refuse_above("link.handshake_timeout_s", self.handshake_timeout_s, MAX_HANDSHAKE_S)


@dataclass(frozen=True, slots=True)
class SignalSettings:
    """What the electrodes deliver."""

    lead: str | None = _setting(
        None, "Name of the lead to classify; not set: MLII, else II, else the first.", example="MLII"
    )
    invert: bool = _setting(False, "Turn the signal upside down, for electrodes put on the wrong way round.")
    uv_per_lsb: float | None = _setting(
        None,
        "Size of one ADC count in microvolts at the electrode; not set: as the board says.",
        example=3.2,
        above=0,
    )

    def __post_init__(self) -> None:
        _refuse_empty(signal__lead=self.lead)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What labels the beats."""

    id: str = _setting("rhythm", "Name of a shipped model, or the directory of a bundle.")
    operating_point: OperatingPoint | None = _setting(  # noqa: RUF009
        None,
        "How ready a rhythm model is to call a beat ectopic: few-false-alarms, balanced, sensitive; not set: balanced.",
        example="balanced",
    )
    min_confidence: float = _setting(0.0, "Beats labelled with less confidence, 0 to 1, are marked unsure and reject.")

    def __post_init__(self) -> None:
        _refuse_empty(model__id=self.id)
        if not 0.0 <= self.min_confidence <= 1.0:
            raise ValueError(f'"model.min_confidence" must be from 0 to 1, found {self.min_confidence}')


@dataclass(frozen=True, slots=True)
class PatientSettings:
    """Whose heart it is: what a rhythm model learns of a patient outlives the run."""

    name: str | None = _setting(
        None, "What the patient is called here; not set: nothing of a patient is kept.", example="bed-3"
    )
    folder: str | None = _setting(
        None,
        "Directory that keeps what is known of patients; not set: patients in the user's state directory of edge-ecg.",
        example="/var/lib/edge-ecg/patients",
    )
    max_age_h: float = _setting(24.0, "What was kept for longer is not taken up again, in hours.", above=0)

    def __post_init__(self) -> None:
        _refuse_empty(patient__folder=self.folder)
        if self.name is not None:
            _refuse_no_name("patient.name", self.name)


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """Where events go besides the terminal."""

    jsonl: str | None = _setting(
        None,
        'File that gets one JSON line per event, "-" for standard output; not set: none.',
        example="beats.jsonl",
    )

    def __post_init__(self) -> None:
        _refuse_empty(output__jsonl=self.jsonl)


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """What the daemon keeps of the signal and its labels: WFDB records, one folder a day."""

    folder: str | None = _setting(
        None, "Directory of the recordings; not set: nothing is recorded.", example="/var/lib/edge-ecg/recordings"
    )
    subject: str = _setting("subject", "What the person or session is called; it begins the name of each record.")
    sync_every_s: float = _setting(
        30.0, "How often files are synced to the disk, in seconds; a power cut loses that and one more.", above=0
    )
    max_gb: float | None = _setting(
        None, "The oldest records are removed beyond this, in GB; not set: never.", example=20.0, above=0
    )
    min_free_gb: float = _setting(0.2, "Recording pauses with less free space than this, in GB.")

    def __post_init__(self) -> None:
        _refuse_empty(recording__folder=self.folder)
        _refuse_no_name("recording.subject", self.subject)
        if "." in self.subject:  # WFDB takes none in the name of a record
            raise ValueError(f'"recording.subject" must not hold ".", found {self.subject!r}')
        _refuse_above("recording.sync_every_s", self.sync_every_s, 3600.0)
        if self.min_free_gb < 0.0:
            raise ValueError(f'"recording.min_free_gb" must be 0 or more, found {self.min_free_gb:g}')


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Beats and states to an MQTT broker (needs the extra mqtt)."""

    host: str | None = _setting(None, "Name or address of the broker; not set: no MQTT.", example="homeassistant.local")
    port: int | None = _setting(None, "Its port; not set: 1883, with tls 8883.", example=1883, above=0)
    tls: bool = _setting(False, "Speak TLS, and check the broker's certificate.")
    ca_file: str | None = _setting(
        None, "Certificates to trust; not set: those of the system.", example="/etc/edge-ecg/ca.pem"
    )
    username: str | None = _setting(None, "Name to log in with.", example="edge-ecg")
    password_file: str | None = _setting(
        None,
        "File of mode 0600 that holds the password; not set: the systemd credential mqtt-password, if there is one.",
        example="/etc/edge-ecg/mqtt-password",
    )
    topic: str = _setting("edge-ecg", "Topics begin with this and the device.")
    device: str | None = _setting(None, "Name of this device in topics; not set: the host's.", example="bed-3")
    discovery: bool = _setting(True, "Tell Home Assistant what there is.")

    def __post_init__(self) -> None:
        _refuse_empty(mqtt__host=self.host, mqtt__username=self.username, mqtt__password_file=self.password_file)
        _refuse_empty(mqtt__topic=self.topic, mqtt__device=self.device, mqtt__ca_file=self.ca_file)
        if self.device is not None:
            _refuse_no_name("mqtt.device", self.device)
        if not re.fullmatch(r"[^\x00-\x1f#+$/][^\x00-\x1f#+]*", self.topic) or self.topic.endswith("/"):
            raise ValueError(f'"mqtt.topic" must not hold # or +, or begin with $ or /, found {self.topic!r}')
        _refuse_above("the length of mqtt.topic", len(self.topic), MAX_TOPIC)
        if self.port is not None:
            _refuse_above("mqtt.port", self.port, MAX_PORT)


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The live page, the metrics and the health check (needs the extra web)."""

    enabled: bool = _setting(False, "Serve the page.")
    host: str = _setting("127.0.0.1", "Address to listen on; any but this machine's own needs token_file.")
    port: int = _setting(8137, "Port to listen on; 0: any free one.")
    token_file: str | None = _setting(
        None, "File of mode 0600 that holds the token which viewers need.", example="/etc/edge-ecg/web-token"
    )

    def __post_init__(self) -> None:
        _refuse_empty(web__host=self.host, web__token_file=self.token_file)
        if not 0 <= self.port <= MAX_PORT:
            raise ValueError(f'"web.port" must be from 0 to {MAX_PORT}, found {self.port}')


@dataclass(frozen=True, slots=True)
class HookSettings:
    """Commands that the daemon runs when something happens: a list of words each, no shell."""

    v_run: tuple[str, ...] = _setting((), "At the begin of a run of ventricular beats.")
    pause: tuple[str, ...] = _setting((), "When no beat came for long.")
    lead_off: tuple[str, ...] = _setting((), "When an electrode comes off.")
    device_lost: tuple[str, ...] = _setting((), "When the board goes away, or sends nothing more.")
    min_interval_s: float = _setting(60.0, "Each runs at most once in this time, in seconds.")
    timeout_s: float = _setting(30.0, "A command is ended after this time, in seconds.", above=0)

    def __post_init__(self) -> None:
        for name in ("v_run", "pause", "lead_off", "device_lost"):
            words: tuple[str, ...] = getattr(self, name)
            if words and not words[0].startswith("/"):
                raise ValueError(f'"hooks.{name}" must begin with the full path of a program, found "{words[0]}"')
            if any("\0" in word for word in words):
                raise ValueError(f'"hooks.{name}" must not hold \\0')
        if self.min_interval_s < 0.0:
            raise ValueError(f'"hooks.min_interval_s" must be 0 or more, found {self.min_interval_s:g}')


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, one attribute a section of the file."""

    link: LinkSettings = field(default_factory=LinkSettings)
    signal: SignalSettings = field(default_factory=SignalSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    patient: PatientSettings = field(default_factory=PatientSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    recording: RecordingSettings = field(default_factory=RecordingSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    web: WebSettings = field(default_factory=WebSettings)
    hooks: HookSettings = field(default_factory=HookSettings)
