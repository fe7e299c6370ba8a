"""Fitting: a run folder that says where it comes from, also when Ctrl-C ended it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupted import interrupted, same

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ConfigError, DataError, UsageError
from edge_ecg.sources.virtual import EXCERPT
from train.batches import Batches
from train.beat_augment import Augment
from train.checkpoint import CHECKPOINT, read_checkpoint
from train.models import build_of
from train.run import RUN_SCHEMA, WEIGHTS, Recipe, RunInfo, find_run, read_run, write_run
from train.schedule import Schedule
from train.splits import Split
from train.window_set import WindowSet
from train.windows import build_windows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")

PARAMS = PreprocessParams()


@pytest.fixture(scope="module")
def data() -> WindowSet:
    return build_windows([EXCERPT], PARAMS)


def split_in_three(data: WindowSet) -> Split:
    at = np.arange(len(data.labels))
    return Split("random", at[at % 3 == 0], at[at % 3 == 1], at[at % 3 == 2], patients_on_both_sides=True)


QUICK = Recipe(epochs=2, batch_size=64, warmup_epochs=0.5, average_decay=0.5)


def fit_baseline(data: WindowSet, folder: Path, recipe: Recipe = QUICK, seed: int = 1, resume: bool = False) -> RunInfo:
    from train.fit import fit

    return fit(build_of("baseline"), data, split_in_three(data), recipe, PARAMS, seed, folder, resume=resume)


def weights_of(folder: Path) -> list[np.ndarray]:
    from train.load import load_network

    return load_network(folder, read_run(folder)).get_weights()


def test_a_run_folder_says_where_it_comes_from(
    data: WindowSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    info = fit_baseline(data, folder)
    assert read_run(folder) == info
    assert (info.epochs_done, info.network, info.seed, info.n_parameters) == (2, "baseline", 1, 254_901)
    assert (info.label_set, info.segmentation, info.lead) == ("aami5", "causal", data.lead)
    assert 1 <= info.best_epoch <= 2
    assert info.data_sha256 == data.sha256
    assert info.preprocessing_fingerprint == PARAMS.fingerprint()
    assert set(info.versions) == {"edge-ecg", "python", "tensorflow", "numpy"}
    history = json.loads((folder / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2]
    assert history[1]["loss"] < history[0]["loss"], "it learns"
    assert history[info.best_epoch - 1]["validation_accuracy"] == info.validation_accuracy
    assert "epoch 2/2" in capsys.readouterr().out
    pytest.importorskip("matplotlib")
    assert (folder / "history.png").read_bytes().startswith(b"\x89PNG")
    assert not [p.name for p in folder.iterdir() if "part" in p.name]


def test_the_logs_are_those_of_tensorboard_without_its_package(data: WindowSet, tmp_path: Path) -> None:
    fit_baseline(few_of(data), tmp_path / "run")
    import tensorflow as tf

    (file,) = (tmp_path / "run" / "tensorboard").iterdir()
    scalars: dict[str, list[int]] = {}
    for event in tf.compat.v1.train.summary_iterator(str(file)):
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars"
            scalars.setdefault(value.tag, []).append(event.step)
    assert scalars["loss"] == scalars["validation/accuracy"] == [1, 2]


def few_of(data: WindowSet) -> WindowSet:
    first = {name: getattr(data, name)[:90] for name in ("windows", "labels", "records", "patients")}
    return replace(data, **first)


def test_one_seed_gives_one_network(data: WindowSet, tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in ("a", "b", "c"))
    for folder, seed in ((first, 3), (second, 3), (other, 4)):
        fit_baseline(few_of(data), folder, replace(QUICK, epochs=1), seed)
    assert same(weights_of(first), weights_of(second))
    assert not same(weights_of(first), weights_of(other))


def n_looks(data: WindowSet) -> int:
    """At the windows, in an epoch: its batches, and the validation part."""
    return -(-len(split_in_three(data).train) // QUICK.batch_size) + 1


def test_ctrl_c_keeps_the_best_epoch_so_far(
    data: WindowSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    info = fit_baseline(interrupted(data, n_looks(data) + 1), folder, replace(QUICK, epochs=5))
    assert info.epochs_done == info.best_epoch == 1
    assert read_run(folder) == info
    assert weights_of(folder)
    out = capsys.readouterr().out
    assert "stopped; the best of 1 epochs is kept" in out
    assert f"edge-ecg train --resume {folder}" in out


def test_ctrl_c_before_the_first_epoch_leaves_no_run(data: WindowSet, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_baseline(interrupted(data, 1), tmp_path / "run")
    with pytest.raises(DataError, match="no run"):
        find_run(tmp_path / "run")


# All that has a state from one epoch to the next: Adam's moments, the mean, the plateau, dropout, order, augmentation.
EVERYTHING = replace(
    QUICK,
    epochs=3,
    schedule="plateau",
    plateau_patience=1,
    weight_decay=1e-3,
    clip_norm=1.0,
    average_decay=0.9,
    label_smoothing=0.05,
    class_balance=0.5,
)


@pytest.mark.parametrize(
    "augment", [Augment(), Augment(hum=0.5, jitter=0.5, stretch=0.5, amplitude=0.5)], ids=["plain", "augmented"]
)
def test_a_resumed_run_is_the_straight_run_bit_for_bit(data: WindowSet, tmp_path: Path, augment: Augment) -> None:
    recipe = replace(EVERYTHING, augment=augment)
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    of_straight = fit_baseline(data, straight, recipe)
    # Without augmentation in the middle of epoch 2; with it the windows are looked at in the validation only.
    n = n_looks(data) + 2 if not augment.changes else 3
    first = fit_baseline(interrupted(data, n), resumed, recipe)
    assert first.epochs_done == (2 if augment.changes else 1)
    of_resumed = fit_baseline(data, resumed, recipe, resume=True)
    assert replace(of_resumed, started_utc=of_straight.started_utc) == of_straight
    assert of_resumed.epochs_done == 3
    assert same(weights_of(straight), weights_of(resumed))
    last, again = read_checkpoint(straight), read_checkpoint(resumed)
    for group in ("weights", "mean", "optimizer"):
        assert same(getattr(last, group), getattr(again, group)), group
    assert [without_time(r) for r in last.progress["history"]] == [without_time(r) for r in again.progress["history"]]


def without_time(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "seconds"}


def test_a_run_is_resumed_only_as_it_began(data: WindowSet, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    few = few_of(data)
    fit_baseline(few, folder)
    for told, go in (
        ("another data_sha256", lambda: fit_baseline(replace(few, sha256="0" * 64), folder, resume=True)),
        ("another seed", lambda: fit_baseline(few, folder, seed=2, resume=True)),
        ("another recipe", lambda: fit_baseline(few, folder, replace(QUICK, learning_rate=1.0), resume=True)),
    ):
        with pytest.raises(UsageError, match=told):
            go()
    file = folder / CHECKPOINT
    whole = file.read_bytes()
    for broken, told in ((whole[: len(whole) // 2], "cannot be read"), (b"", "cannot be read"), (None, "holds no")):
        file.unlink()
        if broken is not None:
            file.write_bytes(broken)
        with pytest.raises(DataError, match=told):
            fit_baseline(few, folder, resume=True)


def test_a_loss_that_is_no_number_stops_and_keeps_what_was_good(data: WindowSet, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    recipe = replace(QUICK, epochs=6)
    fit_baseline(interrupted(few_of(data), 2), folder, recipe)
    good = weights_of(folder)
    poisoned = few_of(data).windows.copy()
    poisoned[30:60] = np.nan
    with pytest.raises(ConfigError) as caught:
        fit_baseline(replace(few_of(data), windows=poisoned), folder, recipe, resume=True)
    told = str(caught.value)
    # A convolution that clips may hide it from the loss; the scored mean does not.
    assert re.search(r"(the loss of step 1 of 1|the validation loss) in epoch 2 is not a number", told)
    assert f"epoch 1 is kept in {folder}" in told
    assert "learning_rate" in told
    assert same(weights_of(folder), good)
    assert read_run(folder).epochs_done == 1
    assert all(np.isfinite(w).all() for w in read_checkpoint(folder).weights)


def test_a_rate_that_no_network_stands_says_where_it_broke(data: WindowSet, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"loss.* in epoch 1 is not a number; nothing was worth keeping yet"):
        fit_baseline(data, folder, replace(QUICK, learning_rate=1e30))
    assert not (folder / "run.json").exists()


def test_training_ends_when_nothing_gets_better(
    data: WindowSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Steps too small to change a label: no epoch is better than the first.
    recipe = replace(QUICK, epochs=9, patience=2, learning_rate=1e-12)
    info = fit_baseline(few_of(data), tmp_path / "run", recipe)
    assert (info.best_epoch, info.epochs_done) == (1, 3)
    assert "nothing better in 2 epochs" in capsys.readouterr().out


def test_two_classes_are_one_sigmoid(data: WindowSet, tmp_path: Path) -> None:
    from train.fit import predict
    from train.load import load_network

    binary = replace(data, labels=(data.labels > 0).astype(np.uint8), label_set="binary")
    folder = tmp_path / "run"
    info = fit_baseline(binary, folder, replace(QUICK, epochs=3, class_balance=1.0))
    assert (info.n_parameters, info.label_set) == (254_641, "binary")
    assert info.validation_auc is not None
    assert 0.5 < info.validation_auc <= 1.0
    assert info.validation_score == info.validation_accuracy + info.validation_auc
    probs = predict(load_network(folder, read_run(folder)), data.windows[:10])
    assert probs.shape == (10, 2)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, rtol=1e-6)


# One step of a network of which all is known beforehand

CLASSES = 5
BIAS = np.array([1.0, 0.0, -0.5, 0.3, -1.0], np.float32)


def known(n_classes: int) -> Any:
    """A dense layer that says the same of every window."""
    import tf_keras as keras

    layers = [
        keras.layers.Input((187, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(n_classes, "softmax", kernel_initializer="zeros",
                           bias_initializer=keras.initializers.Constant(BIAS[:n_classes])),
    ]  # fmt: skip
    return keras.Sequential(layers, name="known")


@pytest.fixture(scope="module")
def beats() -> WindowSet:
    """60 beats of five classes; a third of them train, in one step."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), [30, 12, 9, 6, 3]).astype(np.uint8)
    one = np.zeros(60, np.int32)
    return WindowSet.of(rng.random((60, 187), np.float32), labels, one, one, dataset="mitdb")


STEP = Recipe(epochs=1, batch_size=64, warmup_epochs=0.0, learning_rate=1e-3, average_decay=0.5)


def fit_known(data: WindowSet, folder: Path, recipe: Recipe = STEP) -> list[dict[str, Any]]:
    from train.fit import fit

    fit(known, data, split_in_three(data), recipe, PARAMS, 1, folder)
    return [without_time(row) for row in json.loads((folder / "history.json").read_text())]


def known_loss(data: WindowSet, *, balance: float = 0.0, smoothing: float = 0.0) -> float:
    """Cross-entropy of the training part before the first step, by hand."""
    labels = data.labels[split_in_three(data).train]
    weights = (1.0 / np.bincount(labels)[labels]) ** balance
    targets = np.eye(CLASSES)[labels] * (1.0 - smoothing) + smoothing / CLASSES
    of_beat = -(targets * np.log(np.exp(BIAS) / np.exp(BIAS).sum())).sum(axis=1)
    return float((weights * of_beat).sum() / weights.sum())


def longest_step(folder: Path) -> float:
    """By how much the weight that moved most did."""
    kernel, bias = read_checkpoint(folder).weights
    return float(max(np.abs(kernel).max(), np.abs(bias - BIAS).max()))


def test_beats_that_test_decide_nothing(beats: WindowSet, tmp_path: Path) -> None:
    test = split_in_three(beats).test
    windows, labels = beats.windows.copy(), beats.labels.copy()
    windows[test], labels[test] = np.nan, 0
    recipe = replace(STEP, epochs=3)
    seen = fit_known(beats, tmp_path / "seen", recipe)
    assert fit_known(replace(beats, windows=windows, labels=labels), tmp_path / "unseen", recipe) == seen


def test_the_mean_of_the_best_epoch_is_kept(beats: WindowSet, tmp_path: Path) -> None:
    """What trains is class 1 alone, what validates class 0, which the network says at first."""
    split = split_in_three(beats)
    labels = beats.labels.copy()
    labels[split.train], labels[split.validation] = 1, 0
    recipe = replace(STEP, schedule="plateau", plateau_patience=9, learning_rate=0.02, epochs=6)
    worse = fit_known(replace(beats, labels=labels), tmp_path / "six", recipe)
    best = read_run(tmp_path / "six").best_epoch
    assert best == 1
    assert worse[-1]["validation_accuracy"] < 1.0
    fit_known(replace(beats, labels=labels), tmp_path / "one", replace(recipe, epochs=1))
    then = read_checkpoint(tmp_path / "one")
    kept = known(CLASSES)
    kept.load_weights(tmp_path / "six" / WEIGHTS)
    assert same(kept.get_weights(), list(then.mean))
    assert not same(kept.get_weights(), list(then.weights)), "not the weights as fitted"
    assert not same(kept.get_weights(), list(read_checkpoint(tmp_path / "six").mean)), "not those of the last epoch"


def test_classes_count_as_the_recipe_says(beats: WindowSet, tmp_path: Path) -> None:
    (row,) = fit_known(beats, tmp_path / "run", replace(STEP, class_balance=1.0))
    assert row["loss"] == pytest.approx(known_loss(beats, balance=1.0), rel=1e-5)
    assert abs(known_loss(beats, balance=1.0) - known_loss(beats)) > 0.1


def test_targets_are_smoothed_as_the_recipe_says(beats: WindowSet, tmp_path: Path) -> None:
    (row,) = fit_known(beats, tmp_path / "run", replace(STEP, label_smoothing=0.3))
    assert row["loss"] == pytest.approx(known_loss(beats, smoothing=0.3), rel=1e-5)
    assert abs(known_loss(beats, smoothing=0.3) - known_loss(beats)) > 0.05


def test_the_first_step_is_as_long_as_the_warm_up_says(beats: WindowSet, tmp_path: Path) -> None:
    """Adam's first step is the rate for each weight, however long the gradient: 5 % of the peak at the start."""
    fit_known(beats, tmp_path / "run", replace(STEP, warmup_epochs=1.0))
    assert longest_step(tmp_path / "run") == pytest.approx(0.05 * 1e-3, rel=0.01)


def test_a_gradient_is_clipped_as_the_recipe_says(beats: WindowSet, tmp_path: Path) -> None:
    """One far below Adam's epsilon (1e-7) moves next to nothing; a long enough one is left alone."""
    fit_known(beats, tmp_path / "clipped", replace(STEP, clip_norm=1e-9))
    assert longest_step(tmp_path / "clipped") < 0.02 * 1e-3
    fit_known(beats, tmp_path / "whole", replace(STEP, clip_norm=1e9))
    assert longest_step(tmp_path / "whole") == pytest.approx(1e-3, rel=0.01)


# Schedules and batches, without TensorFlow


def test_the_rate_warms_up_and_comes_down() -> None:
    cosine = Schedule(Recipe(epochs=11, warmup_epochs=1.0, learning_rate=1.0))
    rates = [cosine.rate(e) for e in (0.0, 0.5, 1.0, 6.0, 11.0)]
    assert rates == pytest.approx([0.05, 0.525, 1.0, 0.5, 0.0])
    plateau = Schedule(
        Recipe(warmup_epochs=0.0, learning_rate=1.0, schedule="plateau", plateau_patience=2, plateau_factor=0.1)
    )
    seen = []
    for better in (True, False, False, False, True, False, False):
        plateau.epoch_done(better)
        seen.append(plateau.rate(5.0))
    assert seen == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.01])
    again = Schedule(Recipe(warmup_epochs=0.0, learning_rate=1.0, schedule="plateau"))
    again.restore(json.loads(json.dumps(plateau.state)))
    assert again.rate(5.0) == pytest.approx(0.01)


def test_an_epoch_shows_each_beat_once_and_is_a_function_of_seed_and_number(data: WindowSet) -> None:
    part = split_in_three(data).train
    batches = Batches(data, part, QUICK, PARAMS, seed=1)
    epoch = list(batches.of_epoch(1))
    assert len(epoch) == batches.n_steps
    shown = np.concatenate([x for x, _, _ in epoch])[:, :, 0]
    assert not np.array_equal(shown, data.windows[part])
    np.testing.assert_array_equal(np.sort(shown, axis=0), np.sort(data.windows[part], axis=0))
    labels = np.concatenate([y for _, y, _ in epoch])
    assert (labels.sum(axis=0) == np.bincount(data.labels[part], minlength=5)).all()
    again, other = (next(iter(batches.of_epoch(e)))[0] for e in (1, 2))
    np.testing.assert_array_equal(again, epoch[0][0])
    assert not np.array_equal(other, epoch[0][0])


def test_balanced_classes_count_alike(data: WindowSet) -> None:
    part = split_in_three(data).train
    labels = data.labels[part]
    for power, alike in ((0.0, False), (1.0, True)):
        epoch = list(Batches(data, part, replace(QUICK, class_balance=power), PARAMS, 1).of_epoch(1))
        weights = np.concatenate([w for _, _, w in epoch])
        targets = np.concatenate([y for _, y, _ in epoch])
        assert weights.mean() == pytest.approx(1.0, rel=1e-4)
        sums = (weights[:, None] * targets).sum(axis=0)[np.unique(labels)]
        assert np.allclose(sums, sums[0], rtol=1e-4) is alike


# The run folder, without TensorFlow

INFO = RunInfo(
    RUN_SCHEMA, "baseline", "mitdb", "random", True, 1, Recipe(), PARAMS, "f" * 16, "d" * 64, "c", "t", {}, 1
)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    write_run(folder, INFO)
    (folder / WEIGHTS).touch()
    return folder


def test_a_run_is_read_as_it_was_written(run_folder: Path) -> None:
    assert read_run(run_folder) == INFO
    assert [p.name for p in run_folder.iterdir() if "part" in p.name] == []


def test_a_run_is_found_by_path_or_by_name(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_RUNS", str(run_folder.parent))
    assert find_run(run_folder) == run_folder
    assert find_run(run_folder.name) == run_folder
    with pytest.raises(DataError, match=f"There are: {run_folder.name}"):
        find_run("absent")
    monkeypatch.setenv("EDGE_ECG_RUNS", str(run_folder / "none"))
    with pytest.raises(DataError, match="edge-ecg train"):
        find_run("absent")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema_version": RUN_SCHEMA - 1}, "not a run of this version"),
        ({"extra": 1}, 'unknown key "extra"'),
        ({"seed": "one"}, '"seed" must be a whole number'),
        ({"recipe": {"learning_rate": float("nan")}}, '"recipe.learning_rate" must be a finite number'),
        ({"recipe": {"epoch": 3}}, 'Did you mean "recipe.epochs"'),
        ({"recipe": {"epochs": -1}}, '"epochs" must not be negative'),
    ],
)
def test_a_run_that_is_none_is_one_clear_error(run_folder: Path, change: dict[str, Any], told: str) -> None:
    file = run_folder / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(DataError) as caught:
        read_run(run_folder)
    assert told in str(caught.value)
    assert "run.json" in str(caught.value)


def test_a_run_cut_short_or_without_weights(run_folder: Path) -> None:
    (run_folder / WEIGHTS).unlink()
    with pytest.raises(DataError, match=f"holds no {WEIGHTS}"):
        read_run(run_folder)
    for text in ("{", "[]", "\0"):
        (run_folder / "run.json").write_text(text)
        with pytest.raises(DataError, match=r"run\.json"):
            read_run(run_folder)
