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
from edge_ecg.sources.virtual import EXCERPT
from train.load import build_of, load_data, load_network
from train.run import RUN_SCHEMA, WEIGHTS, Recipe, RunInfo, write_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")

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


def cut(folder: Path, n_parts: int) -> None:
    record, notes = read_record(EXCERPT), read_annotations(EXCERPT)
    n = len(record.counts) // n_parts
    for k in range(n_parts):
        begin, end = k * n, (k + 1) * n
        here = (notes.sample >= begin) & (notes.sample < end)
        part = replace(
            notes,
            sample=notes.sample[here] - begin,
            symbol=tuple(s for s, h in zip(notes.symbol, here, strict=True) if h),
            aux=tuple(s for s, h in zip(notes.aux, here, strict=True) if h),
            subtype=notes.subtype[here],
            chan=notes.chan[here],
            num=notes.num[here],
        )
        write_record(folder / f"rec{k}", record.counts[begin:end], 360.0, ["MLII", "V1"], baseline=1024)
        write_annotations(folder / f"rec{k}", part)


def untrained(folder: Path, own_data: Path, **changes: Any) -> RunInfo:
    """A run of seed 1 that was never fitted, tested on the last but two of five folds."""
    data, split = load_data(str(own_data), "patient", PARAMS, fold=FOLD)
    folder.mkdir(parents=True)
    build_of("baseline")(1).save_weights(folder / WEIGHTS)
    info = RunInfo(
        schema_version=RUN_SCHEMA, network="baseline", dataset=data.dataset, split="patient",
        patients_on_both_sides=False, seed=1, recipe=Recipe(), preprocessing=PARAMS,
        preprocessing_fingerprint=PARAMS.fingerprint(), data_sha256=data.sha256,
        command=f"edge-ecg train --data {own_data} --config=/home/ann/my.toml --split patient --fold 2",
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
    assert run(["convert", "--int8", "one"]) == 0
    bundle = load_bundle(tmp_path / "mine-baseline-int8")
    m = bundle.manifest
    assert (m.id, m.dataset, m.label_set, m.lead) == ("mine-baseline-int8", "mine", "binary", "V1")
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
    untrained(tmp_path / "runs" / "of-another-fold", own_data, seed=3, fold=1)
    for args, told in (
        (["two", "--among", "one"], "seed 1 did better than two"),
        (["one", "--among", "of-another-fold"], "another recipe, split or fold"),
    ):
        assert run(["convert", "--int8", *args]) == 2
        assert told in capsys.readouterr().err
    assert run(["convert", "--int8", "one", "--among", "two", "--out", "best"]) == 0
    m = load_bundle(tmp_path / "best").manifest
    assert {seed: f.validation_auc for seed, f in m.seeds.items()} == {"1": 0.90, "2": 0.85}
    assert "(accuracy / AUC there: seed 1: 0.8000 / 0.9000; seed 2: 0.8000 / 0.8500)" in (
        tmp_path / "best" / "card.md"
    ).read_text()
