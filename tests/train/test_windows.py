"""Window sets: the beats of annotated records as the networks see them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError, UsageError
from edge_ecg.io import BEAT_SYMBOLS, read_annotations, read_record, write_record
from edge_ecg.labels import AAMI5
from edge_ecg.sources.virtual import EXCERPT
from train.splits import DS1, DS1_VALIDATION, DS2, PACED, RANDOM_TEST_COUNTS, split_of
from train.windows import MITDB_COUNTS, WindowSet, build_mitdb, build_windows, record_windows, runs_root

PARAMS = PreprocessParams()


def copy_excerpt(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in (".dat", ".atr"):
        shutil.copy(EXCERPT.with_suffix(suffix), folder / f"{name}{suffix}")
    header = EXCERPT.with_suffix(".hea").read_text(encoding="utf-8")
    (folder / f"{name}.hea").write_text(header.replace("mitdb_223", name), encoding="utf-8")
    return folder / name


def test_a_record_gives_all_its_annotated_beats_but_the_last() -> None:
    windows, labels = record_windows(EXCERPT, PARAMS)
    symbols = [s for s in read_annotations(EXCERPT).symbol if s in BEAT_SYMBOLS]
    assert labels.tolist() == [AAMI5[s] for s in symbols][:-1]
    assert windows.shape == (len(symbols) - 1, 187)
    assert windows.dtype == np.float32
    assert 0 <= windows.min() < windows.max() <= 1


def test_a_set_of_records_keeps_their_order_and_numbers(tmp_path: Path) -> None:
    one, two = copy_excerpt(tmp_path, "101"), copy_excerpt(tmp_path, "rec_205")
    data = build_windows([one, two], PARAMS)
    half = len(data.labels) // 2
    assert data.records.tolist() == [101] * half + [205] * half
    assert np.array_equal(data.windows[:half], data.windows[half:])
    again = build_windows([one, two], PARAMS)
    assert again.sha256 == data.sha256
    assert build_windows([two, one], PARAMS).sha256 != data.sha256


def test_a_broken_record_is_refused(tmp_path: Path) -> None:
    stem = copy_excerpt(tmp_path, "101")
    stem.with_suffix(".dat").write_bytes(stem.with_suffix(".dat").read_bytes()[:3000])
    with pytest.raises(DataError, match="cut short"):
        build_windows([stem], PARAMS)


def test_another_database_in_its_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    with pytest.raises(DataError, match="edge-ecg data fetch mitdb"):
        build_mitdb(PARAMS, tmp_path)
    copy_excerpt(tmp_path / "mitdb", "101")
    (tmp_path / "mitdb" / "RECORDS").write_text("101\n")
    with pytest.raises(DataError, match=re.escape(f"the published set {MITDB_COUNTS}")):
        build_mitdb(PARAMS, tmp_path)
    assert not list((tmp_path / "runs").rglob("*.npz")), "what was refused is not kept"


def test_other_records_are_never_answered_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    stem = copy_excerpt(tmp_path / "mitdb", "101")
    (tmp_path / "mitdb" / "RECORDS").write_text("101\n")
    counts = tuple(int(n) for n in np.bincount(build_windows([stem], PARAMS).labels, minlength=5))
    monkeypatch.setattr("train.windows.MITDB_COUNTS", counts)
    first = build_mitdb(PARAMS, tmp_path)
    assert build_mitdb(PARAMS, tmp_path).sha256 == first.sha256
    record = read_record(stem)
    write_record(stem, np.roll(record.counts, 1, axis=0), 360.0, ["MLII", "V1"], baseline=1024)
    assert build_mitdb(PARAMS, tmp_path).sha256 != first.sha256


def test_runs_lie_where_the_user_says_else_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path))
    assert runs_root() == tmp_path
    monkeypatch.delenv("EDGE_ECG_RUNS")
    assert runs_root().is_absolute()
    assert runs_root().parts[-2:] == ("edge-ecg", "runs")


# The whole database


def test_the_published_counts_and_the_second_call_reads_the_first_ones_file(
    mitdb_windows: Callable[[], WindowSet], capsys: pytest.CaptureFixture[str]
) -> None:
    data = mitdb_windows()
    assert tuple(np.bincount(data.labels, minlength=5)) == MITDB_COUNTS == (90_589, 2_779, 7_236, 803, 8_039)
    assert len(data.windows) == 109_446
    assert len(set(data.records.tolist())) == 48
    capsys.readouterr()
    assert mitdb_windows().sha256 == data.sha256
    assert "beat windows" not in capsys.readouterr().err


def test_the_random_split_has_the_published_sizes(mitdb_windows: Callable[[], WindowSet]) -> None:
    data = mitdb_windows()
    split = split_of(data, "random")
    assert (len(split.train) + len(split.validation), len(split.test)) == (87_554, 21_892)
    assert tuple(np.bincount(data.labels[split.test])) == RANDOM_TEST_COUNTS == (18_118, 556, 1_448, 162, 1_608)
    assert sum(RANDOM_TEST_COUNTS) == 21_892
    assert np.array_equal(np.sort(np.concatenate([split.train, split.validation, split.test])), np.arange(109_446))
    shares = np.bincount(data.labels[split.validation]) / (np.array(MITDB_COUNTS) - RANDOM_TEST_COUNTS)
    assert shares == pytest.approx([0.1] * 5, abs=0.005)
    assert split.patients_on_both_sides
    again = split_of(data, "random")
    assert np.array_equal(split.test, again.test)
    assert np.array_equal(split.validation, again.validation)


def test_no_patient_stands_on_both_sides_of_the_inter_split(mitdb_windows: Callable[[], WindowSet]) -> None:
    data = mitdb_windows()
    split = split_of(data, "inter")
    train, validation, test = (set(data.records[p].tolist()) for p in (split.train, split.validation, split.test))
    assert test == set(DS2)
    assert train | validation == set(DS1)
    assert validation == set(DS1_VALIDATION)
    assert not train & validation
    assert not (train | validation | test) & set(PACED)
    assert not split.patients_on_both_sides
    # Paced records are the only unknown beats of any number; the four named classes validate all the same.
    assert set(data.labels[split.validation].tolist()) >= {0, 1, 2, 3}


def test_an_unknown_split() -> None:
    empty = WindowSet(np.zeros((0, 187), np.float32), np.zeros(0, np.uint8), np.zeros(0, np.int32), "mitdb", "")
    with pytest.raises(UsageError, match="random, inter"):
        split_of(empty, "leave-one-out")
