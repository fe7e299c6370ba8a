"""Golden beats: real beats with the outputs that the model gave when it was made.

They tell a model that loads from one that works: another interpreter, another processor, a bad conversion.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.bundles import GOLDEN_FILES
from edge_ecg.errors import ModelError
from edge_ecg.infer.rhythm import RhythmClassifier
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.io.arrays import pack_arrays, unpack_arrays
from edge_ecg.manifest import Bundle
from edge_ecg.rhythm_manifest import RhythmBundle
from edge_ecg.schema import decode

__all__ = ["GoldenBeat", "GoldenBeats", "RhythmGolden", "check_golden", "pack_golden"]

TOLERANCE = 0.02
"""Largest difference of a probability: kernels of other processors may round otherwise, each time by a whole count."""

TOLERANCES = {"float32": 0.001, "float16": 0.001}
"""By precision, where it is another: float kernels differ in their last digits only, and float16 weights are computed
with as float32. Dynamic range rounds as int8 does."""

LEGACY_TOLERANCE = 0.2
"""tflite-runtime computes int8 with other kernels than ai-edge-litert, which made the golden outputs, and rounds
otherwise in every layer: of 100 beats of a shipped network 6 differ by more than 0.02, none by more than 0.17, on
x86-64 as on Arm. A model that does not work is far outside."""

TREE_TOLERANCE = 0.001
"""Trees are whole numbers up to their last step."""

_AGAIN = "Get the bundle again, or make it again"


@dataclass(frozen=True, slots=True)
class GoldenBeat:
    """One beat: its reference class, the window (0..255 for [0, 1]), the probabilities the model gave."""

    reference: str
    window: tuple[int, ...]
    probs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GoldenBeats:
    """`golden.json` of a network."""

    schema_version: int
    attribution: str
    beats: tuple[GoldenBeat, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RhythmGolden:
    """`golden.npz` of a rhythm model.

    Attributes
    ----------
    reference
        ``(n,)`` the reference class of each beat, one letter.
    features
        ``(n, n_columns) int16``, in hundredths: real enough to tell one model from another, and small.
    probs
        ``(n, n_classes) float32``: what the model gave.
    """

    attribution: str
    reference: NDArray[np.str_]
    features: NDArray[np.int16]
    probs: NDArray[np.float32]

    def inputs(self) -> NDArray[np.float32]:
        """The features ``(n, n_columns)`` as the model is fed."""
        return self.features.astype(np.float32) / np.float32(100.0)


def pack_golden(golden: RhythmGolden) -> bytes:
    """The bytes of `golden.npz`; the same beats give the same bytes."""
    held = {"reference": golden.reference, "features": golden.features, "probs": golden.probs}
    return pack_arrays({"attribution": np.array(golden.attribution), **held}, compressed=True)


def check_golden(bundle: Bundle | RhythmBundle) -> int:
    """Run a bundle's golden beats; return how many there are.

    Raises
    ------
    ModelError
        When they are missing or the model gives something else.
    ValueError
        They are of another shape than the model's inputs or outputs.
    """
    if isinstance(bundle, RhythmBundle):
        trees, of_rhythm = RhythmClassifier(bundle), _read_rhythm(bundle.folder)
        rows = zip(of_rhythm.inputs(), of_rhythm.probs, strict=True)
        return _check(bundle.manifest.id, trees.runs_on, trees.classify, rows, TREE_TOLERANCE)
    network, golden = TfliteClassifier(bundle), _read(bundle.folder)
    windows = (
        (np.array(b.window, dtype=np.float32) / np.float32(255.0), np.array(b.probs, dtype=np.float32))
        for b in golden.beats
    )
    of_int8 = LEGACY_TOLERANCE if network.runtime == "tflite-runtime" else TOLERANCE
    tolerance = TOLERANCES.get(bundle.manifest.precision, of_int8)
    return _check(bundle.manifest.id, network.runtime, network.classify, windows, tolerance)


def _read(folder: Path) -> GoldenBeats:
    file = folder / GOLDEN_FILES["network"]
    try:
        golden = decode(GoldenBeats, json.loads(file.read_text("utf-8")), where=str(file), error=ModelError)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file} cannot be read: {error}", _AGAIN) from None
    if not golden.beats:
        raise ModelError(f"{file} holds no beat", _AGAIN)
    return golden


def _read_rhythm(folder: Path) -> RhythmGolden:
    file = folder / GOLDEN_FILES["rhythm"]
    try:
        held = unpack_arrays(file.read_bytes(), what=f"{file} cannot be read", error=ModelError, hint=_AGAIN)
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error}", _AGAIN) from None
    try:
        golden = RhythmGolden(str(held["attribution"]), held["reference"], held["features"], held["probs"])
    except KeyError as error:
        raise ModelError(f"{file} does not tell the beats' {error.args[0]}", _AGAIN) from None
    arrays = (golden.reference, golden.features, golden.probs)
    found = [(array.dtype.kind, array.itemsize if array.dtype.kind != "U" else 0, array.ndim) for array in arrays]
    if found != [("U", 0, 1), ("i", 2, 2), ("f", 4, 2)] or len({len(array) for array in arrays}) > 1:
        raise ModelError(f"{file} holds no golden beats", _AGAIN)
    if not len(golden.probs):
        raise ModelError(f"{file} holds no beat", _AGAIN)
    return golden


def _check(
    model_id: str,
    runs_on: str,
    classify: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    beats: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]],
    tolerance: float,
) -> int:
    n_beats = 0
    for k, (inputs, expected) in enumerate(beats):
        worst = float(np.abs(classify(inputs) - expected).max())
        if not worst <= tolerance:  # not a number is no pass
            raise ModelError(
                f"golden beat {k} of {model_id} differs by {worst:.4f} from what the model gave when made",
                f"{runs_on} on this machine does not run it rightly: see `edge-ecg doctor`",
            )
        n_beats += 1
    return n_beats
