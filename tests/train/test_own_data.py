"""Own data: a folder of records with `dataset.toml`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from excerpts import copy_excerpt

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ConfigError, DataError, UsageError
from edge_ecg.io import read_annotations, read_record, write_annotations, write_record
from edge_ecg.sources.virtual import EXCERPT
from train.load import load_data
from train.own_data import OwnData, build_own, read_own_data
from train.windows import build_windows, record_windows

PARAMS = PreprocessParams()
PAGE = Path(__file__).parents[2] / "docs" / "own-data.md"

TOML = """\
label_set = "binary"
lead = "MLII"

[class_map]
N = "normal"
V = "abnormal"

[patients]
rec01 = 7
rec02 = 8
"""


@pytest.fixture(autouse=True)
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("rec01", "rec02"):
        copy_excerpt(tmp_path / "mine", name)
    (tmp_path / "mine" / "dataset.toml").write_text(TOML)
    return tmp_path / "mine"


def test_a_folder_becomes_a_window_set(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = build_own(folder, PARAMS)
    assert (data.label_set, data.lead, data.segmentation, data.title) == ("binary", "MLII", "causal", "mine")
    assert Path(data.dataset) == folder.resolve()
    # Its windows are those of the database's way, without the beats that the map leaves out.
    windows, labels = record_windows(EXCERPT, PARAMS)
    symbols = [s for s in read_annotations(EXCERPT).symbol if s in "NVAaJSFLReEj/fQ"][:-1]
    kept = [k for k, s in enumerate(symbols) if s in "NV"]
    half = len(data.labels) // 2
    assert np.array_equal(data.windows[:half], windows[kept])
    assert data.labels[:half].tolist() == [int(symbols[k] == "V") for k in kept]
    assert len(kept) < len(labels)
    assert data.records.tolist() == [1] * half + [2] * half
    assert data.patients.tolist() == [7] * half + [8] * half
    capsys.readouterr()
    again = build_own(folder, PARAMS)
    assert again.sha256 == data.sha256
    assert "beat windows" not in capsys.readouterr().err


def test_the_cache_heeds_the_toml_the_records_and_where_they_lie(folder: Path, tmp_path: Path) -> None:
    data = build_own(folder, PARAMS)
    (folder / "dataset.toml").write_text(TOML.replace("rec02 = 8", "rec02 = 9"))
    assert set(build_own(folder, PARAMS).patients.tolist()) == {7, 9}
    (folder / "dataset.toml").write_text(TOML.replace('V = "abnormal"', 'V = "normal"'))
    assert not build_own(folder, PARAMS).labels.any()
    (folder / "dataset.toml").write_text(TOML)
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "mine")
    again = build_own(moved, PARAMS)
    assert again.sha256 == data.sha256
    assert Path(again.dataset) == moved.resolve()
    notes = read_annotations(moved / "rec01")
    shutil.copy(moved / "rec01.atr", moved / "rec01.bak")
    write_annotations(moved / "rec01.atr", notes.of(notes.sample[:60], notes.symbol[:60]))
    assert len(build_own(moved, PARAMS).labels) < len(data.labels)


def test_train_and_evaluate_take_it_by_its_path(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, split = load_data(str(folder), "random", PARAMS)
    assert len(split.test) == pytest.approx(0.2 * len(data.labels), abs=1)
    assert "mine, random split" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no split 'inter' of mine"):
        load_data(str(folder), "inter", PARAMS)
    with pytest.raises(DataError, match="5 folds of whole patients, found 2"):
        load_data(str(folder), "patient", PARAMS)
    # What the set calls itself finds it again.
    assert load_data(data.dataset, "random", PARAMS)[0].sha256 == data.sha256


def test_samples_that_the_file_marks_as_none_are_bridged_and_their_beats_left_out(folder: Path) -> None:
    before = build_own(folder, PARAMS)
    record = read_record(folder / "rec01")
    counts = record.counts.copy()
    counts[36_000:37_800, 0] = -2048  # 5 s of no sample
    write_record(folder / "rec01", counts, 360.0, ["MLII", "V1"], baseline=1024)
    data = build_own(folder, PARAMS)
    n_lost = len(before.labels) - len(data.labels)
    assert 3 <= n_lost <= 15
    assert np.isfinite(data.windows).all()
    half = len(before.labels) // 2
    assert np.array_equal(data.windows[-half:], before.windows[half:])


def test_records_not_named_are_left_out_and_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_excerpt(folder, "rec03")
    data = build_own(folder, PARAMS)
    assert set(data.records.tolist()) == {1, 2}
    assert re.search(r"dataset\.toml: not in \[patients\], so left out: rec03", capsys.readouterr().err)


def test_numbers_of_records() -> None:
    def numbers(*names: str) -> list[int]:
        about = OwnData("binary", "I", {"N": "normal"}, dict.fromkeys(names, 1))
        return list(about.record_numbers().values())

    assert numbers("100", "rec_205") == [100, 205]
    assert numbers("a1", "b1") == [1, 2]
    assert numbers("a", "b7") == [1, 2]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('lead = "MLII"\n', "", r'"lead" is missing'),
        ('lead = "MLII"', "lead = 2", r'"lead" must be text, found 2'),
        ('lead = "MLII"', 'leed = "MLII"', r'unknown key "leed". Did you mean "lead"'),
        ('"binary"', '"binery"', r'"label_set" must be one of .*Did you mean "binary"'),
        ('V = "abnormal"', 'V = "abnorm"', r'"class_map.V" must be a class of binary, found "abnorm".*"abnormal"'),
        ('V = "abnormal"', 'x = "abnormal"', r"\"class_map\": 'x' is no beat symbol"),
        ('N = "normal"\nV = "abnormal"', "", r'"class_map" is empty'),
        ("rec02 = 8", 'rec02 = "Anna"', r'"patients.rec02" must be a whole number, found "Anna"'),
        ("rec02 = 8", "rec02 = -1", r'"patients.rec02" must be a number from 0'),
        ("rec02 = 8", '"../rec02" = 8', r"'../rec02' is no name of a record"),
        ("rec01 = 7\nrec02 = 8", "", r'"patients" is empty'),
        ('lead = "MLII"', 'lead = "MLII"\nannotator = "../x"', r'"annotator" must be the suffix'),
        ("[class_map]", "[class_map", r"cannot be read"),
    ],
)
def test_a_toml_that_does_not_fit_names_file_and_key(folder: Path, old: str, new: str, said: str) -> None:
    assert old in TOML
    (folder / "dataset.toml").write_text(TOML.replace(old, new))
    with pytest.raises(ConfigError, match=rf"(?s)mine/dataset\.toml.*{said}"):
        read_own_data(folder)


def test_folders_and_records_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no such folder\. docs/own-data\.md"):
        build_own(tmp_path / "nothing", PARAMS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no dataset\.toml in it"):
        load_data(str(tmp_path / "empty"), "random", PARAMS)
    (folder / "dataset.toml").write_text(TOML + "rec04 = 9\n")
    with pytest.raises(DataError, match=r"rec04\.atr is missing.*rec04\.hea is missing.*\[patients\]"):
        build_own(folder, PARAMS)
    (folder / "dataset.toml").write_text(TOML.replace("MLII", "V6"))
    with pytest.raises(DataError, match=r'dataset\.toml: "lead" is "V6", record rec01 has MLII, V1'):
        build_own(folder, PARAMS)
    (folder / "dataset.toml").write_text(TOML.replace("N =", "r =").replace("V =", "n ="))
    with pytest.raises(DataError, match='no beat of the records has a symbol of "class_map"'):
        build_own(folder, PARAMS)
    (folder / "dataset.toml").write_text(TOML)
    notes = folder / "rec01.atr"
    notes.write_bytes(notes.read_bytes()[:-2])
    (folder / "rec02.hea").write_text("rec02\n")
    with pytest.raises(DataError, match=r"rec01\.atr has no end mark.*rec02\.hea line 1.*\[patients\]"):
        build_own(folder, PARAMS)
    copy_excerpt(folder, "rec02")
    signals = folder / "rec02.dat"
    signals.write_bytes(signals.read_bytes()[:100])
    with pytest.raises(DataError, match=r"rec02\.dat has 100 bytes of"):
        build_own(folder, PARAMS)


def test_the_example_of_the_page_works(tmp_path: Path) -> None:
    """The page's `dataset.toml`, on copies of one excerpt under the names it gives."""
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    folder = tmp_path / "my-clinic"
    folder.mkdir()
    (folder / "dataset.toml").write_text(toml)
    about = read_own_data(folder)
    for name in about.patients:
        copy_excerpt(folder, name)
    data, split = load_data(str(folder), "patient", PARAMS, fold=4)
    assert set(data.patients.tolist()) == set(about.patients.values())
    assert (split.fold, split.patients_on_both_sides) == (4, False)
    if about.label_set == "aami5":
        whole = build_windows([folder / name for name in about.patients], PARAMS)
        assert len(data.labels) <= len(whole.labels)
