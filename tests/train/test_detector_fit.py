"""Fitting the beat detector: labels and changes keep the beats, a small fit learns and can be repeated."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.detector import SHIPPED, load_detector, pack_weights, shipped_nets
from edge_ecg.sources.virtual import EXCERPT
from train.augment import augmented
from train.candidate_set import label_candidates, run_nets, run_truth
from train.detector import jobs, parts, svdb_parts
from train.detector_check import Figures, check
from train.detector_fit import Schedule, fit_rounds
from train.motion import electrode_motion, rms_by_second
from train.people import is_test_person
from train.recordings import Recording, joined, lead1_people, lead1_pieces, wfdb_recording

NOISE = {name: (np.random.default_rng(k).standard_normal(60_000), 360.0) for k, name in enumerate(("ma", "bw"))}


@pytest.fixture(scope="module")
def excerpt() -> Recording:
    return wfdb_recording(EXCERPT.parent, EXCERPT.name)


def test_each_annotated_beat_has_one_candidate_near_it(excerpt):
    labelled = label_candidates(excerpt, 1.0)
    r = np.sort(labelled.found.r_pos[labelled.is_beat])
    assert labelled.n_unreachable == 0
    assert len(r) == len(excerpt.r)
    assert np.abs(r - excerpt.r).max() <= 0.15 * excerpt.fs_hz


def test_what_is_to_be_ignored_and_what_lies_at_the_ends_weighs_less(excerpt):
    fs_hz = excerpt.fs_hz
    labelled = label_candidates(replace(excerpt, ignore=((50 * fs_hz, 60 * fs_hz),)), 0.5)
    at_s, end_s = labelled.found.r_pos / fs_hz, len(excerpt.samples_mv) / fs_hz
    assert (labelled.weight[(at_s > 50) & (at_s < 60)] == 0).all()
    assert (labelled.weight[at_s > end_s - 0.3] == 0).all()
    assert labelled.weight[at_s < 1] == pytest.approx(0.15)
    assert (labelled.weight[(at_s > 61) & (at_s < end_s - 1)] == 0.5).all()


def test_the_truth_decides_as_the_annotations_do(excerpt):
    labelled = label_candidates(excerpt, 1.0)
    decided = run_truth(labelled)
    assert (decided.is_beat == labelled.is_beat[decided.at]).all()
    assert decided.is_beat.sum() == len(excerpt.r)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_a_changed_recording_keeps_its_beats(excerpt, seed):
    part = next(iter(parts(excerpt)))
    changed = augmented(part, NOISE, np.random.default_rng(seed))
    assert np.isfinite(changed.samples_mv).all()
    assert 100.0 <= changed.fs_hz <= 500.0
    assert (np.diff(changed.r) >= 0).all()
    assert changed.r.min() >= 0
    assert changed.r.max() <= len(changed.samples_mv)
    assert len(changed.r) >= len(part.r) // 3 - 1
    labelled = label_candidates(changed, 1.0)
    assert np.isfinite(labelled.found.inputs).all()
    # Noise as tall as the beats, or a beat stretched until none is left, may hide a few.
    assert labelled.n_unreachable <= 0.1 * len(changed.r)


def test_the_same_seed_changes_the_same_way(excerpt):
    one, two, other = (augmented(excerpt, NOISE, np.random.default_rng(s)) for s in (5, 5, 6))
    assert np.array_equal(one.samples_mv, two.samples_mv)
    assert not np.array_equal(one.samples_mv[:100], other.samples_mv[:100])


@given(st.integers(1, 20_000), st.floats(100.0, 1000.0), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_motion_has_the_size_it_says(n, fs_hz, seed):
    wave = electrode_motion(n, fs_hz, np.random.default_rng(seed))
    assert len(wave) == n
    assert np.isfinite(wave).all()
    if n > 3 * fs_hz:
        assert rms_by_second(wave, fs_hz) == pytest.approx(1.0)


def test_parts_are_the_recording_without_a_short_end(excerpt):
    pieces = list(parts(excerpt))
    n = sum(len(p.samples_mv) for p in pieces)
    assert len(excerpt.samples_mv) - n <= 150 * excerpt.fs_hz
    assert np.array_equal(np.concatenate([p.samples_mv for p in pieces]), excerpt.samples_mv[:n])
    starts = np.cumsum([0, *(len(p.samples_mv) for p in pieces)])
    again = np.concatenate([p.r + start for p, start in zip(pieces, starts, strict=False)])
    assert np.array_equal(again, excerpt.r[excerpt.r < n])


def test_a_small_fit_finds_beats_and_can_be_repeated(excerpt):
    items = [label_candidates(excerpt, 1.0)]
    schedule = Schedule(passes=(30, 30), rates=(5e-3, 3e-3), batch=256)
    losses = []

    def fit():
        return fit_rounds(
            items,
            lambda nets: [run_truth(i) if nets is None else run_nets(i, nets) for i in items],
            schedule,
            1,
            lambda round_, loss, nets: losses.append(loss),
        )

    nets = fit()
    assert losses[1] < losses[0] < 0.2
    figures = check(nets, {"itself": [excerpt]}, 1)["itself"]
    assert figures.f1_percent > 98.0
    assert pack_weights(fit()) == pack_weights(nets)


SMALL_FIT = """
import hashlib
from edge_ecg.detector import pack_weights
from edge_ecg.sources.virtual import EXCERPT
from train.candidate_set import label_candidates, run_truth
from train.detector_fit import Schedule, fit_rounds
from train.recordings import wfdb_recording
items = [label_candidates(wfdb_recording(EXCERPT.parent, EXCERPT.name), 1.0)]
schedule = Schedule(passes=(10,), rates=(3e-3,), batch=1024)
nets = fit_rounds(items, lambda nets: [run_truth(i) for i in items], schedule, 1, lambda *told: None)
print(hashlib.sha256(pack_weights(nets)).hexdigest())
"""


def test_a_fit_does_not_hang_on_the_number_of_threads():
    def fitted(threads: str) -> str:
        env = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-c", SMALL_FIT]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout

    assert fitted("1") == fitted("2")


def test_shipped_nets_find_what_they_were_not_fitted_to_in_the_excerpt(excerpt):
    figures = check(shipped_nets(), {"excerpt": [excerpt]}, 1)["excerpt"]
    assert figures == Figures(len(excerpt.r), 0, 0)


def test_no_test_person_is_fitted_or_validates(data_dir):
    fit, validation = svdb_parts(data_dir)
    assert not [r for r in [*fit, *validation] if is_test_person("svdb", r)]
    assert len(fit) + len(validation) == 42
    assert not set(fit) & set(validation)
    wanted = jobs(data_dir)
    assert not [j for j in wanted if j.dataset in {"mitdb", "svdb"} and is_test_person(j.dataset, j.name)]
    assert {j.name for j in wanted if j.dataset == "svdb"} == set(fit)
    with (data_dir / "ecgdb_lead1" / "subjects.csv").open(encoding="utf-8") as file:
        patients = {row["subject"]: int(row["ptbdb_patient"]) for row in csv.DictReader(file)}
    fitted = {j.name for j in wanted if j.dataset == "lead1"}
    validating = set(lead1_people(data_dir / "ecgdb_lead1", (1,)))
    shipped = load_detector(SHIPPED)[1]
    assert set(shipped.fitted_on["ecgdb_lead1"]) == fitted
    assert set(shipped.validated_on["ecgdb_lead1"]) == validating
    assert not [s for s in fitted | validating if is_test_person("ecgdb_lead1", patients[s])]
    # One patient may be several subjects.
    assert not {patients[s] for s in fitted} & {patients[s] for s in validating}


def test_pieces_of_a_person_are_joined_without_a_step(data_dir):
    pieces = lead1_pieces(data_dir / "ecgdb_lead1", "319")
    whole = joined(pieces)
    assert len(whole.r) == sum(len(p.r) for p in pieces)
    assert len(whole.ignore) == len(pieces) - 1
    seams = np.cumsum([len(p.samples_mv) for p in pieces])[:-1]
    assert np.abs(whole.samples_mv[seams] - whole.samples_mv[seams - 1]).max() < 1e-9
