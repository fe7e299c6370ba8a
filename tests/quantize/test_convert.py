"""`edge-ecg convert` of runs that are not the five classes of mitdb: two classes, folds, own data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.cli.main import run
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.infer import open_classifier
from edge_ecg.infer.golden import check_golden
from edge_ecg.io import read_annotations, read_record, write_annotations, write_record
from edge_ecg.manifest import load_bundle
from edge_ecg.scoring.probabilities import roc_auc
from edge_ecg.sources.virtual import EXCERPT
from train.load import build_of, load_data, load_network
from train.run import RUN_SCHEMA, WEIGHTS, Recipe, RunInfo, read_run, write_run

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*"),
    pytest.mark.usefixtures("timed_briefly"),
]

PARAMS = PreprocessParams()
FOLD = 2
TOML = """\
label_set = "binary"
lead = "V1"

[class_map]
N = "normal"
V = "abnormal"

[patients]
"""


@pytest.fixture
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six people of 55 s each, in a folder with a name that nobody else need know."""
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("EDGE_ECG_LOOKS", str(tmp_path / "looks.jsonl"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "st-marys" / "mine"
    folder.mkdir(parents=True)
    cut(folder, 6)
    (folder / "dataset.toml").write_text(TOML + "".join(f"rec{k} = {k}\n" for k in range(6)))
    return folder


def cut(folder: Path, n_parts: int, *, of_one_class: bool = False) -> None:
    record, notes = read_record(EXCERPT), read_annotations(EXCERPT)
    n = len(record.counts) // n_parts
    for k in range(n_parts):
        begin, end = k * n, (k + 1) * n
        here = (notes.sample >= begin) & (notes.sample < end)
        part = replace(
            notes,
            sample=notes.sample[here] - begin,
            symbol=("NV"[k % 2],) * int(here.sum())
            if of_one_class
            else tuple(s for s, h in zip(notes.symbol, here, strict=True) if h),
            aux=tuple(s for s, h in zip(notes.aux, here, strict=True) if h),
            subtype=notes.subtype[here],
            chan=notes.chan[here],
            num=notes.num[here],
        )
        write_record(folder / f"rec{k}", record.counts[begin:end], 360.0, ["MLII", "V1"], baseline=1024)
        write_annotations(folder / f"rec{k}", part)


def untrained(folder: Path, own_data: Path, on: str = "patient", fold: int = FOLD, **changes: Any) -> RunInfo:
    """A run of seed 1 that was never fitted, tested on one of five folds or on another split."""
    data, split = load_data(str(own_data), on, PARAMS, fold=fold)
    folder.mkdir(parents=True)
    build_of("baseline")(1).save_weights(folder / WEIGHTS)
    info = RunInfo(
        schema_version=RUN_SCHEMA, network="baseline", dataset=data.dataset, split=on,
        patients_on_both_sides=split.patients_on_both_sides, seed=1, recipe=Recipe(), preprocessing=PARAMS,
        preprocessing_fingerprint=PARAMS.fingerprint(), data_sha256=data.sha256,
        command=f"edge-ecg train --data {own_data} --config=/home/ann/my.toml --split {on} --fold {fold}",
        started_utc="", versions={}, n_parameters=254_641, label_set="binary", lead="V1", fold=split.fold,
        n_folds=split.n_folds, validation_accuracy=0.80, validation_macro_f1=0.70, validation_auc=0.90,
    )  # fmt: skip
    info = replace(info, **changes)
    write_run(folder, info)
    return info


def test_two_classes_of_own_data_in_folds(
    own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = untrained(tmp_path / "runs" / "one", own_data)
    # Never fitted, its outputs may lie near one half, where rounding decides: as much as it likes.
    assert run(["convert", "--int8", "one", "--max-drop", "100,100"]) == 0
    told = capsys.readouterr().out
    assert "EC57" not in told, "of two classes"
    assert "\nabnormal Se" in told
    bundle = load_bundle(tmp_path / "mine-baseline-patient-fold2-int8")
    m = bundle.manifest
    assert (m.id, m.dataset, m.label_set, m.lead) == ("mine-baseline-patient-fold2-int8", "mine", "binary", "V1")
    assert (m.split, m.fold, m.n_folds, m.segmentation, m.bench_only) == ("patient", FOLD, 5, "causal", False)
    assert (m.output.shape, m.output.dtype, m.patients_on_both_sides) == ((1, 1), "int8", False)

    # Its own fold was the test, and each class has its figures.
    data, split = load_data(str(own_data), "patient", PARAMS, fold=FOLD)
    n_of = np.bincount(data.labels[split.test], minlength=2).tolist()
    assert {name: c.n for name, c in m.metrics.per_class.items()} == dict(zip(m.labels, n_of, strict=True))
    assert np.shape(m.metrics.confusion) == np.shape(m.float_metrics.confusion) == (2, 2)

    # int8 says what the float network says.
    from train.fit import predict

    windows = data.windows[split.test]
    classifier = open_classifier(bundle.folder)
    said, meant = classifier.classify_many(windows), predict(load_network(tmp_path / "runs" / "one", info), windows)
    assert said.shape == (len(windows), 2)
    assert np.abs(said - meant).max() < 0.02
    assert check_golden(bundle) >= 4

    # Who gets the bundle need not know where the records lie.
    for name in ("card.md", "manifest.json", "golden.json"):
        text = (bundle.folder / name).read_text()
        assert "st-marys" not in text
        assert "/home" not in text
    assert m.commands[0] == (
        "edge-ecg train --data mine --config=my.toml --split patient --fold 2"
    )
    assert m.commands[-1] == "edge-ecg convert --int8 one --calibration-seed 0 --max-drop 100,100"
    card = (bundle.folder / "card.md").read_text()
    for told in ("`patient` split (fold 2 of 0 to 4)", "class map `binary`", "lead V1", "mine, own records"):
        assert told in card
    assert "MIT-BIH" not in card + (bundle.folder / "golden.json").read_text()

    # Without --split and --fold: the bundle knows which beats did not train it.
    capsys.readouterr()
    assert run(["evaluate", str(bundle.folder), "--data", str(own_data), "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert (table["folds"], table["n"], table["patients_on_both_sides"]) == ([FOLD], m.metrics.n, False)
    assert table["accuracy"] == pytest.approx(m.metrics.accuracy, abs=1e-4)


def test_the_seed_of_two_classes_is_chosen_by_the_area_under_the_curve(
    own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    untrained(tmp_path / "runs" / "one", own_data)
    # More F1, less AUC.
    untrained(tmp_path / "runs" / "two", own_data, seed=2, validation_macro_f1=0.79, validation_auc=0.85)
    untrained(tmp_path / "runs" / "of-another-fold", own_data, fold=1, seed=3)
    for args, told in (
        (["two", "--among", "one"], "seed 1 did better than two"),
        (["one", "--among", "of-another-fold"], "another recipe, split or fold"),
    ):
        assert run(["convert", "--int8", *args]) == 2
        assert told in capsys.readouterr().err
    assert run(["convert", "--int8", "one", "--among", "two", "--out", "best", "--force"]) == 0
    m = load_bundle(tmp_path / "best").manifest
    assert {seed: f.validation_auc for seed, f in m.seeds.items()} == {"1": 0.90, "2": 0.85}
    assert "(accuracy / AUC there: seed 1: 0.8000 / 0.9000; seed 2: 0.8000 / 0.8500)" in (
        tmp_path / "best" / "card.md"
    ).read_text()


@pytest.fixture
def on_all_splits(own_data: Path, tmp_path: Path) -> Path:
    """Runs `mixed` (random split) and `fold0` to `fold4`; every person is of one class."""
    cut(own_data, 6, of_one_class=True)
    untrained(tmp_path / "runs" / "mixed", own_data, "random", 0)
    for fold in range(5):
        untrained(tmp_path / "runs" / f"fold{fold}", own_data, fold=fold)
    return own_data


def others(*names: str) -> list[str]:
    return [arg for name in names for arg in ("--other-split", name)]


def test_the_folds_of_another_split_are_one_set_of_figures(
    on_all_splits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = [f"fold{fold}" for fold in (3, 0, 4, 1, 2)]
    assert run(["convert", "--float32", "mixed", *others(*folds)]) == 0
    told = capsys.readouterr().out
    m = load_bundle(tmp_path / "mine-baseline-float32").manifest
    assert (m.split, m.fold, m.metrics.per_patient) == ("random", None, None)
    assert m.metrics.roc_auc is not None
    assert list(m.metrics_of_other_splits) == ["patient"]
    pooled = m.metrics_of_other_splits["patient"]

    # Every beat once, by the network that did not see it; float32 says what it says but for the last bits.
    from train.fit import predict

    reference, scores, patients = [], [], []
    for fold in range(5):
        folder = tmp_path / "runs" / f"fold{fold}"
        data, split = load_data(str(on_all_splits), "patient", PARAMS, fold=fold)
        probs = predict(load_network(folder, read_run(folder)), data.windows[split.test])
        reference += data.labels[split.test].tolist()
        scores += probs[:, 1].tolist()
        patients += data.patients[split.test].tolist()
    assert pooled.n == len(reference) == len(data.labels)
    said, truth, whose = np.array(scores) > 0.5, np.array(reference), np.array(patients)
    assert pooled.accuracy == pytest.approx((said == truth).mean(), abs=0.005)
    assert pooled.roc_auc == pytest.approx(roc_auc(truth, scores), abs=0.001)
    assert pooled.per_patient is not None
    means = [np.mean(np.array(scores)[whose == k]) for k in range(6)]
    assert (pooled.per_patient.n, pooled.per_patient.roc_auc) == (6, roc_auc([0, 1] * 3, means))
    assert pooled.per_patient.accuracy == np.mean((np.array(means) > 0.5) == np.array([0, 1] * 3))

    assert m.commands[-1] == (
        f"edge-ecg convert --float32 mixed {' '.join(others(*(f'fold{fold}' for fold in range(5))))}"
    )
    assert [f"--fold {k}" in m.commands[1 + k] for k in range(5)] == [True] * 5
    card = (tmp_path / "mine-baseline-float32" / "card.md").read_text()
    for text in (
        "on the `patient` split",
        "each fold by the model of the other folds",
        f"| float32 | {pooled.accuracy:.4f} | {pooled.macro_f1:.4f} | {pooled.roc_auc:.4f} |",
        f"6 patients, accuracy {pooled.per_patient.accuracy:.4f}, ROC AUC {pooled.per_patient.roc_auc:.4f}",
    ):
        assert text in card
    assert "201" not in card, "people of mitdb"
    assert f"{pooled.per_patient.roc_auc:.4f}" in told


def test_other_splits_that_do_not_belong_together_are_told_before_the_work(
    on_all_splits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, folds = tmp_path / "runs", [f"fold{fold}" for fold in range(5)]
    untrained(runs / "again", on_all_splits, fold=1)
    untrained(runs / "longer", on_all_splits, fold=4, recipe=Recipe(epochs=50))
    untrained(runs / "deeper", on_all_splits, fold=4, network="residual")
    untrained(runs / "mixed2", on_all_splits, "random", 0)
    for args, told in (
        (["mixed", *others(*folds[:3])], "folds 0 to 4, --other-split lacks 3, 4"),
        (["mixed", *others(*folds, "again")], "fold1 and again are both of fold 1 of the patient split"),
        (["mixed", *others(*folds[:4], "longer")], "longer is not the recipe of mixed: it has another recipe"),
        (["mixed", *others(*folds[:4], "deeper")], "it has another network"),
        (["mixed", *others("mixed2")], "mixed2 is on the random split, as mixed is"),
        (["fold0", *others("mixed", "mixed2")], "mixed and mixed2 are both of the random split"),
        (["mixed", "--sturdy"], "sturdiness is measured on causal windows of mitdb"),
        (["mixed", "--int8"], "Give one of --int8, --float16, --dynamic, --float32"),
        (["mixed", "--calibration-seed", "3"], "--calibration-seed means nothing with --float32"),
    ):
        assert run(["convert", "--float32", *args]) == 2
        assert told in capsys.readouterr().err
    assert run(["convert", "mixed"]) == 2
    assert not list(tmp_path.glob("mine-*"))

    assert run(["convert", "--float32", "fold0", *others("mixed")]) == 0
    m = load_bundle(tmp_path / "mine-baseline-patient-fold0-float32").manifest
    assert (list(m.metrics_of_other_splits), m.metrics.per_patient is None) == (["random"], False)
    card = (tmp_path / "mine-baseline-patient-fold0-float32" / "card.md").read_text()
    assert "people whose other beats trained it" in card


def test_a_folder_with_a_name_that_is_no_id(
    own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = own_data.rename(own_data.parent / "my data")
    untrained(tmp_path / "runs" / "one", named, "random", 0)
    assert run(["convert", "--float32", "one"]) == 0
    m = load_bundle(tmp_path / "my-data-baseline-float32").manifest
    assert (m.id, m.dataset) == ("my-data-baseline-float32", "my data")
    capsys.readouterr()
    assert run(["evaluate", "my-data-baseline-float32", "--data", str(named), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(m.metrics.accuracy)
