"""From a fitted network to a bundle, int8 or float32, that proves itself."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.cli.main import run
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ModelError, UsageError
from edge_ecg.infer import open_classifier
from edge_ecg.infer.golden import check_golden
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.io import read_annotations, read_record, write_annotations, write_record
from edge_ecg.manifest import load_bundle
from edge_ecg.sources.virtual import EXCERPT
from quantize.bundle import Told, bundle_id, write_bundle
from quantize.figures import split_metrics
from quantize.folder import check_target
from quantize.int8 import representative_beats, to_int8
from quantize.precision import to_float32
from quantize.source import Source
from train.evaluation_model import open_model
from train.run import Recipe, RunInfo, read_run
from train.splits import Split
from train.sturdiness import CONDITIONS
from train.window_set import WindowSet
from train.windows import build_windows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")

PARAMS = PreprocessParams()


@pytest.fixture(scope="module")
def data() -> WindowSet:
    return build_windows([EXCERPT], PARAMS)


@pytest.fixture(scope="module")
def split(data: WindowSet) -> Split:
    at = np.arange(len(data.labels))
    return Split("random", at[at % 3 == 0], at[at % 3 == 1], at[at % 3 == 2], patients_on_both_sides=True)


@pytest.fixture(scope="module")
def run_folder(data: WindowSet, split: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from train.fit import fit
    from train.load import build_of

    folder = tmp_path_factory.mktemp("run")
    recipe = Recipe(epochs=6, batch_size=16, average_decay=0.5)
    fit(build_of("baseline"), data, split, recipe, PARAMS, 1, folder)
    return folder


@pytest.fixture(scope="module")
def source(run_folder: Path, data: WindowSet, split: Split) -> Source:
    from train.load import load_network

    info = read_run(run_folder)
    return Source(info, data, split, load_network(run_folder, info))


@pytest.fixture(scope="module")
def model(source: Source) -> bytes:
    train = source.split.train
    return to_int8(source.network, representative_beats(source.data.windows[train], source.data.labels[train], 100, 0))


def test_no_float_is_left_and_the_input_is_pinned(model: bytes) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    kinds = {np.dtype(t["dtype"]).name for t in interpreter.get_tensor_details()}
    assert kinds <= {"int8", "int32"}, "int32: biases and shapes"
    (given,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert given["dtype"] == gives["dtype"] == np.int8
    assert given["shape"].tolist() == [1, 187, 1]
    scale, zero_point = given["quantization"]
    assert scale == pytest.approx(1 / 255, rel=1e-6)
    assert zero_point == -128
    assert gives["quantization"] == (1 / 256, -128)
    dense = [t for t in interpreter.get_tensor_details() if t["shape"].tolist() == [64, 256] and t["dtype"] == np.int8]
    assert len(dense) == 1
    assert len(set(dense[0]["quantization_parameters"]["scales"].tolist())) == 1, "one scale for a whole dense layer"


def test_the_bundle_proves_itself(tmp_path: Path, model: bytes, source: Source) -> None:
    folder, data, split = tmp_path / "deep" / "bundle", source.data, source.split
    written = write_bundle(model, "int8", source, folder, Told(("train", "", "convert")), force=True)
    assert sorted(p.name for p in folder.iterdir()) == [
        *("card.md", "golden.json", "manifest.json", "measurements.json", "model.tflite", "report.html"),
    ]
    assert [p.name for p in folder.parent.iterdir()] == ["bundle"], "nothing else is left behind"
    bundle = load_bundle(folder)
    assert bundle.manifest == written.manifest
    assert check_golden(bundle) >= 8
    m = bundle.manifest
    assert (m.id, m.precision, m.bytes, m.n_parameters) == ("mitdb-baseline-int8", "int8", len(model), 254_901)
    assert (m.input.dtype, m.input.zero_point, m.output.dtype) == ("int8", -128, "int8")
    assert m.metrics.n == len(split.test) == int(np.sum(m.metrics.confusion))
    assert [c.n for c in m.metrics.per_class.values()] == np.bincount(data.labels[split.test], minlength=5).tolist()
    assert m.commands == ("train", "convert")
    assert m.data_sha256 == data.sha256
    assert m.preprocessing_fingerprint == PARAMS.fingerprint()
    # int8 says what the float network says, but for rounding.
    assert abs(m.metrics.accuracy - m.float_metrics.accuracy) < 0.05
    classifier = TfliteClassifier(bundle)
    said = [classifier.classify(window) for window in data.windows[split.test]]
    assert split_metrics(np.stack(said), data, split) == m.metrics
    assert (m.metrics.roc_auc, m.metrics.per_patient, m.sturdiness) == (None, None, None), "five classes"
    card = (folder / "card.md").read_text()
    for text in ("Not a medical device", f"{m.metrics.accuracy:.4f}", "Patients on both sides of the split: yes"):
        assert text in card


def test_a_float32_bundle_runs_like_any_other(tmp_path: Path, source: Source) -> None:
    from train.fit import predict

    folder, windows = tmp_path / "bundle", source.data.windows[source.split.test]
    bundle = write_bundle(to_float32(source.network, windows), "float32", source, folder, measured=False)
    m = bundle.manifest
    assert (m.id, m.precision) == ("mitdb-baseline-float32", "float32")
    assert (m.input.dtype, m.input.shape, m.output.dtype) == ("float32", (1, 187, 1), "float32")
    from ai_edge_litert.interpreter import Interpreter

    (given,) = Interpreter(model_content=bundle.model).get_input_details()
    assert given["shape_signature"].tolist() == [1, 187, 1], "no batch of any size"
    assert np.abs(open_classifier(folder).classify_many(windows) - predict(source.network, windows)).max() < 1e-5
    assert m.metrics == m.float_metrics
    assert "| float32 (this file) |" in (folder / "card.md").read_text()
    events = tmp_path / "events.jsonl"
    replay = ["replay", str(EXCERPT), "--jsonl", str(events), "--model"]
    for command in (["models", "verify"], ["models", "show"], replay):
        assert run([*command, str(folder)]) == 0
    assert "mitdb-baseline-float32" in events.read_text()

    # A difference that rounding explains in int8 is a fault in float.
    golden = json.loads((folder / "golden.json").read_text())
    golden["beats"][0]["probs"][0] += 0.005
    (folder / "golden.json").write_text(json.dumps(golden))
    with pytest.raises(ModelError, match="golden beat 0"):
        check_golden(load_bundle(folder))


def test_what_disturbed_records_cost_stands_in_manifest_and_card(
    tmp_path: Path, model: bytes, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A database of one record, and noise of a minute.
    (tmp_path / "mitdb").mkdir()
    (tmp_path / "nstdb").mkdir()
    monkeypatch.setenv("EDGE_ECG_DATA", str(tmp_path))
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    record, stem = read_record(EXCERPT), tmp_path / "mitdb" / "223"
    write_record(stem, record.counts, 360.0, ["MLII", "V1"], baseline=1024)
    write_annotations(stem, read_annotations(EXCERPT))
    noise = np.random.default_rng(0).integers(-500, 500, (60 * 360, 2))
    write_record(tmp_path / "nstdb" / "ma", noise, 360.0, ["noise1", "noise2"])

    data = build_windows([stem], PARAMS)
    bundle = write_bundle(
        model, "int8", replace(source, data=data), tmp_path / "bundle", sturdy=True, force=True, measured=False
    )
    m = bundle.manifest
    assert m.sturdiness is not None
    assert (m.sturdiness.n, m.sturdiness.split, m.sturdiness.lead) == (m.metrics.n, "random", "MLII")
    found = m.sturdiness.conditions
    assert list(found) == list(CONDITIONS)
    assert (found["clean"].accuracy, found["clean"].loss_points) == (m.metrics.accuracy, 0.0)
    card = (bundle.folder / "card.md").read_text()
    for name, figures in found.items():
        assert figures.what == CONDITIONS[name]
        assert figures.loss_points == pytest.approx(100 * (m.metrics.accuracy - figures.accuracy))
        told = f"{figures.accuracy:.4f} | {figures.macro_f1:.4f} | {figures.loss_points:.2f}"
        assert f"| `{name}` | {figures.what} | {told} |" in card
    assert m.sturdiness.rules in card


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "mitdb-baseline-int8"),
        ({"dataset": "ptb", "network": "residual"}, "ptb-residual-int8"),
        ({"split": "inter"}, "mitdb-baseline-inter-int8"),
        ({"dataset": "ptb", "split": "patient", "fold": 3}, "ptb-baseline-patient-fold3-int8"),
        ({"segmentation": "paper"}, "mitdb-paper-baseline-int8"),
        ({"dataset": "/home/ann/my data (new)"}, "my-data-new-baseline-int8"),
        ({"dataset": "/home/ann/.données"}, "données-baseline-int8"),
        ({"dataset": "/home/ann/???"}, "data-baseline-int8"),
    ],
)
def test_the_id_tells_runs_apart_and_is_the_name_of_a_file(
    run_folder: Path, changes: dict[str, Any], expected: str
) -> None:
    info: RunInfo = replace(read_run(run_folder), **changes)
    assert bundle_id(info, "int8") == expected
    assert re.fullmatch(r"\w[\w.-]*", expected)


def test_a_bundle_of_windows_that_look_ahead_is_for_benchmarks_only(
    tmp_path: Path, model: bytes, source: Source
) -> None:
    data, split = build_windows([EXCERPT], PARAMS, "paper"), source.split
    info = replace(source.info, segmentation="paper", data_sha256=data.sha256)
    paper = replace(source, info=info, data=data)
    with pytest.raises(ValueError, match='"bench_only" must be true'):
        write_bundle(model, "int8", paper, tmp_path / "bundle", force=True)
    bundle = write_bundle(model, "int8", paper, tmp_path / "bundle", bench_only=True, force=True, measured=False)
    assert bundle.manifest.id == "mitdb-paper-baseline-int8"
    assert (bundle.manifest.segmentation, bundle.manifest.bench_only) == ("paper", True)
    assert check_golden(bundle) >= 8
    with pytest.raises(ModelError, match="for benchmarks only"):
        open_classifier(bundle.folder)
    card = (bundle.folder / "card.md").read_text()
    assert "**For benchmarks only.**" in card
    assert "look ahead" in card
    assert "causal" not in card
    scored = open_model(str(bundle.folder))
    assert (scored.segmentation, scored.fold) == ("paper", None)
    given = scored.probs(data.windows[split.test])
    assert split_metrics(given.astype(np.float32), data, split) == bundle.manifest.metrics


def test_an_older_bundle_is_replaced_and_anything_else_is_left_alone(
    tmp_path: Path, model: bytes, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("bundle")
    (folder / "mcu").mkdir(parents=True)
    (folder / "mcu" / "old.h").touch()
    (folder / "report.html").touch()
    write_bundle(model, "int8", source, folder, force=True, measured=False)
    assert not (folder / "mcu").exists(), "the whole folder is another"
    (folder / "card.md").write_text("old")
    write_bundle(model, "int8", source, folder, force=True, measured=False)
    assert (folder / "card.md").read_text() != "old"
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        write_bundle(model, "int8", source, folder, force=True, measured=False)
    assert (folder / "notes.txt").read_text() == "mine"
    with pytest.raises(UsageError, match="is no folder"):
        check_target(folder / "notes.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_representative_beats_are_an_equal_share_of_each_class() -> None:
    labels = np.array([0] * 1000 + [1] * 50 + [2] * 3, np.uint8)
    windows = np.repeat(labels[:, None], 187, axis=1).astype(np.float32)
    chosen = representative_beats(windows, labels, 90, 0)
    assert np.bincount(chosen[:, 0].astype(int)).tolist() == [30, 30, 3]
    assert np.array_equal(chosen, representative_beats(windows, labels, 90, 0))
    assert not np.array_equal(chosen, representative_beats(windows, labels, 90, 1))


def test_figures_from_probabilities() -> None:
    beats = WindowSet.of(
        np.zeros((5, 187), np.float32), np.array([0, 0, 2, 0, 1], np.uint8), *[np.arange(5, dtype=np.int32)] * 2,
        dataset="mitdb",
    )  # fmt: skip
    nobody = np.array([], np.int64)
    split = Split("inter", nobody, nobody, np.arange(5), patients_on_both_sides=False)
    metrics = split_metrics(np.eye(5, dtype=np.float32)[[0, 0, 2, 2, 1]], beats, split)
    assert (metrics.n, metrics.accuracy) == (5, 0.8)
    assert metrics.per_class["N"].se == pytest.approx(2 / 3)
    assert metrics.per_class["V"].ppv == pytest.approx(1 / 2)
    assert json.dumps(metrics.confusion[0]) == "[2, 0, 1, 0, 0]"
    assert (metrics.roc_auc, metrics.per_patient) == (None, None)


def test_figures_of_two_classes_are_by_patient_too_when_these_did_not_train() -> None:
    # Means by patient 0.2, 0.55 (normal, wrong), 0.9: two of three right, and two of two pairs in order.
    p = np.array([0.1, 0.3, 0.4, 0.7, 0.9], np.float32)
    patients = np.array([1, 1, 2, 2, 3], np.int32)
    beats = WindowSet.of(
        np.zeros((5, 187), np.float32), np.array([0, 0, 0, 0, 1], np.uint8), patients, patients,
        dataset="ptb", label_set="binary",
    )  # fmt: skip
    nobody = np.array([], np.int64)
    for both in (False, True):
        found = split_metrics(np.stack([1 - p, p], 1), beats, Split("s", nobody, nobody, np.arange(5), both))
        assert (found.roc_auc, found.accuracy) == (1.0, 0.8)
        assert (found.per_patient is None) == both
    people = split_metrics(np.stack([1 - p, p], 1), beats, Split("s", nobody, nobody, np.arange(5), False)).per_patient
    assert people is not None
    assert (people.n, people.accuracy, people.roc_auc) == (3, pytest.approx(2 / 3), 1.0)
