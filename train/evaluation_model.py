"""What is scored: a run's float network or a bundle, as one thing that gives probabilities of windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.beginning import FIXED, SAME_PEOPLE, Beginning
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ModelError, UsageError
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.labels import LABEL_SETS
from edge_ecg.manifest import load_any
from edge_ecg.rhythm_manifest import RhythmBundle
from train.load import load_network
from train.run import Recipe, RunInfo, find_run, read_run
from train.splits import Split
from train.window_set import WindowSet, runs_root

__all__ = ["ScoredModel", "open_model"]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredModel:
    """A model and where it comes from.

    Attributes
    ----------
    name
        Id of a bundle, folder name of a run.
    precision
        ``float32 (Keras)``, or that of the bundle.
    dataset, split, fold, segmentation, data_sha256
        What it was trained on; ``fold`` None where the split has none.
    say
        Probabilities ``(n, n_classes)`` of windows ``(n, 187)``.
    network, seed
        Which network, trained from which seed.
    n_bytes
        Size of a bundle's model; None of a run, which is no file that a device takes.
    recipe
        How a run was fitted; None of a bundle, whose manifest does not say it.
    unfinished
        How far a training got that is not at its end, such as ``12 of 36 epochs``; None when it is, and of a bundle.
    starts
        What its training began with, and what that began with.
    is_foreign
        It came as a Keras file: nobody here knows what it learned from.
    """

    name: str
    precision: str
    label_set: str
    preprocessing: PreprocessParams
    dataset: str
    split: str
    fold: int | None
    segmentation: str
    data_sha256: str
    say: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    network: str | None = None
    seed: int | None = None
    n_bytes: int | None = None
    recipe: Recipe | None = None
    unfinished: str | None = None
    starts: tuple[Beginning, ...] = ()
    is_foreign: bool = False

    def probs(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities ``(n, n_classes)``. Raises `ModelError` when one is not a number."""
        given = np.asarray(self.say(windows), np.float64)
        if not np.isfinite(given).all():
            bad = int((~np.isfinite(given)).any(axis=1).sum())
            raise ModelError(f"{self.name} gives no number for {bad} of {len(given)} beats", "Train it again")
        return given

    def has_beats(self, data: WindowSet) -> bool:
        """Whether it was trained on these beats: a split of them has the same people in each part as then.

        The hash tells, whatever the data set is called now; of a fixed public set the name does, too.
        """
        return self.data_sha256 == data.sha256 or self.dataset == data.dataset in FIXED

    def is_own_split(self, split: Split) -> bool:
        """Whether it was trained on this split and fold."""
        return (self.split, self.fold) == (split.name, split.fold)

    def learned(self, data: WindowSet, split: Split) -> str | None:
        """Why the test part is no test of new people for this model; None when it is one, as far as is known."""
        if self.is_foreign:
            return "not known to be new people: the network came as a file that does not say what it learned from"
        if self.has_beats(data):
            if not self.is_own_split(split):
                which = self.split if self.fold is None else f"{self.split} (fold {self.fold})"
                return (
                    f"no test of new people: it was trained on the {which} split, "
                    "whose training part holds beats of these people"
                )
            if split.patients_on_both_sides:
                return "no test of new people: beats of the same people trained it"
            return None
        ours, theirs = Path(self.dataset).name, data.title
        if ours == theirs:
            return "not known to be new people: the data changed since the training"
        if any({ours, theirs} <= same for same in SAME_PEOPLE):
            return f"no test of new people: it was trained on {ours}: recordings of the same patients"
        for start in self.starts:
            if start.has_people_of(data.dataset, data.sha256):
                which = f"{start.title}, which was trained on {Path(start.dataset).name}"
                return f"no test of new people: its training began with {which}: recordings of the same patients"
        return None


def open_model(name: str) -> ScoredModel:
    """Open a run (folder, or name under `runs_root`) or a bundle (folder or shipped id).

    Raises
    ------
    ModelError, DataError
        It is neither, or cannot be read.
    """
    if any((folder / "run.json").is_file() for folder in (Path(name), runs_root() / name)):
        return _run(find_run(name))
    bundle = load_any(name)
    if isinstance(bundle, RhythmBundle):
        raise ModelError(
            f"{name} follows patients: it cannot be scored by single beats",
            f"edge-ecg evaluate --end-to-end {name} --records svdb-test",
        )
    manifest = bundle.manifest
    classifier = TfliteClassifier(bundle)
    return ScoredModel(
        manifest.id,
        manifest.precision,
        manifest.label_set,
        manifest.preprocessing,
        manifest.dataset,
        manifest.split,
        manifest.fold,
        manifest.segmentation,
        manifest.data_sha256,
        classifier.classify_many,
        manifest.network,
        manifest.seed,
        manifest.bytes,
        starts=manifest.starts,
        is_foreign=manifest.is_foreign,
    )


def _run(folder: Path) -> ScoredModel:
    info = read_run(folder)
    if info.preprocessing_fingerprint != info.preprocessing.fingerprint():
        raise UsageError(
            f"{folder} was trained on windows of another preprocessing than this checkout makes",
            "Train it again, or use the edge-ecg it came with",
        )
    if info.label_set not in LABEL_SETS:
        raise UsageError(f"{folder}: unknown label_set {info.label_set!r}", f"Known: {', '.join(LABEL_SETS)}")
    network: list[object] = []

    def say(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        # TensorFlow loads here: the beats come first, and may be missing.
        from train.fit import predict

        if not network:
            network.append(load_network(folder, info))
        probs: NDArray[np.float32] = predict(network[0], windows)
        return probs

    return ScoredModel(
        folder.name,
        "float32 (Keras)",
        info.label_set,
        info.preprocessing,
        info.dataset,
        info.split,
        info.fold,
        info.segmentation,
        info.data_sha256,
        say,
        info.network,
        info.seed,
        recipe=info.recipe,
        starts=info.starts,
        unfinished=_unfinished(info),
    )


def _unfinished(info: RunInfo) -> str | None:
    recipe, done = info.recipe, info.epochs_done
    gave_up = recipe.patience > 0 and done - info.best_epoch >= recipe.patience
    return None if gave_up or done >= recipe.epochs else f"{done} of {recipe.epochs} epochs"
