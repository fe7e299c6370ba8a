"""Typed settings: a flag wins over the environment, that over the file, that over the default in the type.

Not settings: ``EDGE_ECG_DATA``, ``EDGE_ECG_RUNS`` and ``EDGE_ECG_DEBUG``; only names that start with
``EDGE_ECG__`` are.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from edge_ecg.errors import ConfigError
from edge_ecg.labels import OperatingPoint
from edge_ecg.schema import decode, encode, nearest
from firmware_bridge.boards import BOARDS

__all__ = [
    "LinkSettings",
    "Loaded",
    "ModelSettings",
    "OutputSettings",
    "PatientSettings",
    "Settings",
    "SignalSettings",
    "example",
    "load",
    "read_file",
    "read_tables",
    "render",
]

PREFIX = "EDGE_ECG__"
SEARCHED = (Path("edge-ecg.toml"), Path("/etc/edge-ecg/config.toml"))

MAX_BAUD = 20_000_000
MAX_HANDSHAKE_S = 3600.0
MAX_FS_HZ = 100_000.0
MAX_NAME = 64

T = TypeVar("T")


def _setting(default: T, doc: str, *, example: T | None = None, above: float | None = None) -> T:
    """Declare one setting: its default, the sentence that `example` prints, an open lower bound."""
    value: T = field(default=default, metadata={"doc": doc, "example": example, "above": above})
    return value


def _refuse_empty(**texts: str | None) -> None:
    for key, text in texts.items():
        if text is not None and not text.strip():
            raise ValueError(f'"{key.replace("__", ".")}" must not be empty')


def _refuse_above(key: str, value: float, limit: float) -> None:
    if value > limit:
        raise ValueError(f'"{key}" must be at most {limit}, found {value}')


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """The serial line to the ADC board."""

    port: str | None = _setting(
        None, "Serial port of the board; not set: the only one found.", example="/dev/ttyACM0"
    )
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
        "How ready a rhythm model is to call a beat ectopic: few-false-alarms, balanced, sensitive; "
        "not set: balanced.",
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
        # It becomes the name of a file.
        if self.name is not None and not re.fullmatch(rf"[A-Za-z0-9_-][A-Za-z0-9_.-]{{0,{MAX_NAME - 1}}}", self.name):
            raise ValueError(
                f'"patient.name" must be of letters, digits, "-", "_" and ".", at most {MAX_NAME}, '
                f"found {self.name[:MAX_NAME]!r}"
            )


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
class Settings:
    """All settings, one attribute a section of the file."""

    link: LinkSettings = field(default_factory=LinkSettings)
    signal: SignalSettings = field(default_factory=SignalSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    patient: PatientSettings = field(default_factory=PatientSettings)
    output: OutputSettings = field(default_factory=OutputSettings)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each dotted key where its value came from.

    ``origins["link.port"]`` is ``"default"``, ``"file PATH"``, ``"environment NAME"`` or ``"flag"``;
    ``file`` is the settings file that was read, if any.
    """

    settings: Settings
    origins: dict[str, str]
    file: Path | None = None


def load(
    flags: Mapping[str, object] | None = None,
    *,
    config_path: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Loaded:
    """Gather the settings from flags, environment, file and defaults.

    Parameters
    ----------
    flags
        Dotted key to value (``{"link.port": "/dev/ttyACM0"}``); None means that the flag was not given.
    config_path
        The file of ``--config``; without it, the first of `SEARCHED` that exists.
    env
        The environment, ``os.environ`` by default; an empty variable counts as not set.

    Raises
    ------
    ConfigError
        An unknown key, a value of the wrong type or out of range, a file that cannot be read.
    """
    # Every layer is decoded alone first, so that a refusal names the layer it stands in.
    merged: dict[str, Any] = {}
    origins = dict.fromkeys(_kinds(), "default")
    path = config_path or next((p for p in SEARCHED if p.is_file()), None)
    if path is not None:
        for key, value in _flat(read_file(path)):
            merged[key], origins[key] = value, f"file {path}"
    for name, text in sorted((os.environ if env is None else env).items()):
        if name.startswith(PREFIX) and text:
            key, value = _from_variable(name, text)
            merged[key], origins[key] = value, f"environment {name}"
    for key, value in (flags or {}).items():
        if value is not None:
            decode(Settings, _nested({key: value}), where="command line", error=ConfigError)
            merged[key], origins[key] = value, "flag"
    settings = decode(Settings, _nested(merged), where="settings", error=ConfigError)
    return Loaded(settings, origins, path)


def read_file(path: Path) -> dict[str, Any]:
    """Read and check one settings file; return its tables as written (defaults not filled in)."""
    tables = read_tables(path, what="settings file", syntax="See `edge-ecg config example`", flag="--config")
    decode(Settings, tables, where=str(path), error=ConfigError)
    return tables


def read_tables(path: Path, *, what: str, syntax: str, flag: str) -> dict[str, Any]:
    """The tables of a TOML file that ``flag`` names; `ConfigError` says what is wrong, ``syntax`` how it is written."""
    try:
        # A device may be read for ever.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError("not a regular file")
        with path.open("rb") as stream:
            tables = tomllib.load(stream)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}", syntax) from error
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"{path}: cannot read the {what}: {reason}"
        raise ConfigError(message, f"Check the path given to {flag}") from error
    return tables


def render(settings: Settings, notes: Mapping[str, str] | None = None) -> str:
    """Write settings as TOML; a note for a dotted key becomes the comment behind it."""
    notes = notes or {}
    lines: list[str] = []
    for section, table in encode(settings).items():
        lines += ["", f"[{section}]"]
        for name, value in table.items():
            line = f"# {name} is not set" if value is None else f"{name} = {_toml(value)}"
            note = notes.get(f"{section}.{name}")
            lines.append(f"{line}  # {note}" if note else line)
    return "\n".join(lines[1:]) + "\n"


def example() -> str:
    """Write a settings file that explains every setting and changes none; it passes `read_file`."""
    lines = [
        "# Settings of edge-ecg: ./edge-ecg.toml, /etc/edge-ecg/config.toml, or --config FILE.",
        f"# An environment variable wins over this file: {PREFIX}LINK__PORT stands for port in [link].",
    ]
    for section, cls in get_type_hints(Settings).items():
        table = cls()
        lines += ["", f"# {cls.__doc__}", f"[{section}]"]
        for item in fields(table):
            value = getattr(table, item.name)
            shown, mark = (item.metadata["example"], "#") if value is None else (value, "")
            lines += [f"# {item.metadata['doc']}", f"{mark}{item.name} = {_toml(shown)}"]
    return "\n".join(lines) + "\n"


def _kinds() -> dict[str, Any]:
    """Map every dotted key to its type."""
    return {
        f"{section}.{name}": kind
        for section, cls in get_type_hints(Settings).items()
        for name, kind in get_type_hints(cls).items()
    }


def _flat(tables: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[str, object]]:
    for section, table in tables.items():
        for name, value in table.items():
            yield f"{section}.{name}", value


def _nested(flat: Mapping[str, object]) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for key, value in flat.items():
        section, dot, name = key.partition(".")
        if dot:
            tables.setdefault(section, {})[name] = value
        else:
            tables[section] = value
    return tables


def _from_variable(name: str, text: str) -> tuple[str, object]:
    """Read one ``EDGE_ECG__SECTION__NAME`` variable as the type of its setting says."""
    variables = {PREFIX + key.replace(".", "__").upper(): key for key in _kinds()}
    if name not in variables:
        raise ConfigError(f'unknown environment variable "{name}"', nearest(name, list(variables)))
    key = variables[name]
    value = _parse(_kinds()[key], text)
    decode(Settings, _nested({key: value}), where=name, error=ConfigError)
    return key, value


def _parse(kind: Any, text: str) -> object:
    """Turn text into a value; what does not fit stays text, for `decode` to refuse."""
    kind = next((member for member in get_args(kind) if member is not NoneType), kind)
    if kind is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            return text
    return text


def _toml(value: object) -> str:
    # A JSON string is a TOML basic string, but for the one control character that JSON leaves bare.
    if isinstance(value, (str, bool)):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
