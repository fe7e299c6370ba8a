"""Strict decoding of JSON and TOML mappings into frozen dataclasses, and back.

dacite builds the objects; what it lets through or reports without a path (``True`` as an integer, lists where
tuples are meant, an unknown key in a nested table) is checked here first, so that every refusal names
the full key path, what was expected, what was found, and the nearest name.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import dacite

from edge_ecg.errors import EdgeEcgError

__all__ = ["decode", "encode", "nearest"]

T = TypeVar("T")

_CONFIG = dacite.Config(strict=True)
_NAMES: dict[object, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class _RefusedError(Exception):
    """A value that does not fit: what is wrong, and the next step."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def decode(cls: type[T], mapping: Mapping[str, object], *, where: str, error: type[EdgeEcgError]) -> T:
    """Build a dataclass from a parsed JSON object or TOML table; refuse whatever does not fit exactly.

    Integers are taken for ``float`` fields, booleans never for numbers, lists become tuples, numbers are
    finite. A field with ``metadata={"above": x}`` must lie above x. A ``ValueError`` of the class's own
    ``__post_init__`` counts as a refusal.

    Parameters
    ----------
    cls
        A dataclass defined in a module, of str, int, float, bool, Literal, Optional, tuple, dict and
        other such dataclasses.
    mapping
        The parsed text.
    where
        What was read (a file name, an environment variable): the error message starts with it.
    error
        The class of `EdgeEcgError` to raise.
    """
    try:
        prepared = _table(cls, mapping, "")
        return dacite.from_dict(cls, prepared, _CONFIG)
    except _RefusedError as refused:
        raise error(f"{where}: {refused.message}", refused.hint) from None
    except (dacite.DaciteError, ValueError) as refused:
        raise error(f"{where}: {refused}") from refused


def encode(obj: object) -> dict[str, Any]:
    """Turn a dataclass into a plain dict of what JSON can hold; `decode` reads it back."""
    plain = _plain(obj)
    if not isinstance(plain, dict):
        raise TypeError(f"encode takes a dataclass or a mapping, not {type(obj).__name__}")
    return plain


def nearest(name: str, known: Sequence[str], prefix: str = "") -> str:
    """Return a hint: the name closest to an unknown one, or all of them when none is close."""
    match = difflib.get_close_matches(name, known, n=1)
    if match:
        return f'Did you mean "{prefix}{match[0]}"?'
    return f"Known here: {', '.join(known)}" if known else "Nothing can be set here"


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _table(cls: Any, value: object, path: str) -> dict[str, object]:
    """Check a mapping against a dataclass; return it with tuples and floats where the types say so."""
    if not isinstance(value, Mapping):
        raise _mismatch(cls, value, path)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    prefix = f"{path}." if path else ""
    for key in value:
        if key not in fields:
            raise _RefusedError(f'unknown key "{prefix}{key}"', nearest(str(key), list(fields), prefix))
    hints = get_type_hints(cls)
    table: dict[str, object] = {}
    for name, field in fields.items():
        if name in value:
            table[name] = _value(hints[name], value[name], f"{prefix}{name}")
            _check_range(field.metadata.get("above"), table[name], f"{prefix}{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _RefusedError(f'"{prefix}{name}" is missing, expected {_name(hints[name])}')
    return table


def _value(kind: Any, value: object, path: str) -> object:
    origin = get_origin(kind)
    if kind in (Any, object):
        return value
    if origin in (Union, UnionType):
        return _union(kind, value, path)
    if dataclasses.is_dataclass(kind):
        return _table(kind, value, path)
    if origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in get_args(kind)):
            return value
        choices = [choice for choice in get_args(kind) if isinstance(choice, str)]
        close = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else []
        hint = f'Did you mean "{close[0]}"?' if close else ""
        raise _RefusedError(_mismatch(kind, value, path).message, hint)
    if origin is tuple:
        return _tuple(kind, value, path)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _mismatch(kind, value, path)
        item_kind = get_args(kind)[1]
        return {str(key): _value(item_kind, item, f"{path}.{key}") for key, item in value.items()}
    if kind is float and type(value) in (int, float):
        try:
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise _mismatch("a finite number", value, path)
        return number
    if type(value) is kind:  # exactly: bool is a subclass of int
        return value
    raise _mismatch(kind, value, path)


def _union(kind: Any, value: object, path: str) -> object:
    members = get_args(kind)
    if value is None and NoneType in members:
        return None
    real = [member for member in members if member is not NoneType]
    if len(real) == 1:
        return _value(real[0], value, path)
    # The exact type first: in `float | int`, 3 stays 3.
    for member in sorted(real, key=lambda member: type(value) is not member):
        try:
            return _value(member, value, path)
        except _RefusedError:
            continue
    raise _mismatch(kind, value, path)


def _tuple(kind: Any, value: object, path: str) -> tuple[object, ...]:
    if not isinstance(value, (list, tuple)):
        raise _mismatch(kind, value, path)
    kinds = get_args(kind)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise _RefusedError(f'"{path}" must be a list of {len(kinds)} values, found {len(value)}')
    pairs = enumerate(zip(kinds, value, strict=True))
    return tuple(_value(item_kind, item, f"{path}[{i}]") for i, (item_kind, item) in pairs)


def _check_range(above: float | None, value: object, path: str) -> None:
    if above is not None and isinstance(value, (int, float)) and not value > above:
        raise _RefusedError(f'"{path}" must be above {above:g}, found {value}')


def _mismatch(kind: Any, value: object, path: str) -> _RefusedError:
    subject = f'"{path}"' if path else "the whole"
    return _RefusedError(f"{subject} must be {_name(kind)}, found {_found(value)}")


def _name(kind: Any) -> str:
    """Name a type the way a person writes a settings file."""
    if isinstance(kind, str):
        return kind
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return " or ".join(_name(member) for member in get_args(kind) if member is not NoneType)
    if origin is Literal:
        return "one of " + ", ".join(_found(choice) for choice in get_args(kind))
    if origin is tuple:
        return "a list"
    if dataclasses.is_dataclass(kind) or (origin is not None and issubclass(origin, Mapping)):
        return "a table"
    return _NAMES.get(kind) or str(getattr(kind, "__name__", kind))


def _found(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 40 else f'"{value[:37]}..."'
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return "a huge number" if isinstance(value, int) and abs(value) >= 10**18 else str(value)
    if isinstance(value, Mapping):
        return "a table"
    return "a list" if isinstance(value, (list, tuple)) else f"a {type(value).__name__}"
