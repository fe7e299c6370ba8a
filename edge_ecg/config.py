"""Typed settings: a flag wins over the environment, that over the file, that over the default in the type.

Not settings: ``EDGE_ECG_DATA``, ``EDGE_ECG_RUNS`` and ``EDGE_ECG_DEBUG``; only names that start with
``EDGE_ECG__`` are.
"""

from __future__ import annotations

import contextlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from edge_ecg.errors import ConfigError
from edge_ecg.schema import decode, encode, nearest
from edge_ecg.settings import Settings

__all__ = ["Loaded", "example", "load", "read_file", "read_tables", "render"]

PREFIX = "EDGE_ECG__"
SEARCHED = (Path("edge-ecg.toml"), Path("/etc/edge-ecg/config.toml"))


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
    if get_origin(kind) is tuple:
        with contextlib.suppress(ValueError):
            return json.loads(text)
        return text
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
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value)
