"""The beat detector's weights: a folder with `weights.npz` and `manifest.json`, read and checked.

What decides where a beat is decides what every model sees, so a file that is missing, changed or made for another
front end is refused. `python -m train.detector` writes such a folder.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_ecg.dsp.nets import FRONT_END_VERSION, SHAPES, QrsNets
from edge_ecg.errors import ModelError
from edge_ecg.io.arrays import pack_arrays, unpack_arrays
from edge_ecg.schema import decode

__all__ = ["SHIPPED", "DetectorManifest", "load_detector", "pack_weights", "shipped_nets"]

SCHEMA_VERSION = 1
SHIPPED = Path(__file__).parent / "weights" / "qrs"
_HINT = "Install edge-ecg again; in a checkout: `git checkout edge_ecg/weights`"


@dataclass(frozen=True, slots=True)
class DetectorManifest:
    """What a reader must know of a set of weights.

    Attributes
    ----------
    front_end_version
        Of the candidates' inputs that the nets were fitted to.
    fitted_on, validated_on
        Data set -> its records or people. The test people are in neither.
    schedule
        Of the fit.
    validation
        Set -> figures of the chosen seed: beats, missed, extra, F1 in percent.
    seeds
        Seed -> the mean F1 on validation that chose among them.
    """

    schema_version: int
    id: str
    sha256: str
    front_end_version: int
    seed: int
    n_candidates: int
    fitted_on: dict[str, tuple[str, ...]]
    validated_on: dict[str, tuple[str, ...]]
    schedule: dict[str, tuple[float, ...]]
    validation: dict[str, dict[str, float]]
    seeds: dict[str, float]
    command: str
    tool_versions: dict[str, str]
    created_utc: str


@functools.cache
def shipped_nets() -> QrsNets:
    """The nets that come with the package. Raises `ModelError`."""
    return load_detector(SHIPPED)[0]


def load_detector(folder: Path) -> tuple[QrsNets, DetectorManifest]:
    """Read a folder of weights.

    Raises
    ------
    ModelError
        When it is missing, is not what its manifest says, or was fitted to another front end.
    """
    where = folder / "manifest.json"
    try:
        read = json.loads(where.read_text(encoding="utf-8"))
        weights = (folder / "weights.npz").read_bytes()
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"the beat detector's weights in {folder} cannot be read: {reason}", _HINT) from None
    if not isinstance(read, Mapping) or read.get("schema_version") != SCHEMA_VERSION:
        raise ModelError(f"{where} is no manifest of schema version {SCHEMA_VERSION}", _HINT)
    manifest = decode(DetectorManifest, read, where=str(where), error=ModelError)
    sha256 = hashlib.sha256(weights).hexdigest()
    if sha256 != manifest.sha256:
        raise ModelError(
            f"{folder / 'weights.npz'} is not what its manifest says: its SHA-256 begins {sha256[:12]}, "
            f"the manifest says {manifest.sha256[:12]}",
            _HINT,
        )
    if manifest.front_end_version != FRONT_END_VERSION:
        raise ModelError(
            f"{manifest.id} was fitted to front end {manifest.front_end_version}, this program has {FRONT_END_VERSION}",
            _HINT,
        )
    what = f"{folder / 'weights.npz'} holds no weights of the beat detector"
    held = unpack_arrays(weights, what=what, error=ModelError, hint=_HINT)
    try:
        return QrsNets(**{name: held[name].astype(np.float64) for name in SHAPES}), manifest
    except (ValueError, KeyError) as error:
        raise ModelError(f"{what}: {error}", _HINT) from None


def pack_weights(nets: QrsNets) -> bytes:
    """The bytes of a weights file, float32; the same for the same nets."""
    return pack_arrays({name: getattr(nets, name).astype(np.float32) for name in SHAPES})
