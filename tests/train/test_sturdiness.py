"""Disturbed records: what each disturbance does, by hand, and its figures on real beats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError, UsageError
from edge_ecg.front import inputs_of_record
from edge_ecg.infer import open_classifier
from edge_ecg.io import read_annotations, read_record, write_annotations, write_record
from edge_ecg.sources.virtual import EXCERPT
from train import sturdiness
from train.noise import scale_for_snr
from train.splits import Split
from train.sturdiness import CONDITIONS, Heard, Part, Sturdiness, disturbed_windows, sturdiness_of
from train.window_set import WindowSet
from train.windows import build_windows

PARAMS = PreprocessParams()
FS_HZ = 360.0


@pytest.fixture(scope="module")
def heard() -> Heard:
    """A minute of one beat a second, 1 mV high, on a wandering line; the last beat is not scored."""
    t_s = np.arange(round(60 * FS_HZ)) / FS_HZ
    r = np.arange(0.5, 60.0, 1.0) * FS_HZ
    x = sum(np.exp(-0.5 * ((t_s - at / FS_HZ) / 0.02) ** 2) for at in r) + 0.1 * np.sin(2 * np.pi * 0.9 * t_s) + 0.3
    return Heard(123, np.asarray(x), FS_HZ, r, r, np.arange(len(r) - 1))


NOISE_MV = np.random.default_rng(5).normal(0.0, 0.2, 9_000)


def disturbed(heard: Heard, name: str) -> np.ndarray:
    return disturbed_windows(heard, name, PARAMS, NOISE_MV, FS_HZ)


def cut(heard: Heard, samples_mv: np.ndarray, r: np.ndarray | None = None) -> np.ndarray:
    found = inputs_of_record(samples_mv, FS_HZ, heard.r if r is None else r, PARAMS)
    return np.stack([w.inputs for w in found])[heard.rows]


def test_clean_is_the_devices_window_and_every_condition_gives_all_beats(heard: Heard) -> None:
    assert np.array_equal(disturbed(heard, "clean"), cut(heard, heard.samples_mv))
    for name in CONDITIONS:
        windows = disturbed(heard, name)
        assert windows.shape == (59, 187)
        assert windows.min() >= 0.0
        assert windows.max() <= 1.0
        assert np.array_equal(windows, disturbed(heard, name)), "the same each time"


def test_a_gain_of_the_whole_record_is_free(heard: Heard) -> None:
    for name in ("gain_half", "gain_double"):
        assert np.abs(disturbed(heard, name) - disturbed(heard, "clean")).max() < 1e-5


def test_an_inverted_lead_is_the_window_of_the_record_times_minus_one(heard: Heard) -> None:
    assert np.array_equal(disturbed(heard, "inverted"), cut(heard, -heard.samples_mv))
    # The wave up becomes the lowest point.
    assert disturbed(heard, "clean")[30, 0] > 0.9
    assert disturbed(heard, "inverted")[30, 0] < 0.1


def test_noise_is_12_db_below_the_beats_and_runs_through_the_whole_record(heard: Heard) -> None:
    scale = scale_for_snr(heard.samples_mv, heard.normal, NOISE_MV, FS_HZ, 12.0)
    wound = np.resize(NOISE_MV, len(heard.samples_mv))
    noisy = disturbed(heard, "ma_12db")
    # While the noise runs its first round, it is the noise itself, but for where it begins.
    n = len(NOISE_MV) - 1
    expected = cut(heard, heard.samples_mv + scale * (wound - wound[0]))
    first_round = heard.r[heard.rows] + 2 * FS_HZ < n
    assert first_round.sum() > 20
    assert np.array_equal(noisy[first_round], expected[first_round])
    assert np.abs(noisy - disturbed(heard, "clean")).max(axis=1)[40:].min() > 0.02, "to the end"


def test_r_moves_at_most_two_samples_of_the_window(heard: Heard) -> None:
    clean, moved = disturbed(heard, "clean"), disturbed(heard, "jitter_16ms")
    lags = []
    # From the second beat on, whose rhythm is known.
    for before, after in zip(clean[1:], moved[1:], strict=True):
        # The next beat's top, at 125 samples, stands by that much earlier or later.
        lags.append(int(after[60:187].argmax()) - int(before[60:187].argmax()))
    assert min(lags) == -2
    assert max(lags) == 2
    assert len(set(lags)) == 5


def test_a_gain_step_lies_in_the_middle_of_each_beats_history(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def watched(x: np.ndarray, fs_hz: float, r: np.ndarray, params: PreprocessParams) -> list:
        seen.append(x)
        return inputs_of_record(x, fs_hz, r, params)

    monkeypatch.setattr(sturdiness, "inputs_of_record", watched)
    stepped = disturbed(heard, "gain_step")
    level = np.median(heard.samples_mv)
    steps_s = [np.flatnonzero(np.diff(np.abs((x - level) / (heard.samples_mv - level)).round(3))) / FS_HZ for x in seen]
    assert len(steps_s) == 4
    ends_s = np.array([w.needed_index for w in inputs_of_record(heard.samples_mv, FS_HZ, heard.r, PARAMS)]) / FS_HZ
    for k in range(12, 59):
        all_steps = np.concatenate(steps_s)
        behind = ends_s[k] - all_steps
        nearest = np.abs(behind - 5.0).min()
        assert nearest <= 1.26
        phase = int(np.argmin([np.abs(ends_s[k] - s - 5.0).min() if len(s) else np.inf for s in steps_s]))
        assert np.array_equal(stepped[k], cut(heard, seen[phase])[k])


def test_a_record_without_a_normal_beat_is_told(heard: Heard) -> None:
    empty = Heard(1, heard.samples_mv, FS_HZ, heard.r, np.empty(0), heard.rows)
    with pytest.raises(DataError, match="no normal beat"):
        disturbed(empty, "ma_12db")


def test_other_data_sets_and_windows_are_refused() -> None:
    some = (np.zeros((2, 187), np.float32), np.zeros(2, np.uint8), np.zeros(2, np.int32), np.zeros(2, np.int32))
    empty = np.array([], np.int64)
    split = Split("random", empty, empty, np.arange(2), True)
    for dataset, segmentation in (("ptb", "causal"), ("mitdb", "paper")):
        data = WindowSet.of(*some, dataset=dataset, segmentation=segmentation)
        with pytest.raises(UsageError, match="Leave --sturdy out"):
            sturdiness_of(lambda w: w[:, :5], data, split, PARAMS)


class Minute:
    """A minute of the shipped record as mitdb's 101, a noise, and the windows that a classifier is asked about."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.noise = np.random.default_rng(7).integers(-200, 200, (9_000, 1))
        (root / "mitdb").mkdir()
        (root / "nstdb").mkdir()
        record, notes = read_record(EXCERPT), read_annotations(EXCERPT)
        at = notes.sample < 60 * 360
        write_record(root / "mitdb" / "101", record.counts[: 60 * 360], 360.0, ["MLII", "V1"], baseline=1024)
        symbols = [s for s, here in zip(notes.symbol, at, strict=True) if here]
        write_annotations(root / "mitdb" / "101", notes.of(notes.sample[at], symbols))
        self.data = build_windows([root / "mitdb" / "101"], PARAMS)
        beats = np.arange(len(self.data.labels))
        self.split = Split("random", beats[::3], beats[1::3], beats[2::3], patients_on_both_sides=True)

    def asked(self, part: Part, noise: np.ndarray) -> dict[str, np.ndarray]:
        """The windows under each condition with this noise, ``(n_beats, 187)``."""
        write_record(self.root / "nstdb" / "ma", noise, 360.0, ["noise1"])
        seen: list[np.ndarray] = []

        def say(windows: np.ndarray) -> np.ndarray:
            seen.append(windows)
            return np.tile(np.eye(5)[0], (len(windows), 1))

        found = sturdiness_of(say, self.data, self.split, PARAMS, self.root, part=part)
        assert (found.part, found.n) == (part, len(seen[0]))
        return dict(zip(CONDITIONS, seen, strict=True))

    def with_half(self, which: int) -> np.ndarray:
        """The noise, one half of it another."""
        other = self.noise.copy()
        half = other[:4_500] if which == 0 else other[4_500:]
        half[:] = np.random.default_rng(8).integers(-200, 200, half.shape)
        return other


@pytest.fixture
def minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Minute:
    monkeypatch.setenv("EDGE_ECG_DATA", str(tmp_path))
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    return Minute(tmp_path)


@pytest.mark.parametrize(("part", "own_half"), [("test", 1), ("validation", 0)])
def test_each_part_has_its_own_half_of_the_noise(minute: Minute, part: Part, own_half: int) -> None:
    before = minute.asked(part, minute.noise)
    at = getattr(minute.split, part)
    assert np.array_equal(before["clean"], minute.data.windows[at]), "its own beats"
    # The half of the others may change as it likes.
    after = minute.asked(part, minute.with_half(1 - own_half))
    for name in CONDITIONS:
        assert np.array_equal(after[name], before[name]), name
    after = minute.asked(part, minute.with_half(own_half))
    assert not np.array_equal(after["ma_12db"], before["ma_12db"])
    assert np.array_equal(after["gain_step"], before["gain_step"])


def test_what_is_kept_of_one_part_is_not_the_others(minute: Minute) -> None:
    """Even of the same beats: their noise differs."""
    beats = minute.split.test
    minute.split = Split("random", minute.split.train, beats, beats, patients_on_both_sides=True)
    test, validation = (minute.asked(part, minute.noise) for part in ("test", "validation"))
    assert np.array_equal(test["clean"], validation["clean"])
    assert not np.array_equal(test["ma_12db"], validation["ma_12db"])
    assert len(list((minute.root / "runs").rglob("sturdy-*.npz"))) == 2


def test_the_part_is_told_with_the_figures() -> None:
    about = {part: Sturdiness(1, "random", "MLII", (), part) for part in ("test", "validation")}
    assert "test beats of the split" in about["test"].lines()[0]
    assert "second half" in about["test"].what("ma_12db")
    assert "validation beats of the split" in about["validation"].to_json()["rules"]
    assert "first half" in about["validation"].what("ma_12db")


def test_the_shipped_bundle_on_two_real_records(
    data_dir: Path, mitdb_windows: Callable[[], WindowSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_ECG_DATA", str(data_dir))
    data = mitdb_windows()
    empty = np.array([], np.int64)
    test = np.flatnonzero(np.isin(data.records, (101, 223)))[::3]
    split = Split("random", empty, empty, test, True)
    say = open_classifier("mitdb-baseline-int8").classify_many
    found = sturdiness_of(say, data, split, PARAMS)
    right = say(data.windows[test]).argmax(axis=1) == data.labels[test]
    assert found.conditions[0].accuracy == pytest.approx(right.mean())
    table = found.to_json()["conditions"]
    assert list(table) == list(CONDITIONS)
    for name, figures in table.items():
        assert figures["loss_points"] == pytest.approx(100 * (right.mean() - figures["accuracy"])), name
    assert abs(table["gain_half"]["loss_points"]) < 0.1
    assert abs(table["gain_double"]["loss_points"]) < 0.1
    assert table["inverted"]["loss_points"] > 2
    assert table["ma_12db"]["loss_points"] > 0
    assert "device-independent" in "\n".join(found.lines())
    assert isinstance(found, Sturdiness)

    # Kept: without the records' signals it is not made again.
    monkeypatch.setattr(sturdiness, "hear", None)
    assert sturdiness_of(say, data, split, PARAMS) == found


def test_windows_that_are_not_those_of_the_records_are_told(
    data_dir: Path, mitdb_windows: Callable[[], WindowSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_ECG_DATA", str(data_dir))
    data = mitdb_windows()
    changed = data.windows.copy()
    at = np.flatnonzero(data.records == 101)
    changed[at[0], 3] += 0.01
    other = WindowSet.of(changed, data.labels, data.records, data.patients, dataset="mitdb")
    empty = np.array([], np.int64)
    with pytest.raises(DataError, match="record 101 gives other windows"):
        sturdiness_of(lambda w: w[:, :5], other, Split("random", empty, empty, at[:5], True), PARAMS)
