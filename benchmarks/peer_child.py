"""One library in a process of its own: it runs a slice of beats whenever it is asked, and waits.

python -P peer_child.py LIBRARY FOLDER CORE [BUNDLE]      a line of JSON in, a line of JSON out

It needs numpy and its library only: tflite-runtime wants another numpy than all the others. A call is ready before it
is timed: the input has its type and shape, and what is timed is setting it, running, and having the output in numpy.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["LIBRARIES"]

_UNTIMED = 3
"""Beats at the start of a slice: the others have had the caches since the last one."""

Beat = Callable[[Any], Any]


@dataclass(frozen=True)
class Call:
    """A way to run a network: ``run`` takes one of ``inputs`` and gives the output, ``(1, n_classes)`` or flat."""

    name: str
    precision: str
    run: Beat
    inputs: Any


def _tflite(name: str, make: Any, folder: Path, precision: str, beats: Any, **options: Any) -> Call:
    interpreter = make(model_content=(folder / f"{precision}.tflite").read_bytes(), **{"num_threads": 1, **options})
    interpreter.allocate_tensors()
    given, to = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
    at = given["index"]

    def run(tensor: Any) -> Any:
        interpreter.set_tensor(at, tensor)
        interpreter.invoke()
        return interpreter.get_tensor(to)

    return Call(name, precision, run, _tensors(beats, given["dtype"]))


def _tensors(beats: Any, dtype: Any) -> Any:
    """The beats, ``(n, 1, 187, 1)``, as a model takes them: float32, or int8 with 0 at -128 and 1 at 127."""
    if np.dtype(dtype) == np.int8:
        beats = np.rint(255.0 * beats) - 128.0
    return np.ascontiguousarray(beats.astype(dtype)[:, None, :, None])


def _litert(folder: Path, beats: Any, bundle: str | None) -> list[Call]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    calls = []
    for precision in ("float32", "int8"):
        calls.append(_tflite("Interpreter", Interpreter, folder, precision, beats))
        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        off = {"experimental_op_resolver_type": plain}
        calls.append(_tflite("Interpreter, XNNPACK off", Interpreter, folder, precision, beats, **off))
        calls.append(_compiled("CompiledModel", folder, precision, beats))
    if bundle:
        from edge_ecg.infer import open_classifier

        classifier = open_classifier(bundle, accelerator="cpu")
        calls.append(Call("edge_ecg classify", "int8", classifier.classify, beats))
    return calls


def _litert_2(folder: Path, beats: Any, bundle: str | None) -> list[Call]:
    from ai_edge_litert.interpreter import Interpreter

    name = "Interpreter, 2 threads"
    return [_tflite(name, Interpreter, folder, p, beats, num_threads=2) for p in ("float32", "int8")]


def _compiled(name: str, folder: Path, precision: str, beats: Any) -> Call:
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.interpreter import Interpreter

    file = str(folder / f"{precision}.tflite")
    output = Interpreter(model_path=file).get_output_details()[0]
    dtype, n_classes = output["dtype"], int(output["shape"][-1])
    model = CompiledModel.from_file(file)
    given, gives = model.create_input_buffers(0), model.create_output_buffers(0)

    def run(tensor: Any) -> Any:
        given[0].write(tensor)
        model.run_by_index(0, given, gives)
        return gives[0].read(n_classes, dtype)

    return Call(name, precision, run, _tensors(beats, dtype))


def _tensorflow(folder: Path, beats: Any, bundle: str | None) -> list[Call]:
    os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    import tensorflow as tf
    import tf_keras

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = tf_keras.models.load_model(folder / "keras.h5", compile=False)
    inputs = _tensors(beats, np.float32)
    graph = tf.function(lambda x: model(x, training=False))
    tensors = [tf.constant(x) for x in inputs]
    return [
        Call("Keras predict", "float32", lambda x: model.predict(x, verbose=0), inputs),
        Call("Keras model(x)", "float32", lambda x: model(x, training=False).numpy(), inputs),
        Call("tf.function", "float32", lambda x: graph(x).numpy(), tensors),
        *(_tflite("tf.lite.Interpreter", tf.lite.Interpreter, folder, p, beats) for p in ("float32", "int8")),
    ]


def _onnxruntime(folder: Path, beats: Any, bundle: str | None) -> list[Call]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL

    def call(told: str, precision: str, file: str) -> Call:
        session = onnxruntime.InferenceSession(str(folder / file), options, providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0]
        dtype = np.int8 if given.type == "tensor(int8)" else np.float32
        return Call(told, precision, lambda x: session.run(None, {given.name: x})[0], _tensors(beats, dtype))

    return [
        call("session.run, from Keras", "float32", "float32_keras.onnx"),
        call("session.run, from the .tflite", "float32", "float32_tflite.onnx"),
        call("session.run, from the .tflite", "int8", "int8_tflite.onnx"),
        call("session.run, own quantiser", "int8", "int8_ort.onnx"),
    ]


def _micro(folder: Path, beats: Any, bundle: str | None) -> list[Call]:
    from tflite_micro import runtime

    def call(precision: str, dtype: Any) -> Call:
        model = (folder / f"{precision}.tflite").read_bytes()
        interpreter = runtime.Interpreter.from_bytes(model, arena_size=4 * 2**20)

        def run(tensor: Any) -> Any:
            interpreter.set_input(tensor, 0)
            interpreter.invoke()
            return interpreter.get_output(0)

        return Call("Interpreter", precision, run, _tensors(beats, dtype))

    return [call("float32", np.float32), call("int8", np.int8)]


def _legacy(folder: Path, beats: Any, bundle: str | None) -> list[Call]:
    from tflite_runtime.interpreter import Interpreter

    return [_tflite("Interpreter", Interpreter, folder, precision, beats) for precision in ("float32", "int8")]


LIBRARIES: dict[str, tuple[str, Callable[[Path, Any, str | None], list[Call]]]] = {
    "ai-edge-litert": ("ai-edge-litert", _litert),
    "ai-edge-litert, 2 threads": ("ai-edge-litert", _litert_2),
    "tensorflow": ("tensorflow", _tensorflow),
    "onnxruntime": ("onnxruntime", _onnxruntime),
    "tflite-micro": ("tflite-micro", _micro),
    "tflite-runtime": ("tflite-runtime", _legacy),
}
"""The package of each, and what makes its calls."""


def slice_of(call: Call, first: int, n: int) -> list[tuple[int, int]]:
    """Of ``n`` beats, one after the other: nanoseconds by the clock, and of the process's CPU."""
    inputs, n_beats = call.inputs, len(call.inputs)
    for k in range(first - _UNTIMED, first):
        call.run(inputs[k % n_beats])
    times = []
    for k in range(first, first + n):
        tensor = inputs[k % n_beats]
        cpu, begin = time.process_time_ns(), time.perf_counter_ns()
        call.run(tensor)
        end = time.perf_counter_ns()
        times.append((end - begin, time.process_time_ns() - cpu))
    return times


def _answers(calls: list[Call], asked: Iterator[str]) -> Iterator[Any]:
    for line in asked:
        request = json.loads(line)
        call = calls[request["call"]]
        if request["do"] == "classes":
            outputs = [np.asarray(call.run(x)).reshape(-1) for x in call.inputs[: request["n"]]]
            yield [int(o.argmax()) for o in outputs]
        else:
            yield slice_of(call, request["first"], request["n"])


def _main() -> None:
    library, folder, core = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    bundle = sys.argv[4] if len(sys.argv) > 4 else None
    # Libraries write remarks of their own to where print goes.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if core >= 0:
        with contextlib.suppress(AttributeError):
            os.sched_setaffinity(0, {core})
    package, calls_of = LIBRARIES[library]
    calls = calls_of(folder, np.load(folder / "beats.npy"), bundle)
    ready = {"version": importlib.metadata.version(package), "calls": [[c.name, c.precision] for c in calls]}
    answers.write(json.dumps(ready) + "\n")
    for answer in _answers(calls, iter(sys.stdin.readline, "")):
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    _main()
