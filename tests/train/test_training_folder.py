"""The run folder while it is trained: one process at a time, a disk that fills, files of something else; and what of a
recipe or a network must not change the weights that are kept."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError, UsageError
from edge_ecg.sources.virtual import EXCERPT
from train.checkpoint import CHECKPOINT, Checkpoint, read_checkpoint, write_checkpoint
from train.models import build_of
from train.run import WEIGHTS, Recipe, RunInfo, read_run
from train.run_folder import replaced_together, training_in
from train.splits import Split
from train.window_set import WindowSet
from train.windows import build_windows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")

PARAMS = PreprocessParams()
QUICK = Recipe(epochs=2, batch_size=15, warmup_epochs=0.5, average_decay=0.5)
N_LOOKS = 3
"""At the windows in an epoch: two batches and the validation part."""


@pytest.fixture(scope="module")
def few() -> WindowSet:
    data = build_windows([EXCERPT], PARAMS)
    return replace(data, **{name: getattr(data, name)[:90] for name in ("windows", "labels", "records", "patients")})


class Windows:
    """That do something at the ``n``-th look at them."""

    def __init__(self, windows: Any, n: int, do: Callable[[], None]) -> None:
        self._windows, self._left, self._do = windows, n, do

    def __getitem__(self, key: Any) -> Any:
        self._left -= 1
        if self._left == -1:
            self._do()
        return self._windows[key]


def ctrl_c() -> None:
    raise KeyboardInterrupt


def at_look(data: WindowSet, n: int, do: Callable[[], None]) -> WindowSet:
    return replace(data, windows=Windows(data.windows, n, do))  # type: ignore[arg-type]


def normalised(n_classes: int) -> Any:
    from tf_keras import Input, Model, layers

    inputs = Input((187, 1))
    x = layers.BatchNormalization(momentum=0.5)(layers.Flatten()(inputs))
    x = layers.Dropout(0.1)(layers.Dense(8, activation="relu")(x))
    return Model(inputs, layers.Dense(n_classes, activation="softmax", dtype="float32")(x), name="normalised")


def fit_one(
    data: WindowSet, folder: Path, recipe: Recipe = QUICK, resume: bool = False, build: Any = normalised
) -> RunInfo:
    from train.fit import fit

    at = np.arange(90)
    split = Split("random", at[at % 3 == 0], at[at % 3 == 1], at[at % 3 == 2], patients_on_both_sides=True)
    return fit(build, data, split, recipe, PARAMS, 1, folder, resume=resume)


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def same(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# One process at a time

HOLDER = """
import sys
from pathlib import Path
from train.run_folder import training_in
with training_in(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_trained_by_one_process_and_a_crash_leaves_no_lock(few: WindowSet, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        for resume in (False, True):
            with pytest.raises(UsageError, match=r"is being trained by another process\. Wait for it or stop it"):
                fit_one(few, folder, resume=resume)
        assert list(files(folder)) == ["lock"]
        other.kill()
    with training_in(folder), pytest.raises(UsageError, match="another process"), training_in(folder):
        pass
    fit_one(few, folder, replace(QUICK, epochs=1))
    assert read_run(folder).epochs_done == 1


@contextmanager
def without_rights() -> Iterator[None]:
    """Root may write everywhere: be somebody else."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_a_folder_that_cannot_be_written_is_told() -> None:
    with tempfile.TemporaryDirectory() as held:
        Path(held).chmod(0o555)
        with (
            without_rights(),
            pytest.raises(UsageError, match=r"cannot write to the run folder .*: Permission denied\. Make it writable"),
            training_in(Path(held)),
        ):
            pass


# A disk that fills


@contextmanager
def small_disk(n_bytes: int) -> Iterator[Callable[[], None]]:
    """Call what is handed for a disk that takes files of so many bytes at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("n_bytes", [4_000, 40_000], ids=["weights", "checkpoint"])
def test_a_full_disk_keeps_the_epochs_done_and_tells_how_to_go_on(few: WindowSet, tmp_path: Path, n_bytes: int) -> None:
    straight, folder = tmp_path / "straight", tmp_path / "run"
    assert fit_one(few, straight).best_epoch == 2, "the second epoch has weights to write"
    nothing = r"File too large; no epoch is kept\. Make room and train again"
    with small_disk(n_bytes) as fill, pytest.raises(DataError, match=nothing):
        fit_one(at_look(few, 1, fill), folder)
    assert not list(folder.glob("*part*"))
    before: dict[str, bytes] = {}
    with small_disk(n_bytes) as fill, pytest.raises(DataError) as caught:
        fit_one(at_look(few, N_LOOKS + 1, lambda: before.update(files(folder)) or fill()), folder)
    assert {name: content for name, content in files(folder).items() if name != "history.png"} == before
    told = str(caught.value)
    assert f"cannot write to {folder}: File too large; epoch 1, the best of 1, is kept." in told
    assert told.endswith(f"Make room, then go on: edge-ecg train --resume {folder}")
    assert not list(folder.glob("*part*"))
    assert read_run(folder).epochs_done == 1
    assert fit_one(few, folder, resume=True).epochs_done == 2
    assert same(read_checkpoint(folder).weights, read_checkpoint(straight).weights)


def test_files_are_replaced_all_or_none(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "stale").touch()

    def fill() -> None:
        with replaced_together(tmp_path) as part:
            (part / "a").write_text("new")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fill()
    assert files(tmp_path) == {"a": b"old", "b": b"old"}
    with replaced_together(tmp_path) as part:
        (part / "a").write_text("new")
    assert files(tmp_path) == {"a": b"new", "b": b"old"}
    assert not (tmp_path / "part").exists()


def test_logs_that_cannot_be_written_are_told(few: WindowSet, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").touch()
    with pytest.raises(DataError, match=r"cannot write to .*run: .*; no epoch is kept"):
        fit_one(few, tmp_path / "run")


def test_a_checkpoint_of_something_else_is_told(few: WindowSet, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fit_one(at_look(few, N_LOOKS + 1, ctrl_c), folder)
    held = read_checkpoint(folder)
    weights = list(held.weights)
    foreign: list[Checkpoint] = [
        replace(held, weights=weights[:-1], mean=weights[:-1]),
        replace(held, mean=[*weights[:-1], np.zeros(6, np.float32)]),
        replace(held, optimizer=held.optimizer[:-1]),
        replace(held, progress={**held.progress, "schedule": {}}),
        replace(held, progress={name: held.progress[name] for name in ("run", "schedule")}),
    ]
    for checkpoint in foreign:
        write_checkpoint(folder, replace(checkpoint, progress=dict(checkpoint.progress)))
        before = files(folder)
        with pytest.raises(DataError, match=f"{CHECKPOINT} is of another network or optimizer than .*Train again"):
            fit_one(few, folder, resume=True)
        after = files(folder)
        assert after == before


# Which weights are kept


def first_class(n_classes: int) -> Any:
    from tf_keras import Sequential, initializers, layers

    said = layers.Dense(n_classes, "softmax", bias_initializer=initializers.Constant([9.0] + [0.0] * (n_classes - 1)))
    return Sequential([layers.Input((187, 1)), layers.Flatten(), said], name="first_class")


def test_of_epochs_that_score_alike_the_surer_is_kept(few: WindowSet, tmp_path: Path) -> None:
    # All beats are of the class that the network says from the start: every epoch is right, the loss falls.
    alike = replace(few, labels=np.zeros_like(few.labels))
    info = fit_one(alike, tmp_path / "run", replace(QUICK, epochs=3), build=first_class)
    rows = read_checkpoint(tmp_path / "run").progress["history"]
    scores = {row["validation_accuracy"] + row["validation_macro_f1"] for row in rows}
    assert len(scores) == 1
    losses = [row["validation_loss"] for row in rows]
    assert losses[-1] < losses[0]
    assert info.best_epoch == 1 + int(np.argmin(losses))


def test_batch_normalisation_is_scored_and_kept_with_its_moving_averages(few: WindowSet, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    info = fit_one(few, folder)
    held = read_checkpoint(folder)
    moving = [k for k, v in enumerate(normalised(5).weights) if "moving" in v.name]
    for k in moving:
        assert np.array_equal(held.mean[k], held.weights[k])
    mean, variance = (held.mean[k] for k in moving)
    assert 0.1 < mean.max() < 1, "of windows, not 0"
    assert variance.max() < 0.5, "of windows, not 1"
    kept = normalised(5)
    kept.load_weights(folder / WEIGHTS)
    if info.best_epoch == info.epochs_done:
        assert same(kept.get_weights(), held.mean)
    assert all(np.any(kept.get_weights()[k] != (0, 1)[j]) for j, k in enumerate(moving))


# Two keys of a recipe


def test_bfloat16_trains_keeps_float32_weights_and_resumes_bit_for_bit(few: WindowSet, tmp_path: Path) -> None:
    import tf_keras as keras

    from train.step import computing_in

    build = build_of("baseline")
    with computing_in(keras, "bfloat16"):
        assert {layer.compute_dtype for layer in build(5).layers[1:-1]} == {"bfloat16"}
    assert {layer.compute_dtype for layer in build(5).layers} == {"float32"}, "left as it was"
    recipe = replace(QUICK, compute="bfloat16", clip_norm=1.0)
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    info = fit_one(few, straight, recipe, build=build)
    kept = build(5)
    kept.load_weights(straight / WEIGHTS)
    held = read_checkpoint(straight)
    assert {w.dtype for w in [*kept.get_weights(), *held.weights, *held.mean]} == {np.dtype(np.float32)}
    rows = held.progress["history"]
    assert rows[-1]["loss"] < rows[0]["loss"], "it learns"
    assert fit_one(at_look(few, N_LOOKS + 1, ctrl_c), resumed, recipe, build=build).epochs_done == 1
    again = fit_one(few, resumed, recipe, resume=True, build=build)
    assert replace(again, started_utc=info.started_utc) == info
    of_again = read_checkpoint(resumed)
    for group in ("weights", "mean", "optimizer"):
        assert same(getattr(held, group), getattr(of_again, group)), group


def test_dropout_is_scaled_and_of_0_is_none(few: WindowSet) -> None:
    import tf_keras as keras

    from train.step import scale_dropout

    x = few.windows[:4, :, None]
    outputs = {}
    for factor in (0.0, 1.0):
        keras.utils.set_random_seed(1)
        model = build_of("baseline")(5)
        scale_dropout(keras, model, factor)
        outputs[factor] = [np.asarray(model(x, training=True)) for _ in range(2)]
        outputs[factor].append(np.asarray(model(x, training=False)))
    assert same(outputs[0.0], outputs[0.0][1:] + outputs[0.0][:1])
    assert not np.array_equal(outputs[1.0][0], outputs[1.0][1])
    model = build_of("baseline")(5)
    scale_dropout(keras, model, 0.5)
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == pytest.approx([0.05, 0.05, 0.05, 0.1])
