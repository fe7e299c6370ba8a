"""A start: a training begins with the weights of a run or a bundle, and has not seen what tests it."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupted import interrupted, same
from small_runs import small_baseline, small_residual, small_source

import train.start
from edge_ecg.beginning import Beginning
from edge_ecg.cli.main import run
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError, ModelError, UsageError
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.manifest import find_bundle, load_bundle
from edge_ecg.sources.virtual import EXCERPT
from quantize.card import card
from quantize.precision import PRECISIONS
from train.evaluation_model import open_model
from train.models import build_of
from train.run import RUN_SCHEMA, WEIGHTS, Recipe, RunInfo, read_run, write_run
from train.splits import Split
from train.start import Start
from train.window_set import WindowSet
from train.windows import build_windows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")

PARAMS = PreprocessParams()
SHIPPED = "mitdb-baseline-int8"
QUICK = Recipe(epochs=1, batch_size=64, warmup_epochs=0.0, average_decay=0.5, learning_rate=1e-4)
INFO = RunInfo(
    RUN_SCHEMA, "baseline", "mitdb", "random", True, 1, Recipe(), PARAMS, PARAMS.fingerprint(), "d" * 64, "c", "t", {},
    1,
)  # fmt: skip


@pytest.fixture(scope="module")
def beats() -> WindowSet:
    """Real ones, as the mitdb ones that they are."""
    return replace(build_windows([EXCERPT], PARAMS), dataset="mitdb", lead="MLII")


def fitted(beats: WindowSet, folder: Path, recipe: Recipe = QUICK, *, split: str = "random", **more: Any) -> RunInfo:
    from train.fit import fit

    at = np.arange(len(beats.labels))
    parts = Split(split, at[at % 3 == 0], at[at % 3 == 1], at[at % 3 == 2], patients_on_both_sides=split == "random")
    return fit(build_of("baseline"), beats, parts, recipe, PARAMS, 1, folder, **more)


def weights_of(folder: Path) -> list[np.ndarray]:
    from train.load import load_network

    weights: list[np.ndarray] = load_network(folder, read_run(folder)).get_weights()
    return weights


@pytest.mark.parametrize("name", [SHIPPED, "mitdb-residual-int8", "mitdb-deep_residual-int8"])
def test_the_float_network_says_what_the_bundle_says(beats: WindowSet, name: str) -> None:
    from train.fit import predict

    some = beats.windows[:: max(1, len(beats.windows) // 60)]
    start = Start.open(name)
    said = predict(start.float_network(some), some)
    given = TfliteClassifier(load_bundle(name)).classify_many(some)
    assert np.abs(said - given).mean() < 0.005
    assert (said.argmax(axis=1) == given.argmax(axis=1)).mean() > 0.97


def test_a_network_that_says_something_else_is_refused(beats: WindowSet, monkeypatch: pytest.MonkeyPatch) -> None:
    read = train.start._kernels

    def swapped(model: bytes) -> Any:
        held = read(model)
        held[4], held[5] = held[5], held[4]  # Of one shape.
        return held

    monkeypatch.setattr(train.start, "_kernels", swapped)
    with pytest.raises(ModelError, match="the baseline network says something else") as caught:
        Start.open(SHIPPED).float_network(beats.windows)
    assert "Begin with the run it comes from" in str(caught.value)


@pytest.mark.parametrize("precision", list(PRECISIONS))
def test_weights_come_out_of_a_file_of_any_precision(precision: str) -> None:
    network, other = small_residual(1), small_residual(2)
    source = small_source(network)
    model = PRECISIONS[precision].convert(network, source.data.windows[:100])
    train.start._dequantise(model, other, "x")
    for layer, its in zip(network.layers, other.layers, strict=True):
        for w, its_w in zip(layer.get_weights(), its.get_weights(), strict=True):
            # int8: at most half a step of 1/127 of the largest.
            step = np.abs(w).max() / 127 if precision in ("int8", "dynamic") else 1e-3 * np.abs(w).max()
            np.testing.assert_allclose(its_w, w, atol=0.51 * step + 1e-7)


def test_what_cannot_be_taken_out_of_a_file_is_told_by_layer() -> None:
    import tf_keras as keras

    model = load_bundle(SHIPPED).model
    with pytest.raises(ModelError, match="its layers are not those of the baseline network"):
        train.start._dequantise(model, small_baseline(), "x")
    layers = [keras.layers.Input((187, 1)), keras.layers.BatchNormalization(name="norm"), keras.layers.Dense(5)]
    with pytest.raises(ModelError, match=r"its layer norm \(BatchNormalization\) cannot be taken out"):
        train.start._dequantise(model, keras.Sequential(layers), "x")


def test_no_epoch_makes_a_run_of_a_bundle(beats: WindowSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from train.fit import predict

    start = Start.open(SHIPPED)
    info = fitted(beats, tmp_path / "run", replace(QUICK, epochs=0), start=start)
    assert read_run(tmp_path / "run") == info
    assert (info.epochs_done, info.best_epoch, info.is_done) == (0, 0, True)
    assert same(weights_of(tmp_path / "run"), start.float_network(beats.windows).get_weights())
    assert info.starts == (Beginning(SHIPPED, start.sha256, "mitdb", "random", None, start.info.data_sha256),)
    (row,) = json.loads((tmp_path / "run" / "history.json").read_text())
    assert (row["epoch"], row["validation_accuracy"]) == (0, info.validation_accuracy)
    some = np.arange(len(beats.labels)) % 3 == 1
    labels = predict(start.float_network(beats.windows), beats.windows[some]).argmax(axis=1)
    assert info.validation_accuracy == (labels == beats.labels[some]).mean() > 0.9
    assert f"begins with the weights of {SHIPPED}\n" in capsys.readouterr().out
    # A run serves as a start, too, and tells what it began with itself.
    again = fitted(beats, tmp_path / "again", replace(QUICK, epochs=0), start=Start.open(tmp_path / "run"))
    assert same(weights_of(tmp_path / "again"), weights_of(tmp_path / "run"))
    assert [one.title for one in again.starts] == ["run", SHIPPED]


def test_it_learns_on_and_a_worse_epoch_is_not_kept(beats: WindowSet, tmp_path: Path) -> None:
    start = Start.open(SHIPPED)
    fitted(beats, tmp_path / "on", start=start)
    fitted(beats, tmp_path / "anew")
    on, anew = (json.loads((tmp_path / name / "history.json").read_text()) for name in ("on", "anew"))
    assert [row["epoch"] for row in on] == [0, 1]
    assert on[1]["loss"] < 0.3 * anew[0]["loss"]
    spoilt = fitted(beats, tmp_path / "spoilt", replace(QUICK, learning_rate=0.5), start=start)
    assert (spoilt.best_epoch, spoilt.epochs_done) == (0, 1)
    assert same(weights_of(tmp_path / "spoilt"), start.float_network(beats.windows).get_weights())


def test_windows_cut_otherwise_are_taken_and_told(
    beats: WindowSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paper = replace(beats, segmentation="paper")
    info = fitted(paper, tmp_path / "run", replace(QUICK, epochs=0), start=Start.open(SHIPPED))
    assert (info.segmentation, info.starts[0].name) == ("paper", SHIPPED)
    assert "they learnt from windows cut otherwise (causal segmentation)" in capsys.readouterr().out
    fitted(beats, tmp_path / "alike", replace(QUICK, epochs=0), start=Start.open(SHIPPED))
    assert "cut otherwise" not in capsys.readouterr().out


def test_other_classes_get_a_fresh_last_layer(
    beats: WindowSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = replace(
        beats, labels=(beats.labels > 0).astype(np.uint8), label_set="binary", dataset="clinic", sha256="0" * 64
    )
    start = Start.open(SHIPPED)
    info = fitted(two, tmp_path / "run", replace(QUICK, epochs=0), split="patient", start=start)
    taken, whole = weights_of(tmp_path / "run"), start.float_network(beats.windows).get_weights()
    assert same(taken[:-2], whole[:-2])
    assert taken[-1].shape == (1,)
    assert "but for dense_" in capsys.readouterr().out
    assert info.starts[0].dataset == "mitdb"
    # It is no test of new people, though the run never saw mitdb itself.
    scored = open_model(str(tmp_path / "run"))
    parts = Split("inter", *(np.array([0]) for _ in range(3)), patients_on_both_sides=False)
    assert f"its training began with {SHIPPED}, which was trained on mitdb" in str(scored.learned(beats, parts))
    m = replace(load_bundle(SHIPPED).manifest, dataset="clinic", starts=tuple(s.without_paths() for s in info.starts))
    text = card(m)
    assert f"Its training began with the weights of `{SHIPPED}` (`mitdb`, `random` split)." in text
    assert "clinic, own records. MIT-BIH Arrhythmia Database" in text
    assert m.learned("mitdb", "100")
    assert not replace(m, starts=()).learned("mitdb", "100")


def test_a_resumed_training_is_the_straight_one_and_wants_its_start(beats: WindowSet, tmp_path: Path) -> None:
    few = replace(beats, **{name: getattr(beats, name)[:90] for name in ("windows", "labels", "records", "patients")})
    recipe, start = replace(QUICK, epochs=2), Start.open(SHIPPED)
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    fitted(few, straight, recipe, start=start)
    # Its looks at the windows: the comparison with the bundle, epoch 0, and a batch and the validation of each epoch.
    halted = fitted(interrupted(few, 4), resumed, recipe, start=start)
    assert halted.epochs_done == 1
    for other in (None, replace(start, sha256="0" * 64)):
        with pytest.raises(UsageError, match="it began with another starts"):
            fitted(few, resumed, recipe, start=other, resume=True)
    fitted(few, resumed, recipe, start=start, resume=True)
    assert same(weights_of(straight), weights_of(resumed))


def test_a_start_that_may_have_seen_the_test_beats_is_refused() -> None:
    bundle = Start.open(SHIPPED)
    facts = {"network": "baseline", "dataset": "mitdb", "split": "random", "fold": None, "data_sha256": "e" * 64}
    bundle.check(facts)  # Of another processor the windows have other last bits.
    bundle.check({**facts, "dataset": "ptb", "split": "patient", "fold": 2})
    bundle.check({**facts, "segmentation": "paper", "preprocessing_fingerprint": "x"})
    own = replace(bundle, info=replace(INFO, dataset="/somewhere/clinic", split="patient", fold=1))
    of_chain = replace(bundle, info=replace(INFO, dataset="ptb", split="patient", fold=0, starts=bundle.beginnings))
    own.check({**facts, "dataset": "clinic", "split": "patient", "fold": 1, "data_sha256": "d" * 64})
    for start, changes, told in (
        (bundle, {"split": "inter"}, "another split (random, here inter)"),
        (bundle, {"network": "residual"}, "another network (baseline, here residual)"),
        (own, {"dataset": "clinic", "split": "patient", "fold": 2}, "another fold (1, here 2)"),
        (own, {"dataset": "clinic", "split": "patient", "fold": 1}, "another data_sha256"),
        (own, {"dataset": "renamed", "data_sha256": "d" * 64}, "another split (patient, here random)"),
        (of_chain, {"dataset": "ptbdb", "split": "patient", "fold": 0}, "another data_sha256"),
        (of_chain, {"split": "inter"}, f"{SHIPPED} cannot be the start of this run"),
    ):
        with pytest.raises(UsageError, match="cannot be the start of this run") as caught:
            start.check({**facts, **changes})
        assert told in str(caught.value)


def test_what_is_wrong_with_a_start_is_told_before_the_work_begins(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path))
    monkeypatch.setenv("EDGE_ECG_DATA", str(tmp_path / "no-data"))
    for name in ("wise", "begun"):
        (tmp_path / name).mkdir()
        (tmp_path / name / WEIGHTS).write_bytes(name.encode())
    write_run(tmp_path / "wise", INFO)
    write_run(tmp_path / "begun", replace(INFO, starts=(Beginning("wise", "0" * 64, "mitdb", "random", None, "d"),)))
    new = ["train", "--network", "baseline", "--data", "mitdb"]
    for code, args, told in (
        (5, [*new, "--start", "absent"], "the start: no run 'absent'"),
        (5, [*new, "--start", "absent"], "Bundles serve, too: "),
        (2, [*new, "--start", SHIPPED, "--split", "inter"], "another split (random, here inter)"),
        (2, [*new[:2], "residual", *new[3:], "--start", "wise"], "another network (baseline, here residual)"),
        (2, [*new, "--epochs", "0"], "0 epochs train nothing"),
        (2, ["train", "--resume", "begun", "--start", "wise"], "--start means nothing with --resume"),
        (2, ["train", "--resume", "begun"], "the start " + str(tmp_path / "wise") + " has changed"),
    ):
        assert run(args) == code, args
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edge-ecg: ")]
        assert len(errors) == 1
        assert told in errors[0]
    with pytest.raises(ModelError, match="the start: rhythm is a rhythm model"):
        Start.open("rhythm")
    with pytest.raises(DataError, match="the start"):
        Start.open(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["begun", "wise"]


def test_a_file_that_is_no_model_is_told(beats: WindowSet, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(find_bundle(SHIPPED), folder)
    cut = load_bundle(SHIPPED).model[:20_000]
    (folder / "model.tflite").write_bytes(cut)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"sha256": hashlib.sha256(cut).hexdigest()}))
    with pytest.raises(ModelError, match="is no model that"):
        Start.open(folder).float_network(beats.windows)
