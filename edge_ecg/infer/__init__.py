"""Classifiers: a beat in, class probabilities out, and what they decide.

A classifier is opened by name from a bundle: `open_classifier`. An interpreter loads only then.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.tracker import ContextParams
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ModelError
from edge_ecg.labels import OPERATING_POINTS, OperatingPoint

if TYPE_CHECKING:
    from edge_ecg.infer.rhythm import RhythmClassifier
    from edge_ecg.infer.tflite import TfliteClassifier
    from edge_ecg.manifest import Bundle

__all__ = ["Accelerator", "Classifier", "largest", "open_classifier"]

Accelerator = Literal["auto", "cpu", "edgetpu"]


class Classifier(Protocol):
    """What the pipeline asks of a model."""

    @property
    def model_id(self) -> str:
        """Its id, in every event."""

    @property
    def sha256(self) -> str:
        """Hash of its file."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""

    @property
    def preprocessing(self) -> PreprocessParams | ContextParams:
        """What it sees of a beat: a window, or features against the patient's past."""

    @property
    def operating_point(self) -> OperatingPoint | None:
        """How ready it is to call a beat S or V; None: it leaves no choice."""

    def classify(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(n_classes,)`` of one beat: its window or its features, as `preprocessing` says."""

    def classify_many(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(n, n_classes)`` of beats ``(n, ...)``: of each what `classify` says, to the bit."""

    def decide(self, probs: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Of probabilities ``(n, n_classes)`` the class numbers ``(n,)``, and how sure of each, ``(n,)`` in 0..1."""


def largest(probs: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """`Classifier.decide` of a model that leaves no choice: the most probable class, and its probability."""
    best = probs.argmax(axis=1)
    return best, probs[np.arange(len(best)), best].astype(np.float64)


def open_classifier(
    name: str | Path, *, accelerator: Accelerator = "auto", operating_point: OperatingPoint | None = None
) -> TfliteClassifier | RhythmClassifier:
    """Load a shipped bundle by its id, or one by its path, to label beats.

    Parameters
    ----------
    name
        Id or path.
    accelerator
        ``auto`` takes the Edge TPU when the bundle has a file for it and a beat runs there (a child process tries it
        first), else the CPU, and says in `TfliteClassifier.remark` why not. ``edgetpu`` takes nothing else.
    operating_point
        How ready a rhythm model is to call a beat ectopic; None: ``balanced``. A network leaves no choice.

    Raises
    ------
    ModelError
        There is none, it is not whole, or it is for benchmarks only; ``edgetpu`` is asked for and cannot be had; or
        an operating point is asked of a model that has none.
    """
    from edge_ecg.manifest import Bundle, load_any

    bundle = load_any(name)
    if isinstance(bundle, Bundle):
        if operating_point is not None:
            raise ModelError(
                f"{bundle.manifest.id} is a network and has no operating points",
                "Leave --operating-point (model.operating_point) out, or name a rhythm model with --model",
            )
        return _network(bundle, accelerator)
    from edge_ecg.infer.rhythm import RhythmClassifier

    if accelerator == "edgetpu":
        raise ModelError(
            f"{bundle.manifest.id} is a rhythm model: its trees run on the CPU only",
            "Leave --accelerator out, or name a network with --model",
        )
    if operating_point is not None and operating_point not in OPERATING_POINTS:
        raise ModelError(f"no operating point {operating_point!r}", f"Known: {', '.join(OPERATING_POINTS)}")
    return RhythmClassifier(bundle, operating_point or "balanced")


def _network(bundle: Bundle, accelerator: Accelerator) -> TfliteClassifier:
    from edge_ecg.infer.tflite import TfliteClassifier

    if bundle.manifest.bench_only:
        raise ModelError(
            f"{bundle.manifest.id} is for benchmarks only ({bundle.manifest.segmentation} windows)",
            "`edge-ecg evaluate` scores it on test beats; to label beats, convert a run of causal windows",
        )
    if accelerator == "cpu" or (accelerator == "auto" and bundle.manifest.edgetpu is None):
        return TfliteClassifier(bundle)
    try:
        return _on_edgetpu(bundle)
    except _NoEdgeTpuError as error:
        if accelerator == "edgetpu":
            raise
        return TfliteClassifier(bundle, remark=f"labelling on the CPU, not the Edge TPU: {error.message}")


class _NoEdgeTpuError(ModelError):
    """The bundle is whole, and the Edge TPU cannot run it here."""


def _on_edgetpu(bundle: Bundle) -> TfliteClassifier:
    from edge_ecg.infer.edgetpu import compiled_model, devices, find_library, probe
    from edge_ecg.infer.tflite import Accelerated, TfliteClassifier

    model = compiled_model(bundle)
    if model is None:
        raise _NoEdgeTpuError(
            f"{bundle.manifest.id} has no file for the Edge TPU",
            "Convert its run with --edgetpu where the compiler is, or leave --accelerator out",
        )
    library = find_library()
    found = probe(model, library, found=devices())
    if not found.ok or library is None:
        raise _NoEdgeTpuError(found.what, "To run on the CPU, leave --accelerator out")
    try:
        return TfliteClassifier(bundle, Accelerated(model, library, "Edge TPU (libedgetpu)"))
    except ModelError as error:  # what the child could do, this process cannot: another one has the device by now
        raise _NoEdgeTpuError(error.message, error.hint) from None
