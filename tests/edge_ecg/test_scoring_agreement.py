"""Figures by hand, and a run beside the experts' annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.detector import shipped_nets
from edge_ecg.dsp.qrs import QrsDetector
from edge_ecg.io import BEAT_SYMBOLS, read_annotations, read_record
from edge_ecg.scoring.agreement import compare
from edge_ecg.scoring.confusion import Confusion

EXCERPT = Path(__file__).parents[2] / "edge_ecg" / "excerpts" / "mitdb_223"


def test_confusion_by_hand():
    confusion = Confusion.of([0, 0, 0, 0, 1, 1, 2], [0, 0, 0, 1, 1, 0, 0], 4)
    assert confusion.counts.tolist() == [[3, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert confusion.accuracy == pytest.approx(4 / 7)
    first, second, third, fourth = confusion.per_class()
    assert (first.n, first.se, first.ppv, first.f1) == (4, 0.75, 0.6, pytest.approx(2 * 0.75 * 0.6 / 1.35))
    assert (second.n, second.se, second.ppv, second.f1) == (2, 0.5, 0.5, 0.5)
    assert (third.n, third.se, third.ppv, third.f1) == (1, 0.0, 0.0, 0.0)
    assert (fourth.n, fourth.se, fourth.ppv, fourth.f1) == (0, 0.0, 0.0, 0.0)
    assert confusion.macro_f1 == pytest.approx((first.f1 + 0.5) / 4)


def test_confusion_of_nothing():
    confusion = Confusion.of([], [], 5)
    assert confusion.counts.shape == (5, 5)
    assert (confusion.accuracy, confusion.macro_f1) == (0.0, 0.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=80))
def test_confusion_counts_every_pair_where_it_belongs(pairs):
    confusion = Confusion.of([a for a, _ in pairs], [b for _, b in pairs], 5)
    assert confusion.counts.sum() == len(pairs)
    for row in range(5):
        for column in range(5):
            assert confusion.counts[row, column] == pairs.count((row, column))
    assert sum(c.n for c in confusion.per_class()) == len(pairs)


def test_a_run_beside_its_annotations():
    samples = [100, 460, 820, 1180, 1540, 1900]
    symbols = ["N", "V", "+", "A", "e", "/"]
    agreement = compare(samples, symbols, [102, 461, 1000, 1185, 1545], ["N", "V", "N", "N", "N"], 360.0)
    assert (agreement.n_reference, agreement.n_matched, agreement.n_missed, agreement.n_extra) == (5, 4, 1, 1)
    assert (agreement.se, agreement.ppv) == (0.8, 0.8)
    counts = agreement.confusion.counts
    assert counts.sum() == 4
    assert (counts[0, 0], counts[2, 2], counts[1, 0]) == (2, 1, 1)
    text = agreement.lines()
    assert "5 annotated: 4 found, 1 missed, 1 extra (Se 80.00 %, +P 80.00 %)" in text[0]
    assert "3 of 4 agree (75.00 %)" in text[1]
    assert [line.split()[0] for line in text[2:]] == ["N", "S", "V"]


def test_the_window_is_150_ms_at_the_records_rate():
    assert compare([1000], ["N"], [1054], ["N"], 360.0).n_matched == 1
    assert compare([1000], ["N"], [1055], ["N"], 360.0).n_matched == 0
    assert compare([1000], ["N"], [1150], ["N"], 1000.0).n_matched == 1


def test_beats_and_detections_in_flutter_do_not_count():
    samples, symbols = [100, 500, 600, 700, 1500, 2000], ["N", "[", "V", "!", "]", "N"]
    agreement = compare(samples, symbols, [100, 510, 800, 1000, 2000], ["N"] * 5, 360.0)
    assert (agreement.n_reference, agreement.n_matched, agreement.n_missed, agreement.n_extra) == (2, 2, 0, 0)
    assert agreement.n_in_flutter == 3
    assert any("3 detections in it left out" in line for line in agreement.lines())


def test_flutter_that_is_never_closed_lasts_to_the_end():
    agreement = compare([100, 500, 900], ["N", "[", "N"], [100, 5000], ["N", "V"], 360.0)
    assert (agreement.n_reference, agreement.n_missed, agreement.n_extra) == (1, 0, 0)


@pytest.mark.parametrize("label", ["normal", "abnormal", "", "X"])
def test_a_label_outside_the_five_classes_is_found_but_not_judged(label):
    agreement = compare([100], ["N"], [100], [label], 360.0)
    assert agreement.n_matched == 1
    assert agreement.confusion.counts.sum() == 0
    assert "0 of 0 agree" in agreement.lines()[1]


@pytest.mark.parametrize("symbol", ["B", "r", "n", "?"])
def test_a_beat_symbol_outside_the_class_map_is_a_beat_without_a_class(symbol):
    agreement = compare([100], [symbol], [100], ["N"], 360.0)
    assert (agreement.n_reference, agreement.n_matched) == (1, 1)
    assert agreement.confusion.counts.sum() == 0


@pytest.mark.parametrize("symbol", ["+", "~", "|", '"', "x", "!", "no such symbol"])
def test_what_is_no_beat_is_no_beat(symbol):
    agreement = compare([100], [symbol], [100], ["N"], 360.0)
    assert (agreement.n_reference, agreement.n_extra) == (0, 1)
    assert (agreement.se, agreement.ppv) == (1.0, 0.0)


def test_an_empty_run_and_an_empty_reference():
    assert compare([100, 500], ["N", "N"], [], [], 360.0).se == 0.0
    assert compare([], [], [], [], 360.0).ppv == 1.0


def test_a_detection_in_flutter_may_belong_to_a_beat_just_outside():
    agreement = compare([100, 500, 520, 900], ["N", "N", "[", "]"], [100, 530, 700], ["N"] * 3, 360.0)
    assert (agreement.n_matched, agreement.n_missed, agreement.n_extra, agreement.n_in_flutter) == (2, 0, 0, 1)


def test_flutter_of_record_207_is_left_out(data_dir):
    stem = data_dir / "mitdb" / "207"
    annotations = read_annotations(stem)
    detector = QrsDetector(360.0, shipped_nets())
    x_mv = read_record(stem).samples_mv()[:, 0].astype(np.float64)
    found = [round(d.r_pos) for d in detector.feed(x_mv) + detector.flush()]
    symbols = list(annotations.symbol)
    agreement = compare(list(annotations.sample), symbols, found, ["N"] * len(found), 360.0)
    begins = [s for s, k in zip(annotations.sample, symbols, strict=True) if k == "["]
    ends = [s for s, k in zip(annotations.sample, symbols, strict=True) if k == "]"]
    inside = sum(any(a <= s <= b for a, b in zip(begins, ends, strict=True)) for s in found)
    assert len(begins) == 6
    assert inside > 100
    assert agreement.n_matched + agreement.n_extra == len(found) - inside
    assert agreement.n_reference == sum(k in BEAT_SYMBOLS for k in symbols)
