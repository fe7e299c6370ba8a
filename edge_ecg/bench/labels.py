"""What a model says of beats that ship: its labels when it was made stand in its manifest, to be compared anywhere.

A network labels the beat set of its classes. A rhythm model follows one patient, so beats out of their record mean
nothing to it: it labels the shipped excerpt from end to end, detector and features included.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from edge_ecg.bench.beats import load_beats, set_of
from edge_ecg.figures import GoldenLabels
from edge_ecg.infer.rhythm import RhythmClassifier
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.io import read_record
from edge_ecg.runner import Runner
from edge_ecg.sinks.beats import BeatList
from edge_ecg.sources.replay import RecordSource
from edge_ecg.sources.virtual import EXCERPT

__all__ = ["EXCERPT_SET", "Agreement", "agreement_of", "excerpt_labels", "excerpt_sha256", "labels_of", "labels_of_set"]

EXCERPT_SET = "excerpt"
_BLOCK_S = 0.1
"""As a board sends."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Labels given here beside the golden ones: ``n_other`` of ``n`` differ.

    Attributes
    ----------
    beats, sha256
        The beats: a set, or ``excerpt``; hash of what was labelled.
    """

    beats: str
    sha256: str
    n: int
    n_other: int


def labels_of(classifier: TfliteClassifier | RhythmClassifier, label_set: str) -> GoldenLabels | None:
    """The labels that a model gives now; None when no beats that ship have its classes."""
    if isinstance(classifier, RhythmClassifier):
        return excerpt_labels(classifier)
    name = set_of(label_set)
    return None if name is None else labels_of_set(classifier, name)


def labels_of_set(network: TfliteClassifier, name: str) -> GoldenLabels:
    """What a network says of each beat of a set, as the place of the class."""
    beats = load_beats(name)
    codes, _ = network.decide(network.classify_many(beats.windows))
    return GoldenLabels(name, beats.sha256, "".join(map(str, codes.tolist())))


def excerpt_labels(model: RhythmClassifier) -> GoldenLabels:
    """What a rhythm model says of each beat that is found in the excerpt, as the place of the class."""
    beats = BeatList()
    Runner(RecordSource(read_record(EXCERPT), _BLOCK_S), model, [beats]).run()
    codes = (str(model.labels.index(label)) for label in beats.labels)
    return GoldenLabels(EXCERPT_SET, excerpt_sha256(), "".join(codes))


def excerpt_sha256() -> str:
    """Hash of the excerpt's samples."""
    return hashlib.sha256(EXCERPT.with_suffix(".dat").read_bytes()).hexdigest()


def agreement_of(given: GoldenLabels, golden: GoldenLabels) -> Agreement | None:
    """How many labels differ; beats that one of them has alone differ too. None when they are of other beats."""
    if (given.beats, given.sha256) != (golden.beats, golden.sha256):
        return None
    n = max(len(given.labels), len(golden.labels))
    n_same = sum(a == b for a, b in zip(given.labels, golden.labels, strict=False))
    return Agreement(given.beats, given.sha256, n, n - n_same)
