"""Run a rhythm model: boosted trees on the features of a beat, with numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import ModelError
from edge_ecg.infer.trees import Forest, unpack_trees
from edge_ecg.labels import BeatLabel, OperatingPoint
from edge_ecg.rhythm_manifest import RhythmBundle

__all__ = ["TREE_CLASSES", "RhythmClassifier"]

TREE_CLASSES = (BeatLabel.N, BeatLabel.S, BeatLabel.V, BeatLabel.F)
"""What the trees tell apart. F is no answer: the few there are to learn from are mostly one person's."""
_LEAST = np.float32(1e-12)
"""Of a class's share before it is normalised: a beat that is F and nothing else still gets an answer."""


class RhythmClassifier:
    """A bundle's trees.

    Parameters
    ----------
    bundle
        The bundle.
    operating_point
        How ready it is to call a beat S or V: what the probabilities are weighted with before the largest decides.

    Attributes
    ----------
    runs_on, remark
        As of `edge_ecg.infer.tflite.TfliteClassifier`.

    Raises
    ------
    ModelError
        The tables are none, or not those of the manifest.
    """

    def __init__(self, bundle: RhythmBundle, operating_point: OperatingPoint = "balanced") -> None:
        manifest = bundle.manifest
        self.model_id = manifest.id
        self.sha256 = manifest.sha256
        self.labels = manifest.labels
        self.preprocessing = manifest.preprocessing
        self.operating_point: OperatingPoint | None = operating_point
        self.runs_on, self.remark = "CPU (numpy)", ""
        multipliers = manifest.operating_points[operating_point]
        self._multipliers = np.array([multipliers[label] for label in self.labels], dtype=np.float64)
        where = bundle.folder / "trees.npz"
        try:
            t = unpack_trees(bundle.model)
        except ModelError as error:
            raise ModelError(f"{where}: {error.message}", error.hint) from None
        self._n_columns = n_columns = len(manifest.preprocessing.columns)
        found, told = (t.n_columns, len(t.bias), len(t.leaf)), (n_columns, len(TREE_CLASSES), manifest.n_trees)
        if found != told:
            raise ModelError(
                f"{where} has {found[0]} columns, {found[1]} classes and {found[2]} trees, "
                f"its manifest says {told[0]}, {told[1]} and {told[2]}",
                "The model and the manifest do not belong together: get the bundle again",
            )
        self._forest = Forest(t)

    def classify(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(n_classes,)`` of one beat's features ``(n_columns,)``."""
        probs: NDArray[np.float32] = self.classify_many(inputs[None])[0]
        return probs

    def classify_many(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(n, n_classes)`` of beats ``(n, n_columns)``: those of the trees without F, normalised."""
        if inputs.shape[1] != self._n_columns:
            raise ValueError(f"a beat has {self._n_columns} features, not {inputs.shape[1]}")
        kept = self._forest.probs(inputs)[:, : len(self.labels)] + _LEAST
        probs: NDArray[np.float32] = kept / kept.sum(axis=1, keepdims=True)
        return probs

    def decide(self, probs: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Class numbers and confidences, ``(n,)`` each: the largest weighted probability, and its share of all."""
        weighted = probs * self._multipliers
        best = weighted.argmax(axis=1)
        return best, weighted[np.arange(len(best)), best] / weighted.sum(axis=1)
