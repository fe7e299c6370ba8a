"""People whose rhythm is known in part: beats, what a model that has not seen them says of these, noted rhythms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.rhythm.irregularity import Irregularity
from edge_ecg.context.rhythm.watch import RhythmBeat, RhythmTold, RhythmWatch
from edge_ecg.context.told import TOLD_S
from edge_ecg.context.tracker import LEARNT, ContextParams
from edge_ecg.front import inputs_of_record
from edge_ecg.infer import Classifier
from edge_ecg.io import read_annotations
from edge_ecg.labels import BeatLabel
from train.people import MITDB_TEST, SVDB_TEST
from train.rhythm_choice import said_by
from train.rhythm_fit import RhythmRecipe
from train.rhythm_records import Labelled, read_labelled
from train.rhythm_run import fit_rhythm

__all__ = ["LABELS", "Interval", "Person", "fitting_people", "noted_rhythms", "person_of", "test_names",
           "test_person", "watched"]  # fmt: skip

Interval = tuple[float, float]
"""Seconds."""
LABELS = ("N", "S", "V")
_LATEST_S = 3.0
"""A label waits no longer for the next R."""
_JOIN_S = 10.0
"""Annotators interrupt fibrillation for each short run of ventricular beats."""


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """One record.

    Attributes
    ----------
    r
        ``(n,)`` R peaks in samples at ``fs_hz``, ascending.
    labels
        ``(n,)`` classes of the reference.
    said
        ``(n,)`` labels of a model that has not seen the person, as indices of `LABELS`.
    features
        ``(n, len(COLUMNS))``, what that model saw.
    hours
        Length of the record.
    fibrillation, flutter
        Where atrial fibrillation, and flutter, is noted.
    """

    database: str
    name: str
    fs_hz: float
    r: NDArray[np.float64]
    labels: NDArray[np.uint8]
    said: NDArray[np.intp]
    features: NDArray[np.float32]
    hours: float
    fibrillation: tuple[Interval, ...] = ()
    flutter: tuple[Interval, ...] = ()

    @property
    def key(self) -> str:
        """Database and name."""
        return f"{self.database}/{self.name}"


def noted_rhythms(root: Path, record: Labelled) -> tuple[tuple[Interval, ...], tuple[Interval, ...]]:
    """Where annotations tell of atrial fibrillation, and where of flutter, s; those of svdb and nsrdb tell nothing."""
    notes = read_annotations(root / record.database / record.name)
    changes = [
        (int(at) / record.fs_hz, text)
        for at, text in zip(notes.sample.tolist(), notes.aux, strict=True)
        if text.startswith("(")
    ]
    behind = [*changes[1:], (record.hours * 3600.0, "")]
    noted = [(text, at, end) for (at, text), (end, _) in zip(changes, behind, strict=False)]
    af, flutter = (_joined([(a, b) for text, a, b in noted if text == name]) for name in ("(AFIB", "(AFL"))
    return af, flutter


def _joined(pieces: Sequence[Interval]) -> tuple[Interval, ...]:
    joined: list[Interval] = []
    for begin, end in pieces:
        if joined and begin - joined[-1][1] <= _JOIN_S:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return tuple(joined)


def fitting_people(root: Path, folder: Path, seed: int, jobs: int) -> list[Person]:
    """DS1, svdb without its test people and nsrdb_2h, with the labels of a training's cross-validation.

    Parameters
    ----------
    root
        Where the databases lie.
    folder
        Where the training keeps what it has done; what is missing is done.
    seed, jobs
        Of the training.
    """
    fitted = fit_rhythm(root, RhythmRecipe(), seed, folder, jobs=jobs)
    factors = fitted.points["balanced"]
    people = []
    for one in fitted.found:
        record = read_labelled(root, one.rows.database, one.rows.name)
        people.append(person_of(root, record, one.rows.x, said_by(one.probs, factors)))
    return people


def person_of(root: Path, record: Labelled, features: NDArray[np.float32], said: NDArray[np.intp]) -> Person:
    """A record, its features and what a model says of its beats."""
    af, flutter = noted_rhythms(root, record)
    return Person(
        record.database, record.name, record.fs_hz, record.r, record.labels, said, features, record.hours, af, flutter
    )


def test_names() -> list[tuple[str, str]]:
    """Database and name of the test people. Paced ones are in no set."""
    mitdb, svdb = (sorted(str(name) for name in names) for names in (MITDB_TEST - {102, 104}, SVDB_TEST))
    return [*(("mitdb", name) for name in mitdb), *(("svdb", name) for name in svdb)]


def test_person(root: Path, database: str, name: str, classifier: Classifier) -> Person:
    """A test person as a finished model labels their beats, at the annotated R peaks."""
    record = read_labelled(root, database, name)
    beats = inputs_of_record(record.samples_mv, record.fs_hz, record.r, ContextParams())
    features = np.stack([beat.inputs for beat in beats])
    said, _ = classifier.decide(classifier.classify_many(features))
    return person_of(root, record, features, said)


def watched(person: Person, irregularity: Irregularity | None = None) -> list[RhythmTold]:
    """What the runtime tells of a person: labels come when the next R is known, as on a device.

    Parameters
    ----------
    irregularity
        What tells atrial fibrillation; None: as it stands in the runtime.
    """
    fs_hz, r = person.fs_hz, person.r
    late, latest = TOLD_S * fs_hz, _LATEST_S * fs_hz
    end = round(person.hours * 3600.0 * fs_hz)
    due = np.minimum(np.append(np.minimum(r[1:], r[:-1] + latest), np.inf) + late, end)
    steps = sorted(
        [(min(round(at + late), end), 0, k) for k, at in enumerate(r.tolist())]
        + [(round(at), 1, k) for k, at in enumerate(due.tolist())]
    )
    watch = RhythmWatch(fs_hz, irregularity)
    events: list[RhythmTold] = []
    for at_index, is_label, k in steps:
        if not is_label:
            events += watch.detected(float(r[k]), at_index)
            continue
        rr_s = None if k == 0 else float(r[k] - r[k - 1]) / fs_hz
        label, learning = LABELS[min(int(person.said[k]), BeatLabel.V)], k <= LEARNT
        events += watch.beat(RhythmBeat(at_index, float(r[k]), rr_s, label, person.features[k], learning))
    return [*events, *watch.until(end)]
