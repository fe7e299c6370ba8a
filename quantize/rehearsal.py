"""A Keras file is converted once in a child process: some layers crash TensorFlow's converter or the interpreter.

Such a crash (recurrent layers in int8, for one) ends a process without a word, so it must not be this one.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ModelError
from quantize.precision import PRECISIONS

__all__ = ["rehearse"]

_N_BEATS = 8
_PLAIN = {
    *("Activation", "Add", "AveragePooling1D", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv1D"),
    *("Conv2D", "Dense", "Dropout", "Flatten", "Functional", "GlobalAveragePooling1D", "GlobalAveragePooling2D"),
    *("GlobalMaxPooling1D", "GlobalMaxPooling2D", "InputLayer", "MaxPooling1D", "MaxPooling2D", "ReLU", "Reshape"),
    *("Sequential", "Softmax"),
}
"""Layers that need no rehearsal, which takes as long as TensorFlow takes to load."""
_BY_LAYER = "--by-layer"


def rehearse(path: Path, model: Any, precision: str) -> None:
    """Convert the file with beats drawn at random, and run one, in a child; what fails in an orderly way is not told.

    Parameters
    ----------
    path, model
        The file, and the Keras model in it: of plain layers it is not rehearsed.
    precision
        One of `PRECISIONS`.

    Raises
    ------
    ModelError
        The child crashed: tells at which layer, where that can be found out.
    """
    if _is_plain(model):
        return
    code, _ = _child(path, precision)
    if code >= 0:
        return
    code_by_layer, names = _child(path, precision, _BY_LAYER)
    layer = f" (layer {names[-1]})" if code_by_layer < 0 and names else ""
    raise ModelError(
        f"TensorFlow crashed ({signal.Signals(-code).name}) as it converted {path} to {precision}{layer}",
        "Take another layer there, or another precision, such as --float32",
    )


def _is_plain(layer: Any) -> bool:
    return {type(inner).__name__ for inner in layer._flatten_layers()} <= _PLAIN


def _child(path: Path, precision: str, *flags: str) -> tuple[int, list[str]]:
    command = [sys.executable, "-m", "quantize.rehearsal", str(path), precision, *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.returncode, done.stdout.decode(errors="replace").splitlines()


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("precision")
@click.option(_BY_LAYER, "by_layer", is_flag=True)
def _main(path: Path, precision: str, by_layer: bool) -> None:
    """Of each layer that is not plain, ``by_layer``: its name is printed, then the network up to it converted."""
    from quantize.foreign import load_model_file
    from quantize.graph import keras_of

    model = load_model_file(path)
    if not by_layer:
        _convert(model, precision)
        return
    keras = keras_of(model)
    for layer in model.layers:
        if not _is_plain(layer):
            print(f"{layer.name} ({type(layer).__name__})", flush=True)
            with contextlib.suppress(Exception):
                _convert(keras.Model(model.inputs, layer.output), precision)


def _convert(model: Any, precision: str) -> None:
    from edge_ecg.infer.tflite import interpreter_class

    n = PreprocessParams().window.n_samples
    beats = np.random.default_rng(0).random((_N_BEATS, n), np.float32)
    _, make = interpreter_class()
    interpreter = make(model_content=PRECISIONS[precision].convert(model, beats))
    interpreter.allocate_tensors()
    interpreter.invoke()


if __name__ == "__main__":
    _main()
