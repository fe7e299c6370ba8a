"""The figures of a day: against counting by hand, one beat after the other, and against the experts' own labels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_ecg.io import read_annotations, read_header
from edge_ecg.labels import AAMI5, BeatLabel
from edge_ecg.spans import Spans
from edge_ecg.summary import DayLabels, Episode, Figures, Summary, summarise

TICK_S = 0.01
HOUR = 360_000
NONE = Spans.of()
Pairs = list[tuple[int, int]]


def day(
    label: str | Sequence[str],
    rr_s: float | Sequence[float] = 0.8,
    rejected: Sequence[int] = (),
    **spans: Spans,
) -> DayLabels:
    """Beats from 10 s on in a day of two hours."""
    steps = np.full(len(label), rr_s) if isinstance(rr_s, float) else np.array(rr_s)
    is_rejected = np.zeros(len(label), np.bool_)
    is_rejected[list(rejected)] = True
    found = DayLabels(
        begin_s=0.0,
        end_s=7200.0,
        t_s=10.0 + np.cumsum(steps),
        rr_s=np.concatenate([[np.nan], steps[1:]])[: len(steps)],
        label=np.array(list(label)),
        is_rejected=is_rejected,
        recorded=Spans.of([(0.0, 7200.0)]),
        gaps=NONE,
        lead_off=NONE,
        noise=NONE,
        rhythm_s=np.empty(0),
        rhythm=(),
    )
    return replace(found, **spans)


def kinds(summary: Summary, kind: str) -> list[Episode]:
    return [episode for episode in summary.episodes if episode.kind == kind]


# Rules, by hand


def test_singles_couplets_triplets_and_runs_are_chains_as_long_as_they_go() -> None:
    figures = summarise(day("NVNVVNVVVNVVVVVNSSNSSSN")).day
    assert (figures.v.n_beats, figures.v.n_single, figures.v.n_couplets) == (11, 1, 1)
    assert (figures.v.n_triplets, figures.v.n_runs, figures.v.n_in_runs) == (1, 2, 8)
    assert (figures.s.n_couplets, figures.s.n_triplets, figures.s.n_runs) == (1, 1, 1)
    assert figures.v.percent == pytest.approx(100 * 11 / 23)
    assert figures.v.per_hour == pytest.approx(11 / 2)


def test_the_longest_run_has_most_beats_the_fastest_the_highest_rate() -> None:
    rr_s = [0.8] * 3 + [0.4] * 2 + [0.8] * 2 + [0.6] * 3 + [0.8]
    v = summarise(day("NNVVVNVVVVN", rr_s)).day.v
    assert v.longest is not None
    assert v.fastest is not None
    assert (v.longest.n_beats, v.longest.begin_s) == (4, pytest.approx(10.0 + 0.8 * 3 + 0.4 * 2 + 0.8 * 2))
    assert v.longest.bpm == pytest.approx(100.0)
    assert (v.fastest.n_beats, v.fastest.bpm) == (3, pytest.approx(150.0))


@pytest.mark.parametrize(
    ("labels", "bigeminy", "trigeminy"),
    [
        ("NVNVN", 0, 0),
        ("NVNVNVN", 1, 0),
        ("VSVSV", 1, 0),
        ("VNVNVVNVNV", 2, 0),
        ("NNVNNVNN", 0, 0),
        ("NNVNNVNNVN", 0, 1),
        ("VNVNVNNVNNV", 1, 1),
        ("VNNNVNNNVNNNV", 0, 0),
    ],
)
def test_a_pattern_needs_three_v(labels: str, bigeminy: int, trigeminy: int) -> None:
    figures = summarise(day(labels)).day
    assert (figures.bigeminy.n_episodes, figures.trigeminy.n_episodes) == (bigeminy, trigeminy)


def test_a_pause_is_more_than_two_seconds_and_not_two() -> None:
    found = summarise(day("NNNN", [0.8, 2.0, 2.01, 0.8]))
    assert found.day.n_pauses == 1
    assert kinds(found, "pause") == [Episode("pause", pytest.approx(12.8), 2.01)]


def test_what_is_rejected_ends_a_chain_and_is_not_counted_but_its_interval_is() -> None:
    figures = summarise(day("NVVVVVNV", rejected=[3])).day
    assert (figures.n_beats, figures.n_rejected, figures.labels["V"]) == (7, 1, 5)
    assert (figures.v.n_couplets, figures.v.n_runs, figures.v.n_single) == (2, 0, 1)
    assert figures.rate.mean_bpm == pytest.approx(75.0)
    assert summarise(day("VNVNV", rejected=[1])).day.bigeminy.n_episodes == 0


@pytest.mark.parametrize("cause", ["gaps", "lead_off", "noise"])
def test_nothing_is_counted_over_what_cannot_be_read(cause: str) -> None:
    rr_s = [0.8, 0.8, 0.8, 3.0, 0.8, 0.8]
    whole = summarise(day("NVVVVN", rr_s)).day
    assert (whole.v.n_runs, whole.n_pauses) == (1, 1)
    broken = summarise(day("NVVVVN", rr_s, **{cause: Spans.of([(13.0, 14.0)])})).day
    assert (broken.v.n_runs, broken.v.n_couplets, broken.n_pauses) == (0, 2, 0)
    assert broken.readable_s == 7199.0
    assert {"gaps": broken.gap_s, "lead_off": broken.lead_off_s, "noise": broken.noise_s}[cause] == 1.0


def test_in_fibrillation_no_beat_is_counted_and_in_af_no_run_of_s() -> None:
    beats = day("NNSSSNVVVN")
    rhythm = replace(beats, rhythm_s=np.array([0.0]), rhythm=("fibrillation_suspected",))
    figures = summarise(rhythm).day
    assert (figures.n_beats, figures.n_rejected, figures.rate.mean_bpm) == (0, 10, None)
    figures = summarise(replace(rhythm, rhythm=("af_suspected",))).day
    assert (figures.s.n_beats, figures.s.n_runs, figures.v.n_runs) == (3, 0, 1)
    assert figures.rhythm_s["af_suspected"] == 7200.0


def test_each_second_of_a_record_is_of_one_kind() -> None:
    spans = {
        "recorded": Spans.of([(100.0, 3000.0), (4000.0, 5000.0)]),
        "noise": Spans.of([(150.0, 250.0)]),
        "lead_off": Spans.of([(200.0, 300.0)]),
        "gaps": Spans.of([(290.0, 310.0), (3500.0, 4500.0)]),
    }
    found = summarise(day("", **spans))
    figures = found.day
    assert (figures.recorded_s, figures.gap_s, figures.lead_off_s, figures.noise_s) == (3900.0, 520.0, 90.0, 50.0)
    assert figures.readable_s == 3900.0 - 520.0 - 90.0 - 50.0
    assert [hour.recorded_s for hour in found.hours] == [2900.0, 1000.0]
    assert (figures.v.percent, figures.rate.mean_bpm, found.episodes) == (None, None, ())


def test_a_minute_needs_half_a_minute_of_intervals() -> None:
    # A minute of 60, then 20 s of 120 a minute: too short to be the highest.
    found = summarise(day("N" * 101, [50.0] + [1.0] * 60 + [0.5] * 40))
    assert found.day.rate.max_bpm == pytest.approx(60.0)
    assert found.day.rate.max_at_s == 60.0
    assert np.isfinite(found.minute_bpm).sum() == 1


def test_beats_at_one_moment_are_no_run() -> None:
    beats = day("VVVV")
    figures = summarise(replace(beats, t_s=np.full(4, 20.0))).day
    assert (figures.v.n_single, figures.v.n_runs, figures.rate.mean_bpm) == (4, 0, None)


def test_pairs_are_of_intervals_that_follow_on_each_other() -> None:
    pairs = summarise(day("NNNN", [0.8, 0.5, 1.21, 9.0])).rr_pairs
    assert pairs.sum() == 2
    assert pairs[25, 60] == 1
    assert pairs[60, 99] == 1


def test_what_makes_no_day_is_refused() -> None:
    beats = day("NN")
    for wrong in ({"end_s": 0.0}, {"rr_s": np.empty(1)}, {"t_s": np.array([2.0, 1.0])}, {"rhythm": ("sinus",)}):
        with pytest.raises(ValueError, match=r".+"):
            summarise(replace(beats, **wrong))


# Against counting one by one


@dataclass(frozen=True)
class Case:
    """Everything in ticks of 10 ms."""

    end: int
    r: list[int]
    label: list[str]
    rejected: list[bool]
    recorded: Pairs
    gaps: Pairs
    lead_off: Pairs
    noise: Pairs
    rhythm: list[tuple[int, str]]

    def labels(self) -> DayLabels:
        t_s = np.array(self.r, np.float64) * TICK_S
        spans = {k: Spans.of((a * TICK_S, b * TICK_S) for a, b in getattr(self, k)) for k in
                 ("recorded", "gaps", "lead_off", "noise")}  # fmt: skip
        return DayLabels(
            begin_s=0.0,
            end_s=self.end * TICK_S,
            t_s=t_s,
            rr_s=np.diff(np.array(self.r, np.float64), prepend=np.nan) / 100.0,
            label=np.array(self.label, np.str_),
            is_rejected=np.array(self.rejected, np.bool_),
            rhythm_s=np.array([at for at, _ in self.rhythm], np.float64) * TICK_S,
            rhythm=tuple(state for _, state in self.rhythm),
            **spans,
        )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    base = draw(st.sampled_from([0, HOUR - 2000, 2 * HOUR - 1500]))
    steps = draw(st.lists(st.sampled_from([30, 60, 61, 80, 199, 200, 201, 500]), max_size=40))
    r = [base + int(n) for n in np.cumsum([20, *steps])]
    size = len(r)

    def pairs(most: int) -> Pairs:
        begins = draw(st.lists(st.integers(base - 100, r[-1] + 100), max_size=most))
        return [(b, b + draw(st.integers(0, 700))) for b in begins]

    whole = [(0, r[-1] + 200)]
    states = ("sinus", "af_suspected", "fibrillation_suspected", "unknown")
    changes = st.tuples(st.integers(base, r[-1]), st.sampled_from(states))
    return Case(
        end=draw(st.sampled_from([2 * HOUR + 4321, 2 * HOUR, r[-1] + 1, max(1, r[-1] - 300)])),
        r=r,
        label=draw(st.lists(st.sampled_from("NNVVVSSFQ"), min_size=size, max_size=size)),
        rejected=draw(st.lists(st.sampled_from([False] * 9 + [True]), min_size=size, max_size=size)),
        recorded=draw(st.sampled_from([whole, [(base, r[-1] // 2), (r[-1] // 2 + 40, r[-1] + 9)]])),
        gaps=pairs(2),
        lead_off=pairs(2),
        noise=pairs(2),
        rhythm=sorted(draw(st.lists(changes, max_size=3)), key=lambda change: change[0]),
    )


class Oracle:
    """Looks at every tick and every beat by itself."""

    def __init__(self, case: Case) -> None:
        self.case = case
        n = len(case.r)
        self.heard = [self.state(at) == "readable" and self.rhythm(at) != "fibrillation_suspected" for at in case.r]
        self.counts = [heard and not no for heard, no in zip(self.heard, case.rejected, strict=True)]
        self.follows = [False] + [self.follow(k) for k in range(1, n)]

    def state(self, at: int) -> str:
        c = self.case
        if not (0 <= at < c.end and inside(at, c.recorded)):
            return "nothing"
        for name in ("gaps", "lead_off", "noise"):
            if inside(at, getattr(c, name)):
                return name
        return "readable"

    def rhythm(self, at: int) -> str:
        return next((state for since, state in reversed(self.case.rhythm) if since <= at), "unknown")

    def follow(self, k: int) -> bool:
        c = self.case
        marks = [a for name in ("recorded", "gaps", "lead_off", "noise") for pair in getattr(c, name) for a in pair]
        marks += [since for since, _ in c.rhythm]
        between = [at for at in (*marks, c.r[k - 1], c.r[k]) if c.r[k - 1] <= at <= c.r[k]]
        return all(self.state(at) == "readable" and self.rhythm(at) != "fibrillation_suspected" for at in between)

    def chains(self, label: str, step: int) -> list[tuple[int, int]]:
        """First beat and number of beats of each."""
        c, done, found = self.case, set(), []
        is_kind = [
            name == label and ok and not (label == "S" and self.rhythm(at) == "af_suspected")
            for name, ok, at in zip(c.label, self.counts, c.r, strict=True)
        ]
        for k in range(len(c.r)):
            if is_kind[k] and k not in done:
                n, at = 1, k
                while self.goes_on(at, step, is_kind):
                    at, n = at + step, n + 1
                    done.add(at)
                found.append((k, n))
        return found

    def goes_on(self, at: int, step: int, is_kind: list[bool]) -> bool:
        ahead = range(at + 1, at + step + 1)
        return (
            at + step < len(is_kind)
            and is_kind[at + step]
            and not any(is_kind[at + 1 : at + step])
            and all(self.follows[j] and self.counts[j] for j in ahead)
        )

    def check(self, figures: Figures) -> None:
        c = self.case
        begin, end = round(figures.begin_s * 100), round(figures.end_s * 100)
        ours = [k for k, at in enumerate(c.r) if begin <= at < end]
        counted = [k for k in ours if self.counts[k]]
        assert figures.n_beats == len(counted)
        assert figures.n_rejected == len(ours) - len(counted)
        assert dict(figures.labels) == {name: sum(c.label[k] == name for k in counted) for name in "NSVFQ"}
        for label, found in (("V", figures.v), ("S", figures.s)):
            lengths = [n for k, n in self.chains(label, 1) if k in ours]
            told = (found.n_single, found.n_couplets, found.n_triplets, found.n_runs, found.n_in_runs)
            runs = [n for n in lengths if n >= 3]
            assert told == (lengths.count(1), lengths.count(2), lengths.count(3), len(runs), sum(runs))
            assert (found.longest.n_beats if found.longest else 0) == max(runs, default=0)
        for found, step in ((figures.bigeminy, 2), (figures.trigeminy, 3)):
            chains = [(k, n) for k, n in self.chains("V", step) if n >= 3 and k in ours]
            assert (found.n_episodes, found.n_beats) == (len(chains), sum(n for _, n in chains))
            length = sum(c.r[k + step * (n - 1)] - c.r[k] for k, n in chains)
            assert found.length_s == pytest.approx(length * TICK_S)
        rr = [c.r[k] - c.r[k - 1] for k in range(1, len(c.r)) if self.follows[k] and k - 1 in ours]
        long = [one for one in rr if one > 200]
        assert (figures.n_pauses, figures.longest_pause_s) == (len(long), max(long, default=0) / 100.0)
        assert figures.rate.mean_bpm == (pytest.approx(6000.0 * len(rr) / sum(rr)) if rr else None)
        minutes = self.minutes(begin, end)
        assert figures.rate.min_bpm == pytest.approx(min(minutes, default=None))
        assert figures.rate.max_bpm == pytest.approx(max(minutes, default=None))

    def minutes(self, begin: int, end: int) -> list[float]:
        c, rates = self.case, []
        for first in range(begin, end, 6000):
            rr = [c.r[k] - c.r[k - 1] for k in range(1, len(c.r))
                  if self.follows[k] and first <= c.r[k - 1] < min(first + 6000, end)]  # fmt: skip
            if sum(rr) >= 3000:
                rates.append(6000.0 * len(rr) / sum(rr))
        return rates


def inside(at: int, pairs: Pairs) -> bool:
    return any(a <= at < b for a, b in pairs)


@given(cases())
@settings(max_examples=200, deadline=None)
def test_every_figure_is_what_counting_one_by_one_gives(case: Case) -> None:
    oracle, found = Oracle(case), summarise(case.labels())
    for figures in (found.day, *found.hours):
        oracle.check(figures)
    assert sum(hour.n_beats for hour in found.hours) == found.day.n_beats
    assert sum(hour.v.n_runs for hour in found.hours) == found.day.v.n_runs
    whole = found.day
    parts = whole.readable_s + whole.noise_s + whole.lead_off_s + whole.gap_s
    assert parts == pytest.approx(whole.recorded_s)
    assert math.fsum(whole.rhythm_s.values()) == pytest.approx(whole.readable_s)


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6)


@given(SPANS, SPANS)
@example([(0, 10), (10, 20)], [(5, 5)])
def test_spans_are_sets_of_moments(a: Pairs, b: Pairs) -> None:
    one, other = Spans.of(a), Spans.of(b)
    for name, spans, rule in (
        ("and", one & other, lambda x, y: x and y),
        ("or", one | other, lambda x, y: x or y),
        ("without", one - other, lambda x, y: x and not y),
    ):
        wanted = [rule(inside(at, a), inside(at, b)) for at in range(61)]
        assert (spans.which(np.arange(61)) >= 0).tolist() == wanted, name
        assert spans.total_s == sum(wanted)
        assert spans.between([0.0, 30.0, 61.0]).tolist() == [sum(wanted[:30]), sum(wanted[30:])]
        assert all(end < begin for (_, end), (begin, _) in zip([*spans], [*spans][1:], strict=False))


# Against the experts


def of_record(data_dir: Path, name: str) -> tuple[DayLabels, str]:
    """Labels of the cardiologists as a day's, and as one text."""
    header, notes = read_header(data_dir / "mitdb" / name), read_annotations(data_dir / "mitdb" / name)
    assert header.n_samples is not None
    t_s = notes.sample[notes.is_beat] / header.fs_hz
    symbols = [symbol for symbol, is_beat in zip(notes.symbol, notes.is_beat, strict=True) if is_beat]
    label = [BeatLabel(AAMI5.get(symbol, BeatLabel.Q)).name for symbol in symbols]
    end_s = header.n_samples / header.fs_hz
    empty = {"gaps": NONE, "lead_off": NONE, "noise": NONE, "rhythm_s": np.empty(0), "rhythm": ()}
    beats = DayLabels(
        begin_s=0.0,
        end_s=end_s,
        t_s=t_s,
        rr_s=np.diff(t_s, prepend=np.nan),
        label=np.array(label),
        is_rejected=np.zeros(len(label), np.bool_),
        recorded=Spans.of([(0.0, end_s)]),
        **empty,
    )
    return beats, "".join(label)


@pytest.mark.parametrize("name", ["119", "200", "203", "207", "208", "233"])
def test_chains_of_real_records_are_those_that_a_search_in_the_text_finds(data_dir: Path, name: str) -> None:
    beats, text = of_record(data_dir, name)
    v, lengths = summarise(beats).day.v, [len(found) for found in re.findall("V+", text)]
    assert v.n_beats == text.count("V")
    assert (v.n_couplets, v.n_triplets, v.n_runs) == (
        lengths.count(2),
        lengths.count(3),
        sum(n >= 3 for n in lengths),
    )


# Limits a little below what was measured (docs/summary.md), so that a change of the rule is noticed. Ours begins with
# the first V and ends with the last, their note with the beat before: an episode of three is a second shorter.
@pytest.mark.parametrize(
    ("name", "note", "pattern", "least_se", "least_ppv"),
    [
        ("106", "(B", "bigeminy", 0.93, 0.82),
        ("119", "(B", "bigeminy", 0.83, 0.98),
        ("119", "(T", "trigeminy", 0.90, 0.78),
        ("200", "(B", "bigeminy", 0.89, 0.94),
        ("208", "(T", "trigeminy", 0.93, 0.37),
    ],
)
def test_patterns_are_where_the_cardiologists_saw_them(
    data_dir: Path, name: str, note: str, pattern: str, least_se: float, least_ppv: float
) -> None:
    seen, ours = patterns_of(data_dir, name, note, pattern)
    assert (seen & ours).total_s >= least_se * seen.total_s
    assert (seen & ours).total_s >= least_ppv * ours.total_s


@pytest.mark.parametrize(
    ("note", "pattern", "least_se", "least_ppv"), [("(B", "bigeminy", 0.91, 0.88), ("(T", "trigeminy", 0.93, 0.63)]
)
def test_patterns_of_all_records_together(
    data_dir: Path, note: str, pattern: str, least_se: float, least_ppv: float
) -> None:
    names = (data_dir / "mitdb" / "RECORDS").read_text().split()
    both_s = seen_s = ours_s = 0.0
    for name in names:
        seen, ours = patterns_of(data_dir, name, note, pattern)
        both_s, seen_s, ours_s = both_s + (seen & ours).total_s, seen_s + seen.total_s, ours_s + ours.total_s
    assert both_s >= least_se * seen_s
    assert both_s >= least_ppv * ours_s


def patterns_of(data_dir: Path, name: str, note: str, pattern: str) -> tuple[Spans, Spans]:
    """Where the cardiologists noted it, and where it is found."""
    beats, _ = of_record(data_dir, name)
    notes = read_annotations(data_dir / "mitdb" / name)
    rows = zip(notes.sample.tolist(), notes.symbol, notes.aux, strict=True)
    changes = [(sample / 360.0, aux) for sample, symbol, aux in rows if symbol == "+"]
    ends = [t for t, _ in changes[1:]] + [beats.end_s]
    seen = Spans.of((begin, end) for (begin, aux), end in zip(changes, ends, strict=False) if aux == note)
    ours = Spans.of((e.begin_s, e.begin_s + e.length_s) for e in kinds(summarise(beats), pattern))
    return seen, ours
