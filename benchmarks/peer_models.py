"""The networks as the peers want them: Keras, TensorFlow Lite and ONNX, float32 and int8, all with the same weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg.infer.tflite import quantised
from edge_ecg.manifest import Bundle, load_bundle

__all__ = ["NETWORKS", "Prepared", "golden_beats", "keras_of_bundle", "prepare"]

NETWORKS = ("baseline", "residual", "deep_residual")
_OPSET = 17


@dataclass(frozen=True, slots=True)
class Prepared:
    """One network, ready in a folder.

    Attributes
    ----------
    weights
        Where they come from.
    float32_agrees
        Share of the golden beats to which the float32 file gives the int8 file's class.
    """

    network: str
    bundle: str
    weights: str
    n_beats: int
    float32_agrees: float
    bytes_float32: int
    bytes_int8: int


def prepare(network: str, folder: Path, run: Path | None = None) -> Prepared:
    """Write ``float32.tflite``, ``int8.tflite``, ``keras.h5``, the ``.onnx`` files and ``beats.npy`` into a folder.

    Parameters
    ----------
    network
        One of `NETWORKS`.
    folder
        It is there, and empty.
    run
        The folder of a training run, whose float weights are taken and converted to int8. None: the shipped int8
        file and its own weights, brought back to float32.

    Raises
    ------
    UsageError, DataError
        As `quantize.source.open_source`, for a run.
    """
    from quantize.precision import PRECISIONS

    bundle = load_bundle(f"mitdb-{network}-int8")
    beats = golden_beats(bundle)
    if run is None:
        keras, int8, told = keras_of_bundle(bundle), bundle.model, f"{bundle.manifest.id}, brought back to float32"
    else:
        keras, int8, told = _of_run(run)
    float32 = PRECISIONS["float32"].convert(keras, beats)
    (folder / "float32.tflite").write_bytes(float32)
    (folder / "int8.tflite").write_bytes(int8)
    keras.save(folder / "keras.h5", include_optimizer=False)
    np.save(folder / "beats.npy", beats)
    _write_onnx(folder, keras, beats)
    agree = float(np.mean(_classes(float32, beats) == _classes(int8, beats)))
    prepared = Prepared(network, bundle.manifest.id, told, len(beats), agree, len(float32), len(int8))
    (folder / "prepared.json").write_text(json.dumps(asdict(prepared)), encoding="utf-8")
    return prepared


def golden_beats(bundle: Bundle) -> NDArray[np.float32]:
    """The real beats that a bundle ships with, ``(n, 187)`` in [0, 1]."""
    table = json.loads((bundle.folder / "golden.json").read_text(encoding="utf-8"))
    return np.array([beat["window"] for beat in table["beats"]], np.float32) / np.float32(255.0)


def keras_of_bundle(bundle: Bundle) -> Any:
    """The Keras network of an int8 bundle, each weight the value that its int8 stands for.

    The converter called each layer by its place (`quantize.graph.one_beat`), so its tensors say whose they are.
    """
    from edge_ecg.infer.tflite import interpreter_class
    from train.models import build_of

    model = build_of(bundle.manifest.network)(len(bundle.manifest.labels))
    layers = model._flatten_layers(recursive=True, include_self=False)
    by_place = {k: layer for k, layer in enumerate(layers) if layer.weights}
    _, make = interpreter_class()
    interpreter = make(model_content=bundle.model)
    interpreter.allocate_tensors()
    details = {int(d["index"]): d for d in interpreter.get_tensor_details()}
    filled = set()
    for op in interpreter._get_ops_details():
        if op["op_name"] not in ("CONV_2D", "FULLY_CONNECTED"):
            continue
        given, kernel, bias = (details[int(i)] for i in op["inputs"])
        place = _place_of(kernel["name"])
        scales = _scales(kernel)
        values = interpreter.get_tensor(kernel["index"]).astype(np.float32)
        values *= scales.reshape(-1, *[1] * (values.ndim - 1))
        # The file has (out, 1, taps, in) and (out, in).
        values = values.transpose(1, 2, 3, 0) if values.ndim == 4 else values.T
        offsets = interpreter.get_tensor(bias["index"]).astype(np.float32) * scales * _scales(given)
        by_place[place].set_weights([values, offsets])
        filled.add(place)
    if filled != set(by_place):
        raise AssertionError(f"{bundle.manifest.id}: no weights for the layers {sorted(set(by_place) - filled)}")
    return model


def _place_of(tensor: str) -> int:
    """5 of ``one/net/conv2d5/Conv2D``."""
    name = tensor.split("/")[2]
    digits = len(name) - len(name.rstrip("0123456789"))
    # "conv2d" ends in a letter, so the digits behind it are the place alone.
    return int(name[-digits:])


def _scales(detail: dict[str, Any]) -> NDArray[np.float32]:
    return np.asarray(detail["quantization_parameters"]["scales"], np.float32)


def _of_run(folder: Path) -> tuple[Any, bytes, str]:
    from quantize.convert import REPRESENTATIVE_BEATS
    from quantize.int8 import representative_beats
    from quantize.precision import PRECISIONS
    from quantize.source import open_source

    source = open_source(folder)
    train = source.split.train
    beats = representative_beats(source.data.windows[train], source.data.labels[train], REPRESENTATIVE_BEATS, 0)
    return source.network, PRECISIONS["int8"].convert(source.network, beats), f"trained: {folder.name}"


def _classes(model: bytes, beats: NDArray[np.float32]) -> NDArray[np.intp]:
    from edge_ecg.infer.tflite import interpreter_class
    from quantize.signature import signature_of

    given, _ = signature_of(model)
    _, make = interpreter_class()
    interpreter = make(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    at, to = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    found = []
    for tensor in quantised(beats, given):
        interpreter.set_tensor(at, tensor)
        interpreter.invoke()
        found.append(int(interpreter.get_tensor(to)[0].argmax()))
    return np.array(found)


def _write_onnx(folder: Path, keras: Any, beats: NDArray[np.float32]) -> None:
    """Each way to ONNX that there is, where its packages are: which one is fast is measured.

    ``float32_keras`` and ``float32_tflite`` by tf2onnx; ``int8_tflite`` by tf2onnx of the int8 file; ``int8_ort`` by
    ONNX Runtime's own calibration on the golden beats, weights per channel.
    """
    try:
        import onnx
        import tf2onnx
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError:
        return
    import tensorflow as tf

    from quantize.graph import one_beat

    with one_beat(keras) as graph:
        spec = (tf.TensorSpec((1, beats.shape[1], 1), tf.float32, name="beat"),)
        model, _ = tf2onnx.convert.from_keras(graph, input_signature=spec, opset=_OPSET)
    onnx.save(model, folder / "float32_keras.onnx")
    for precision in ("float32", "int8"):
        file = folder / f"{precision}_tflite.onnx"
        tf2onnx.convert.from_tflite(str(folder / f"{precision}.tflite"), opset=_OPSET, output_path=str(file))

    class Beats(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self._left = iter([{name: beat[None, :, None]} for beat in beats])

        def get_next(self) -> Any:
            return next(self._left, None)

    name = model.graph.input[0].name
    source, whole = folder / "float32_keras.onnx", folder / "whole.onnx"
    quant_pre_process(str(source), str(whole), skip_symbolic_shape=True)
    quantize_static(
        str(whole),
        str(folder / "int8_ort.onnx"),
        Beats(name),
        per_channel=True,
        # Unsigned activations and signed weights of 7 bits: its way for processors with AVX2 and no VNNI.
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=True,
    )
    whole.unlink()
