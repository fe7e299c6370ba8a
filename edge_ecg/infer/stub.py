"""A classifier without a network: every beat is N. For trying a board or a detector without a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.infer import largest
from edge_ecg.labels import LABEL_SETS

__all__ = ["StubClassifier"]


class StubClassifier:
    """Says N of everything, with certainty that means nothing."""

    model_id = "stub"
    sha256 = ""
    labels = LABEL_SETS["aami5"]
    preprocessing = PreprocessParams()
    operating_point = None

    def classify(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(1, 0, 0, 0, 0)."""
        probs: NDArray[np.float32] = self.classify_many(inputs[None])[0]
        return probs

    def classify_many(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(1, 0, 0, 0, 0) each."""
        probs = np.zeros((len(inputs), len(self.labels)), dtype=np.float32)
        probs[:, 0] = 1.0
        return probs

    def decide(self, probs: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The most probable class."""
        return largest(probs)
