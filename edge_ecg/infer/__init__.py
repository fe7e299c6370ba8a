"""Classifiers: a beat window in, class probabilities out.

A classifier is opened by name from a bundle: `open_classifier`. The interpreter loads only then.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ModelError

__all__ = ["Classifier", "open_classifier"]


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
    def preprocessing(self) -> PreprocessParams:
        """What its windows must be."""

    def classify(
        self, window: NDArray[np.float32], features: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Probabilities ``(n_classes,)`` of one beat.

        Parameters
        ----------
        window
            ``(n_samples,)`` in [0, 1], by `preprocessing`.
        features
            ``(n_features,)`` of the patient's own rhythm, for models that use them; others ignore it.
        """

    def classify_many(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(n, n_classes)`` of windows ``(n, n_samples)``: of each what `classify` says, to the bit."""


def open_classifier(name: str | Path) -> Classifier:
    """Load a shipped bundle by its id, or one by its path, to label beats.

    Raises
    ------
    ModelError
        There is none, it is not whole, or it is for benchmarks only.
    """
    from edge_ecg.infer.tflite import TfliteClassifier
    from edge_ecg.manifest import load_bundle

    bundle = load_bundle(name)
    if bundle.manifest.bench_only:
        raise ModelError(
            f"{bundle.manifest.id} is for benchmarks only ({bundle.manifest.segmentation} windows)",
            "`edge-ecg evaluate` scores it on test beats; to label beats, convert a run of causal windows",
        )
    return TfliteClassifier(bundle)
