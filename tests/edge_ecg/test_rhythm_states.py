"""Rhythms are named from beats, runs and pauses are told, and the cut of the stream changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.context.fibrillation import FibrillationChange
from edge_ecg.context.memory import PatientMemory
from edge_ecg.context.rhythm.episodes import Episode
from edge_ecg.context.rhythm.watch import STATES, RhythmBeat, RhythmChange, RhythmTold, RhythmWatch
from edge_ecg.context.tracker import COLUMNS, LEARNT, ContextParams
from edge_ecg.front import inputs_of_record
from edge_ecg.io import BEAT_SYMBOLS, read_annotations, read_record
from edge_ecg.labels import AAMI5
from edge_ecg.sources.virtual import EXCERPT

FS_HZ = 100.0
DECIDED = 36
SINUS, AF, ATRIAL, FIBRILLATION, PACED, UNKNOWN = STATES
RNG = np.random.default_rng(0)
IRREGULAR_S = (0.7 * np.exp(0.2 * RNG.standard_normal(400))).clip(0.3, 1.5).tolist()


def features(p_error: float = -8.0, consistency: float = 0.95) -> np.ndarray:
    x = np.zeros(len(COLUMNS), np.float32)
    x[COLUMNS.index("p_error")], x[COLUMNS.index("p_correlation_mean")] = p_error, consistency
    return x


USUAL, NO_P, OTHER_P = features(), features(-6.0, 0.1), features(-5.0)
Step = tuple[int, str, Any]
"""Sample with which it is known, the method, its argument."""


class Heart:
    """Writes down what a pipeline would feed, beat by beat; a label is known with the next R."""

    def __init__(self, fs_hz: float = FS_HZ, learnt: bool = True) -> None:
        self.fs_hz, self.at_s, self.steps = fs_hz, 0.0, list[Step]()
        self.n, self.learnt = 0, learnt
        self.waiting: tuple[float, float | None, str, np.ndarray] | None = None

    def beats(self, rr_s: Iterable[float], label: str = "N", x: np.ndarray = USUAL) -> Heart:
        for rr in rr_s:
            self.at_s += rr
            r = self.at_s * self.fs_hz
            at_index = round(r + DECIDED * self.fs_hz / 100)
            self.steps.append((at_index, "detected", r))
            self.label(at_index)
            self.waiting = (r, rr if self.n else None, label, x)
            self.n += 1
        return self

    def label(self, at_index: int) -> Heart:
        if self.waiting:
            r, rr_s, label, x = self.waiting
            learning = not self.learnt and self.n <= LEARNT
            self.steps.append((at_index, "beat", RhythmBeat(at_index, r, rr_s, label, x, learning)))
            self.waiting = None
        return self

    def silent(self, duration_s: float) -> Heart:
        self.at_s += duration_s
        return self

    def step(self, method: str, argument: Any) -> Heart:
        self.steps.append((round(self.at_s * self.fs_hz), method, argument))
        return self


def apply(watch: RhythmWatch, step: Step) -> list[RhythmTold]:
    at_index, method, argument = step
    if method == "detected":
        return watch.detected(argument, at_index)
    if method == "beat":
        return watch.beat(argument)
    if method == "usable":
        return watch.signal(at_index, at_index, usable=argument)
    if method == "gap":
        return watch.gap(at_index, argument)
    return watch.fibrillation(FibrillationChange(at_index, max(0, at_index - 300), argument, 0.9))


def told(heart: Heart, watch: RhythmWatch | None = None) -> list[RhythmTold]:
    watch = watch or RhythmWatch(heart.fs_hz)
    events = [e for step in heart.steps for e in apply(watch, step)]
    return [*events, *watch.until(max(heart.steps[-1][0], round(heart.at_s * heart.fs_hz)))]


def states(events: Sequence[RhythmTold]) -> list[str]:
    return [e.state for e in events if isinstance(e, RhythmChange)]


def episodes(events: Sequence[RhythmTold]) -> list[Episode]:
    return [e for e in events if isinstance(e, Episode)]


def test_sinus_when_the_patient_is_learnt() -> None:
    (change,) = told(Heart(learnt=False).beats([0.8] * 100))
    assert (change.state, change.sample) == (SINUS, 80)
    assert LEARNT * 0.8 < change.at_index / FS_HZ < (LEARNT + 3) * 0.8 + 1.0
    assert change.score > 0.9


def test_fibrillation_of_the_atria_is_suspected_within_a_minute_and_over_soon_after() -> None:
    heart = Heart().beats([0.8] * 100)
    begin_s = heart.at_s
    heart.beats(IRREGULAR_S[:150], x=NO_P)
    end_s = heart.at_s
    sinus, begin, end = told(heart.beats([0.8] * 100))
    assert (sinus.state, begin.state, end.state) == (SINUS, AF, SINUS)
    assert begin_s <= begin.sample / FS_HZ <= begin.at_index / FS_HZ < begin_s + 60.0
    assert end_s < end.at_index / FS_HZ < end_s + 60.0
    assert begin.score > 0.5


@pytest.mark.parametrize("pattern", [(0.55, 1.05), (0.8, 0.55, 1.05), (0.8,), (0.6, 0.62, 0.64, 0.66)])
def test_what_repeats_is_no_fibrillation_even_without_a_p_wave(pattern: tuple[float, ...]) -> None:
    assert AF not in states(told(Heart().beats(list(pattern) * 100, x=NO_P)))


def test_ventricular_beats_do_not_make_a_rhythm_irregular() -> None:
    heart = Heart().beats([0.8] * 80, x=NO_P)
    for rr_s, pause_s in zip(IRREGULAR_S, reversed(IRREGULAR_S), strict=True):
        heart.beats([rr_s], "V", NO_P).beats([pause_s], x=NO_P)
    assert AF not in states(told(heart))


def test_irregular_with_its_p_wave_is_no_fibrillation() -> None:
    assert states(told(Heart().beats(IRREGULAR_S))) == [SINUS]


def test_many_early_beats_are_an_atrial_rhythm() -> None:
    heart = Heart().beats([0.8] * 80)
    for _ in range(80):
        heart.beats([0.55], "S").beats([1.05])
    heart.beats([0.8] * 150)
    sinus, begin, end = [e for e in told(heart) if isinstance(e, RhythmChange)]
    assert (sinus.state, begin.state, end.state) == (SINUS, ATRIAL, SINUS)
    assert begin.sample < begin.at_index
    assert begin.score > 0.2
    assert end.score > 0.8


def test_an_atrial_rhythm_that_no_beat_shows_is_seen_by_its_step_and_its_p_wave() -> None:
    heart = Heart().beats([1.0] * 80).beats([0.7] * 60, x=OTHER_P)
    assert states(told(heart)) == [SINUS, ATRIAL]
    assert states(told(heart.beats([1.0] * 150))) == [SINUS, ATRIAL, SINUS]


def test_it_is_seen_also_when_sinus_beats_are_seldom() -> None:
    heart = Heart().beats([0.7] * 40, x=OTHER_P)
    for _ in range(8):
        heart.beats([1.5, 1.2, 1.2]).beats([0.7] * 20, x=OTHER_P)
    assert ATRIAL in states(told(heart))


@pytest.mark.parametrize(
    ("fast", "x"),
    [
        (np.linspace(1.0, 0.6, 30).tolist() + [0.6] * 100, USUAL),
        (np.linspace(1.0, 0.6, 30).tolist() + [0.6] * 100, OTHER_P),
        (np.linspace(1.0, 0.6, 9).tolist() + [0.6] * 100, OTHER_P),
        ([0.78] * 100, USUAL),
        ([0.9] * 100, OTHER_P),
        ([0.7] * 5 + [1.0] * 60, OTHER_P),
    ],
    ids=["gradual", "gradual, other P", "in seconds, other P", "the usual P", "too small a step", "too short"],
)
def test_what_a_sinus_node_may_do_is_none(fast: list[float], x: np.ndarray) -> None:
    assert states(told(Heart().beats([1.0] * 80).beats(fast, x=x))) == [SINUS]


@pytest.mark.parametrize(
    ("labels", "runs"),
    [
        ("NNVVNN", []),
        ("NNVVVNN", [("v_run", 3)]),
        ("NSSSSNVVVVVN", [("s_run", 4), ("v_run", 5)]),
        ("NSSVVNN", []),
        ("NVVVSSSN", [("v_run", 3), ("s_run", 3)]),
        ("NFFFFN", []),
    ],
)
def test_three_in_a_row_are_a_run(labels: str, runs: list[tuple[str, int]]) -> None:
    heart = Heart()
    for label in labels + "NN":
        heart.beats([0.5], label)
    found = episodes(told(heart))
    begun, over = [e for e in found if not e.over], [e for e in found if e.over]
    assert [(e.kind, e.n_beats) for e in over] == runs
    assert [e.n_beats for e in begun] == [3] * len(runs)
    assert [e.sample for e in begun] == [e.sample for e in over]
    for e in over:
        assert e.sample == (labels.index(e.kind[0].upper() * 3) + 1) * 50


def test_no_run_of_early_beats_while_no_beat_is_like_the_last() -> None:
    heart = Heart().beats(IRREGULAR_S[:200], x=NO_P).beats(IRREGULAR_S[:5], "S", NO_P).beats([0.7], x=NO_P)
    assert episodes(told(heart)) == []
    heart.beats(IRREGULAR_S[:5], "V", NO_P).beats([0.7] * 2, x=NO_P)
    assert {e.kind for e in episodes(told(heart))} == {"v_run"}


def test_a_pause_is_told_when_it_is_certain_and_when_it_is_over() -> None:
    heart = Heart().beats([0.8] * 10)
    last = round(heart.at_s * FS_HZ)
    begin, over = episodes(told(heart.beats([4.0, 0.8])))
    assert (begin.over, begin.at_index, begin.sample) == (False, last + 236, last)
    assert (over.over, over.at_index, over.length_s) == (True, last + 436, pytest.approx(4.0))


@pytest.mark.parametrize(
    ("rr_s", "told_of"), [(1.9, []), (2.0, []), (2.1, [True]), (2.3, [True]), (2.5, [False, True])]
)
def test_a_pause_that_ends_before_it_was_certain_is_told_once(rr_s: float, told_of: list[bool]) -> None:
    watch, quick = RhythmWatch(FS_HZ), 5
    events = watch.detected(100.0, 100 + quick)
    r = 100.0 + rr_s * FS_HZ
    events += watch.detected(r, round(r) + quick)
    assert [e.over for e in episodes(events)] == told_of


def test_a_beat_known_just_when_a_pause_would_be_certain_is_no_pause() -> None:
    assert episodes(told(Heart().beats([0.8, 0.8, 2.0, 0.8]))) == []


@pytest.mark.parametrize("cause", ["usable", "gap", "flutter"])
def test_no_pause_where_beats_could_not_be_seen(cause: str) -> None:
    heart = Heart().beats([0.8] * 10).silent(1.0).step(cause, {"usable": False, "gap": 90, "flutter": True}[cause])
    heart.silent(8.0)
    if cause != "gap":
        heart.step(cause, cause == "usable")
    assert episodes(told(heart.beats([1.0] * 3))) == []


def test_a_heart_that_stands_still_is_a_pause_then_unknown_until_it_beats_again() -> None:
    heart = Heart().beats([0.8] * 20)
    last = round(heart.at_s * FS_HZ)
    events = told(heart.silent(20.0).beats([1.0] * 12))
    assert states(events) == [SINUS, UNKNOWN, SINUS]
    assert next(e.at_index for e in events if isinstance(e, RhythmChange) and e.state == UNKNOWN) == last + 1000
    assert [e.over for e in episodes(events)] == [False, True]


@pytest.mark.parametrize("cause", ["usable", "gap"])
def test_noise_and_gaps_are_unknown_for_eight_beats_and_break_runs(cause: str) -> None:
    heart = Heart().beats([0.8] * 20).beats([0.4] * 2, "V").beats([0.4], "V")
    heart.label(round(heart.at_s * FS_HZ) + DECIDED).silent(0.5)
    heart.step(cause, False if cause == "usable" else 45)
    if cause == "usable":
        heart.silent(3.0).step("usable", True)
    heart.n = 0
    events = told(heart.beats([0.4] * 2, "V").beats([0.8] * 12))
    assert states(events) == [SINUS, UNKNOWN, SINUS]
    assert [(e.n_beats, e.over) for e in episodes(events)] == [(3, False), (3, True)]
    named = [e for e in events if isinstance(e, RhythmChange)][-1]
    assert named.at_index - named.sample > 5 * 80


def test_fibrillation_of_the_ventricles_comes_before_all_else() -> None:
    heart = Heart().beats([0.8] * 20).beats([0.4] * 4, "V").step("flutter", True)
    heart.beats([0.3] * 20, "V").step("flutter", False)
    heart.beats([0.8] * 28)
    assert states(told(heart))[-1] == UNKNOWN, "slow wide waves may look like beats"
    events = told(heart.beats([0.8] * 8))
    assert states(events) == [SINUS, FIBRILLATION, UNKNOWN, SINUS]
    assert [(e.kind, e.over) for e in episodes(events)] == [("v_run", False), ("v_run", True)]


def watch_of(memory: PatientMemory, fs_hz: float = FS_HZ) -> RhythmWatch:
    return RhythmWatch(fs_hz, memory.irregularity, memory.share)


def test_what_was_suspected_is_named_again_soon_after_a_restart() -> None:
    memory = PatientMemory()
    told(Heart().beats(IRREGULAR_S[:200], x=NO_P), watch_of(memory))
    state = {name: array.copy() for name, array in memory.state().items()}
    events = told(Heart(500.0).beats(IRREGULAR_S[200:220], x=NO_P), watch_of(PatientMemory.of(state), 500.0))
    assert states(events) == [AF]
    assert all(np.array_equal(state[name], array) for name, array in memory.state().items())


def test_a_restart_changes_nothing_but_a_few_beats() -> None:
    heart, rest = Heart().beats([1.0] * 80).beats([0.7] * 60, x=OTHER_P), Heart().beats([0.7] * 60, x=OTHER_P)
    memory = PatientMemory()
    told(heart, watch_of(memory))
    assert states(told(rest, watch_of(PatientMemory.of(memory.state()))))[0] == ATRIAL
    assert states(told(rest)) == [SINUS]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_memory_is_refused_or_survived(data: st.DataObject) -> None:
    state = PatientMemory().state()
    for name in state:
        if name.startswith(("irregularity.", "share.")):
            state[name] = np.array(data.draw(st.lists(st.floats(-1e300, 1e300), max_size=300)))
    try:
        memory = PatientMemory.of(state)
    except ValueError:
        return
    check(told(Heart().beats([0.8] * 20, "S"), watch_of(memory)))


@pytest.mark.parametrize("fs_hz", [0.0, -1.0, float("nan")])
def test_no_rate_is_refused(fs_hz: float) -> None:
    with pytest.raises(ValueError, match="above 0 Hz"):
        RhythmWatch(fs_hz)


PIECES = st.lists(
    st.one_of(
        st.tuples(
            st.just("beats"), st.integers(1, 40), st.sampled_from([0.25, 0.5, 0.8, 1.2, 2.0, 2.3, 5.0]),
            st.sampled_from("NNSVF"), st.sampled_from([USUAL, NO_P, OTHER_P]), st.sampled_from([0.0, 0.0, 0.3]),
        ),
        st.tuples(st.sampled_from(["usable", "flutter"]), st.booleans()),
        st.tuples(st.just("gap"), st.integers(5, 3000)),
        st.tuples(st.just("silent"), st.floats(0.1, 15.0)),
    ),
    min_size=1, max_size=25,
)  # fmt: skip


def life(pieces: Sequence[Any], seed: int) -> Heart:
    rng, heart = np.random.default_rng(seed), Heart()
    for piece in pieces:
        if piece[0] == "beats":
            _, n, rr_s, label, x, spread = piece
            heart.beats((rr_s * np.exp(spread * rng.standard_normal(n))).clip(0.2, 8.0).tolist(), label, x)
            continue
        heart.silent(DECIDED / FS_HZ + 0.01)
        if piece[0] == "gap":
            heart.label(round(heart.at_s * FS_HZ)).silent(piece[1] / FS_HZ)
            heart.n = 0
            heart.step("gap", piece[1])
        elif piece[0] == "silent":
            heart.silent(piece[1])
        else:
            heart.step(*piece)
    return heart.label(round(heart.at_s * FS_HZ) + 400).silent(6.0)


@settings(max_examples=150, deadline=None)
@given(PIECES, st.integers(0, 2**32 - 1), st.lists(st.floats(0.0, 1.0), max_size=60))
def test_the_same_however_it_is_cut(pieces: list[Any], seed: int, cuts: list[float]) -> None:
    heart = life(pieces, seed)
    steps, end = sorted(heart.steps, key=lambda s: s[0]), 0
    if not steps:
        return
    end = max(steps[-1][0], round(heart.at_s * FS_HZ))
    lost = [(at - n, at) for at, method, n in steps if method == "gap"]
    cut_at = sorted({round(c * end) for c in cuts})
    # Within a gap there is nothing to feed.
    cut_at = [at for at in cut_at if not any(a <= at < b for a, b in lost)]
    whole, torn = RhythmWatch(FS_HZ), RhythmWatch(FS_HZ)
    expected = [e for step in steps for e in apply(whole, step)] + whole.until(end)
    found: list[RhythmTold] = []
    for step in steps:
        while cut_at and cut_at[0] < step[0]:
            at = cut_at.pop(0)
            events = torn.until(at)
            assert all(e.at_index <= at for e in events)
            found += events
        found += apply(torn, step)
    assert found + torn.until(end) == expected
    check(expected)


def check(events: Sequence[RhythmTold]) -> None:
    changes = [e for e in events if isinstance(e, RhythmChange)]
    assert all(a.at_index <= b.at_index for a, b in pairwise(events))
    assert all(a.state != b.state and a.sample <= b.sample for a, b in pairwise(changes))
    assert all(0.0 <= c.score <= 1.0 and 0 <= c.sample <= c.at_index for c in changes)
    for kind in ("v_run", "s_run"):
        of = [e for e in episodes(events) if e.kind == kind]
        # Begins and ends take turns.
        assert [e.over for e in of] == [bool(k % 2) for k in range(len(of))]
    assert all(e.sample <= e.at_index and e.length_s >= 0.0 for e in episodes(events))
    assert all(e.length_s >= 2.0 for e in episodes(events) if e.kind == "pause")


def watched(stem: Any, end_s: float) -> tuple[list[RhythmTold], float]:
    """A real record, by its annotated beats, as a device would see it."""
    record, notes = read_record(stem), read_annotations(stem)
    fs_hz = record.header.fs_hz
    kept = [(s, sym) for s, sym in zip(notes.sample.tolist(), notes.symbol, strict=True) if sym in BEAT_SYMBOLS]
    kept = [(s, sym) for s, sym in kept if s < end_s * fs_hz]
    x = record.samples_mv()[: round(end_s * fs_hz), record.lead_index(None)].astype(np.float64)
    beats = inputs_of_record(x, fs_hz, np.array([s for s, _ in kept], dtype=float), ContextParams())
    watch, events = RhythmWatch(fs_hz), []
    for b, (_, symbol) in zip(beats, kept, strict=True):
        events += watch.detected(b.r_pos, round(b.r_pos + 0.36 * fs_hz))
        at_index = round(b.r_pos + 0.36 * fs_hz)
        events += watch.beat(
            RhythmBeat(at_index, b.r_pos, b.rr_s, AAMI5[symbol].name, b.inputs, b.learning)
        )  # fmt: skip
    return events, fs_hz


def test_real_runs_are_those_that_are_noted() -> None:
    events, fs_hz = watched(EXCERPT, 1e4)
    notes = read_annotations(EXCERPT)
    kept = [(s, sym) for s, sym in zip(notes.sample.tolist(), notes.symbol, strict=True) if sym in BEAT_SYMBOLS]
    text = "".join("V" if sym in "VE" else "." for _, sym in kept)
    begins = [k for k in range(len(text) - 2) if text[k : k + 3] == "VVV" and text[k - 1 : k] != "V"]
    begun = [e for e in episodes(events) if not e.over and e.kind == "v_run"]
    assert [e.sample for e in begun] == [kept[k][0] for k in begins]
    assert fs_hz == 360.0
    assert not {AF, ATRIAL, FIBRILLATION} & set(states(events))


@pytest.mark.parametrize(("name", "end_s"), [("201", 520.0), ("203", 300.0)])
def test_real_fibrillation_of_the_atria_is_suspected(data_dir: Any, name: str, end_s: float) -> None:
    events, fs_hz = watched(data_dir / "mitdb" / name, end_s)
    changes = [e for e in events if isinstance(e, RhythmChange)]
    assert next(c.at_index for c in changes if c.state == AF) / fs_hz < 120.0
    assert SINUS not in [c.state for c in changes if c.at_index < 370.0 * fs_hz and c.at_index > 120.0 * fs_hz]


def test_no_real_sinus_rhythm_is_anything_else(data_dir: Any) -> None:
    events, _ = watched(data_dir / "mitdb" / "115", 400.0)
    assert states(events) == [SINUS]
