"""`edge-ecg evaluate` on test beats: figures worked out by hand, then the shipped bundle on real ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.cli.main import run
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ModelError, UsageError
from train.evaluation import Evaluation, evaluation_of
from train.evaluation_model import ScoredModel, open_model
from train.evaluation_page import evaluation_page
from train.evaluation_parts import TestPart, score_parts
from train.evaluation_plots import confusion_png, reliability_png
from train.evaluation_text import evaluation_lines
from train.splits import Split
from train.sturdiness import Condition, Sturdiness
from train.window_set import WindowSet

CLASSES = ("N", "S", "V", "F", "Q")
BINARY = ("normal", "abnormal")
MODEL = "mitdb-baseline-int8"


@pytest.fixture(autouse=True)
def own_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGE_ECG_LOOKS", str(tmp_path / "looks.jsonl"))
    return tmp_path / "looks.jsonl"


def by_hand() -> Evaluation:
    """Four beats N N S V; the first N and the V are labelled rightly, the others say each other."""
    probs = [
        [0.9, 0.1, 0.0, 0.0, 0.0],
        [0.3, 0.7, 0.0, 0.0, 0.0],
        [0.6, 0.4, 0.0, 0.0, 0.0],
        [0.0, 0.1, 0.8, 0.1, 0.0],
    ]
    return evaluation_of([0, 0, 1, 2], probs, [7, 7, 7, 8], [1, 1, 1, 2], CLASSES, n_replicates=50)


def test_the_figures_of_four_beats_by_hand() -> None:
    table = by_hand().to_json()
    assert (table["n"], table["accuracy"]) == (4, 0.5)
    assert table["confusion"][:3] == [[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0]]
    # F1: N 1/2, S 0, V 1; F and Q are nowhere and count 0.
    assert table["macro_f1"] == pytest.approx(1.5 / 5)
    n, s, v, f = (table["per_class"][name] for name in "NSVF")
    assert (n["n"], n["se"], n["ppv"], n["f1"]) == (2, 0.5, 0.5, 0.5)
    # Scores of N: its beats 0.9 and 0.3, the others 0.6 and 0.0: 3 of 4 pairs are right.
    assert n["roc_auc"] == 0.75
    assert n["pr_auc"] == pytest.approx((1.0 + 2.0 / 3.0) / 2.0)
    # S: 0.4 lies under 0.7 and over twice 0.1.
    assert s["roc_auc"] == pytest.approx(2 / 3)
    assert s["pr_auc"] == 0.5
    assert (s["se"], s["f1"]) == (0.0, 0.0)
    assert (v["se"], v["roc_auc"], v["pr_auc"]) == (1.0, 1.0, 1.0)
    assert f == {"n": 0, "se": None, "ppv": None, "f1": None, "roc_auc": None, "pr_auc": None}
    # Sure 0.9 0.7 0.6 0.8, right 1 0 0 1, each in a bin of its own.
    assert table["calibration"]["ece"] == pytest.approx((0.1 + 0.7 + 0.6 + 0.2) / 4)
    assert json.loads(json.dumps(table)) == table


def test_rows_by_record_and_intervals_over_whole_patients() -> None:
    found = by_hand()
    table = found.to_json()
    assert [(r["record"], r["patient"], r["n"], r["errors"]) for r in table["records"]] == [(7, 1, 3, 2), (8, 2, 1, 0)]
    assert found.records[0].worst(CLASSES) == "N as S (1)"
    # Two patients: 1 of 3 right and 1 of 1, so a draw gives 1/3, 2/4 or 1.
    assert table["intervals"]["over_patients"]["accuracy"] == pytest.approx((1 / 3, 1.0))
    assert table["intervals"]["over_patients"]["per_class"]["F"]["roc_auc"] is None
    one = evaluation_of([0, 1], np.eye(5)[:2], [1, 1], [1, 1], CLASSES, n_replicates=10)
    assert one.to_json()["intervals"]["over_patients"] is None


def test_two_classes_by_patient_by_hand() -> None:
    # Patient 1 normal: mean 0.3. 2 abnormal: mean 0.45, wrong. 3 abnormal: 0.9. 4 normal: 0.6, wrong.
    p = np.array([0.1, 0.5, 0.4, 0.5, 0.9, 0.6])
    reference, patients = [0, 0, 1, 1, 1, 0], [1, 1, 2, 2, 3, 4]
    found = evaluation_of(reference, np.stack([1 - p, p], 1), patients, patients, BINARY, n_replicates=100)
    assert found.patients is not None
    assert [row.probability for row in found.patients.rows] == pytest.approx([0.3, 0.45, 0.9, 0.6])
    assert [row.is_right for row in found.patients.rows] == [True, False, True, False]
    assert found.patients.accuracy == 0.5
    # 0.45 over 0.3 but not over 0.6; 0.9 over both.
    assert found.patients.roc_auc == 0.75
    low, high = found.patients.intervals["accuracy"] or (None, None)
    assert (low, high) == (0.0, 1.0)
    assert found.to_json()["per_patient"]["n"] == 4


def test_patients_with_beats_of_both_classes_have_no_figures_of_their_own() -> None:
    found = evaluation_of([0, 1], [[0.9, 0.1], [0.2, 0.8]], [1, 1], [1, 1], BINARY, n_replicates=10)
    assert found.patients is None
    assert by_hand().patients is None, "five classes"


def test_text_names_all_there_is() -> None:
    text = "\n".join(evaluation_lines(by_hand()))
    assert "accuracy  0.5000  95 %" in text
    assert "2 patients drawn whole" in text
    assert re.search(r"^N +2 +50\.00 +50\.00 +0\.5000 +0\.7500", text, re.MULTILINE)
    assert re.search(r"^F +0 +- +-", text, re.MULTILINE)
    assert re.search(r"^ +7 +3 +2 +33\.33  N as S \(1\)", text, re.MULTILINE)


def test_the_page_needs_no_other_file_and_hides_no_markup() -> None:
    found = by_hand()
    pictures = {"a <b>": confusion_png(found.confusion, CLASSES, "t"), "c": reliability_png(found.calibration, "t")}
    assert all(png.startswith(b"\x89PNG") for png in pictures.values())
    assert pictures["c"] == reliability_png(found.calibration, "t")
    sturdiness = Sturdiness(
        4, "random", "MLII", (Condition("clean", 0.5, 0.3, 0.0), Condition("inverted", 0.44, 0.2, 6.0))
    )
    page = evaluation_page({"model": "<script>", "data": "d"}, ["mind & care"], found, sturdiness, pictures)
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page
    assert "<script>" not in page
    assert "mind &amp; care" in page
    assert "<span class=bad>+6.00</span>" in page


PARAMS = PreprocessParams()


def beats(labels: list[int], label_set: str = "aami5") -> WindowSet:
    """Each window holds its label, so that a stub can read it."""
    n = len(labels)
    windows = np.repeat(np.array(labels, np.float32)[:, None] / 4, 187, axis=1)
    numbers = np.arange(n, dtype=np.int32) + 100
    return WindowSet.of(windows, np.array(labels, np.uint8), numbers, numbers, dataset="mitdb", label_set=label_set)


def stub(name: str = "stub", **changes: Any) -> ScoredModel:
    def say(windows: np.ndarray) -> np.ndarray:
        return np.eye(5, dtype=np.float32)[np.rint(4 * windows[:, 0]).astype(int)]

    told: dict[str, Any] = {
        "name": name, "precision": "int8", "label_set": "aami5", "preprocessing": PARAMS, "dataset": "mitdb",
        "split": "inter", "fold": None, "segmentation": "causal", "data_sha256": "", "say": say, **changes,
    }  # fmt: skip
    return ScoredModel(**told)


def part_of(data: WindowSet, test: list[int], model: ScoredModel, name: str = "patient", fold: int = 0) -> TestPart:
    empty = np.array([], np.int64)
    return TestPart(model, data, Split(name, empty, empty, np.array(test), False, fold=fold, n_folds=5))


def test_folds_are_pooled_each_scored_by_its_own_model() -> None:
    data = beats([0, 1, 2, 0])

    def always_n(windows: np.ndarray) -> np.ndarray:
        return np.eye(5)[np.zeros(len(windows), int)]

    parts = [part_of(data, [0, 1], stub("a")), part_of(data, [2, 3], stub("b", say=always_n), fold=1)]
    found = score_parts(parts, n_replicates=10)
    assert (found.n, found.confusion.accuracy) == (4, 0.75)
    assert found.confusion.counts[2, 0] == 1
    with pytest.raises(UsageError, match="same beats"):
        score_parts([part_of(data, [0, 1], stub()), part_of(data, [1, 2], stub())])
    with pytest.raises(UsageError, match="not scored on the same beats"):
        score_parts([part_of(data, [0], stub()), part_of(beats([0, 1]), [1], stub("b"))])


def test_other_classes_and_no_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="gives normal, abnormal, the beats of mitdb are labelled N, S"):
        score_parts([part_of(beats([0, 1]), [0], stub(label_set="binary"))])
    bad = stub(say=lambda w: np.full((len(w), 5), np.nan))
    with pytest.raises(ModelError, match="no number for 2 of 2 beats"):
        score_parts([part_of(beats([0, 1]), [0, 1], bad)])


@pytest.mark.parametrize(
    ("trained", "tested", "told"),
    [
        (("mitdb", "random", None), ("random", None), "same people"),
        (("mitdb", "inter", None), ("inter", None), None),
        (("mitdb", "random", None), ("inter", None), "trained on the random split"),
        (("mitdb", "inter", None), ("random", None), "trained on the inter split"),
        (("mitdb", "patient", 1), ("patient", 0), "fold 1"),
        (("mitdb", "patient", 0), ("patient", 0), None),
        (("svdb", "random", None), ("random", None), None),
    ],
)
def test_what_a_model_learned_from_is_known(trained: tuple, tested: tuple, told: str | None) -> None:
    empty = np.array([], np.int64)
    split = Split(tested[0], empty, empty, empty, tested[0] == "random", fold=tested[1])
    dataset, name, fold = trained
    learned = stub(dataset=dataset, split=name, fold=fold).learned(beats([0]), split)
    assert (learned is None) if told is None else (told in (learned or ""))


def test_recordings_of_the_same_patients_are_no_test() -> None:
    empty = np.array([], np.int64)
    data = WindowSet.of(*(getattr(beats([0, 1]), k) for k in ("windows", "labels", "records", "patients")),
                        dataset="ptbdb", label_set="binary")  # fmt: skip
    learned = stub(dataset="ptb", split="patient").learned(data, Split("random", empty, empty, empty, True))
    assert "same patients" in (learned or "")


@pytest.fixture
def real_beats(
    data_dir: Path, mitdb_windows: Callable[[], WindowSet], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], WindowSet]:
    monkeypatch.setenv("EDGE_ECG_DATA", str(data_dir))
    return mitdb_windows


def test_the_shipped_bundle_on_the_real_test_beats(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, real_beats: Callable[[], WindowSet], own_looks: Path
) -> None:
    data = real_beats()
    out = tmp_path / "out"
    assert run(["evaluate", MODEL, "--json", "--html", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    table = json.loads(captured.out)
    assert {"n", "accuracy", "macro_f1", "per_class", "confusion"} <= set(table)
    assert [table[k] for k in ("n", "split", "dataset", "model", "lead")] == [21_892, "random", "mitdb", MODEL, "MLII"]
    assert table["patients_on_both_sides"] is True
    assert table["data_sha256"] == data.sha256
    assert np.sum(table["confusion"]) == 21_892
    assert open_model(MODEL).precision == "int8"
    assert table["accuracy"] == pytest.approx(0.9887, abs=0.002)
    low, high = table["intervals"]["over_beats"]["accuracy"]
    assert low < table["accuracy"] < high
    # Beats of one patient go together: what is known of new patients is less.
    wide_low, wide_high = table["intervals"]["over_patients"]["accuracy"]
    assert wide_high - wide_low > high - low
    assert sum(row["n"] for row in table["records"]) == 21_892
    assert sum(row["errors"] for row in table["records"]) == 21_892 - int(np.trace(table["confusion"]))
    assert 0.97 < table["per_class"]["S"]["roc_auc"] < 1
    assert json.loads((out / "evaluation.json").read_text(encoding="utf-8")) == table
    names = {"confusion.png", "reliability.png", "evaluation.json", "evaluation.html"}
    assert {p.name for p in out.iterdir()} == names
    assert "device-independent" in (out / "evaluation.html").read_text(encoding="utf-8")
    look = json.loads(own_looks.read_text(encoding="utf-8").splitlines()[0])
    assert {"100", "234", "102"} <= set(look["people"])
    assert "101" not in look["people"]
    assert look["figures"]["accuracy"] == table["accuracy"]

    assert run(["evaluate", MODEL, "--split", "inter"]) == 0
    text = capsys.readouterr().out
    assert "its training part" not in text.splitlines()[0]
    assert "no test of new people: it was trained on the random split" in text
    assert "49,690 test beats" in text


def untrained_run(folder: Path, fold: int) -> Path:
    """A run of the binary network as it is born: one sigmoid."""
    from train.load import build_of
    from train.run import RUN_SCHEMA, WEIGHTS, Recipe, RunInfo, write_run

    folder.mkdir(parents=True)
    info = RunInfo(
        schema_version=RUN_SCHEMA, network="residual", dataset="ptb", split="patient", patients_on_both_sides=False,
        seed=1, recipe=Recipe(), preprocessing=PARAMS, preprocessing_fingerprint=PARAMS.fingerprint(), data_sha256="",
        command="", started_utc="", versions={}, n_parameters=0, label_set="binary", lead="I", fold=fold, n_folds=5,
    )  # fmt: skip
    build_of("residual")(1).save_weights(folder / WEIGHTS)
    write_run(folder, info)
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")
def test_two_folds_of_float_runs_by_patient(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, own_looks: Path
) -> None:
    if not (data_dir / "ecgdb_lead1" / "subjects.csv").exists():
        pytest.skip("no lead-I database here")
    monkeypatch.setenv("EDGE_ECG_DATA", str(data_dir))
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    for fold in (1, 3):
        untrained_run(tmp_path / "runs" / f"fold{fold}", fold)
    probs = open_model("fold1").probs(np.random.default_rng(0).random((3, 187), np.float32))
    assert probs.shape == (3, 2)
    assert probs.sum(axis=1) == pytest.approx(1.0)

    assert run(["evaluate", "fold1", "fold3", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    told = [table[k] for k in ("dataset", "split", "folds", "lead", "model", "patients_on_both_sides", "classes")]
    assert told == ["ptb", "patient", [1, 3], "I", "fold1 + fold3", False, list(BINARY)]
    # 177 patients in five folds: two of them hold 70 or 71, each with a mean and a place in the intervals.
    assert table["per_patient"]["n"] == table["intervals"]["n_patients"] in (70, 71, 72)
    assert table["per_patient"]["n"] == len(table["records"])
    assert table["per_class"]["normal"]["roc_auc"] == pytest.approx(table["per_class"]["abnormal"]["roc_auc"])
    assert len(table["per_patient"]["intervals"]["roc_auc"]) == 2
    (look,) = map(json.loads, own_looks.read_text(encoding="utf-8").splitlines())
    assert look["people"]
    assert all(int(patient) % 4 == 0 for patient in look["people"])

    assert run(["evaluate", "fold1", "fold1"]) == 2
    assert "tested on the same beats" in capsys.readouterr().err
    assert run(["evaluate", "fold1", "--sturdy"]) == 2
    assert "sturdiness is measured on causal windows of mitdb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (["nope"], 3, "no model 'nope'"),
        ([MODEL, "--split", "patient"], 2, "no split 'patient' of mitdb"),
        ([MODEL, "--data", "nodb"], 2, "no data set 'nodb'"),
        ([MODEL, "--fold", "1"], 2, "no fold 1"),
        ([MODEL, "--segmentation", "other"], 2, "other"),
        ([MODEL, "--records", "DS1"], 2, "--records means nothing without --end-to-end"),
        ([MODEL, "--end-to-end", "--sturdy", "--html"], 2, "--html, --sturdy means nothing with --end-to-end"),
        ([MODEL, MODEL, "--end-to-end"], 2, "2 models are given"),
        ([], 2, "RUN|BUNDLE|ID"),
        ([MODEL], 5, "edge-ecg data fetch mitdb"),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    code: int,
    told: str,
) -> None:
    monkeypatch.setenv("EDGE_ECG_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    assert run(["evaluate", *args]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert "Traceback" not in captured.err
    assert "this is a bug" not in captured.err
