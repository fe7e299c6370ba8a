"""The few numbers of `edge_ecg.context.rhythm`: fitted, cross-validated over people, and reported.

``python -m train.rhythm_states FOLDER`` fits and chooses on mitdb's DS1, svdb without its test people and nsrdb_2h;
beats are labelled by what a rhythm training in FOLDER says of people it has not seen. ``--look --model BUNDLE`` scores
the test people with what stands in the runtime, labelled by that model, and appends the look.

Atrial fibrillation is noted in mitdb alone, and of two people of DS1. Of svdb's people four show it, or flutter, for a
part of their record, to the eye (`SEEN`): these fit nothing, and are reported apart. Flutter counts neither way. A
rhythm counts from when it was known, the minute in which a patient is learnt included.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.rhythm.irregularity import Irregularity
from edge_ecg.context.rhythm.watch import RhythmTold
from edge_ecg.context.tracker import LEARNT, ContextParams
from edge_ecg.datasets import data_root
from edge_ecg.errors import EdgeEcgError, UsageError
from edge_ecg.infer import open_classifier
from edge_ecg.labels import BeatLabel
from train.logistic import fit_logistic
from train.looks import append_look
from train.rhythm_records import HEALTHY
from train.rhythm_states_people import Person, fitting_people, test_names, test_person, watched
from train.rhythm_states_score import Agreement, agreement_of, noted_runs, runs_agreement, told_runs, when, without

__all__ = ["MANY_S", "SEEN", "Logistic", "Told", "by_person", "figures_of", "fit", "rows_of"]

Samples = NDArray[np.float64]
Logistic = tuple[tuple[float, ...], float]
"""Weights and bias."""
Told = Mapping[str, Sequence[RhythmTold]]
"""What the runtime told, by a person's key."""

SEEN = frozenset({"svdb/804", "svdb/845", "svdb/849", "svdb/867"})
MANY_S = 300
"""People with more S beats than this must have a sustained atrial rhythm suspected; few have less than a tenth."""
_UNSETTLED = 64
"""Beats behind a change of rhythm of which nothing is learnt."""
_FIBRILLATING, _OTHER = 100.0, 10.0
"""Weight of a person's beats together."""


class _Recorder(Irregularity):
    """Keeps what the logistic is asked to weigh."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[float, float] | None] = []

    def push(self, log_rr: float | None, consistency: float) -> bool:
        changed = super().push(log_rr, consistency)
        self.rows.append(self.measures(consistency))
        return changed


def rows_of(person: Person) -> tuple[Samples, NDArray[np.int64]]:
    """Measures of the beats that fit the logistic, ``(n, 2)``, and whether the person fibrillated, ``(n,)`` 0 or 1."""
    recorder = _Recorder()
    watched(person, recorder)
    beats = np.flatnonzero(person.said != BeatLabel.V)
    t_s = person.r / person.fs_hz
    inside, flutter = (
        np.any([(t_s >= a) & (t_s < b) for a, b in of] or [np.zeros(len(t_s), bool)], axis=0)
        for of in (person.fibrillation, person.flutter)
    )
    settled = np.arange(len(t_s)) >= LEARNT
    for change in np.flatnonzero(np.diff(inside.astype(int) + 2 * flutter)):
        settled[change + 1 : change + 1 + _UNSETTLED] = False
    kept = [
        (row, int(inside[k]))
        for row, k in zip(recorder.rows, beats.tolist(), strict=True)
        if row is not None and settled[k] and not flutter[k]
    ]
    return np.array([row for row, _ in kept]).reshape(-1, 2), np.array([is_af for _, is_af in kept], dtype=np.int64)


def fit(rows: Iterable[tuple[Samples, NDArray[np.int64]]]) -> Logistic:
    """Logistic regression with a ridge; of each person the beats of one kind weigh the same together."""
    xs, ys, ws = [], [], []
    for x, y in rows:
        for kind, total in ((1, _FIBRILLATING), (0, _OTHER)):
            if (n := int((y == kind).sum())) > 0:
                xs.append(x[y == kind])
                ys.append(np.full(n, float(kind)))
                ws.append(np.full(n, total / n))
    x, y, w = np.concatenate(xs), np.concatenate(ys), np.concatenate(ws)
    return fit_logistic(x, y, w)


def by_person(people: Sequence[Person], irregularity_of: Callable[[Person], Irregularity | None]) -> Told:
    """What the runtime tells of each."""
    return {person.key: watched(person, irregularity_of(person)) for person in people}


def figures_of(people: Sequence[Person], told: Told) -> dict[str, Any]:
    """All figures of some people, as JSON would hold them; printed on the way."""
    figures: dict[str, Any] = {}
    for database in dict.fromkeys(person.database for person in people):
        of = [person for person in people if person.database == database]
        print(f"{database}, {len(of)} people, {sum(person.hours for person in of):.1f} h")
        figures[database] = {**_fibrillation(of, told), **_atrial(of, told), **_episodes(of, told)}
    return figures


def _fibrillation(people: Sequence[Person], told: Told) -> dict[str, Any]:
    noted, false_s = {}, {}
    for person in people:
        suspected = without(when(person, told[person.key], "af_suspected"), person.flutter)
        agreement = agreement_of(person.fibrillation, suspected)
        if person.fibrillation:
            noted[person.name] = agreement
            print(f"  atrial fibrillation, {person.name}: {agreement}")
        elif agreement.told_s:
            false_s[person.name] = round(agreement.told_s)
    together = sum(noted.values(), Agreement())
    strangers = sum((a for name, a in noted.items() if name != "202"), Agreement())
    if len(noted) > 1:
        print(f"  atrial fibrillation, together: {together}; without 202, who is 201: {strangers}")
    seen = {name: s for name, s in false_s.items() if f"{people[0].database}/{name}" in SEEN}
    unseen = {name: s for name, s in false_s.items() if name not in seen}
    hours = sum(person.hours for person in people if not person.fibrillation)
    if hours:
        print(f"  suspected without a note of it, s of {hours:.1f} h: {unseen or 'none'}; of `SEEN`: {seen or 'none'}")
    return {
        "af": {name: str(a) for name, a in noted.items()}, "af_together": str(together),
        "af_without_202": str(strangers),
        "af_suspected_without_note_s": false_s,
    }  # fmt: skip


def _atrial(people: Sequence[Person], told: Told) -> dict[str, Any]:
    many, few, healthy = {}, {}, {}
    for person in people:
        n_s = int((person.labels == BeatLabel.S).sum())
        suspected_s = round(sum(b - a for a, b in when(person, told[person.key], "atrial_suspected")))
        if person.database == HEALTHY:
            healthy[person.name] = suspected_s
        elif n_s > MANY_S:
            many[person.name] = suspected_s
        elif suspected_s:
            few[person.name] = (n_s, suspected_s)
    if many:
        n = sum(s > 0 for s in many.values())
        print(f"  atrial rhythm, {n} of {len(many)} people with more than {MANY_S} S: suspected for s {many}")
    if few:
        print(f"  atrial rhythm suspected in people with fewer: (S beats, s) {few}")
    if healthy:
        print(f"  atrial rhythm suspected in the healthy, s: {healthy}")
    return {"atrial_many_s": many, "atrial_few_s": few, "atrial_healthy_s": healthy}


def _episodes(people: Sequence[Person], told: Told) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for kind, label in (("v_run", BeatLabel.V), ("s_run", BeatLabel.S)):
        agreements = [
            runs_agreement(noted_runs(person, label), told_runs(person, told[person.key], kind)) for person in people
        ]
        together = sum(agreements, Agreement())
        figures[kind] = {
            "noted": together.noted,
            "found": together.found,
            "told": together.told,
            "right": together.right,
        }
        print(f"  {kind}: {together.found} of {together.noted} noted found, {together.right} of {together.told} right")
    pauses = {person.name: len(told_runs(person, told[person.key], "pause")) for person in people}
    figures["pauses"] = {name: n for name, n in pauses.items() if n}
    print(f"  pauses between annotated R: {figures['pauses'] or 'none'}")
    return figures


def _fit_and_report(root: Path, folder: Path, seed: int, jobs: int) -> None:
    people = fitting_people(root, folder, seed, jobs)
    rows = {person.key: rows_of(person) for person in people if person.key not in SEEN}
    weights, bias = fit(rows.values())
    print(f"WEIGHTS = {tuple(round(w, 2) for w in weights)}\nBIAS = {bias:.2f}")

    def unseen(person: Person) -> Irregularity:
        """Fitted without the person."""
        return Irregularity(*fit(of for key, of in rows.items() if key != person.key))

    figures_of(people, by_person(people, unseen))


@click.command(help=__doc__)
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--seed", default=0, show_default=True, help="Of the training in FOLDER.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option("--look", is_flag=True, help="Score the test people, once, and append the look.")
@click.option("--model", type=click.Path(path_type=Path), help="Bundle of a rhythm model that labels them.")
def main(folder: Path | None, seed: int, jobs: int, look: bool, model: Path | None) -> None:
    """Fit by default."""
    root = data_root()
    if look:
        if model is None:
            raise click.UsageError("--look asks for a model that labels the test people's beats: name one with --model")
        classifier = open_classifier(model)
        if not isinstance(classifier.preprocessing, ContextParams):
            raise UsageError(f"{model} does not follow a patient", "Name a rhythm model")
        people = [test_person(root, *name, classifier) for name in test_names()]
        look_at(people, f"python -m train.rhythm_states --look --model {model.name}")
        return
    if folder is None:
        raise click.UsageError("expected the folder of a rhythm training, or --look")
    _fit_and_report(root, folder, seed, jobs)


def look_at(people: Sequence[Person], command: str) -> None:
    """Score test people with what stands in the runtime, and append the look."""
    figures = figures_of(people, by_person(people, lambda _: None))
    append_look("rhythm states", [person.key for person in people], figures, command)


if __name__ == "__main__":
    try:
        main()
    except EdgeEcgError as error:
        sys.exit(f"rhythm_states: {error}")
