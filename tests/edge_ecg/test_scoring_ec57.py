"""EC57 scoring: every rule by hand, and what must hold for any record."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.errors import DataError, UsageError
from edge_ecg.io import BEAT_SYMBOLS, read_annotations
from edge_ecg.labels import AAMI5
from edge_ecg.scoring.ec57 import COLUMNS, FIGURES, ROWS, RecordScore, Rules, Score, score_record
from edge_ecg.scoring.rules import CLASS_MAPS

FS_HZ = 100.0  # a sample is 10 ms, the window 15 samples
WHOLE = Rules(start_s=0.0)


def score(annotations, device, rules=WHOLE, **more) -> RecordScore:
    """Score ``[(sample, symbol)]`` against ``[(sample, label)]``."""
    return score_record(
        "r",
        [s for s, _ in annotations],
        [k for _, k in annotations],
        [s for s, _ in device],
        [k for _, k in device],
        FS_HZ,
        rules,
        **more,
    )


def cells(scored: Score) -> dict[str, int]:
    return {
        r + c: int(scored.counts[i, k])
        for i, r in enumerate(ROWS)
        for k, c in enumerate(COLUMNS)
        if scored.counts[i, k]
    }


# --- class maps


def test_class_map_ec57():
    table = {"N": "NLRB", "S": "AaJSnej", "V": "VrE", "F": "F", "Q": "Q/f?"}
    assert dict(CLASS_MAPS["ec57"]) == {s: letter for letter, symbols in table.items() for s in symbols}
    assert set(CLASS_MAPS["ec57"]) == BEAT_SYMBOLS


def test_class_map_aami5_is_that_of_the_networks():
    table = {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}
    assert dict(CLASS_MAPS["aami5"]) == {s: letter for letter, symbols in table.items() for s in symbols}
    assert {s: label.name for s, label in AAMI5.items()} == dict(CLASS_MAPS["aami5"])


@pytest.mark.parametrize("class_map", ["ec57", "aami5"])
def test_every_beat_symbol_lands_in_the_row_of_its_class(class_map):
    for symbol in BEAT_SYMBOLS:
        scored = score([(100, symbol)], [(100, "V")], replace(WHOLE, class_map=class_map))
        letter = CLASS_MAPS[class_map].get(symbol, "Q")
        assert cells(scored) == {f"{letter}v": 1}
        assert scored.n_unmapped == (class_map == "aami5" and symbol in "Brn?")


def test_the_maps_differ_in_escape_beats():
    beats, said = [(100, "e"), (200, "j")], [(100, "N"), (200, "S")]
    assert cells(score(beats, said)) == {"Sn": 1, "Ss": 1}
    assert cells(score(beats, said, replace(WHOLE, class_map="aami5"))) == {"Nn": 1, "Ns": 1}


@pytest.mark.parametrize("symbol", ["+", "~", "|", '"', "x", "!", "]", "", "[]", "word"])
def test_what_is_no_beat_is_not_scored(symbol):
    assert cells(score([(100, symbol)], [])) == {}
    assert cells(score([(100, symbol)], [(100, "N")])) == {"On": 1}


@pytest.mark.parametrize(("label", "column"), list(zip("NSVFQU", "nsvfqq", strict=True)))
def test_every_label_has_its_column_and_undecided_is_q(label, column):
    assert cells(score([(100, "N")], [(100, label)])) == {f"N{column}": 1}
    assert cells(score([], [(100, label)])) == {f"O{column}": 1}


# --- figures


def build(**named: int) -> Score:
    """A score with these cells."""
    base = score([], [])
    counts = np.zeros((7, 7), np.int64)
    for name, n in named.items():
        counts[ROWS.index(name[0]), COLUMNS.index(name[1])] = n
    return replace(Score.pooled([base], WHOLE), counts=counts)


# Powers of two: a sum tells which cells are in it.
ALL = {r + c: 2**k for k, (r, c) in enumerate((r, c) for r in "NSVFQ" for c in "nsvfqo")} | {
    f"O{c}": 2 ** (30 + k) for k, c in enumerate("nsvfq")
}


def total(*names: str) -> int:
    return sum(ALL[n] for n in names)


def test_figures_hold_the_cells_that_ec57_names():
    scored = build(**ALL)
    matched = sum(n for name, n in ALL.items() if name[0] != "O" and name[1] != "o")
    missed, extra = total("No", "So", "Vo", "Fo", "Qo"), total("On", "Os", "Ov", "Of", "Oq")
    assert (scored.matched, scored.missed, scored.extra) == (matched, missed, extra)
    assert scored.q_se == matched / (matched + missed)
    assert scored.q_ppv == matched / (matched + extra)
    assert scored.v_se == ALL["Vv"] / total("Vv", "Vn", "Vs", "Vf", "Vq", "Vo")
    assert scored.v_ppv == ALL["Vv"] / total("Vv", "Nv", "Sv", "Ov")
    false = total("Nv", "Sv", "Ov")
    right = sum(n for name, n in ALL.items() if name[0] != "V" and name[1] in "nsfq")
    assert scored.v_fpr == false / (false + right)
    assert scored.s_se == ALL["Ss"] / total("Ss", "Sn", "Sv", "Sf", "Sq", "So")
    assert scored.s_ppv == ALL["Ss"] / total("Ss", "Ns", "Vs", "Fs", "Os")
    assert scored.accuracy == total("Nn", "Ss", "Vv", "Ff", "Qq") / matched


def test_pooling_sums_everything():
    rules = replace(WHOLE, class_map="aami5")
    beats = [(100, "n"), (200, "/"), (300, "["), (400, "]"), (500, "N"), (600, "N")]
    one = score(beats, [(100, "N"), (350, "V"), (500, "N"), (602, "N")], rules, shutdown=[(700, 800)], n_samples=1000)
    both = Score.pooled([one, one], rules)
    assert (both.counts == 2 * one.counts).all()
    assert (both.evaluated_s, both.shutdown_s, both.n_rr) == (18.0, 2.0, 2)
    assert (both.n_in_flutter, both.n_unmapped, both.n_paced) == (2, 2, 2)
    assert Score.pooled([one, score(beats, [], rules)], rules).evaluated_s is None


def test_unmapped_symbols_of_the_learning_period_are_not_told():
    rules = Rules("aami5")
    assert score([(100, "n"), (30_100, "n"), (30_200, "B")], [(30_100, "N")], rules).n_unmapped == 2


def test_figures_by_hand():
    beats = [(100, "N"), (200, "N"), (300, "V"), (400, "V"), (500, "A"), (600, "F"), (700, "V"), (800, "N")]
    said = [(100, "N"), (200, "V"), (300, "V"), (400, "N"), (500, "S"), (600, "V"), (740, "V"), (800, "N")]
    scored = score(beats, said)
    assert cells(scored) == {"Nn": 2, "Nv": 1, "Vv": 1, "Vn": 1, "Vo": 1, "Ss": 1, "Fv": 1, "Ov": 1}
    assert (scored.q_se, scored.q_ppv) == (7 / 8, 7 / 8)
    assert (scored.v_se, scored.v_ppv) == (1 / 3, 1 / 3)  # Vv / (Vv Vn Vo); Vv / (Vv Nv Ov), Fv is no matter
    assert scored.v_fpr == 2 / 5  # Nv Ov of Nn Nn Nv Ss Ov
    assert (scored.s_se, scored.s_ppv) == (1.0, 1.0)
    assert scored.accuracy == 4 / 7
    assert scored.missed_at == (700,)
    assert scored.extra_at == (740.0,)


def test_nothing_to_divide_by_is_no_figure():
    assert score([], []).figures() == dict.fromkeys(FIGURES)
    only_normal = score([(100, "N")], [(100, "N")]).figures()
    assert only_normal == dict.fromkeys(FIGURES) | {"q_se": 1.0, "q_ppv": 1.0, "v_fpr": 0.0, "accuracy": 1.0}
    only_missed = score([(100, "V")], []).figures()
    assert only_missed == dict.fromkeys(FIGURES) | {"q_se": 0.0, "v_se": 0.0}


# --- window, learning period, end


@pytest.mark.parametrize(("late", "matched"), [(15, 1), (15.01, 0), (-15, 1), (-15.01, 0)])
def test_the_window_is_150_ms(late, matched):
    assert score([(100, "N")], [(100 + late, "N")]).matched == matched


def test_another_window():
    assert score([(100, "N")], [(106, "N")], replace(WHOLE, match_window_s=0.05)).matched == 0


def test_comparison_starts_at_five_minutes():
    # 300 s at 100 Hz is sample 30000.
    beats = [(29_000, "N"), (29_999, "V"), (30_000, "N"), (30_100, "V")]
    said = [(28_000, "N"), (29_999, "N"), (30_000, "N"), (30_100, "V")]
    assert cells(score(beats, said, Rules())) == {"Nn": 1, "Vv": 1}


def test_a_pair_across_the_start_lies_where_the_experts_put_the_beat():
    # The first two belong together and begin before; the last two belong together and begin after.
    assert cells(score([(29_995, "V")], [(30_005, "N")], Rules())) == {}
    assert cells(score([(30_005, "V")], [(29_995, "N")], Rules())) == {"Vn": 1}


def test_lonely_beats_at_the_start_count_by_their_own_time():
    assert cells(score([(29_999, "V"), (30_100, "N")], [(30_100, "N")], Rules())) == {"Nn": 1}
    assert cells(score([(30_100, "N")], [(29_999, "N"), (30_100, "N")], Rules())) == {"Nn": 1}
    assert cells(score([(30_100, "N")], [(30_000, "V"), (30_100, "N")], Rules())) == {"Nn": 1, "Ov": 1}


def test_what_lies_beyond_the_record_is_left_out():
    beats, said = [(100, "N"), (200, "N"), (300, "V")], [(100, "N"), (199, "N"), (250, "V")]
    assert cells(score(beats, said, n_samples=200)) == {"Nn": 1}
    assert cells(score(beats, said, n_samples=201)) == {"Nn": 2}
    assert cells(score(beats, said)) == {"Nn": 2, "Ov": 1, "Vo": 1}


def test_evaluated_time():
    assert score([], [], Rules(), n_samples=65_000).evaluated_s == 350.0
    assert score([], [], Rules(), n_samples=20_000).evaluated_s == 0.0
    assert score([], []).evaluated_s is None
    flutter = [(29_000, "["), (31_000, "]"), (40_000, "["), (40_500, "]"), (64_000, "[")]
    assert score(flutter, [], Rules(), n_samples=65_000).evaluated_s == 350.0 - 10.0 - 5.0 - 10.0


# --- flutter


def test_flutter_hides_beats_and_detections():
    beats = [(100, "N"), (200, "["), (300, "V"), (350, "!"), (400, "]"), (500, "N")]
    scored = score(beats, [(100, "N"), (200, "N"), (300, "V"), (340, "V"), (400, "N"), (500, "N")])
    assert cells(scored) == {"Nn": 2}
    assert scored.n_in_flutter == 4


def test_just_outside_flutter_counts():
    scored = score([(200, "["), (400, "]")], [(199, "V"), (401, "V")])
    assert (cells(scored), scored.n_in_flutter) == ({"Ov": 2}, 0)


def test_open_flutter_lasts_to_the_end():
    scored = score([(100, "N"), (200, "["), (300, "N"), (400, "V")], [(100, "N"), (300, "N"), (9999, "V")])
    assert (cells(scored), scored.n_in_flutter) == ({"Nn": 1}, 2)


def test_flutter_in_the_learning_period_hides_nothing_later():
    beats = [(100, "["), (29_000, "]"), (30_100, "N")]
    scored = score(beats, [(500, "V"), (30_100, "N")], Rules())
    assert (cells(scored), scored.n_in_flutter) == ({"Nn": 1}, 0)


def test_a_bracket_within_brackets_and_one_too_many_do_no_harm():
    beats = [(50, "]"), (100, "N"), (200, "["), (250, "["), (300, "]"), (400, "N"), (500, "]"), (600, "N")]
    assert cells(score(beats, [(100, "N"), (260, "V"), (400, "N"), (600, "N")])) == {"Nn": 3}


def test_a_beat_on_the_sample_of_a_bracket_lies_on_its_side_of_it():
    assert cells(score([(200, "N"), (200, "["), (300, "V"), (300, "]")], [])) == {"No": 1}
    assert cells(score([(200, "["), (200, "N"), (300, "]"), (300, "V")], [])) == {"Vo": 1}


# --- shutdown


SHUT = [(200.0, 400.0)]
SHUT_BEATS = [(100, "N"), (200, "N"), (300, "V"), (400, "A"), (401, "N"), (500, "V")]
SHUT_SAID = [(100, "N"), (250, "V"), (350, "N"), (550, "N")]


def test_what_is_missed_or_invented_in_shutdown_is_counted_apart():
    scored = score(SHUT_BEATS, SHUT_SAID, shutdown=SHUT, n_samples=1000)
    assert cells(scored) == {"Nn": 1, "Nx": 1, "Vx": 1, "Sx": 1, "No": 1, "Vo": 1, "Xv": 1, "Xn": 1, "On": 1}
    assert (scored.missed, scored.missed_in_shutdown, scored.extra, scored.extra_in_shutdown) == (2, 3, 1, 2)
    assert scored.q_se == 1 / 3  # Nn of Nn No Vo
    assert scored.q_ppv == 1 / 2  # Nn of Nn On
    assert (scored.v_se, scored.v_ppv, scored.s_se) == (0.0, None, None)
    assert scored.v_fpr == 0.0  # Nn On
    assert (scored.shutdown_s, scored.evaluated_s) == (2.0, 10.0)


def test_shutdown_counted_as_bxb_does():
    rules = replace(WHOLE, shutdown="counted")
    scored = score(SHUT_BEATS, SHUT_SAID, rules, shutdown=SHUT)
    assert cells(scored) == cells(score(SHUT_BEATS, SHUT_SAID, shutdown=SHUT))
    assert (scored.q_se, scored.q_ppv) == (1 / 6, 1 / 4)
    assert (scored.v_se, scored.v_ppv, scored.s_se) == (0.0, 0.0, 0.0)
    assert scored.v_fpr == 1 / 4  # Xv of Nn On Xn Xv


def test_a_beat_found_in_shutdown_is_found():
    assert cells(score([(300, "V")], [(301, "V")], shutdown=SHUT)) == {"Vv": 1}


def test_shutdown_time_counts_once_and_only_where_compared():
    rules = Rules(start_s=1.0)
    shutdown = [(150, 250), (50, 200), (200, 220), (900, 2000), (0, 20)]
    scored = score([], [], rules, shutdown=shutdown, n_samples=1000)
    assert scored.shutdown_s == 1.5 + 1.0  # 100 .. 250 and 900 .. 1000
    assert score([], [], shutdown=[(500, math.inf)], n_samples=1000).shutdown_s == 5.0


# --- R-R and R


def test_rr_error_by_hand():
    # Intervals 100 100 100 against 102 96 101: off by 20, 40, 10 ms.
    scored = score([(100, "N"), (200, "N"), (300, "N"), (400, "N")], [(99, "N"), (201, "N"), (297, "N"), (398, "N")])
    assert scored.n_rr == 3
    assert scored.rr_error_ms == pytest.approx(math.sqrt((20**2 + 40**2 + 10**2) / 3))
    assert scored.r_errors_ms.tolist() == [-10.0, 10.0, -30.0, -20.0]
    timing = scored.timing
    assert timing is not None
    assert timing.median_ms == 15.0


def test_a_constant_delay_is_no_rr_error():
    assert score([(100, "N"), (200, "N"), (300, "N")], [(109, "N"), (209, "N"), (309, "N")]).rr_error_ms == 0.0


@pytest.mark.parametrize(
    ("beats", "said", "more"),
    [
        ([(100, "N"), (200, "N"), (300, "N")], [(101, "N"), (300, "N")], {}),
        ([(100, "N"), (300, "N")], [(101, "N"), (200, "N"), (300, "N")], {}),
        ([(100, "N"), (150, "["), (250, "]"), (300, "N")], [(101, "N"), (300, "N")], {}),
        ([(100, "N"), (300, "N")], [(101, "N"), (300, "N")], {"shutdown": [(150, 200)]}),
    ],
    ids=["missed", "extra", "flutter", "shutdown"],
)
def test_no_rr_interval_over_a_beat_or_a_break_between(beats, said, more):
    scored = score(beats, said, **more)
    assert (scored.matched, scored.n_rr, scored.rr_error_ms) == (2, 0, None)


def test_no_rr_interval_begins_in_the_learning_period():
    assert score([(29_900, "N"), (30_000, "N")], [(29_900, "N"), (30_001, "N")], Rules()).n_rr == 0


# --- bad input


@pytest.mark.parametrize("label", ["normal", "", "n", "O", "NV"])
def test_a_foreign_label_is_refused(label):
    with pytest.raises(DataError, match="N S V F Q U"):
        score([(100, "N")], [(100, label)])


def test_lists_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="1 detections, but 2 labels"):
        score_record("r", [], [], [100], ["N", "N"], FS_HZ, WHOLE)
    with pytest.raises(DataError, match="here 2 and 1"):
        score_record("r", [1, 2], ["N"], [], [], FS_HZ, WHOLE)
    with pytest.raises(DataError, match=r"annotations .* number 1 lies at 1 after 2"):
        score([(2, "N"), (1, "N")], [])
    with pytest.raises(DataError, match=r"detections .* number 2 lies at 3 after 4"):
        score([], [(1, "N"), (4, "N"), (3, "N")])
    with pytest.raises(DataError, match="number 1 lies at nan"):
        score([], [(1, "N"), (math.nan, "N")])


@pytest.mark.parametrize("interval", [(5, 4), (math.nan, 4), (1, math.nan), (4, math.inf)])
def test_a_shutdown_that_is_no_interval_is_refused(interval):
    with pytest.raises(DataError, match="no interval"):
        score([], [], shutdown=[interval])


@pytest.mark.parametrize(
    "wrong",
    [{"class_map": "mit"}, {"start_s": -1.0}, {"start_s": math.nan}, {"match_window_s": math.inf}, {"shutdown": "no"}],
)
def test_rules_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError):
        Rules(**wrong)


def test_rules_say_what_they_are():
    assert Rules().text == (
        "ANSI/AAMI EC57, class map ec57, from 5:00, match window 150 ms, flutter left out, "
        "shutdown left out of the figures"
    )
    text = Rules("aami5", 0.0, 0.05, "counted").text
    assert all(part in text for part in ("aami5", "whole record", "50 ms", "counted as missed and extra"))
    assert "from 1:05," in Rules(start_s=65.0).text


# --- what holds for any record

BEATS = st.lists(st.tuples(st.integers(0, 3000), st.sampled_from("NVAF/eBr[]+~?")), max_size=60).map(
    lambda beats: sorted(beats, key=lambda b: b[0])
)
SAID = st.lists(st.tuples(st.floats(0, 3000), st.sampled_from("NSVFQU")), max_size=60).map(sorted)
SHUTS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 500)), max_size=3).map(
    lambda spans: [(float(a), float(a + n)) for a, n in spans]
)
RULES = st.builds(
    Rules,
    st.sampled_from(["ec57", "aami5"]),
    st.sampled_from([0.0, 5.0]),
    st.sampled_from([0.05, 0.15]),
    st.sampled_from(["apart", "counted"]),
)


@settings(deadline=None)
@given(BEATS, SAID, SHUTS, RULES)
def test_every_beat_and_detection_is_in_one_place(beats, said, shutdown, rules):
    scored = score(beats, said, rules, shutdown=shutdown, n_samples=4000)
    start = rules.start_s * FS_HZ
    wanted = dict.fromkeys("NSVFQ", 0)
    in_flutter = False
    for sample, symbol in beats:
        if symbol in "[]":
            in_flutter = symbol == "["
        elif symbol in BEAT_SYMBOLS and not in_flutter and sample >= start:
            wanted[CLASS_MAPS[rules.class_map].get(symbol, "Q")] += 1
    assert dict(zip("NSVFQ", scored.counts[:5].sum(axis=1).tolist(), strict=True)) == wanted
    assert scored.counts[5:, 5:].sum() == 0
    assert (len(scored.r_errors_ms), len(scored.extra_at)) == (scored.matched, scored.extra + scored.extra_in_shutdown)
    assert len(scored.missed_at) == scored.missed + scored.missed_in_shutdown
    if rules.start_s == 0:
        assert scored.matched + len(scored.extra_at) + scored.n_in_flutter == len(said)
    for name in FIGURES[:-1]:
        figure = getattr(scored, name)
        assert figure is None or 0 <= figure <= 1
    assert np.abs(scored.r_errors_ms).max(initial=0) <= 1e3 * rules.match_window_s + 1e-9
    if rules.shutdown == "counted" and sum(wanted.values()):
        assert scored.q_se == scored.matched / sum(wanted.values())


@settings(deadline=None)
@given(BEATS, SAID.map(lambda said: [(round(s), k) for s, k in said]), SHUTS, st.integers(0, 10_000))
def test_a_shift_in_time_moves_everything_with_it(beats, said, shutdown, shift):
    here = score(beats, said, Rules(start_s=5.0), shutdown=shutdown, n_samples=4000)
    there = score(
        [(s + shift, k) for s, k in beats],
        [(s + shift, k) for s, k in said],
        Rules(start_s=5.0 + shift / FS_HZ),
        shutdown=[(a + shift, b + shift) for a, b in shutdown],
        n_samples=4000 + shift,
    )
    # start_s * fs may lie a rounding error off a sample: beats on the start itself are not judged here.
    if not any(s == 500 for s, _ in (*beats, *said)):
        assert cells(there) == cells(here)
        assert there.figures() == pytest.approx(here.figures())
        assert there.shutdown_s == pytest.approx(here.shutdown_s)


@settings(deadline=None)
@given(BEATS, RULES)
def test_a_perfect_device_scores_100_percent(beats, rules):
    class_of = CLASS_MAPS[rules.class_map]
    once = list({s: (s, k) for s, k in beats}.values())
    said = [(s, class_of.get(k, "Q")) for s, k in once if k in BEAT_SYMBOLS]
    figures = score(once, said, rules, n_samples=4000).figures()
    assert {figures.pop("v_fpr"), figures.pop("rr_error_ms")} <= {0.0, None}
    assert set(figures.values()) <= {1.0, None}


@settings(deadline=None)
@given(BEATS, SAID, SHUTS)
def test_a_shutdown_of_everything_leaves_nothing_missed_or_extra(beats, said, shutdown):
    scored = score(beats, said, shutdown=[*shutdown, (0, 3000)])
    assert (scored.missed, scored.extra) == (0, 0)
    assert scored.q_se in (1.0, None)


def test_totals_of_the_real_database(data_dir):
    names = (data_dir / "mitdb" / "RECORDS").read_text().split()
    n, paced = 0, []
    for name in names:
        notes = read_annotations(data_dir / "mitdb" / name)
        scored = score_record(name, notes.sample.tolist(), notes.symbol, [], [], 360.0, WHOLE, n_samples=650_000)
        n += scored.missed
        paced += [name] if scored.n_paced else []
        assert scored.n_unmapped == 0
    assert n == 109_494
    assert paced == ["102", "104", "107", "217"]
