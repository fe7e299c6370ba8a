"""Matching of beats: by hand, by its promises, and against the reference implementation."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.detector import shipped_nets
from edge_ecg.dsp.qrs import QrsDetector
from edge_ecg.io import BEAT_SYMBOLS, read_annotations, read_record
from edge_ecg.scoring.matching import MATCH_WINDOW_S, Timing, match_beats, r_errors_ms

EXCERPT = Path(__file__).parents[2] / "edge_ecg" / "excerpts" / "mitdb_223"

TABLE = {
    "nothing at all": ([], [], [], [], []),
    "nothing found": ([100, 200], [], [], [0, 1], []),
    "nothing to find": ([], [100, 200], [], [], [0, 1]),
    "exact": ([100, 500], [100, 500], [(0, 0), (1, 1)], [], []),
    "on the border": ([100], [154], [(0, 0)], [], []),
    "one beyond the border": ([100], [155], [], [0], [0]),
    "early as well as late": ([100, 500], [60, 540], [(0, 0), (1, 1)], [], []),
    "the nearer of two detections": ([100], [70, 110], [(0, 1)], [], [0]),
    "the second of two equally near ones": ([100], [90, 110], [(0, 1)], [], [0]),
    "the first of two at one place that come late": ([100], [110, 110], [(0, 0)], [], [1]),
    "the second of two at one place that come early": ([100], [90, 90], [(0, 1)], [], [0]),
    "the nearer of two references": ([100, 140], [130], [(1, 0)], [0], []),
    "the second of two equally near references": ([100, 140], [120], [(1, 0)], [0], []),
    "a missed beat between found ones": ([100, 400, 700], [101, 699], [(0, 0), (2, 1)], [1], []),
    "an extra one between found ones": ([100, 700], [101, 400, 699], [(0, 0), (1, 2)], [], [1]),
    "close pairs stay in order": ([100, 150], [105, 145], [(0, 0), (1, 1)], [], []),
    "the successor is nearer but has a nearer one itself": ([100, 140], [125, 141], [(1, 1)], [0], [0]),
    "the second of two references at one place": ([100, 100], [100], [(1, 0)], [0], []),
    "fractions of a sample": ([100], [90.5, 109.4], [(0, 1)], [], [0]),
    "all shifted": ([100, 150, 200], [130, 180, 230], [(1, 0), (2, 1)], [0], [2]),
}


@pytest.mark.parametrize("name", TABLE)
def test_by_hand(name):
    reference, detections, pairs, missed, extra = TABLE[name]
    match = match_beats(reference, detections, 54)
    assert (list(match.pairs), list(match.missed), list(match.extra)) == (pairs, missed, extra)


POSITIONS = st.lists(st.integers(0, 3000), unique=True, max_size=60).map(sorted)


@settings(deadline=None)
@given(POSITIONS, POSITIONS, st.integers(0, 100))
def test_one_to_one_within_tolerance_and_all_accounted_for(reference, detections, tolerance):
    match = match_beats(reference, detections, tolerance)
    refs, dets = [i for i, _ in match.pairs], [j for _, j in match.pairs]
    assert refs == sorted(set(refs))
    assert dets == sorted(set(dets))
    assert all(abs(reference[i] - detections[j]) <= tolerance for i, j in match.pairs)
    assert sorted([*refs, *match.missed]) == list(range(len(reference)))
    assert sorted([*dets, *match.extra]) == list(range(len(detections)))
    assert match.sensitivity == (len(refs) / len(reference) if reference else 1.0)
    assert match.positive_predictivity == (len(dets) / len(detections) if detections else 1.0)


@settings(deadline=None)
@given(POSITIONS, POSITIONS, st.integers(0, 100))
def test_nothing_left_over_could_still_be_paired_with_its_lonely_neighbour(reference, detections, tolerance):
    match = match_beats(reference, detections, tolerance)
    for i in match.missed:
        for j in match.extra:
            if abs(reference[i] - detections[j]) <= tolerance:
                # Then something nearer to one of the two lies between or beside them.
                nearest_ref = min(abs(r - detections[j]) for k, r in enumerate(reference) if k != i)
                nearest_det = min(abs(d - reference[i]) for k, d in enumerate(detections) if k != j)
                assert min(nearest_ref, nearest_det) <= abs(reference[i] - detections[j])


@settings(deadline=None)
@given(POSITIONS, st.integers(0, 100))
def test_a_list_matches_itself(positions, tolerance):
    match = match_beats(positions, positions, tolerance)
    assert list(match.pairs) == [(k, k) for k in range(len(positions))]


def beats_of(stem: Path) -> np.ndarray:
    annotations = read_annotations(stem)
    return np.array([s for s, k in zip(annotations.sample, annotations.symbol, strict=True) if k in BEAT_SYMBOLS])


def assert_agrees_with_wfdb(reference: np.ndarray, detections: np.ndarray, fs_hz: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from wfdb.processing import compare_annotations

        theirs = compare_annotations(reference, detections, int(MATCH_WINDOW_S * fs_hz))
    ours = match_beats(reference, detections, int(MATCH_WINDOW_S * fs_hz))
    assert (len(ours.pairs), len(ours.missed), len(ours.extra)) == (theirs.tp, theirs.fn, theirs.fp)
    assert ours.sensitivity == pytest.approx(theirs.sensitivity)
    assert ours.positive_predictivity == pytest.approx(theirs.positive_predictivity)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_reference_on_a_bad_detector(seed):
    rng = np.random.default_rng(seed)
    reference = beats_of(EXCERPT)
    kept = reference[rng.random(len(reference)) > 0.1]
    found = np.unique(np.concatenate([kept + rng.integers(-30, 31, len(kept)), rng.integers(0, 118_000, 40)]))
    assert_agrees_with_wfdb(reference, found, 360.0)


@pytest.mark.parametrize("name", ["208", "203"])
def test_agrees_with_the_reference_on_real_detections(data_dir, name):
    stem = data_dir / "mitdb" / name
    detector = QrsDetector(360.0, shipped_nets())
    x_mv = read_record(stem).samples_mv()[:, 0].astype(np.float64)
    found = np.array([round(d.r_pos) for d in detector.feed(x_mv) + detector.flush()])
    assert_agrees_with_wfdb(beats_of(stem), found, 360.0)


def gaps(smallest: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(smallest, 400), min_size=1, max_size=30)


@settings(deadline=None)
@given(gaps(109), gaps(109))
def test_agrees_with_the_reference_where_no_beat_has_two_candidates(ref_gaps, det_gaps):
    # Neighbours lie more than two windows apart, so that no choice is left to either.
    reference, detections = np.cumsum(ref_gaps), np.cumsum(det_gaps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from wfdb.processing import compare_annotations

        theirs = compare_annotations(reference, detections, 55)  # they want it nearer than the window
    ours = match_beats(reference.tolist(), detections.tolist(), 54)
    assert [i for i, _ in ours.pairs] == theirs.matched_ref_inds.tolist()
    assert [j for _, j in ours.pairs] == theirs.matched_test_inds.tolist()
    assert list(ours.missed) == theirs.unmatched_ref_inds.tolist()


@settings(deadline=None)
@given(POSITIONS, POSITIONS, st.integers(0, 100), st.integers(-5000, 5000))
def test_a_shift_in_time_changes_nothing(reference, detections, tolerance, shift):
    shifted = match_beats([r + shift for r in reference], [d + shift for d in detections], tolerance)
    assert shifted == match_beats(reference, detections, tolerance)


def test_r_errors_are_signed_and_timing_is_not():
    # 250 Hz: a sample is 4 ms. The second detection has no beat.
    errors = r_errors_ms([100, 400, 700], [99, 300, 402.5, 700], [(0, 0), (1, 2), (2, 3)], 250.0)
    assert errors.tolist() == [-4.0, 10.0, 0.0]
    timing = Timing.of(errors)
    assert timing is not None
    assert timing.median_ms == 4.0
    assert timing.p95_ms == pytest.approx(4 + 0.9 * 6)  # 0.95 of the way along three values


def test_nothing_matched_has_no_timing():
    assert r_errors_ms([100], [], [], 360.0).shape == (0,)
    assert Timing.of([]) is None
