"""From a fitted network to a full int8 bundle that proves itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ModelError, UsageError
from edge_ecg.infer import open_classifier
from edge_ecg.infer.golden import check_golden
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.manifest import Bundle, load_bundle
from edge_ecg.sources.virtual import EXCERPT
from quantize.bundle import check_target, metrics_of, write_bundle
from quantize.int8 import representative_beats, to_int8
from train.evaluation_model import open_model
from train.run import Recipe, read_run
from train.splits import Split
from train.windows import WindowSet, build_windows

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
    recipe = Recipe(epochs=2, batch_size=32, warmup_epochs=0.5, average_decay=0.5)
    fit(build_of("baseline"), data, split, recipe, PARAMS, 1, folder)
    return folder


@pytest.fixture(scope="module")
def network(run_folder: Path) -> Any:
    from train.load import load_network

    return load_network(run_folder, read_run(run_folder))


@pytest.fixture(scope="module")
def model(network: Any, data: WindowSet, split: Split) -> bytes:
    return to_int8(network, representative_beats(data.windows[split.train], data.labels[split.train], 100, 0))


def write(
    folder: Path, model: bytes, run_folder: Path, data: WindowSet, split: Split, network: Any
) -> Bundle:
    from train.fit import predict

    probs = predict(network, data.windows[split.test])
    return write_bundle(model, read_run(run_folder), data, split, probs, "int8", ("train", "convert"), folder, {}, {})


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


def test_the_bundle_proves_itself(
    tmp_path: Path, model: bytes, run_folder: Path, data: WindowSet, split: Split, network: Any
) -> None:
    folder = tmp_path / "deep" / "bundle"
    written = write(folder, model, run_folder, data, split, network)
    assert sorted(p.name for p in folder.iterdir()) == ["card.md", "golden.json", "manifest.json", "model.tflite"]
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
    assert metrics_of(data.labels[split.test], np.stack(said), m.labels) == m.metrics
    card = (folder / "card.md").read_text()
    for text in ("Not a medical device", f"{m.metrics.accuracy:.4f}", "Patients on both sides of the split: yes"):
        assert text in card


def test_a_bundle_of_windows_that_look_ahead_is_for_benchmarks_only(
    tmp_path: Path, model: bytes, run_folder: Path, split: Split, network: Any
) -> None:
    data = build_windows([EXCERPT], PARAMS, "paper")
    info = replace(read_run(run_folder), segmentation="paper", data_sha256=data.sha256)
    probs = network(data.windows[split.test][..., None]).numpy()
    with pytest.raises(ValueError, match='"bench_only" must be true'):
        write_bundle(model, info, data, split, probs, "int8", (), tmp_path / "bundle", {}, {})
    bundle = write_bundle(model, info, data, split, probs, "int8", (), tmp_path / "bundle", {}, {}, bench_only=True)
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
    assert metrics_of(data.labels[split.test], given.astype(np.float32), bundle.manifest.labels) == (
        bundle.manifest.metrics
    )


def test_an_older_bundle_is_replaced_and_anything_else_is_left_alone(
    tmp_path: Path,
    model: bytes,
    run_folder: Path,
    data: WindowSet,
    split: Split,
    network: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("bundle")
    write(folder, model, run_folder, data, split, network)
    (folder / "card.md").write_text("old")
    write(folder, model, run_folder, data, split, network)
    assert (folder / "card.md").read_text() != "old"
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        write(folder, model, run_folder, data, split, network)
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
    probs = np.eye(5, dtype=np.float32)[[0, 0, 2, 2, 1]]
    metrics = metrics_of(np.array([0, 0, 2, 0, 1], np.uint8), probs, ("N", "S", "V", "F", "Q"))
    assert (metrics.n, metrics.accuracy) == (5, 0.8)
    assert metrics.per_class["N"].se == pytest.approx(2 / 3)
    assert metrics.per_class["V"].ppv == pytest.approx(1 / 2)
    assert json.dumps(metrics.confusion[0]) == "[2, 0, 1, 0, 0]"
