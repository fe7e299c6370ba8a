"""Fibrillation's few numbers: whose records choose them, how episodes and false minutes count, what a fit finds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_ecg.context import fibrillation as runtime
from edge_ecg.errors import DataError
from edge_ecg.io import Annotations, write_annotations
from edge_ecg.sources.synthetic import synthetic_ecg
from train.fibrillation import (
    Lead,
    cross_validated,
    decided,
    disturbed,
    fit,
    fitting_names,
    lead_score,
    logits,
    read_leads,
    report_names,
    watched,
    windows_of,
)
from train.people import is_test_person

FS_HZ = 128.0


def lead_of(seed: int, database: str = "cudb") -> Lead:
    """A minute of a heart, 40 s of a wave that wanders about 5 Hz, a minute of a heart."""
    rng = np.random.default_rng(seed)
    x = synthetic_ecg(FS_HZ, 160.0, 60.0 + 10.0 * seed, seed=seed)[0].astype(np.float64)
    a, b = round(60 * FS_HZ), round(100 * FS_HZ)
    pace_hz = np.repeat(rng.uniform(3.5, 6.5, 80), 64)
    x[a:b] = rng.uniform(0.4, 1.0) * np.sin(2 * np.pi * np.cumsum(pace_hz) / FS_HZ)
    return Lead(database, f"r{seed}", True, FS_HZ, x, ((60.0, 100.0),))


def score(suspected, episodes=((100.0, 200.0),)):
    return lead_score(Lead("cudb", "x", True, FS_HZ, np.zeros(round(600 * FS_HZ)), episodes), suspected)


def test_no_test_person_fits(data_dir):
    fitting, testing = fitting_names(data_dir), report_names()
    assert not set(fitting) & set(testing)
    assert not any(is_test_person(*who) for who in fitting)
    assert {name for database, name in fitting if database == "cudb"} == {f"cu{k:02d}" for k in range(1, 19)}
    assert {name for database, name in testing if database == "cudb"} == {f"cu{k}" for k in range(19, 36)}
    assert len([who for who in testing if who[0] == "mitdb"]) == 24


@pytest.mark.parametrize(
    ("suspected", "delay_s"),
    [
        ([(104.0, 200.0)], 4.0),
        ([(110.0, 200.0)], 10.0),
        ([(110.5, 200.0)], None),
        ([(90.0, 101.0)], 0.0),
        ([(90.0, 99.0)], None),
        ([(90.0, 99.0), (107.0, 108.0)], 7.0),
        ([], None),
    ],
)
def test_an_episode_is_noticed_when_it_is_suspected_in_its_first_10_s(suspected, delay_s):
    assert score(suspected).delays_s == ((100.0, delay_s),)


@pytest.mark.parametrize(
    ("suspected", "minutes", "seconds"),
    [
        ([(104.0, 210.0)], (), 0.0),
        ([(104.0, 212.0)], (3,), 2.0),
        ([(98.0, 205.0)], (1,), 2.0),
        ([(300.0, 301.0)], (5,), 1.0),
        ([(290.0, 430.0)], (4, 5, 6, 7), 140.0),
        ([(10.0, 11.0), (20.0, 21.0)], (0,), 2.0),
    ],
)
def test_a_minute_is_false_outside_of_episodes_and_10_s_behind_them(suspected, minutes, seconds):
    found = score(suspected)
    assert found.false_minutes == minutes
    assert found.false_s == pytest.approx(seconds)


def test_short_episodes_are_neither_missed_nor_false():
    found = score([(101.0, 109.0)], ((100.0, 108.0),))
    assert (found.delays_s, found.false_minutes, found.share_covered) == ((), (), None)


def test_an_episode_without_an_end_runs_to_the_end_of_the_record(tmp_path):
    (tmp_path / "cudb").mkdir()
    stem = tmp_path / "cudb" / "cu99"
    stem.with_suffix(".hea").write_text("cu99 1 128 1280\ncu99.dat 16 200 12 0 0 0 0 ECG\n", encoding="utf-8")
    np.zeros(1280, "<i2").tofile(stem.with_suffix(".dat"))
    write_annotations(stem, Annotations.of([128, 256, 640], ["[", "]", "["]))
    (lead,) = read_leads(tmp_path, "cudb", "cu99")
    assert lead.episodes == ((1.0, 2.0), (5.0, 10.0))
    stem.with_suffix(".atr").write_bytes(stem.with_suffix(".atr").read_bytes()[:-2])
    with pytest.raises(DataError, match="cut short"):
        read_leads(tmp_path, "cudb", "cu99")


def test_a_fit_tells_one_from_the_other_in_people_it_has_not_seen():
    windows = [windows_of(lead_of(seed)) for seed in range(4)]
    for of, found in zip(windows, cross_validated(windows, n_folds=4), strict=True):
        inside = (of.end_s >= 65.0) & (of.end_s <= 99.0)
        outside = (of.end_s < 55.0) | (of.end_s > 110.0)
        assert found[inside].min() > 0.0 > found[outside].max()


def test_what_a_person_has_does_not_judge_that_person():
    windows = [windows_of(lead_of(seed)) for seed in range(4)]
    # Called the other way round, a person changes the logits of the others, never their own.
    odd = replace(windows[1], lead=replace(windows[1].lead, episodes=((0.0, 55.0), (110.0, 160.0))))
    before, after = cross_validated(windows, n_folds=4), cross_validated([windows[0], odd, *windows[2:]], n_folds=4)
    assert np.array_equal(before[1], after[1])
    assert not any(np.array_equal(before[k], after[k]) for k in (0, 2, 3))


def test_many_windows_at_once_decide_as_the_runtime_does(monkeypatch):
    lead = lead_of(1)
    of = windows_of(lead)
    model = fit([windows_of(lead_of(seed)) for seed in (2, 3)])
    monkeypatch.setattr(runtime, "WEIGHTS", model.weights)
    monkeypatch.setattr(runtime, "BIAS", model.bias)
    at_once, streamed = decided(of, logits(model, of)), watched(lead)
    assert len(at_once) == len(streamed) == 1
    assert np.allclose(at_once, streamed, atol=0.1)
    assert lead_score(lead, streamed).delays_s[0][1] < 10.0


def test_disturbed_pieces_are_the_same_each_time_and_hold_no_episode():
    lead = replace(lead_of(0, "mitdb"), samples_mv=np.tile(lead_of(0).samples_mv, 2))
    rng = np.random.default_rng(0)
    noises = {kind: [rng.standard_normal(round(300 * FS_HZ)) for _ in range(2)] for kind in ("ma", "bw")}
    first, again = disturbed(lead, noises), disturbed(lead, noises)
    assert len(first) == 4
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.samples_mv, b.samples_mv)
        assert a.episodes == ()
