"""Window sets: the beats of annotated records as the networks see them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from excerpts import copy_excerpt

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError, UsageError
from edge_ecg.io import BEAT_SYMBOLS, read_annotations, read_record, write_annotations, write_record
from edge_ecg.labels import AAMI5
from edge_ecg.sources.virtual import EXCERPT
from train.load import load_data
from train.paper_windows import paper_windows
from train.record_files import RecordFiles
from train.room import check_room, free_memory_bytes
from train.window_set import WindowSet, runs_root
from train.windows import MITDB_COUNTS, build_mitdb, build_windows, detect_record, detected_r, record_windows

PARAMS = PreprocessParams()


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
    assert (data.dataset, data.label_set, data.segmentation, data.lead) == ("mitdb", "aami5", "causal", "MLII")


def test_201_and_202_are_one_person(tmp_path: Path) -> None:
    stems = [copy_excerpt(tmp_path, name) for name in ("201", "202", "203")]
    data = build_windows(stems, PARAMS)
    assert sorted(set(data.records.tolist())) == [201, 202, 203]
    assert sorted(set(data.patients.tolist())) == [201, 203]
    assert set(data.patients[data.records == 202].tolist()) == {201}


def test_r_is_the_detectors_own_where_it_found_the_beat() -> None:
    record = read_record(EXCERPT)
    fs_hz, samples_mv = record.header.fs_hz, record.samples_mv([0])[: 60 * 360, 0].astype(np.float64)
    own = detect_record(samples_mv, fs_hz)
    in_between = 0.5 * (own[20] + own[21])  # far from both: an annotation that no detection matches
    for off_samples in (-9.0, 9.0):
        annotated = np.sort(np.append(own[5:50] + off_samples, in_between))
        moved = detected_r(samples_mv, fs_hz, annotated)
        np.testing.assert_array_equal(moved, np.sort(np.append(own[5:50], in_between)))


def test_windows_begin_at_the_detectors_r(tmp_path: Path) -> None:
    """Who annotates 25 ms late gets the same windows."""
    stem = copy_excerpt(tmp_path, "101")
    notes = read_annotations(stem)
    write_annotations(stem, notes.of(notes.sample + 9, notes.symbol))
    windows, late = record_windows(EXCERPT, PARAMS)[0], record_windows(stem, PARAMS)[0]
    assert (windows == late).all(axis=1).mean() > 0.95


def test_a_broken_record_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stem = copy_excerpt(tmp_path, "101")
    stem.with_suffix(".dat").write_bytes(stem.with_suffix(".dat").read_bytes()[:3000])
    with pytest.raises(DataError, match="cut short"):
        build_windows([stem], PARAMS)
    # What is told next begins a line of its own.
    assert re.search(r"beat windows.*\n$", capsys.readouterr().err)


def test_another_database_in_its_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    with pytest.raises(DataError, match="edge-ecg data fetch mitdb"):
        build_mitdb(PARAMS, tmp_path)
    copy_excerpt(tmp_path / "mitdb", "101")
    (tmp_path / "mitdb" / "RECORDS").write_text("101\n")
    with pytest.raises(DataError, match=re.escape(f"the published set {MITDB_COUNTS}")):
        build_mitdb(PARAMS, tmp_path)
    assert not list((tmp_path / "runs").rglob("*.npz")), "what was refused is not kept"


def test_a_half_downloaded_database_names_its_files_and_the_fetch(tmp_path: Path) -> None:
    for name in ("101", "103"):
        copy_excerpt(tmp_path / "mitdb", name)
    (tmp_path / "mitdb" / "RECORDS").write_text("101\n103\n104\n")
    (tmp_path / "mitdb" / "101.atr").unlink()
    signals = tmp_path / "mitdb" / "103.dat"
    signals.write_bytes(signals.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"101\.atr is missing.*103\.dat has \d+ bytes of \d+.*104\.") as raised:
        build_mitdb(PARAMS, tmp_path)
    assert "edge-ecg data fetch mitdb" in raised.value.hint


def test_annotations_cut_short_and_damaged_headers_are_told_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("101", "103", "105"):
        copy_excerpt(tmp_path / "mitdb", name)
    (tmp_path / "mitdb" / "RECORDS").write_text("101\n103\n105\n")
    (tmp_path / "mitdb" / "101.hea").write_text("101 two 360 100\n")
    notes = tmp_path / "mitdb" / "103.atr"
    notes.write_bytes(notes.read_bytes()[:-2])
    (tmp_path / "mitdb" / "105.dat").write_bytes(b"")
    with pytest.raises(DataError) as raised:
        build_mitdb(PARAMS, tmp_path)
    assert re.search(r"101\.hea line 1.*103\.atr has no end mark.*105\.dat has 0 bytes of", raised.value.message)
    assert "edge-ecg data fetch mitdb" in raised.value.hint
    assert "beat windows" not in capsys.readouterr().err


def mitdb_of_one_record(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of the excerpt alone, whose counts are right, and a cache of its own."""
    monkeypatch.setenv("EDGE_ECG_RUNS", str(root / "runs"))
    stem = copy_excerpt(root / "mitdb", "101")
    (root / "mitdb" / "RECORDS").write_text("101\n")
    counts = tuple(int(n) for n in np.bincount(build_windows([stem], PARAMS).labels, minlength=5))
    monkeypatch.setattr("train.windows.MITDB_COUNTS", counts)
    return stem


def test_a_file_that_was_damaged_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mitdb_of_one_record(tmp_path, monkeypatch)
    first = build_mitdb(PARAMS, tmp_path)
    (file,) = (tmp_path / "runs").rglob("*.npz")
    with np.load(file) as held:
        arrays = dict(held)
    arrays["labels"] = arrays["labels"][::-1]
    np.savez(file, **arrays)
    assert build_mitdb(PARAMS, tmp_path).sha256 == first.sha256
    file.write_bytes(file.read_bytes()[:5000])
    again = build_mitdb(PARAMS, tmp_path)
    assert again.sha256 == first.sha256
    assert np.array_equal(again.patients, first.patients)
    # The published windows are another file.
    assert build_mitdb(PARAMS, tmp_path, "paper").sha256 != first.sha256
    assert len(list((tmp_path / "runs").rglob("*.npz"))) == 2


def test_too_little_memory_or_disk_is_told_before_the_work(tmp_path: Path) -> None:
    free = free_memory_bytes()
    if free is not None:
        with pytest.raises(DataError, match=r"cutting takes about .* MB of memory, free are"):
            check_room("cutting", 2 * free)
    with pytest.raises(DataError, match=r"MB of disk in .*/not/yet, free are") as raised:
        check_room("cutting", 0, 1 << 60, tmp_path / "not" / "yet")
    assert "EDGE_ECG_RUNS" in raised.value.hint
    check_room("cutting", 1000, 1000, tmp_path)
    stem = copy_excerpt(tmp_path, "101")
    files = RecordFiles.of([stem], "atr", "")
    assert files.seconds == pytest.approx(330.0)
    assert {file.name for file in files.files} == {"101.hea", "101.dat", "101.atr"}


def test_the_published_windows() -> None:
    """By hand: a ramp of 1 mV in each ten seconds, a beat a second; T is 1 s, a window 150 samples."""
    fs_hz = 125.0
    signal = np.tile(np.arange(1250) / 1249, 3)
    r = np.arange(0, 30 * 125, 125, dtype=np.float64)
    windows = paper_windows(signal, fs_hz, r)
    assert windows.shape == (30, 187)
    assert windows[0, :150] == pytest.approx(np.arange(150) / 1249, abs=1e-6)
    assert not windows[:, 150:].any()
    assert windows[19, 124] == pytest.approx(1.0)
    # A constant and a factor change nothing: each ten seconds has its own scale.
    scaled = signal * np.repeat([1.0, 5.0, 0.2], 1250) + np.repeat([0.0, 3.0, -1.0], 1250)
    inside = np.arange(30) % 10 < 9
    assert paper_windows(scaled, fs_hz, r)[inside] == pytest.approx(windows[inside], abs=1e-5)
    assert paper_windows(np.zeros(3750), fs_hz, r).max() == 0.0


def test_the_published_windows_look_ahead_and_the_causal_ones_do_not() -> None:
    causal, labels = record_windows(EXCERPT, PARAMS)
    paper, paper_labels = record_windows(EXCERPT, PARAMS, segmentation="paper")
    assert np.array_equal(labels, paper_labels)
    assert paper.shape == causal.shape
    assert 0 <= paper.min() < paper.max() <= 1
    # Rows tell the same beat: they look alike, but are not the same.
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(causal[20:200], paper[20:200], strict=True)]
    assert np.median(alike) > 0.9
    assert not np.array_equal(causal, paper)


def test_an_unknown_segmentation_or_data_set() -> None:
    with pytest.raises(UsageError, match="causal, paper"):
        load_data("mitdb", "random", PARAMS, segmentation="centred")
    with pytest.raises(UsageError, match="those of mitdb"):
        load_data("ptb", "random", PARAMS, segmentation="paper")
    with pytest.raises(UsageError, match=r"mitdb, ptb, ptbdb, or a folder with a dataset\.toml"):
        load_data("mitbd", "random", PARAMS)


def test_other_records_are_never_answered_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stem = mitdb_of_one_record(tmp_path, monkeypatch)
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
    mitdb_windows: Callable[[], WindowSet], data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = mitdb_windows()
    assert tuple(np.bincount(data.labels, minlength=5)) == MITDB_COUNTS == (90_589, 2_779, 7_236, 803, 8_039)
    assert len(data.windows) == 109_446
    assert len(set(data.records.tolist())) == 48
    capsys.readouterr()
    assert mitdb_windows().sha256 == data.sha256
    assert "beat windows" not in capsys.readouterr().err
    assert len(set(data.patients.tolist())) == 47
    paper = build_mitdb(PARAMS, data_dir, "paper")
    assert paper.segmentation == "paper"
    assert np.array_equal(paper.labels, data.labels)
    assert np.array_equal(paper.records, data.records)
