"""Reports: pooled and averaged, the table, the JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.errors import UsageError
from edge_ecg.scoring.ec57 import Rules, score_record
from edge_ecg.scoring.report import Report

WHOLE = Rules(start_s=0.0)


def row(record, symbols, labels, rules=WHOLE, **more):
    """A record with a beat every second at 100 Hz; label "o" misses it, and what is left over has no beat."""
    samples = [100 * (k + 1) for k in range(len(symbols))]
    said = [(100 * (k + 1) + k, label) for k, label in enumerate(labels) if label != "o"]
    return score_record(
        record, samples, list(symbols), [s for s, _ in said], [k for _, k in said], 100.0, rules, **more
    )


FIRST = row("100", "NNVV", "NVVo")  # Nn Nv Vv Vo
SECOND = row("200", "NNNNNN", "NNNNNNVS")  # 6 Nn, Ov, Os
THIRD = row("102", "//", "QQ")


def test_gross_pools_and_average_means():
    report = Report([FIRST, SECOND], WHOLE)
    gross, average = report.gross, report.average
    assert (gross.matched, gross.missed, gross.extra) == (9, 1, 2)
    assert gross.q_se == 9 / 10
    assert average["q_se"] == pytest.approx((3 / 4 + 1) / 2)
    assert gross.q_ppv == 9 / 11
    assert average["q_ppv"] == pytest.approx((1 + 6 / 8) / 2)
    assert gross.v_ppv == 1 / 3  # Vv of Vv Nv Ov
    assert average["v_ppv"] == pytest.approx((1 / 2 + 0) / 2)
    assert gross.v_se == average["v_se"] == 1 / 2  # the second has no V: it does not take part
    assert gross.s_ppv == average["s_ppv"] == 0.0
    assert gross.s_se is None
    assert average["s_se"] is None
    # Detections come 0 10 20 30 .. ms late, so that each of 2 + 5 intervals is off by 10 ms.
    assert gross.n_rr == 2 + 5
    assert gross.rr_error_ms == pytest.approx(10.0)
    assert sorted(gross.r_errors_ms) == pytest.approx([0, 0, 10, 10, 20, 20, 30, 40, 50])


def test_gross_rr_error_is_pooled_before_the_root():
    still = score_record("a", [100, 200], ["N", "N"], [100, 200], ["N", "N"], 100.0, WHOLE)
    off = score_record("b", [100, 200], ["N", "N"], [100, 204], ["N", "N"], 100.0, WHOLE)
    report = Report([still, off], WHOLE)
    assert report.gross.rr_error_ms == pytest.approx(math.sqrt(40**2 / 2))
    assert report.average["rr_error_ms"] == 20.0
    assert report.median["rr_error_ms"] == 20.0


def test_one_table_never_mixes_rules():
    with pytest.raises(UsageError, match=r"record 100 .* class map ec57.*aami5"):
        Report([FIRST], Rules("aami5", 0.0))


def test_paced_records_are_named_and_may_be_left_out():
    report = Report([FIRST, THIRD, SECOND], WHOLE)
    assert report.paced == ("102",)
    assert "paced beats in 102: EC57's totals for V and S leave such records out" in report.table()
    rest = report.without(["102", "104"])
    assert [r.record for r in rest.rows] == ["100", "200"]
    assert (report.gross.matched, rest.gross.matched) == (11, 9)
    text = rest.table()
    assert "left out: 102 (paced beats)" in text
    assert "paced beats in" not in text
    assert rest.to_json()["left_out"] == {"102": "paced beats"}
    twice = rest.without(["100"], "a test")
    assert "left out: 102 (paced beats)\nleft out: 100 (a test)" in twice.table()
    assert "left out" not in report.table().splitlines()[1]


def test_symbols_outside_the_class_map_are_told():
    rules = Rules("aami5", 0.0)
    text = Report([row("I01", "NBn", "NNN", rules)], rules).table()
    assert "2 beats of a symbol outside class map aami5 count as Q" in text


HEAD = (
    "Record Nn' Sn' Vn' Fn' On' Ns Ss Vs Fs' Os' Nv Sv Vv Fv' Ov' No' So' Vo' Fo' "
    "Q Se Q +P V Se V +P S Se S +P RR err"
)


def test_table_has_the_columns_of_sumstats():
    lines = Report([FIRST, SECOND], WHOLE).table().splitlines()
    assert lines[0] == WHOLE.text
    at = next(k for k, line in enumerate(lines) if line.startswith("Record"))
    assert " ".join(lines[at].split()) == HEAD
    first, second, rule, sums, gross, average, median, count = (
        " ".join(lines[at + k].split()) for k in range(1, 9)
    )
    assert first == "100 1 0 0 0 0 0 0 0 0 0 1 0 1 0 0 0 0 1 0 75.00 100.00 50.00 50.00 - - 10.00"
    assert second == "200 6 0 0 0 0 0 0 0 0 1 0 0 0 0 1 0 0 0 0 100.00 75.00 - 0.00 - 0.00 10.00"
    assert set(rule) == {"_"}
    assert sums == "Sum 7 0 0 0 0 0 0 0 0 1 1 0 1 0 1 0 0 1 0"
    assert gross == "Gross 90.00 81.82 50.00 33.33 - 0.00 10.00"
    assert average == "Average 87.50 87.50 50.00 25.00 - 0.00 10.00"
    assert median == "Median 87.50 87.50 50.00 25.00 - 0.00 10.00"
    assert count.startswith("Beats: 10 V: 2 S: 0 in 2 records;")


def test_columns_stand_under_their_heads():
    lines = Report([FIRST, SECOND], WHOLE).table().splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("Record"))
    for head, value in (("Nv", "1"), ("Q Se", "75.00"), ("RR err", "10.00")):
        end = lines[at].index(head) + len(head)
        assert lines[at + 1][:end].endswith(value)
    assert lines[at + 5][: lines[at].index("Q Se") + 4].endswith("90.00")


@pytest.mark.parametrize("shutdown", ["apart", "counted"])
def test_every_cell_stands_in_its_column_and_in_no_other(shutdown):
    # A prime holds more than its name: beats of class Q count with F, and labels f and q with n.
    wanted = {}
    for reference in "NSVFQO":
        for said in "nsvfqo":
            if reference + said not in ("Oo", "Qo", "Fo"):
                column = ("F" if reference == "Q" else reference) + ("n" if said in "fq" else said)
                wanted[reference + said] = column
    wanted |= {"Fo": "Fo", "Qo": "Fo"}
    if shutdown == "counted":
        wanted |= {"Nx": "No", "Sx": "So", "Vx": "Vo", "Fx": "Fo", "Qx": "Fo"}
        wanted |= {"Xn": "On", "Xf": "On", "Xq": "On", "Xs": "Os", "Xv": "Ov"}
    else:
        wanted |= dict.fromkeys(("Nx", "Sx", "Vx", "Fx", "Qx", "Xn", "Xs", "Xv", "Xf", "Xq"))
    for cell, column in wanted.items():
        counts = np.zeros((7, 7), np.int64)
        counts["NSVFQOX".index(cell[0]), "nsvfqox".index(cell[1])] = 3
        rules = Rules(start_s=0.0, shutdown=shutdown)
        lines = Report([replace(FIRST, counts=counts, rules=rules)], rules).table().splitlines()
        at = next(k for k, line in enumerate(lines) if line.startswith("Record"))
        shown = dict(zip(HEAD.split()[1:20], lines[at + 1].split()[1:20], strict=True))
        assert {name.rstrip("'"): n for name, n in shown.items() if n != "0"} == ({column: "3"} if column else {})


@pytest.mark.parametrize(("shutdown", "missed"), [("apart", "0"), ("counted", "2")])
def test_shutdown_has_a_table_of_its_own(shutdown, missed):
    rules = Rules(start_s=0.0, shutdown=shutdown)
    report = Report([row("100", "NNNN", "NooNV", rules, shutdown=[(150, 350), (480, 600)], n_samples=600)], rules)
    lines = report.table().splitlines()
    first, second = (k for k, line in enumerate(lines) if line.startswith("Record"))
    beats = dict(zip(HEAD.split()[1:20], lines[first + 1].split()[1:20], strict=True))
    assert (beats["No'"], beats["Ov'"]) == (missed, "1" if shutdown == "counted" else "0")
    v_fpr = "33.333" if shutdown == "counted" else "0.000"
    assert " ".join(lines[second + 1].split()) == f"100 2 0 0 0 0 50.00 1 3.2 6.0 0 {v_fpr} 100.00"
    assert " ".join(lines[second + 3].split()).startswith("Gross 2 0 0 0 0 50.00 1 3.2 6.0 0")


def test_a_report_of_nothing():
    report = Report([], WHOLE)
    assert set(report.average.values()) == {None}
    assert report.gross.counts.dtype.kind == "i"
    lines = report.table().splitlines()
    assert "Gross - - - - - - -" in [" ".join(line.split()) for line in lines]
    json.dumps(report.to_json())


def test_json_says_all():
    report = Report([FIRST, SECOND], WHOLE)
    said = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert said["schema"] == 1
    assert said["rules"] == {
        "class_map": "ec57",
        "start_s": 0.0,
        "match_window_s": 0.15,
        "shutdown": "apart",
        "text": WHOLE.text,
    }
    first = said["records"][0]
    assert first["record"] == "100"
    assert first["counts"]["V"] == {"n": 0, "s": 0, "v": 1, "f": 0, "q": 0, "o": 1, "x": 0}
    assert list(first["counts"]) == list("NSVFQOX")
    assert (first["q_se"], first["s_se"], first["missed_at"], first["extra_at"]) == (0.75, None, [400], [])
    assert (first["r_error_median_ms"], first["r_error_p95_ms"]) == (10.0, pytest.approx(19.0))
    assert said["records"][1]["extra_at"] == [706.0, 807.0]
    assert (said["gross"]["matched"], said["gross"]["extra"], said["average"]["v_se"]) == (9, 2, 0.5)
    assert (said["left_out"], said["paced"]) == ({}, [])


ROWS = st.lists(
    st.builds(
        row, st.sampled_from(["1", "2", "3"]), st.text("NVAFQ", max_size=8), st.text("NVSFQo", max_size=10)
    ),
    max_size=6,
)


@settings(deadline=None)
@given(ROWS, st.randoms())
def test_the_order_of_records_does_not_matter(rows, random):
    report = Report(rows, WHOLE)
    mixed = Report(random.sample(rows, len(rows)), WHOLE)
    assert mixed.gross.figures() == pytest.approx(report.gross.figures())
    assert mixed.average == pytest.approx(report.average)
    assert (mixed.gross.counts == report.gross.counts).all()


@settings(deadline=None)
@given(ROWS)
def test_a_record_alone_is_its_own_gross_and_average(rows):
    for one in rows:
        report = Report([one], WHOLE)
        assert report.gross.figures() == report.average == one.figures()
