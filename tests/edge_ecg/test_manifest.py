"""Bundles: the shipped ones load and run, and whatever is not whole is refused with the next step."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.cli.main import run
from edge_ecg.errors import ModelError
from edge_ecg.infer import open_classifier
from edge_ecg.infer.golden import check_golden
from edge_ecg.infer.stub import StubClassifier
from edge_ecg.infer.tflite import TfliteClassifier, quantised
from edge_ecg.manifest import find_bundle, load_any, load_bundle, shipped_ids, verify_shipped
from edge_ecg.schema import encode
from edge_ecg.sources.virtual import EXCERPT

Edit = Callable[[dict[str, Any]], None]
MODEL = "mitdb-baseline-int8"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "some-model"
    shutil.copytree(find_bundle(MODEL), folder)
    return folder


def edit(folder: Path, change: Edit) -> None:
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text("utf-8"))
    change(manifest)
    file.write_text(json.dumps(manifest), "utf-8")


def swap_model(folder: Path, model: bytes) -> None:
    """Another model with a manifest that owns it."""
    (folder / "model.tflite").write_bytes(model)
    edit(folder, lambda m: m.update(sha256=hashlib.sha256(model).hexdigest(), bytes=len(model)))


def refusal(name: str | Path, attempt: Callable[[str | Path], object] = load_bundle, *, hint: bool = True) -> str:
    with pytest.raises(ModelError) as caught:
        attempt(name)
    assert caught.value.exit_code == 3
    assert caught.value.hint or not hint, "a refusal says what to do next"
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", shipped_ids())
def test_a_shipped_bundle_loads_and_gives_its_golden_outputs(name):
    bundle = load_any(name)
    assert bundle.manifest.id == name
    assert bundle.manifest.bytes == len(bundle.model)
    assert check_golden(bundle) > 0


def test_there_is_a_shipped_bundle_and_all_are_whole():
    assert len(shipped_ids()) > 0
    assert verify_shipped() == [(name, None) for name in shipped_ids()]


def test_the_shipped_baseline_reaches_what_the_project_asks_of_it():
    m = load_bundle("mitdb-baseline-int8").manifest
    assert (m.split, m.metrics.n, m.precision) == ("random", 21_892, "int8")
    assert m.metrics.accuracy >= 0.985
    assert m.metrics.macro_f1 >= 0.920
    assert len(m.seeds) >= 3
    best = max(m.seeds, key=lambda s: m.seeds[s].validation_accuracy + m.seeds[s].validation_macro_f1)
    assert best == str(m.seed), "the seed is chosen on the validation part"
    assert "inter" in m.metrics_of_other_splits, "what a new patient gets stands beside"


def test_a_manifest_from_before_segmentation_folds_and_sturdiness_is_read(bundle):
    def aged(m: dict[str, Any]) -> None:
        for key in ("segmentation", "fold", "n_folds", "bench_only", "sturdiness", "changes", "operators", "parity"):
            m.pop(key, None)
        m["created_utc"] = "2026-10-01T00:00:00+00:00"
        for figures in (m["metrics"], m["float_metrics"], *m["metrics_of_other_splits"].values()):
            for key in ("roc_auc", "per_patient"):
                figures.pop(key, None)

    edit(bundle, aged)
    m = load_bundle(bundle).manifest
    assert (m.segmentation, m.fold, m.n_folds, m.bench_only, m.sturdiness) == ("causal", None, None, False, None)
    assert (m.metrics.roc_auc, m.metrics.per_patient) == (None, None)
    assert (m.changes, m.operators, m.parity, m.is_foreign) == ((), {}, None, False)


def test_what_disturbed_records_cost_is_read_with_its_rules(bundle):
    clean = {"what": "as recorded", "accuracy": 0.99, "macro_f1": 0.9, "loss_points": 0.0}
    inverted = clean | {"what": "lead inverted", "accuracy": 0.97, "loss_points": 2.0}
    table = {"n": 9, "split": "random", "lead": "MLII", "rules": "r", "conditions": {"clean": clean, "i": inverted}}
    edit(bundle, lambda m: m.update(sturdiness=table))
    found = load_bundle(bundle).manifest.sturdiness
    assert found is not None
    assert encode(found) == table
    edit(bundle, lambda m: m["sturdiness"]["conditions"]["i"].pop("what"))
    assert '"sturdiness.conditions.i.what" is missing' in refusal(bundle, hint=False)


@pytest.mark.parametrize("segmentation", ["causal", "paper"])
def test_what_is_for_benchmarks_only_loads_and_labels_nothing(bundle, segmentation, capsys):
    edit(bundle, lambda m: m.update(segmentation=segmentation, bench_only=True, fold=2, n_folds=5))
    m = load_bundle(bundle).manifest
    assert (m.segmentation, m.bench_only, m.fold, m.n_folds) == (segmentation, True, 2, 5)
    assert check_golden(load_bundle(bundle)) > 0
    assert "for benchmarks only" in refusal(bundle, open_classifier)
    for command in (["replay", str(EXCERPT)], ["run", "--port", "/dev/null"]):
        assert run([*command, "--model", str(bundle)]) == 3
        assert "edge-ecg evaluate" in capsys.readouterr().err


def test_a_bundle_is_found_by_folder_manifest_or_model(bundle):
    for path in (bundle, str(bundle), bundle / "manifest.json", bundle / "model.tflite"):
        assert find_bundle(path) == bundle


def test_a_model_that_was_changed(bundle):
    model = bytearray((bundle / "model.tflite").read_bytes())
    model[len(model) // 2] ^= 1
    (bundle / "model.tflite").write_bytes(model)
    assert "not the model of its manifest" in refusal(bundle)


def test_a_model_that_was_cut_short(bundle):
    (bundle / "model.tflite").write_bytes((bundle / "model.tflite").read_bytes()[:1000])
    assert "cut short" in refusal(bundle)


PREPROCESSING: dict[str, Edit] = {
    "a filter": lambda m: m["preprocessing"].update(highpass_hz=0.4),
    "a window": lambda m: m["preprocessing"]["window"].update(length_rr=1.3),
    "the fingerprint": lambda m: m.update(preprocessing_fingerprint="0" * 16),
    "the version": lambda m: m.update(preprocessing_version=2),
}


@pytest.mark.parametrize("what", PREPROCESSING)
def test_another_preprocessing(bundle, what):
    edit(bundle, PREPROCESSING[what])
    assert "was made for preprocessing" in refusal(bundle)


EDITS: dict[str, tuple[Edit, str]] = {
    "a newer schema": (lambda m: m.update(schema_version=2), "schema version 2, this program reads 1"),
    "no schema": (lambda m: m.pop("schema_version"), "schema version None"),
    "an unknown key": (lambda m: m.update(colour="red"), 'unknown key "colour"'),
    "an unknown key within": (lambda m: m["input"].update(colour="red"), 'unknown key "input.colour"'),
    "a missing key": (lambda m: m.pop("sha256"), '"sha256" is missing'),
    "text for a number": (lambda m: m["output"].update(scale="big"), '"output.scale" must be a number'),
    "an unknown label set": (lambda m: m.update(label_set="aami6"), "unknown label_set 'aami6'"),
    "fewer classes than outputs": (lambda m: m.update(label_set="binary"), "2 classes"),
    "windows of another kind": (lambda m: m.update(segmentation="papers"), 'Did you mean "paper"?'),
    "a device for windows that look ahead": (lambda m: m.update(segmentation="paper"), '"bench_only" must be true'),
    "text for a fold": (lambda m: m.update(fold="one"), '"fold" must be a whole number'),
    "an id that is a path": (lambda m: m.update(id="../mine"), '"id" must be of letters'),
    "an id with a space": (lambda m: m.update(id="my data"), '"id" must be of letters'),
    "no id": (lambda m: m.update(id=""), '"id" must be of letters'),
    "a longer input": (lambda m: m["input"].update(shape=[1, 188, 1]), "188 inputs"),
}


@pytest.mark.parametrize("what", EDITS)
def test_a_manifest_that_is_wrong(bundle, what):
    change, expected = EDITS[what]
    edit(bundle, change)
    # What a value of the wrong type should be is said in the message itself.
    text = refusal(bundle, hint=False)
    assert expected in text
    assert "manifest.json" in text


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '"x"', "\udcff"])
def test_a_manifest_that_is_none(bundle, text):
    (bundle / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "manifest.json" in refusal(bundle)


@pytest.mark.parametrize("file", ["model.tflite", "manifest.json"])
def test_a_file_that_is_missing(bundle, file):
    (bundle / file).unlink()
    refusal(bundle)
    if file == "manifest.json":
        refusal(bundle / "model.tflite")


def test_a_model_without_its_manifest(tmp_path):
    file = tmp_path / "downloaded.tflite"
    file.write_bytes(b"TFL3")
    text = refusal(file)
    assert "manifest.json" in text
    assert MODEL in text


@pytest.mark.parametrize("name", ["no-such-model", "", "~no-such-user/model", "/nowhere", "x" * 5000, "a\0b"])
def test_a_name_that_is_no_model(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert MODEL in refusal(name)


@pytest.mark.parametrize("n_bytes", [0, 3, 100, 50_000])
def test_a_foreign_file_with_the_right_hash(bundle, n_bytes):
    swap_model(bundle, np.random.default_rng(n_bytes).bytes(n_bytes))
    assert "no model that" in refusal(bundle, open_classifier)


def test_the_head_of_a_model_with_the_right_hash(bundle):
    swap_model(bundle, (bundle / "model.tflite").read_bytes()[:2000])
    assert "no model that" in refusal(bundle, open_classifier)


TENSORS: dict[str, Edit] = {
    "input scale": lambda m: m["input"].update(scale=2 * m["input"]["scale"]),
    "input zero": lambda m: m["input"].update(zero_point=m["input"]["zero_point"] + 1),
    "input shape": lambda m: m["input"].update(shape=[1, 1, 187]),
    "input type": lambda m: m["input"].update(dtype="float32"),
    "output scale": lambda m: m["output"].update(scale=0.5),
    "output shape": lambda m: m["output"].update(shape=[5]),
    "output type": lambda m: m["output"].update(dtype="no such type"),
}


@pytest.mark.parametrize("what", TENSORS)
def test_tensors_that_are_not_those_of_the_manifest(bundle, what):
    edit(bundle, TENSORS[what])
    text = refusal(bundle, open_classifier)
    assert f"the {what.split()[0]} of" in text
    assert "do not belong together" in text


def test_golden_beats_that_come_out_otherwise(bundle):
    file = bundle / "golden.json"
    golden = json.loads(file.read_text("utf-8"))
    golden["beats"][-1]["probs"] = golden["beats"][-1]["probs"][::-1]
    golden["beats"][-1]["probs"][1] += 0.1
    file.write_text(json.dumps(golden), "utf-8")
    k = len(golden["beats"]) - 1
    assert f"golden beat {k} of" in refusal(bundle, lambda name: check_golden(load_bundle(name)))


def test_golden_beats_that_are_missing(bundle):
    (bundle / "golden.json").unlink()
    assert "golden.json" in refusal(bundle, lambda name: check_golden(load_bundle(name)))


@pytest.mark.parametrize("name", shipped_ids("network"))
def test_probabilities_are_probabilities(name):
    classifier = open_classifier(name)
    rng = np.random.default_rng(0)
    windows = [np.zeros(187), np.ones(187), rng.random(187), np.linspace(0, 1, 187)]
    for window in windows:
        probs = classifier.classify(window.astype(np.float32))
        assert probs.shape == (len(classifier.labels),)
        assert probs.dtype == np.float32
        assert probs.min() >= 0.0
        assert probs.max() <= 1.0
        assert abs(float(probs.sum()) - 1.0) < 0.02


def test_quantising_rounds_to_the_nearest_count_and_clips():
    bundle = load_bundle(MODEL)
    classifier, spec = TfliteClassifier(bundle), bundle.manifest.input
    window = np.random.default_rng(1).random(187).astype(np.float32)
    (tensor,) = quantised(window[None], spec)
    assert (tensor.shape, tensor.dtype.name) == (spec.shape, spec.dtype)
    back = (tensor.reshape(-1).astype(np.float64) - spec.zero_point) * spec.scale
    assert np.abs(back - window).max() <= 0.5 * spec.scale * 1.001
    wild = np.array([-9.0, 0.0, 1.0, 9.0] + [0.5] * 183, dtype=np.float32)
    tame = np.clip(wild, 0.0, 1.0)
    assert np.array_equal(quantised(wild[None], spec), quantised(tame[None], spec))
    assert np.array_equal(classifier.classify(wild), classifier.classify(tame))


def test_the_same_window_gives_the_same_answer_whatever_came_before():
    classifier = open_classifier(MODEL)
    windows = np.random.default_rng(2).random((5, 187)).astype(np.float32)
    first = [classifier.classify(w) for w in windows]
    again = [classifier.classify(w) for w in windows[::-1]][::-1]
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])


def test_many_windows_are_said_what_each_is_said_alone():
    stub, classifier = StubClassifier(), open_classifier(MODEL)
    windows = np.random.default_rng(3).random((40, 187)).astype(np.float32)
    for one in (stub, classifier):
        many = one.classify_many(windows)
        assert many.dtype == np.float32
        assert many.tobytes() == np.stack([one.classify(w) for w in windows]).tobytes()
        assert one.classify_many(windows[:0]).shape == (0, len(one.labels))


def test_the_stub_says_n():
    stub = StubClassifier()
    assert stub.labels[int(stub.classify(np.zeros(187, dtype=np.float32)).argmax())] == "N"
