"""The patient's own past: features that do not depend on how the stream is cut, on the board, or on a restart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import STREAM, cut, of, run

from edge_ecg.context.memory import PatientMemory
from edge_ecg.context.saved import About, pack_memory, unpack_memory
from edge_ecg.context.tracker import COLUMNS, CONTEXT_VERSION, LEARNT, ContextParams, ContextTracker
from edge_ecg.errors import DataError
from edge_ecg.front import inputs_of_record
from edge_ecg.infer import largest
from edge_ecg.io import BEAT_SYMBOLS, read_annotations, read_record
from edge_ecg.sources.virtual import EXCERPT
from edge_ecg.types import Classified, GapEvent, SampleBlock

PARAMS = ContextParams()
FS_HZ = 360.0
ABOUT = About("somebody", "MLII", 1.7e9)
GOLDEN = Path(__file__).parent / "golden" / "beat_features.json"
GOLDEN_BEATS = (0, 1, 2, 10, 40, 70)


class Seeing:
    """A model that says N of all, and keeps what it was shown."""

    model_id, sha256, labels, preprocessing = "seeing", "0", ("N", "S", "V", "F"), PARAMS
    operating_point = None

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def classify_many(self, rows: np.ndarray) -> np.ndarray:
        self.seen += list(rows)
        return np.eye(4, dtype=np.float32)[np.zeros(len(rows), int)]

    def decide(self, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return largest(probs)


def excerpt() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One lead in mV, R peaks, and whether each is ventricular."""
    notes = read_annotations(EXCERPT)
    is_beat = np.array([symbol in BEAT_SYMBOLS for symbol in notes.symbol])
    x = read_record(EXCERPT).samples_mv()[:, 0].astype(np.float64)
    return x, notes.sample[is_beat].astype(float), np.array(notes.symbol)[is_beat] == "V"


def column(rows: np.ndarray, name: str) -> np.ndarray:
    return rows[:, COLUMNS.index(name)]


def features(x: np.ndarray, fs_hz: float, r: np.ndarray) -> np.ndarray:
    return np.stack([b.inputs for b in inputs_of_record(x, fs_hz, r, PARAMS)])


def write_golden() -> None:
    x, r, _ = excerpt()
    rows = features(x, FS_HZ, r)
    beats = {str(k): dict(zip(COLUMNS, (float(f"{v:.7g}") for v in rows[k]), strict=True)) for k in GOLDEN_BEATS}
    text = json.dumps({"context_version": CONTEXT_VERSION, "beats": beats}, indent=1)
    GOLDEN.write_text(text + "\n", encoding="utf-8")


def test_features_are_the_golden_ones() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    x, r, _ = excerpt()
    rows = features(x, FS_HZ, r)
    what_now = (
        "the features of the same beats changed: every model made before is then fed what it did not learn. "
        "If it is meant, raise CONTEXT_VERSION and write the golden features anew: python " + __file__
    )
    for k, beat in golden["beats"].items():
        assert tuple(beat) == COLUMNS, what_now
        # Not bit for bit: the last bits of a sine differ from processor to processor.
        assert np.allclose(rows[int(k)], list(beat.values()), atol=1e-4), what_now
    assert golden["context_version"] == CONTEXT_VERSION, "write the golden features of this version"


def test_ventricular_beats_come_early_and_look_unlike_the_patients_own() -> None:
    x, r, is_v = excerpt()
    rows = features(x, FS_HZ, r)
    assert np.isfinite(rows).all()
    late = np.arange(len(r)) > 20
    for name, sign in (("pre-median32", -1.0), ("correlation", -1.0), ("error", 1.0)):
        v, normal = column(rows, name)[is_v & late], column(rows, name)[~is_v & late]
        assert np.median(sign * v) > np.quantile(sign * normal, 0.9), name


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 2500), min_size=3, max_size=40), st.data())
def test_the_stream_may_be_cut_anywhere(sizes: list[int], data: st.DataObject) -> None:
    x = excerpt()[0][:9000].astype(np.float32)[:, None]
    lost = data.draw(st.integers(1000, 7000))
    told = []
    for pieces in ([lost], sizes):
        model = Seeing()
        first, second = cut(x[:lost], pieces), cut(x[lost + 700 :], pieces, lost + 700)
        events = run([*first, *second], model)
        assert len(of(GapEvent, events)) == 1
        beats = [(e.beat, e.at_index, e.lag_s) for e in of(Classified, events)]
        told.append(([row.tobytes() for row in model.seen], beats))
    assert told[0] == told[1]
    assert len(told[0][0]) == len(told[0][1]) > 10


@pytest.mark.parametrize("fs_hz", [100.0, 128.0, 250.0, 500.0, 1000.0])
def test_boards_of_other_rates_give_the_same_features(fs_hz: float) -> None:
    x, r, _ = excerpt()
    there = np.arange(0.0, len(x) - 1, FS_HZ / fs_hz)
    other = features(np.interp(there, np.arange(len(x)), x), fs_hz, r * fs_hz / FS_HZ)
    own = features(x, FS_HZ, r)
    for name in ("pre-median32", "post-mean64", "correlation", "error"):
        a, b = column(own, name)[10:-1], column(other, name)[10:-1]
        assert np.median(np.abs(a - b)) < 0.02, name
        assert np.corrcoef(a, b)[0, 1] > 0.98, name


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 60))
def test_a_restart_does_not_forget_the_patient(n_before: int) -> None:
    x, r, _ = excerpt()
    whole = ContextTracker(FS_HZ)
    whole.feed(x)
    for at in r:
        whole.push_r(float(at))
    straight = [*whole.ready(), *whole.flush()]
    memory = PatientMemory()
    for k, beat in enumerate(straight):
        assert beat.learning == (k - 1 < LEARNT)
    first = ContextTracker(FS_HZ, memory)
    first.feed(x)
    for at in r[:n_before]:
        first.push_r(float(at))
    first.flush()
    packed = pack_memory(memory, ABOUT)
    again, about = unpack_memory(packed)
    assert about == ABOUT
    for one in (memory, again):
        tracker = ContextTracker(FS_HZ, one)
        tracker.feed(x)
        for at in r[n_before:]:
            tracker.push_r(float(at))
        rest = [b.inputs.tobytes() for b in tracker.flush()]
        if one is memory:
            expected = rest
    assert rest == expected


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_memory_is_told_never_believed(data: st.DataObject) -> None:
    packed = bytearray(pack_memory(PatientMemory(), ABOUT))
    if data.draw(st.booleans()):
        damaged = bytes(packed[: data.draw(st.integers(0, len(packed) - 1))])
    else:
        for _ in range(data.draw(st.integers(1, 5))):
            packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
        damaged = bytes(packed)
    try:
        memory, _ = unpack_memory(damaged)
    except DataError:
        return
    assert np.isfinite(memory.take(np.ones(113), 0.8, 0.8)[0]).all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_memory_of_wrong_arrays_is_told_or_does_no_harm(data: st.DataObject) -> None:
    memory, rng = PatientMemory(), np.random.default_rng(0)
    for _ in range(80):
        memory.take(rng.normal(size=113), float(rng.uniform(0.3, 2.0)), 0.8)
    state = memory.state()
    for name in data.draw(st.lists(st.sampled_from(sorted(state)), min_size=1, max_size=4)):
        values = st.lists(st.floats(-1e300, 1e300), max_size=2500)
        shape = state[name].shape
        n = data.draw(st.sampled_from([0, 1, shape[0] if shape else 0, 2500]))
        if data.draw(st.booleans()):
            state[name] = np.resize(np.array(data.draw(values) or [0.0]), (n, *shape[1:]))
        else:
            state[name] = np.array(0.0)
    memory.state = lambda: state  # type: ignore[method-assign]
    try:
        again, _ = unpack_memory(pack_memory(memory, ABOUT))
    except DataError:
        return
    for _ in range(40):
        features, _ = again.take(rng.normal(size=113), float(rng.uniform(0.3, 2.0)), 0.8)
        assert np.isfinite(features).all()


def test_memory_stays_small_however_long_the_patient_is_watched() -> None:
    memory, rng = PatientMemory(), np.random.default_rng(0)
    for _ in range(6000):
        memory.take(rng.normal(size=113), float(rng.uniform(0.3, 2.0)), 0.8)
    assert len(pack_memory(memory, ABOUT)) < 200_000
    assert sum(a.nbytes for a in memory.state().values()) < 200_000


@pytest.mark.parametrize("what", ["flat", "huge", "step", "tiny"])
def test_no_signal_is_too_strange(what: str) -> None:
    x, r, _ = excerpt()
    strange = {
        "flat": np.zeros_like(x), "huge": x * 1e6, "tiny": x * 1e-9,
        "step": x + 1e4 * (np.arange(len(x)) > len(x) // 2),
    }[what]  # fmt: skip
    rows = features(strange, FS_HZ, r)
    assert rows.shape == (len(r), len(COLUMNS))
    assert np.isfinite(rows).all()


def test_the_size_of_the_signal_means_nothing() -> None:
    x, r, _ = excerpt()
    assert np.allclose(features(x, FS_HZ, r), features(4.0 * x, FS_HZ, r), atol=1e-3)


def test_a_label_comes_in_time() -> None:
    x = excerpt()[0].astype(np.float32)[:, None]
    events = of(Classified, run([SampleBlock(x, 0)], Seeing(), STREAM))
    r_s = [e.beat.t_s for e in events]
    for k, (event, here, after) in enumerate(zip(events, r_s, r_s[1:], strict=False)):
        median = np.median(np.diff(r_s[max(0, k - 32) : k + 1])) if k else 1.5
        due = max(here + 0.5, min(after, here + 2.0 * median, here + 3.0) + 0.355)
        assert event.lag_s <= due - here + 1e-6


if __name__ == "__main__":
    write_golden()
