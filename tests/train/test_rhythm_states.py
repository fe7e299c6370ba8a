"""Rhythms: whose records choose their numbers, how they are scored, what a fit finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edge_ecg.context.rhythm.irregularity import Irregularity
from edge_ecg.context.rhythm.watch import RhythmChange
from edge_ecg.context.tracker import COLUMNS
from edge_ecg.io import Annotations, write_annotations
from train.people import is_test_person
from train.rhythm_records import Labelled, training_records
from train.rhythm_states import SEEN, by_person, figures_of, fit, main, rows_of
from train.rhythm_states_people import Person, noted_rhythms, test_names, watched
from train.rhythm_states_score import (
    Agreement,
    agreement_of,
    noted_runs,
    overlap_s,
    runs_agreement,
    told_runs,
    when,
    without,
)

test_names.__test__ = False  # type: ignore[attr-defined]
FS_HZ = 128.0


def person(seed: int = 0, said: str = "N", database: str = "mitdb") -> Person:
    """200 beats of sinus rhythm, 200 of fibrillation without a P wave, 200 of sinus rhythm."""
    rng = np.random.default_rng(seed)
    rr_s = np.concatenate([0.8 + 0.01 * rng.standard_normal(200), 0.7 * np.exp(0.2 * rng.standard_normal(200)),
                           0.8 + 0.01 * rng.standard_normal(200)])  # fmt: skip
    r_s = np.cumsum(rr_s)
    x = np.zeros((600, len(COLUMNS)), np.float32)
    x[:, COLUMNS.index("p_error")] = -8.0
    x[:, COLUMNS.index("p_correlation_mean")] = 0.95 - 0.8 * ((np.arange(600) >= 210) & (np.arange(600) < 410))
    labels = np.zeros(600, np.uint8)
    of = np.array(["NSV".index(said)] * 600)
    hours = float(r_s[-1] + 1.0) / 3600.0
    af = ((float(r_s[199]), float(r_s[399])),)
    return Person(database, f"{seed}", FS_HZ, r_s * FS_HZ, labels, of, x, hours, af)


def test_no_test_person_chooses(data_dir: Path) -> None:
    assert all(is_test_person(*who) for who in test_names())
    assert len(test_names()) == 22 + 10
    fitting = {f"{database}/{name}" for database, name in training_records(data_dir)}
    assert fitting >= SEEN
    assert not fitting & {f"{database}/{name}" for database, name in test_names()}


def test_fibrillation_that_short_runs_interrupt_is_one_episode(tmp_path: Path) -> None:
    (tmp_path / "mitdb").mkdir()
    at = [0, 100, 300, 310, 900, 1500]
    text = ["(N", "(AFIB", "(VT", "(AFIB\0", "(AFL", "(N"]
    write_annotations(tmp_path / "mitdb" / "x", Annotations.of(at, ["+"] * 6, aux=text))
    record = Labelled("mitdb", "x", 10.0, np.zeros(2000), np.zeros(0), np.zeros(0, np.uint8))
    assert noted_rhythms(tmp_path, record) == (((10.0, 90.0),), ((90.0, 150.0),))
    write_annotations(tmp_path / "mitdb" / "y", Annotations.of([5], ["+"], aux=["(AFIB"]))
    assert noted_rhythms(tmp_path, replace(record, name="y"))[0] == ((0.5, 200.0),)


def test_time_and_episodes() -> None:
    assert overlap_s([(0.0, 10.0), (20.0, 30.0)], [(5.0, 25.0)]) == 10.0
    assert without([(0.0, 10.0), (20.0, 30.0)], [(5.0, 25.0)]) == ((0.0, 5.0), (25.0, 30.0))
    found = agreement_of([(0.0, 100.0), (200.0, 225.0)], [(50.0, 90.0), (190.0, 400.0)])
    assert found == Agreement(125.0, 250.0, 65.0, noted=1, found=1, told=2, right=1)
    assert str(found + Agreement()) == "Se/+P 52/26 by time, 100/50 by episode (1 noted)"
    assert "-" in str(Agreement())
    assert runs_agreement([(0.0, 2.0), (10.0, 12.0)], [(1.0, 3.0), (5.0, 6.0)]) == Agreement(4.0, 3.0, 1.0, 2, 1, 2, 1)


def test_a_rhythm_counts_from_when_it_was_known() -> None:
    of = person()
    changes = [RhythmChange(1280, 128, "af_suspected", 0.9), RhythmChange(2560, 2000, "sinus", 0.9)]
    assert when(of, changes, "af_suspected") == ((10.0, 20.0),)
    assert when(of, changes, "sinus") == ((20.0, of.hours * 3600.0),)
    assert when(of, [], "sinus") == ()


def test_runs_of_the_reference_and_those_told() -> None:
    labels = np.zeros(600, np.uint8)
    labels[50:53], labels[100:102], labels[597:] = 2, 2, 2
    of = replace(person(), labels=labels, said=labels.astype(np.intp))
    noted, told = noted_runs(of, 2), told_runs(of, watched(of), "v_run")
    assert len(noted) == 2
    assert np.allclose(noted, told, atol=0.01)
    assert noted_runs(of, 1) == ()


def test_a_fit_tells_one_from_the_other_in_people_it_has_not_seen() -> None:
    people = [person(seed) for seed in range(3)]
    weights, bias = fit([rows_of(of) for of in people[:2]])
    assert weights[0] > 0.0 > weights[1]
    told = by_person(people, lambda _: Irregularity(weights, bias))
    ((begin, end),) = when(people[2], told["mitdb/2"], "af_suspected")
    ((af_begin, af_end),) = people[2].fibrillation
    assert af_begin < begin < af_begin + 60.0
    assert af_end < end < af_end + 60.0


def test_nothing_is_learnt_of_the_first_minute_of_what_is_unsettled_or_of_flutter() -> None:
    of = person()
    x, y = rows_of(of)
    assert x.shape == (len(y), 2)
    assert 600 - 64 - 3 * 64 < len(y) < 600 - 64 - 64
    assert 0.2 < y.mean() < 0.5
    flutter = replace(of, fibrillation=(), flutter=of.fibrillation)
    assert rows_of(flutter)[1].sum() == 0
    assert len(rows_of(flutter)[1]) < 600 - 64 - 200


@pytest.mark.parametrize(("asked", "said"), [([], "folder of a rhythm training"), (["--look"], "--model")])
def test_what_is_missing_is_told(asked: list[str], said: str, data_dir: Path) -> None:
    found = CliRunner().invoke(main, asked)
    assert found.exit_code == 2
    assert said in found.output


@pytest.mark.parametrize("database", ["mitdb", "svdb", "nsrdb_2h"])
def test_figures_are_told_by_database(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.zeros(600, np.uint8)
    labels[::2] = 1
    many = replace(person(0, database=database), name="many", labels=labels, said=labels.astype(np.intp))
    people = [person(1, database=database), replace(person(2, database=database), fibrillation=()), many]
    figures = figures_of(people, by_person(people, lambda _: None))[database]
    assert list(figures["af"]) == ["1", "many"]
    assert 100 < figures["af_suspected_without_note_s"]["2"] < 250
    if database == "nsrdb_2h":
        assert set(figures["atrial_healthy_s"]) == {"1", "2", "many"}
    else:
        assert figures["atrial_many_s"] == {} or figures["atrial_many_s"]["many"] > 0
    assert f"{database}, 3 people" in capsys.readouterr().out
