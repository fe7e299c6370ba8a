"""The shipped beat sets: real test beats of all classes, one set a data set, for measuring models on any device.

Windows are kept as whole numbers 0..255 for [0, 1]. That is the step of every int8 input of this project (its range is
pinned to [0, 1], scale 1/255), so int8 models see to the bit what they would see of the windows themselves; float
models see at most half a step beside it, as they did when their golden labels were made of these same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import DataError
from edge_ecg.io.arrays import pack_arrays, unpack_arrays

__all__ = ["BEAT_SETS", "SHIPPED", "BeatSet", "load_beats", "pack_beats", "set_of"]

SHIPPED = Path(__file__).parent / "beats"
BEAT_SETS: Mapping[str, str] = MappingProxyType({"mitdb": "aami5", "ptb": "binary"})
"""Name and label set of each."""
_AGAIN = "Install edge-ecg again"


@dataclass(frozen=True, slots=True, eq=False)
class BeatSet:
    """Test beats of the `random` split of one data set.

    Attributes
    ----------
    counts
        ``(n, n_samples) uint8``, the windows, 255 for 1.
    references
        ``(n,) uint8``, places in the names of the label set: what the experts say.
    """

    name: str
    counts: NDArray[np.uint8]
    references: NDArray[np.uint8]

    @property
    def windows(self) -> NDArray[np.float32]:
        """``(n, n_samples)`` in [0, 1], as a model is fed."""
        return self.counts.astype(np.float32) / np.float32(255.0)

    @property
    def sha256(self) -> str:
        """Hash of what it holds, whatever its file was packed with."""
        held = (np.ascontiguousarray(self.counts), np.ascontiguousarray(self.references))
        return hashlib.sha256(b"".join(array.tobytes() for array in held)).hexdigest()


def set_of(label_set: str) -> str | None:
    """Name of the set whose beats have these labels; None when there is none."""
    return next((name for name, labels in BEAT_SETS.items() if labels == label_set), None)


def pack_beats(beats: BeatSet) -> bytes:
    """The file: steps from sample to sample, which take a fifth less room than the samples."""
    steps = np.diff(beats.counts, axis=1, prepend=np.uint8(0))
    return pack_arrays({"steps": steps, "references": beats.references}, compressed=True)


def load_beats(name: str, folder: Path = SHIPPED) -> BeatSet:
    """A set by its name.

    Raises
    ------
    DataError
        Its file is missing or damaged, or holds other beats than its checksum file says.
    """
    file = folder / f"{name}.npz"
    try:
        packed, told = file.read_bytes(), (folder / "SHA256SUMS").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"the beat set {file} cannot be read: {error}", _AGAIN) from None
    held = unpack_arrays(packed, what=f"the beat set {file}", error=DataError, hint=_AGAIN)
    sums = {words[-1]: words[0] for words in map(str.split, told.splitlines()) if words}
    if {key: value.dtype.name for key, value in held.items()} == {"steps": "uint8", "references": "uint8"}:
        counts = np.cumsum(held["steps"], axis=-1, dtype=np.uint8)
        beats = BeatSet(name, counts, held["references"])
        if beats.sha256 == sums.get(name):
            return beats
    raise DataError(f"the beat set {file} is not the one that ships", _AGAIN)
