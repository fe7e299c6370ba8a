"""Anyone's Keras model becomes a bundle, or is refused with what it lacks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.cli.main import run
from edge_ecg.io import read_annotations, read_record, write_annotations, write_record
from edge_ecg.manifest import load_bundle
from edge_ecg.sources.virtual import EXCERPT

pytestmark = [
    pytest.mark.usefixtures("timed_briefly"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5"),
    pytest.mark.filterwarnings("ignore::UserWarning:keras.*"),
]

TOML = """\
label_set = "{}"
lead = "V1"

[class_map]
N = "{}"
V = "{}"

[patients]
rec = 1
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders `five` and `two` of the same beats in five and in two classes."""
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("EDGE_ECG_LOOKS", str(tmp_path / "looks.jsonl"))
    monkeypatch.chdir(tmp_path)
    record, notes = read_record(EXCERPT), read_annotations(EXCERPT)
    for name, names in (("five", ("aami5", "N", "V")), ("two", ("binary", "normal", "abnormal"))):
        folder = tmp_path / name
        folder.mkdir()
        write_record(folder / "rec", record.counts, 360.0, ["MLII", "V1"], baseline=1024)
        write_annotations(folder / "rec", notes)
        (folder / "dataset.toml").write_text(TOML.format(*names))
    return tmp_path


def save(
    file: Path, output: Callable[[Any, Any], Any], shape: tuple[int, ...] = (187, 1), lib: str = "tf_keras"
) -> Path:
    """A model of Keras 2 or 3; ``output`` makes its last layers."""
    if lib == "keras":
        import keras
    else:
        import tf_keras as keras
    keras.utils.set_random_seed(1)
    inputs = keras.Input(shape)
    x = keras.layers.Dense(8, activation="relu", name="mine")(keras.layers.Flatten()(inputs))
    keras.Model(inputs, output(keras, x)).save(file)
    return file


def classes(n: int, activation: str | None = "softmax") -> Callable[[Any, Any], Any]:
    return lambda keras, x: keras.layers.Dense(n, activation=activation)(x)


def convert(file: Path, data: str = "five", *more: str) -> int:
    return run(["convert", "--int8", file.name, "--data", str(file.parent / data), *more])


@pytest.mark.parametrize(
    ("name", "lib", "shape"),
    [
        ("my net.h5", "tf_keras", (187, 1)),
        ("flat.keras", "tf_keras", (187,)),
        ("three.keras", "keras", (187, 1)),
        ("three.h5", "keras", (187,)),
    ],
)
def test_a_model_of_five_classes(
    here: Path, capsys: pytest.CaptureFixture[str], name: str, lib: str, shape: tuple[int, ...]
) -> None:
    file = save(here / name, classes(5), shape, lib)
    assert convert(file, "five", "--force") == 0
    id_ = f"five-{file.stem.replace(' ', '-')}-int8"
    m = load_bundle(here / id_).manifest
    assert (m.id, m.is_foreign, m.seed, m.split, m.patients_on_both_sides) == (id_, True, 0, "random", True)
    assert (m.input.shape, m.input.dtype, m.output.shape) == ((1, 187, 1), "int8", (1, 5))
    assert m.n_parameters == 187 * 8 + 8 + 8 * 5 + 5
    assert m.parity is not None
    assert m.parity.argmax_agreement > 0.9
    assert m.commands == (
        f"edge-ecg convert --int8 {json.dumps(name).replace(chr(34), chr(39)) if ' ' in name else name} "
        "--data five --split random --calibration-seed 0 --force",
    )
    card = (here / id_ / "card.md").read_text()
    assert "**The network came as a Keras file.**" in card
    assert "Seed" not in card
    assert "tensorflow" in m.tool_versions["converter"]
    capsys.readouterr()
    assert run(["models", "verify", str(here / id_)]) == 0


def test_the_table_is_shown_when_it_loses_too_much(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def just_above_one_half(keras: Any, x: Any) -> Any:
        # 0.5005 is "abnormal", and the int8 output goes in steps of 1/256.
        bias = keras.initializers.Constant(0.002)
        return keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros", bias_initializer=bias)(x)

    (here / "two" / "dataset.toml").write_text(TOML.format("binary", "abnormal", "normal"))
    file = save(here / "m.h5", just_above_one_half)
    capsys.readouterr()
    assert convert(file, "two") == 3
    captured = capsys.readouterr()
    *_, table_end, line = captured.err.splitlines()
    assert table_end.split() == ["abnormal", "+P", "74.47", "0.00", "-74.47"]
    assert "of macro F1, allowed are 0.2 and 1; nothing is written. Take another precision" in line
    assert not list(here.glob("two-*"))
    assert convert(file, "two", "--force") == 0
    assert "It loses more than the 0.2,1 points" in (here / "two-m-int8" / "report.html").read_text()


@pytest.mark.parametrize(("n", "activation"), [(1, "sigmoid"), (2, "softmax")])
def test_a_model_of_two_classes(here: Path, n: int, activation: str) -> None:
    assert convert(save(here / "m.h5", classes(n, activation)), "two", "--force", "--split", "random") == 0
    m = load_bundle(here / "two-m-int8").manifest
    assert (m.output.shape, m.labels, np.shape(m.metrics.confusion)) == ((1, n), ("normal", "abnormal"), (2, 2))


def lambda_layer(keras: Any, x: Any) -> Any:
    return keras.layers.Dense(5, activation="softmax")(keras.layers.Lambda(lambda v: v * 2.0, name="twice")(x))


def custom_layer(keras: Any, x: Any) -> Any:
    class Mine(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, values: Any) -> Any:
            return values

    return keras.layers.Dense(5, activation="softmax")(Mine(name="my_own")(x))


def not_in_tflite(keras: Any, x: Any) -> Any:
    x = keras.layers.Resizing(4, 4, "bicubic", name="odd")(keras.layers.Reshape((2, 4, 1))(x))
    return keras.layers.Dense(5, activation="softmax")(keras.layers.Flatten()(x))


BICUBIC = "TFLite has no operator of its own for tf.ResizeBicubic (layer odd). Take another layer there"


@pytest.mark.parametrize(
    ("name", "lib", "output", "shape", "told"),
    [
        ("m.h5", "tf_keras", lambda_layer, (187, 1), "layers that are not Keras's own: twice (Lambda)"),
        ("m.keras", "keras", lambda_layer, (187, 1), "layers that are not Keras's own: twice (Lambda)"),
        ("m.h5", "tf_keras", custom_layer, (187, 1), "layers that are not Keras's own: my_own (Mine)"),
        ("m.keras", "keras", custom_layer, (187, 1), "layers that are not Keras's own: my_own (Mine)"),
        ("m.h5", "tf_keras", not_in_tflite, (187, 1), BICUBIC),
        ("m.keras", "keras", not_in_tflite, (187, 1), BICUBIC),
        ("m.h5", "tf_keras", classes(5), (188, 1), "takes (188, 1), expected one beat of (187, 1) or (187,)"),
        ("m.keras", "keras", classes(5), (187, 2), "takes (187, 2), expected one beat of (187, 1) or (187,)"),
        ("m.h5", "tf_keras", classes(4), (187, 1), "gives (4,), the 5 classes of five (N, S, V, F, Q) need 5 outputs"),
        ("m.h5", "tf_keras", classes(5, None), (187, 1), "are no probabilities"),
    ],
)
def test_what_cannot_be_converted_is_named(
    here: Path, capsys: pytest.CaptureFixture[str], name: str, lib: str, output: Any, shape: Any, told: str
) -> None:
    file = save(here / name, output, shape, lib)
    capsys.readouterr()
    assert convert(file, "five", "--force") == 3
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("edge-ecg: ")
    assert told in line
    assert not list(here.glob("five-*"))


def test_files_that_are_no_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "text.h5").write_text("no model")
    (here / "text.keras").write_text("no model")
    (here / "saved").mkdir()
    (here / "saved" / "saved_model.pb").touch()
    good = save(here / "good.h5", classes(5))
    import tf_keras

    tf_keras.models.load_model(good).save_weights(here / "weights.h5")
    for name, told, code in (
        ("text.h5", "is no Keras model", 5),
        ("text.keras", "is no Keras model", 5),
        ("weights.h5", "it holds weights only", 5),
        ("missing.h5", "there is no file missing.h5", 5),
        ("saved", "is a SavedModel", 3),
    ):
        assert convert(here / name) == code
        assert told in capsys.readouterr().err.splitlines()[-1]
    for args, told in (
        (["good.h5"], "does not say which data set it is for. Give it with --data"),
        (["good.h5", "--data", "five", "--among", "x"], "--among means nothing with a Keras file"),
        (["good.h5", "--data", "fifth"], "no data set 'fifth'"),
        (["good.h5", "--data", str(here / "five"), "--split", "inter"], "no split 'inter'"),
        (["a-run", "--data", "mitdb"], "--data means nothing with a run"),
    ):
        assert run(["convert", "--int8", *args]) == 2
        assert told in capsys.readouterr().err.splitlines()[-1]


def test_without_the_beats_it_says_what_to_fetch(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_ECG_DATA", str(here / "nothing"))
    file = save(here / "m.h5", classes(5))
    assert run(["convert", "--int8", file.name, "--data", "mitdb"]) == 5
    assert "edge-ecg data fetch mitdb" in capsys.readouterr().err.splitlines()[-1]
    shutil.rmtree(here / "five")
    assert convert(file, "five") != 0
    assert "five" in capsys.readouterr().err.splitlines()[-1]


def test_a_layer_that_crashes_the_converter_is_named_and_this_process_lives(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def with_memory(keras: Any, x: Any) -> Any:
        return keras.layers.Dense(5, activation="softmax")(
            keras.layers.GRU(4, name="memory")(keras.layers.Reshape((8, 1))(x))
        )

    file = save(here / "net.h5", with_memory)
    assert convert(file) == 3
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith(
        "edge-ecg: TensorFlow crashed (SIGSEGV) as it converted net.h5 to int8 (layer memory (GRU))."
    )
    assert not list(here.glob("*-int8"))
