"""Models and the beats they are scored on: which may be pooled, and what a reader must know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import UsageError
from edge_ecg.labels import LABEL_SETS
from train.evaluation import Evaluation, evaluation_of
from train.evaluation_model import ScoredModel
from train.splits import Split
from train.sturdiness import Part
from train.window_set import WindowSet

__all__ = ["TestPart", "check_pooled", "check_validation", "patients_line", "score_parts", "warnings_of"]


@dataclass(frozen=True, slots=True, eq=False)
class TestPart:
    """A model, and the beats that it is scored on: the test part of a split, or its validation part."""

    model: ScoredModel
    data: WindowSet
    split: Split
    part: Part = "test"

    __test__ = False  # for pytest: no test class

    @property
    def beats(self) -> NDArray[np.int64]:
        """Which of the window set."""
        return self.split.test if self.part == "test" else self.split.validation

    @property
    def learned(self) -> str | None:
        """As `ScoredModel.learned`; of a validation part: whether its people train, too."""
        return self.model.learned(self.data, self.split)


def check_pooled(models: Sequence[ScoredModel]) -> None:
    """Raise `UsageError` for models that are not one recipe trained on several folds: their figures are nobody's.

    Manifests hold no recipe: of bundles the rest is compared.
    """
    first = models[0]
    for model in models[1:]:
        pairs = {
            "network": (first.network, model.network),
            "precision": (first.precision, model.precision),
            "recipe": (first.recipe, model.recipe),
            "data set": (Path(first.dataset).name, Path(model.dataset).name),
            "split": (first.split, model.split),
            "segmentation": (first.segmentation, model.segmentation),
        }
        for what, (one, other) in pairs.items():
            if one != other:
                told = f" ({one}, {other})" if isinstance(one, str) and isinstance(other, str) else ""
                raise UsageError(
                    f"{first.name} and {model.name} are not folds of one training: another {what}{told}",
                    "Pool runs that differ in their fold only, or score each by itself",
                )


def check_validation(part: TestPart) -> None:
    """Raise `UsageError` for the validation part of another split or other beats than the model's own.

    There it holds beats that trained the model, or that test it: neither tunes a recipe.
    """
    model, split = part.model, part.split
    if model.has_beats(part.data) and model.is_own_split(split):
        return
    own = f"{Path(model.dataset).name}, {model.split} split{'' if model.fold is None else f', fold {model.fold}'}"
    changed = model.is_own_split(split) and Path(model.dataset).name == part.data.title
    raise UsageError(
        f"the validation part of {model.name} is that of {own}" + (", as it was then" if changed else ""),
        "The data changed since the training: train it again" if changed
        else "Leave --data, --split and --fold out, or score the test part",
    )  # fmt: skip


def score_parts(parts: Sequence[TestPart], **options: int) -> Evaluation:
    """Score each model on its beats, and pool them.

    Raises
    ------
    UsageError
        Models of other classes than the beats, or two that are tested on the same beats.
    """
    first = parts[0]
    classes = LABEL_SETS[first.data.label_set]
    seen = np.zeros(len(first.data.labels), dtype=bool)
    for part in parts:
        if part.model.label_set != part.data.label_set:
            raise UsageError(
                f"{part.model.name} gives {', '.join(LABEL_SETS[part.model.label_set])}, the beats of "
                f"{part.data.title} are labelled {', '.join(LABEL_SETS[part.data.label_set])}",
                "Name a model of these classes, or other --data",
            )
        if part.data.sha256 != first.data.sha256:
            raise UsageError(
                f"{part.model.name} is not scored on the same beats as {first.model.name}",
                "Pool models of one data set and one preprocessing",
            )
        if seen[part.beats].any():
            raise UsageError(
                "two of the models are tested on the same beats", "Give one run for each fold of --split patient"
            )
        seen[part.beats] = True
    probs = [part.model.probs(part.data.windows[part.beats]) for part in parts]
    at = np.concatenate([part.beats for part in parts])
    data = first.data
    return evaluation_of(
        data.labels[at], np.concatenate(probs), data.records[at], data.patients[at], classes, **options
    )


def patients_line(part: TestPart) -> str:
    """Whether people who trained the model are scored, as far as is known."""
    model, data, split = part.model, part.data, part.split
    if not (model.has_beats(data) and model.is_own_split(split)):
        return part.learned or f"not known to have trained the model, which learned from {Path(model.dataset).name}"
    if part.part == "test":
        return split.about_patients(data)
    return part.learned or "whole patients, who did not train the model"


def warnings_of(parts: Sequence[TestPart]) -> list[str]:
    """What a reader must know before the figures."""
    found = []
    for part in parts:
        model, data = part.model, part.data
        if part.learned:
            found.append(part.learned)
        if model.segmentation != data.segmentation:
            found.append(f"the model learned from {model.segmentation} windows, these are {data.segmentation}")
        elif model.has_beats(data) and model.data_sha256 != data.sha256:
            found.append("the windows are not those of its training: other code cut them")
        if model.unfinished:
            found.append(f"{model.name} is not trained to its end: {model.unfinished}")
    split = parts[0].split
    folds = [part.split.fold for part in parts]
    missing = [fold for fold in range(split.n_folds or 0) if fold not in folds]
    if missing and parts[0].part == "test":
        held = ", ".join(map(str, sorted(fold for fold in folds if fold is not None)))
        found.append(
            f"not the whole data set: fold {held} of 0 to {(split.n_folds or 1) - 1}; to pool, name a run of each fold"
        )
    return list(dict.fromkeys(found))
