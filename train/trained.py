"""What was trained before and is used again, to teach or to begin with: a run, or the bundle of one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from edge_ecg.beginning import FIXED
from edge_ecg.bundles import find_bundle, shipped_ids
from edge_ecg.errors import DataError, ModelError, UsageError
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.manifest import ModelManifest, load_bundle
from train.load import load_network
from train.models import n_outputs
from train.run import WEIGHTS, RunInfo, find_run, read_run
from train.window_set import runs_root

__all__ = ["SAME", "Trained"]

SAME = (
    *("dataset", "label_set", "segmentation", "lead", "preprocessing_fingerprint", "data_sha256"),
    *("split", "fold", "n_folds"),
)
"""Of `RunInfo` and `ModelManifest`: what says which beats trained it, and how they were cut."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A run, or the bundle of a network.

    Attributes
    ----------
    folder, info
        The run, or the bundle.
    sha256
        Hash of the file of its weights: of a run `WEIGHTS`, of a bundle `model.tflite`.
    """

    folder: Path
    info: RunInfo | ModelManifest
    sha256: str
    role: ClassVar[str] = "network"

    @classmethod
    def open(cls, name: str | Path, sha256: str | None = None) -> Self:
        """A run, by path or by a name under `runs_root`; else a bundle, by its folder or the id of a shipped one.

        Loads no TensorFlow.

        Raises
        ------
        DataError, ModelError
            There is neither, or it cannot be read.
        UsageError
            Its weights are not those of ``sha256``, where that is given; it came as a Keras file.
        """
        try:
            folder, info, found = _opened(name)
        except (DataError, ModelError) as error:
            raise type(error)(f"the {cls.role}: {error.message}", error.hint) from None
        if sha256 is not None and found != sha256:
            weights = WEIGHTS if isinstance(info, RunInfo) else "model.tflite"
            raise UsageError(
                f"the {cls.role} {folder} has changed: its {weights} were {sha256[:12]}, now {found[:12]}",
                "Put the old ones back, or train anew into another folder",
            )
        if isinstance(info, ModelManifest) and info.is_foreign:
            raise UsageError(
                f"the {cls.role} {info.id} came as a Keras file: nobody here knows which beats it learnt from, "
                "maybe from those that test here",
                "Name a run, or a bundle that was converted from one",
            )
        return cls(folder, info, found)

    @property
    def is_run(self) -> bool:
        """Whether it is a run, not a bundle."""
        return isinstance(self.info, RunInfo)

    @property
    def name(self) -> str:
        """What `open` finds it by, from wherever it is asked."""
        folder = self.folder.resolve()
        if self.is_run:
            return folder.name if folder.parent == runs_root().resolve() else str(folder)
        return (
            folder.name
            if folder.name in shipped_ids() and find_bundle(folder.name).resolve() == folder
            else str(folder)
        )

    def other(self, facts: Mapping[str, Any]) -> str | None:
        """The first of `SAME` that differs in ``facts`` of a `RunInfo`; None when all that are there are alike."""
        for key in SAME:
            if key in facts and not self._has(key, facts[key]):
                return key
        return None

    def _has(self, key: str, value: Any) -> bool:
        its = getattr(self.info, key)
        if self.is_run:
            return bool(its == value)
        # A bundle does not say where its data lay, and may have been made on another kind of processor.
        if key == "data_sha256" and self.info.dataset in FIXED:
            return True
        return Path(value).name == its if key == "dataset" else bool(its == value)

    def network(self) -> Any:
        """What gives outputs ``(n, n_outputs)`` of windows ``(n, 187, 1)``: called as a Keras model is.

        Raises
        ------
        DataError, ModelError
            The weights cannot be read, or there is no interpreter for a bundle.
        """
        if isinstance(self.info, RunInfo):
            return load_network(self.folder, self.info)
        return _Interpreted(TfliteClassifier(load_bundle(self.folder)), n_outputs(self.info.label_set))


class _Interpreted:
    """A bundle's network within a step of TensorFlow: the beats of a batch go through the interpreter."""

    def __init__(self, classifier: TfliteClassifier, n_outputs: int) -> None:
        self._classifier, self._n_outputs = classifier, n_outputs

    def __call__(self, x: Any, training: bool = False) -> Any:
        import tensorflow as tf

        said = tf.numpy_function(self._say, [tf.cast(x, tf.float32)], tf.float32)
        return tf.ensure_shape(said, (None, self._n_outputs))

    def _say(self, x: Any) -> Any:
        # Of one sigmoid the classifier gives both classes.
        return self._classifier.classify_many(x[:, :, 0])[:, -self._n_outputs :]


def _opened(name: str | Path) -> tuple[Path, RunInfo | ModelManifest, str]:
    try:
        folder = find_run(name)
    except DataError as no_run:
        if not _is_bundle(name):
            known = ", ".join(shipped_ids("network"))
            raise DataError(no_run.message, f"{no_run.hint}. Bundles serve, too: {known}, or a folder") from None
        bundle = load_bundle(name)
        return bundle.folder, bundle.manifest, bundle.manifest.sha256
    info = read_run(folder)
    with (folder / WEIGHTS).open("rb") as stream:
        return folder, info, hashlib.file_digest(stream, "sha256").hexdigest()


def _is_bundle(name: str | Path) -> bool:
    try:
        find_bundle(name)
    except ModelError as error:
        # A model file without its manifest is told as such; anything else may have been meant as a run.
        if os.path.isfile(name):
            raise error
        return False
    return True
