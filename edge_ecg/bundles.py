"""Folders of model bundles: where they are, and what is asked of every kind of them.

A manifest that says nothing of its kind is of a network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from edge_ecg.errors import ModelError

__all__ = [
    "GOLDEN_FILES",
    "MODEL_FILES",
    "SCHEMA_VERSION",
    "Kind",
    "check_id",
    "check_preprocessing",
    "find_bundle",
    "kind_of",
    "read_manifest",
    "read_model",
    "shipped_ids",
]

Kind = Literal["network", "rhythm"]
SCHEMA_VERSION = 1
MODEL_FILES: Mapping[Kind, str] = {"network": "model.tflite", "rhythm": "trees.npz"}
"""The model's file in a bundle, by kind."""
GOLDEN_FILES: Mapping[Kind, str] = {"network": "golden.json", "rhythm": "golden.npz"}
"""The file of its golden beats."""
_MANIFEST = "manifest.json"
_SHIPPED = Path(__file__).parent / "models"
_AGAIN = "Get the bundle again, or make it again"


def shipped_ids(kind: Kind | None = None) -> tuple[str, ...]:
    """Ids of the bundles that come with the package; those of one kind, or all."""
    ids = sorted(p.parent.name for p in _SHIPPED.glob(f"*/{_MANIFEST}"))
    return tuple(name for name in ids if kind is None or kind_of(read_manifest(_SHIPPED / name), name) == kind)


def find_bundle(name: str | Path) -> Path:
    """The folder of a bundle: the id of a shipped one, or a path to a folder or to a file in it.

    Raises
    ------
    ModelError
        When there is neither; lists the shipped ids.
    """
    if isinstance(name, str) and name in shipped_ids():
        return _SHIPPED / name
    # os.path, unlike pathlib, takes a name that cannot be a path for one that does not exist.
    path = Path(os.path.expanduser(name))
    is_file = os.path.isfile(path)
    if is_file and path.name in {_MANIFEST, *MODEL_FILES.values()} and (path.parent / _MANIFEST).exists():
        return path.parent
    if os.path.isfile(path / _MANIFEST):
        return path
    known = ", ".join(shipped_ids()) or "none"
    if is_file:
        raise ModelError(
            f"{path} is a file, not a bundle: a model comes with its manifest.json, which says what it must be fed",
            "Make a bundle with `edge-ecg convert`, or name a shipped one: " + known,
        )
    raise ModelError(f"no model {str(name)!r}", f"Shipped: {known}; or give the folder of a bundle")


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """The manifest of a bundle as it is written. Raises `ModelError` when it is none of this program's."""
    where = folder / _MANIFEST
    try:
        read = json.loads(where.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{where} cannot be read: {error}", _AGAIN) from None
    if not isinstance(read, Mapping):
        raise ModelError(f"{where} holds no JSON object", _AGAIN)
    version = read.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ModelError(
            f"{where} has schema version {version!r}, this program reads {SCHEMA_VERSION}",
            "Update edge-ecg, or make the bundle again",
        )
    return read


def kind_of(manifest: Mapping[str, Any], where: str) -> Kind:
    """The kind of a manifest that was read from ``where``. Raises `ModelError` for one that is not known here."""
    found = manifest.get("kind", "network")
    for kind in get_args(Kind):
        if found == kind:
            known: Kind = kind
            return known
    raise ModelError(
        f"{where}: unknown kind of bundle {found!r}, expected one of {', '.join(get_args(Kind))}", "Update edge-ecg"
    )


def check_id(name: str) -> None:
    """Raise `ValueError` for an id that cannot be the name of files."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f'"id" must be of letters, digits, "-", "_" and ".", found {name!r}')


def read_model(file: Path, sha256: str) -> bytes:
    """The model of a bundle. Raises `ModelError` when it has another hash than its manifest says."""
    try:
        model = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}", "Get the bundle again") from None
    found = hashlib.sha256(model).hexdigest()
    if found != sha256:
        raise ModelError(
            f"{file} is not the model of its manifest: its SHA-256 begins {found[:12]}, "
            f"the manifest says {sha256[:12]}",
            "It was changed or cut short: get the bundle again",
        )
    return model


def check_preprocessing(name: str, made_for: tuple[str, int], here: tuple[str, int]) -> None:
    """Refuse a bundle whose model learned from other inputs than it would be fed.

    Parameters
    ----------
    name
        Id of the bundle.
    made_for, here
        Fingerprint and version of what the model learned from, and of what this program makes.

    Raises
    ------
    ModelError
        They differ.
    """
    if made_for != here:
        raise ModelError(
            f"{name} was made for preprocessing {made_for[0]} (version {made_for[1]}), "
            f"this program does {here[0]} (version {here[1]})",
            "Its labels would be wrong: use the edge-ecg it came with, or make the bundle again",
        )
