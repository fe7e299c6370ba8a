"""`edge-ecg evaluate`: whose beats are scored, which part of the split, and what may be pooled."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.cli.main import run
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import UsageError
from edge_ecg.sources.virtual import EXCERPT
from train.evaluate_cli import find_records, looked_at
from train.evaluation_model import ScoredModel, open_model
from train.evaluation_parts import TestPart, check_pooled, patients_line, warnings_of
from train.own_data import build_own
from train.run import RUN_SCHEMA, WEIGHTS, Recipe, RunInfo, read_run, write_run
from train.splits import Split, split_of
from train.window_set import WindowSet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")

PARAMS = PreprocessParams()
HEAD = 'label_set = "binary"\nlead = "MLII"\n[class_map]\nN = "normal"\nV = "abnormal"\n[patients]\n'


def own_data(folder: Path, people: dict[int, int]) -> Path:
    """A folder of copies of the excerpt: records by number, each of the person named."""
    folder.mkdir(parents=True, exist_ok=True)
    for record in people:
        for suffix in (".dat", ".atr"):
            shutil.copy(EXCERPT.with_suffix(suffix), folder / f"{record}{suffix}")
        header = EXCERPT.with_suffix(".hea").read_text(encoding="utf-8")
        (folder / f"{record}.hea").write_text(header.replace("mitdb_223", str(record)), encoding="utf-8")
    (folder / "dataset.toml").write_text(HEAD + "".join(f"{r} = {p}\n" for r, p in people.items()))
    return folder


SIX = {100: 1, 101: 2, 103: 3, 105: 4, 106: 5, 108: 6}


def a_run(folder: Path, data: WindowSet, split: Split, **changes: Any) -> Path:
    """A run of the binary network as it is born."""
    from train.load import build_of

    folder.mkdir(parents=True)
    info = RunInfo(
        schema_version=RUN_SCHEMA, network="residual", dataset=data.dataset, split=split.name, seed=1,
        patients_on_both_sides=split.patients_on_both_sides, recipe=Recipe(epochs=2), preprocessing=PARAMS,
        preprocessing_fingerprint=PARAMS.fingerprint(), data_sha256=data.sha256, command="", started_utc="",
        versions={}, n_parameters=0, label_set="binary", fold=split.fold, n_folds=split.n_folds, epochs_done=2,
        best_epoch=1,
    )  # fmt: skip
    build_of("residual")(1).save_weights(folder / WEIGHTS)
    write_run(folder, replace(info, **changes))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on six people of a folder `mine`, the first and the second fold of the patient split."""
    root = tmp_path_factory.mktemp("people")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_ECG_RUNS", str(root / "runs"))
        data = build_own(own_data(root / "mine", SIX), PARAMS)
        for fold in (0, 1):
            a_run(root / "runs" / f"fold{fold}", data, split_of(data, "patient", fold))
    return root


@pytest.fixture(autouse=True)
def surroundings(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_RUNS", str(made / "runs"))
    monkeypatch.setenv("EDGE_ECG_LOOKS", str(tmp_path / "looks.jsonl"))
    monkeypatch.delenv("EDGE_ECG_DATA", raising=False)


def evaluated(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["evaluate", *args, "--json"]) == 0, capsys.readouterr().err
    table: dict[str, Any] = json.loads(capsys.readouterr().out)
    return table


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    capsys.readouterr()
    assert run(["evaluate", *args]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line for line in captured.err.splitlines() if line.startswith("edge-ecg: ")]
    assert len(lines) == 1
    return lines[0]


def test_people_who_trained_are_no_new_ones_whatever_the_folder_is_called(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path
) -> None:
    table = evaluated(capsys, "fold0")
    assert (table["part"], table["patients_on_both_sides"]) == ("test", False)
    assert table["facts"]["patients"] == "no patient on both sides"
    # The same records elsewhere: the same split of them is a test, another is none.
    copy = str(shutil.copytree(made / "mine", tmp_path / "theirs"))
    assert evaluated(capsys, "fold0", "--data", copy)["patients_on_both_sides"] is False
    for args in (["--split", "random"], ["--fold", "1"]):
        table = evaluated(capsys, "fold0", "--data", copy, *args)
        assert table["patients_on_both_sides"] is True, args
        assert table["warnings"][0].startswith("no test of new people: it was trained on the patient (fold 0) split")
        assert table["facts"]["patients"] == table["warnings"][0]
    other = own_data(tmp_path / "other", {record: patient + 10 for record, patient in SIX.items()})
    table = evaluated(capsys, "fold0", "--data", str(other))
    assert table["patients_on_both_sides"] is False
    assert table["facts"]["patients"] == "not known to have trained the model, which learned from mine"


def test_of_data_that_changed_nobody_is_known_to_be_new(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, made: Path
) -> None:
    grown = own_data(shutil.copytree(made / "mine", tmp_path / "mine"), {**SIX, 109: 7, 112: 8})
    for args in ([], ["--split", "random"]):
        table = evaluated(capsys, "fold0", "--data", str(grown), *args)
        assert table["patients_on_both_sides"] is True
        assert table["warnings"][0] == "not known to be new people: the data changed since the training"
        assert table["facts"]["patients"] == table["warnings"][0]
    assert "as it was then" in refused(capsys, "fold0", "--data", str(grown), "--part", "validation")


def test_the_validation_part_is_said_to_be_it(capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path) -> None:
    data = build_own(made / "mine", PARAMS)
    split = split_of(data, "patient", 0)
    out = tmp_path / "out"
    table = evaluated(capsys, "fold0", "--part", "validation", "--out", str(out))
    assert (table["part"], table["n"]) == ("validation", len(split.validation))
    assert {r["patient"] for r in table["records"]} == set(data.patients[split.validation].tolist())
    assert table["facts"]["part"].startswith("validation: ")
    assert "validation beats of 1 records" in table["facts"]["data"]
    assert table["facts"]["patients"] == "whole patients, who did not train the model"
    assert table["patients_on_both_sides"] is False
    assert json.loads((out / "evaluation.json").read_text(encoding="utf-8")) == table
    test = evaluated(capsys, "fold0")
    assert (test["n"], "part" in test["facts"]) == (len(split.test), False)
    assert run(["evaluate", "fold0", "--part", "validation"]) == 0
    assert "part        validation: " in capsys.readouterr().out
    assert run(["evaluate", "fold0", "--part", "validation", "--html"]) == 0
    (page,) = (made / "runs" / "evaluations").glob("fold0-mine-patient-validation-causal/evaluation.html")
    assert "validation: the beats that this training" in page.read_text(encoding="utf-8")


def test_no_other_part_chooses(capsys: pytest.CaptureFixture[str]) -> None:
    validation = ("fold0", "--part", "validation")
    assert "is that of mine, patient split, fold 0" in refused(capsys, *validation, "--fold", "1")
    assert "is that of mine, patient split, fold 0" in refused(capsys, *validation, "--split", "random")
    assert "--part validation looks at one model" in refused(capsys, *validation, "fold1")
    assert "--part means nothing with --end-to-end" in refused(capsys, *validation, "--end-to-end")
    assert "--part" in refused(capsys, "fold0", "--part", "train")


@pytest.mark.parametrize(
    ("name", "people", "looked_at"),
    [("mitdb", SIX, {"100", "103", "105"}), ("ptbdb", dict(enumerate((4, 8, 12, 16, 104, 1), 1)), None)],
)
def test_a_look_at_test_people_is_told_but_not_of_the_validation_part(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, people: dict[int, int], looked_at: set[str] | None
) -> None:
    data = build_own(own_data(tmp_path / name, people), PARAMS)
    split = split_of(data, "random")
    folder = str(a_run(tmp_path / "run", data, split))
    looks = tmp_path / "looks.jsonl"
    evaluated(capsys, folder, "--part", "validation")
    assert not looks.exists()
    evaluated(capsys, folder)
    (look,) = map(json.loads, looks.read_text(encoding="utf-8").splitlines())
    # PTB people are known by their number, not by that of the record.
    assert set(look["people"]) == (looked_at or {"4", "8", "12", "16", "104"})


def test_folds_of_one_training_are_pooled_and_a_missing_one_is_told(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path
) -> None:
    table = evaluated(capsys, "fold1", "fold0")
    assert table["folds"] == [1, 0]
    assert table["warnings"] == ["not the whole data set: fold 0, 1 of 0 to 4; to pool, name a run of each fold"]
    assert evaluated(capsys, "fold0")["warnings"] == [table["warnings"][0].replace("0, 1", "0")]
    info = read_run(made / "runs" / "fold1")
    for change, told in (
        ({"network": "baseline"}, "another network (residual, baseline)"),
        ({"recipe": replace(info.recipe, epochs=3)}, "another recipe"),
        ({"split": "random", "fold": None, "n_folds": None}, "another split (patient, random)"),
    ):
        other = tmp_path / told.split()[1]
        shutil.copytree(made / "runs" / "fold1", other)
        write_run(other, replace(info, **change))
        assert told in refused(capsys, "fold0", str(other))


def stub(**changes: Any) -> ScoredModel:
    told: dict[str, Any] = {
        "name": "stub", "precision": "int8", "label_set": "aami5", "preprocessing": PARAMS, "dataset": "mitdb",
        "split": "patient", "fold": None, "segmentation": "causal", "data_sha256": "", "say": np.asarray, **changes,
    }  # fmt: skip
    return ScoredModel(**told)


def beats(dataset: str) -> WindowSet:
    numbers = np.array([100, 101], np.int32)
    return WindowSet.of(np.zeros((2, 187), np.float32), np.zeros(2, np.uint8), numbers, numbers, dataset=dataset)


def split(name: str, fold: int | None = None) -> Split:
    empty = np.array([], np.int64)
    return Split(name, empty, empty, np.array([0, 1]), name == "random", fold, 5 if name == "patient" else None)


def test_a_bundle_is_not_pooled_with_its_float_run_or_with_another_precision() -> None:
    check_pooled([stub(fold=0), stub(fold=1, seed=2), stub(fold=2)])
    with pytest.raises(UsageError, match=r"another precision \(int8, float32\)"):
        check_pooled([stub(fold=0), stub(fold=1), stub(fold=2, precision="float32")])
    with pytest.raises(UsageError, match="another data set"):
        check_pooled([stub(fold=0, dataset="ptb"), stub(fold=1, dataset="/there/mine")])
    assert not warnings_of(
        [TestPart(stub(fold=k, dataset="ptb"), beats("other"), split("patient", k)) for k in range(5)]
    )


@pytest.mark.parametrize(
    ("dataset", "trained", "tested", "told"),
    [
        # Their people are always the same, and so are the parts, whatever cut the windows.
        ("mitdb", ("inter", None), ("inter", None), None),
        ("mitdb", ("random", None), ("inter", None), "no test of new people: it was trained on the random split"),
        ("mitdb", ("random", None), ("random", None), "no test of new people: beats of the same people"),
        ("ptb", ("patient", 1), ("patient", 1), None),
        ("ptb", ("patient", 1), ("patient", 0), "no test of new people: it was trained on the patient (fold 1) split"),
        # Of these there may be more or less of them today.
        ("ptbdb", ("patient", 1), ("patient", 1), "not known to be new people"),
        ("/here/mitdb", ("patient", 1), ("patient", 1), "not known to be new people"),
    ],
)
def test_public_data_cut_by_other_code(dataset: str, trained: tuple, tested: tuple, told: str | None) -> None:
    part = TestPart(stub(dataset=dataset, split=trained[0], fold=trained[1]), beats(dataset), split(*tested))
    assert part.learned is told is None or str(part.learned).startswith(str(told))
    if told is None:
        assert patients_line(part).startswith("no patient on both sides")


def test_a_bundle_of_the_same_beats_knows_them_under_any_name() -> None:
    data = beats("/here/copy")
    of_copy = stub(dataset="mine", split="patient", fold=0, data_sha256=data.sha256)
    assert of_copy.learned(data, split("patient", 0)) is None
    assert "no test of new people" in (of_copy.learned(data, split("patient", 1)) or "")
    assert "no test of new people" in (of_copy.learned(data, split("random")) or "")


@pytest.mark.parametrize(
    ("epochs", "patience", "done", "best", "told"),
    [
        (36, 0, 12, 9, "12 of 36 epochs"),
        (36, 0, 36, 9, None),
        (36, 3, 12, 9, None),
        (36, 4, 12, 9, "12 of 36 epochs"),
    ],
)
def test_a_training_that_goes_on_is_told(
    made: Path, tmp_path: Path, epochs: int, patience: int, done: int, best: int, told: str | None
) -> None:
    folder = shutil.copytree(made / "runs" / "fold0", tmp_path / "going")
    recipe = Recipe(epochs=epochs, patience=patience)
    write_run(folder, replace(read_run(folder), recipe=recipe, epochs_done=done, best_epoch=best))
    model = open_model(str(folder))
    assert model.unfinished == told
    found = warnings_of([TestPart(model, beats("other"), split("inter"))])
    assert found == ([f"going is not trained to its end: {told}"] if told else [])


def test_a_folder_of_links_is_no_other_people(data_dir: Path, tmp_path: Path) -> None:
    for suffix in (".hea", ".dat", ".atr"):
        (tmp_path / f"234{suffix}").symlink_to(data_dir / "mitdb" / f"234{suffix}")
    assert find_records(str(tmp_path)) == [tmp_path / "234"]
    assert find_records(str(tmp_path / "234")) == [tmp_path / "234"]
    assert looked_at([tmp_path / "234"]) == ["234"]
    assert looked_at([data_dir / "mitdb" / "100", data_dir / "mitdb" / "101"]) == ["100"]
