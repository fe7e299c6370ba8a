"""The beats that set the ranges of an int8 network are beats that trained it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.manifest import Bundle
from quantize.convert import convert_source
from quantize.int8 import calibration_of, representative_beats
from quantize.source import Source
from train.run import RUN_SCHEMA, Recipe, RunInfo
from train.splits import Split
from train.window_set import WindowSet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")

PARAMS = PreprocessParams()


def small_network() -> Any:
    import tf_keras as keras

    keras.utils.set_random_seed(1)
    layers = [
        keras.layers.Input((187, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(8, "relu"),
        keras.layers.Dense(5, "softmax"),
    ]
    return keras.Sequential(layers, name="small")


@pytest.fixture(scope="module")
def source() -> Source:
    """An untrained network, and 300 beats of which every third trains."""
    rng = np.random.default_rng(0)
    at = np.arange(300)
    labels = (at // 3 % 5).astype(np.uint8)
    one = np.ones(300, np.int32)
    data = WindowSet.of(rng.random((300, 187), np.float32), labels, one, one, dataset="mitdb")
    split = Split("random", at[::3], at[1::3], at[2::3], patients_on_both_sides=True)
    info = RunInfo(
        RUN_SCHEMA, "baseline", "mitdb", "random", True, 1, Recipe(), PARAMS, PARAMS.fingerprint(), data.sha256,
        "edge-ecg train", "", {}, 13_557, label_set="aami5", lead="MLII",
    )  # fmt: skip
    return Source(info, data, split, small_network())


def louder(source: Source, *parts: str) -> Source:
    """The windows of some parts of the split three times as high."""
    windows = source.data.windows.copy()
    for part in parts:
        windows[getattr(source.split, part)] *= 3.0
    return replace(source, data=replace(source.data, windows=windows))


def test_only_beats_that_trained_set_the_ranges(source: Source, tmp_path: Path) -> None:
    as_it_is = ranges(convert_source(source, "int8", tmp_path / "as-it-is", force=True, measured=False))
    assert len(as_it_is) > 3
    others = convert_source(
        louder(source, "validation", "test"), "int8", tmp_path / "others", force=True, measured=False
    )
    assert ranges(others) == as_it_is
    trained = convert_source(louder(source, "train"), "int8", tmp_path / "trained", force=True, measured=False)
    assert ranges(trained) != as_it_is


def ranges(bundle: Bundle) -> list[tuple[float, int]]:
    """Scale and zero point of each tensor."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=(bundle.folder / "model.tflite").read_bytes())
    interpreter.allocate_tensors()
    return [details["quantization"] for details in interpreter.get_tensor_details()]


def test_representative_beats_are_even_by_class_and_seeded() -> None:
    labels = np.repeat([0, 1, 2], [80, 15, 5]).astype(np.uint8)
    windows = np.arange(100, dtype=np.float32)[:, None] * np.ones(187, np.float32)
    beats = representative_beats(windows, labels, 30, seed=0)
    of_class = labels[beats[:, 0].astype(int)]
    assert np.bincount(of_class).tolist() == [10, 10, 5], "as far as a class goes"
    assert len(np.unique(beats[:, 0])) == len(beats)
    told = calibration_of(labels, 30, 0, ("N", "S", "V", "F"))
    assert (told.n, told.seed, told.per_class) == (25, 0, {"N": 10, "S": 10, "V": 5, "F": 0})
    assert np.array_equal(beats, representative_beats(windows, labels, 30, seed=0))
    assert not np.array_equal(beats, representative_beats(windows, labels, 30, seed=1))
