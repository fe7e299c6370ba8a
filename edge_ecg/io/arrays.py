"""Named arrays as the bytes of one ``.npz`` file: weights, tables, what is remembered."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import EdgeEcgError

__all__ = ["pack_arrays", "unpack_arrays"]

_DAMAGED = (
    OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, SyntaxError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What numpy and its archive raise for bytes that are no such file."""


def pack_arrays(arrays: Mapping[str, NDArray[Any]], *, compressed: bool = False) -> bytes:
    """The file; the same arrays give the same bytes."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def unpack_arrays(file: bytes, *, what: str, error: type[EdgeEcgError], hint: str = "") -> dict[str, NDArray[Any]]:
    """The arrays of a file, by name.

    Raises
    ------
    error
        The bytes are no such file: ``what``, and that they are damaged.
    """
    try:
        with np.load(io.BytesIO(file), allow_pickle=False) as held:
            return {name: np.asarray(held[name]) for name in held.files}
    except _DAMAGED:  # What numpy says of them ("pickled data") leads astray.
        raise error(f"{what}: cut short or damaged", hint) from None
