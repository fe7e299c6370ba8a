"""A patient's memory as bytes, so that a restart does not forget the patient. The file is the caller's."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.memory import PatientMemory
from edge_ecg.context.shapes import MOST
from edge_ecg.context.tracker import CONTEXT_VERSION
from edge_ecg.errors import DataError
from edge_ecg.io.arrays import pack_arrays, unpack_arrays
from edge_ecg.schema import decode

__all__ = ["About", "pack_memory", "unpack_memory"]

_HINT = "Forget it with --forget: the patient is then learnt anew in a minute"


@dataclass(frozen=True, slots=True)
class About:
    """Whose memory it is, as the user calls them, from which lead, and when it was saved, s since 1970 UTC.

    A lead that was turned upside down has a minus before its name.
    """

    patient: str
    lead: str
    saved_utc_s: float
    version: int = CONTEXT_VERSION


def pack_memory(memory: PatientMemory, about: About) -> bytes:
    """Bytes that `unpack_memory` reads; under 200 KB."""
    return pack_arrays({"about": np.array(json.dumps(asdict(about))), **memory.state()}, compressed=True)


def _fits(array: NDArray[np.float64], fresh: NDArray[np.float64]) -> bool:
    """Whether an array may stand where ``fresh`` stands in a memory of nobody: what is empty there may grow."""
    same = array.ndim == fresh.ndim and array.shape[1:] == fresh.shape[1:]
    return same and (len(fresh) == 0 or len(array) == len(fresh)) and bool(np.isfinite(array).all())


def unpack_memory(file: bytes) -> tuple[PatientMemory, About]:
    """Read a memory.

    Raises
    ------
    DataError
        The bytes are none, or of another version of the features.
    """
    no_memory = "no memory of a patient"
    held = unpack_arrays(file, what=no_memory, error=DataError, hint=_HINT)
    fresh = PatientMemory().state()
    try:
        about = decode(About, json.loads(str(held["about"])), where="the patient's memory", error=DataError)
        if about.version != CONTEXT_VERSION:
            raise DataError(f"the patient's memory has version {about.version}, not {CONTEXT_VERSION}", _HINT)
        state = {name: held[name].astype(np.float64) for name in fresh}
        n_shapes = len(state["shapes.weights"])
        fits = all(_fits(a, fresh[name]) for name, a in state.items())
        per_shape = ("qrs", "long", "norms", "counts", "weights", "prematurity")
        if not fits or n_shapes > MOST or any(len(state[f"shapes.{name}"]) != n_shapes for name in per_shape):
            raise ValueError("its parts do not fit each other")
        return PatientMemory.of(state), about
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{no_memory}: {error}", _HINT) from None
