"""Classifiers: a beat in, class probabilities out.

A classifier is opened by name from a bundle: `open_classifier`. The interpreter loads only then.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.tracker import ContextParams
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ModelError

if TYPE_CHECKING:
    from edge_ecg.infer.tflite import TfliteClassifier
    from edge_ecg.manifest import Bundle

__all__ = ["Accelerator", "Classifier", "open_classifier"]

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

    def classify(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(n_classes,)`` of one beat: its window or its features, as `preprocessing` says."""

    def classify_many(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(n, n_classes)`` of beats ``(n, ...)``: of each what `classify` says, to the bit."""


def open_classifier(name: str | Path, *, accelerator: Accelerator = "auto") -> TfliteClassifier:
    """Load a shipped bundle by its id, or one by its path, to label beats.

    Parameters
    ----------
    name
        Id or path.
    accelerator
        ``auto`` takes the Edge TPU when the bundle has a file for it and a beat runs there (a child process tries it
        first), else the CPU, and says in `TfliteClassifier.remark` why not. ``edgetpu`` takes nothing else.

    Raises
    ------
    ModelError
        There is none, it is not whole, or it is for benchmarks only; or ``edgetpu`` is asked for and cannot be had.
    """
    from edge_ecg.infer.tflite import TfliteClassifier
    from edge_ecg.manifest import load_bundle

    bundle = load_bundle(name)
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
