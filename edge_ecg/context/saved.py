"""A patient's memory as bytes, so that a restart does not forget the patient. The file is the caller's."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import asdict, dataclass

import numpy as np

from edge_ecg.context.memory import PatientMemory
from edge_ecg.context.shapes import MOST
from edge_ecg.context.tracker import CONTEXT_VERSION
from edge_ecg.errors import DataError
from edge_ecg.schema import decode

__all__ = ["About", "pack_memory", "unpack_memory"]

_NO_FILE = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError)
"""What reading bytes that are no such file may raise, beside the errors of the archive itself."""
_HINT = "Forget it with --forget: the patient is then learnt anew in a minute"


@dataclass(frozen=True, slots=True)
class About:
    """Whose memory it is, as the user calls them, from which lead, and when it was saved, s since 1970 UTC."""

    patient: str
    lead: str
    saved_utc_s: float
    version: int = CONTEXT_VERSION


def pack_memory(memory: PatientMemory, about: About) -> bytes:
    """Bytes that `unpack_memory` reads; under 200 KB."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("about.json", json.dumps(asdict(about)))
        for name, values in memory.state().items():
            array = io.BytesIO()
            np.save(array, values, allow_pickle=False)
            file.writestr(f"{name}.npy", array.getvalue())
    return held.getvalue()


def unpack_memory(file: bytes) -> tuple[PatientMemory, About]:
    """Read a memory.

    Raises
    ------
    DataError
        The bytes are none, or of another version of the features.
    """
    fresh = PatientMemory().state()
    try:
        with zipfile.ZipFile(io.BytesIO(file)) as held:
            about = decode(About, json.loads(held.read("about.json")), where="the patient's memory", error=DataError)
            if about.version != CONTEXT_VERSION:
                raise DataError(f"the patient's memory has version {about.version}, not {CONTEXT_VERSION}", _HINT)
            state = {
                name: np.load(io.BytesIO(held.read(f"{name}.npy")), allow_pickle=False).astype(np.float64)
                for name in fresh
            }
        n_shapes = len(state["shapes.weights"])
        fits = all(a.shape[1:] == fresh[name].shape[1:] and np.isfinite(a).all() for name, a in state.items())
        per_shape = ("qrs", "long", "norms", "counts", "weights", "prematurity")
        if not fits or n_shapes > MOST or any(len(state[f"shapes.{name}"]) != n_shapes for name in per_shape):
            raise ValueError("its parts do not fit each other")
        return PatientMemory.of(state), about
    except DataError:
        raise
    except (*_NO_FILE, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"no memory of a patient: {error}", _HINT) from None
