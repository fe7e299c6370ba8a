"""Fitting: a run folder that says where it comes from, also when Ctrl-C ended it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError
from edge_ecg.sources.virtual import EXCERPT
from train.run import WEIGHTS, Recipe, RunInfo, find_run, read_run, write_run
from train.splits import Split
from train.windows import WindowSet, build_windows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")

PARAMS = PreprocessParams()


@pytest.fixture(scope="module")
def data() -> WindowSet:
    return build_windows([EXCERPT], PARAMS)


def split_in_three(data: WindowSet) -> Split:
    at = np.arange(len(data.labels))
    return Split("random", at[at % 3 == 0], at[at % 3 == 1], at[at % 3 == 2], patients_on_both_sides=True)


def fit_baseline(data: WindowSet, folder: Path, epochs: int, seed: int = 1) -> RunInfo:
    from train.fit import fit
    from train.load import build_of

    recipe = Recipe(epochs=epochs, batch_size=64, warmup_epochs=0.5, average_decay=0.5)
    return fit(build_of("baseline"), data, split_in_three(data), recipe, PARAMS, seed, folder)


def weights_of(folder: Path) -> list[np.ndarray]:
    from train.load import load_network

    return load_network(folder, read_run(folder)).get_weights()


def test_the_baseline_has_the_layers_and_parameters_of_its_table() -> None:
    from train.load import build_of

    model = build_of("baseline")(5)
    assert model.count_params() == 254_901
    kinds = [type(layer).__name__ for layer in model.layers]
    pair = ["Conv2D", "Conv2D", "MaxPooling2D", "Dropout"]
    last = ["Conv2D", "Conv2D", "GlobalMaxPooling2D", "Dropout"]
    assert kinds == ["InputLayer", "Reshape", *pair * 3, *last, "Dense", "Dense", "Dense"]
    convolutions = [(c.filters, c.kernel_size[1]) for c in model.layers if type(c).__name__ == "Conv2D"]
    assert convolutions == [(16, 5)] * 2 + [(32, 3)] * 4 + [(256, 3)] * 2
    assert [d.rate for d in model.layers if type(d).__name__ == "Dropout"] == [0.1, 0.1, 0.1, 0.2]
    assert [d.units for d in model.layers if type(d).__name__ == "Dense"] == [64, 64, 5]
    assert model.input_shape == (None, 187, 1)
    assert model.layers[-1].activation.__name__ == "softmax"
    binary = build_of("baseline")(1)
    assert binary.output_shape == (None, 1)
    assert binary.layers[-1].activation.__name__ == "sigmoid"


def test_a_run_folder_says_where_it_comes_from(
    data: WindowSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    info = fit_baseline(data, folder, epochs=2)
    assert read_run(folder) == info
    assert (info.epochs_done, info.network, info.seed, info.n_parameters) == (2, "baseline", 1, 254_901)
    assert 1 <= info.best_epoch <= 2
    assert info.data_sha256 == data.sha256
    assert info.preprocessing_fingerprint == PARAMS.fingerprint()
    assert set(info.versions) == {"edge-ecg", "python", "tensorflow", "numpy"}
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in history] == [1, 2]
    assert history[1]["loss"] < history[0]["loss"], "it learns"
    assert history[info.best_epoch - 1]["validation_accuracy"] == info.validation_accuracy
    assert "epoch 2" in capsys.readouterr().out


def test_one_seed_gives_one_network(data: WindowSet, tmp_path: Path) -> None:
    few = WindowSet(data.windows[:90], data.labels[:90], data.records[:90], data.dataset, data.sha256)
    first, second, other = (tmp_path / name for name in ("a", "b", "c"))
    for folder, seed in ((first, 3), (second, 3), (other, 4)):
        fit_baseline(few, folder, epochs=1, seed=seed)
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(weights_of(first), weights_of(second), strict=True))
    assert not all(np.allclose(a, b) for a, b in zip(weights_of(first), weights_of(other), strict=True))


class InterruptedAt:
    """Windows that Ctrl-C comes over: the ``n``-th look at them interrupts."""

    def __init__(self, windows: Any, n: int) -> None:
        self._windows = windows
        self._left = n

    def __getitem__(self, key: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._windows[key]


def interrupted(data: WindowSet, n: int) -> WindowSet:
    return WindowSet(InterruptedAt(data.windows, n), data.labels, data.records, "mitdb", "x")  # type: ignore[arg-type]


def test_ctrl_c_keeps_the_best_epoch_so_far(
    data: WindowSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    n_batches = -(-len(split_in_three(data).train) // 64)
    info = fit_baseline(interrupted(data, n_batches + 2), tmp_path / "run", epochs=5)
    assert info.epochs_done == info.best_epoch == 1
    assert read_run(tmp_path / "run") == info
    assert weights_of(tmp_path / "run")
    assert "stopped; the best of 1 epochs is kept" in capsys.readouterr().out


def test_ctrl_c_before_the_first_epoch_leaves_no_run(data: WindowSet, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_baseline(interrupted(data, 1), tmp_path / "run", epochs=5)
    with pytest.raises(DataError, match="no run"):
        find_run(tmp_path / "run")


# The run folder, without TensorFlow

INFO = RunInfo(1, "baseline", "mitdb", "random", True, 1, Recipe(), PARAMS, "f" * 16, "d" * 64, "c", "t", {}, 1)


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
        ({"schema_version": 2}, "not a run of this version"),
        ({"extra": 1}, 'unknown key "extra"'),
        ({"seed": "one"}, '"seed" must be a whole number'),
        ({"recipe": {"learning_rate": float("nan")}}, '"recipe.learning_rate" must be a finite number'),
        ({"recipe": {"epoch": 3}}, 'Did you mean "recipe.epochs"'),
        ({"recipe": {"epochs": 0}}, '"epochs" must be above 0'),
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
