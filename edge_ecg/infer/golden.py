"""Golden beats: real test beats with the outputs that the model gave when it was made.

They tell a model that loads from one that works: another interpreter, another processor, a bad conversion.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from edge_ecg.errors import ModelError
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.manifest import Bundle
from edge_ecg.schema import decode

__all__ = ["GoldenBeat", "GoldenBeats", "check_golden"]

TOLERANCE = 0.02
"""Largest difference of a probability: kernels of other processors may round otherwise, each time by a whole count."""

TOLERANCES = {"float32": 0.001, "float16": 0.001}
"""By precision, where it is another: float kernels differ in their last digits only, and float16 weights are computed
with as float32. Dynamic range rounds as int8 does."""


@dataclass(frozen=True, slots=True)
class GoldenBeat:
    """One beat: its reference class, the window (0..255 for [0, 1]), the probabilities the model gave."""

    reference: str
    window: tuple[int, ...]
    probs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GoldenBeats:
    """`golden.json` of a bundle."""

    schema_version: int
    attribution: str
    beats: tuple[GoldenBeat, ...]


def check_golden(bundle: Bundle) -> int:
    """Run a bundle's golden beats; return how many there are.

    Raises
    ------
    ModelError
        When they are missing or the model gives something else.
    """
    file = bundle.folder / "golden.json"
    try:
        golden = decode(GoldenBeats, json.loads(file.read_text("utf-8")), where=str(file), error=ModelError)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file} cannot be read: {error}", "Get the bundle again, or convert its run again") from None
    if not golden.beats:
        raise ModelError(f"{file} holds no beat", "Get the bundle again, or convert its run again")
    classifier = TfliteClassifier(bundle)
    tolerance = TOLERANCES.get(bundle.manifest.precision, TOLERANCE)
    for k, beat in enumerate(golden.beats):
        probs = classifier.classify(np.array(beat.window, dtype=np.float32) / np.float32(255.0))
        worst = float(np.abs(probs - np.array(beat.probs, dtype=np.float32)).max())
        if worst > tolerance:
            raise ModelError(
                f"golden beat {k} of {bundle.manifest.id} differs by {worst:.4f} from what the model gave when made",
                f"{classifier.runtime} on this machine does not run it rightly: see `edge-ecg doctor`",
            )
    return len(golden.beats)
