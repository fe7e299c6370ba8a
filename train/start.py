"""What a training begins with instead of chance: the weights of a run, or those that a bundle's tensors stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge_ecg.beginning import FIXED, Beginning
from edge_ecg.errors import ModelError, UsageError
from edge_ecg.infer.tflite import TfliteClassifier, interpreter_class, native_remarks_dropped
from edge_ecg.manifest import load_bundle
from train.load import load_network
from train.models import build_of, n_outputs
from train.run import RunInfo
from train.trained import Trained

__all__ = ["N_BEATS", "Start", "hand_over"]

N_BEATS = 200
"""Real beats on which the float network has to say what the bundle says."""
_MEAN_APART, _ALIKE = 0.01, 0.97
"""Largest mean difference of a probability, least share of beats with the same label: int8 rounds each layer's output,
the float network does not. Of 200 beats, 40 of each class, the worst shipped bundles have 0.003 and 0.995."""


class Start(Trained):
    """A run or bundle that a training begins with."""

    __slots__ = ()
    role: ClassVar[str] = "start"

    @property
    def beginnings(self) -> tuple[Beginning, ...]:
        """Itself, and what its own training began with."""
        of = self.info
        own = Beginning(self.name, self.sha256, of.dataset, of.split, of.fold, of.data_sha256)
        return (own, *of.starts)

    def check(self, facts: Mapping[str, Any]) -> None:
        """Raise `UsageError` where ``facts`` of the `RunInfo` that begins with it say that it cannot.

        Of the same people the split has to be the same: one of another split has learnt from beats that test here.
        What it began with itself counts as well. Windows that were cut otherwise are no reason: the filters of one
        way of cutting are a better beginning for another than chance; see `other_windows`.
        """
        its = self.info.network
        if "network" in facts and its != facts["network"]:
            raise UsageError(
                f"{self.folder.name} cannot be the start of this run: it has another network ({its}, here "
                f"{facts['network']})",
                "Begin with a network of the same structure",
            )
        for one in self.beginnings:
            if not one.has_people_of(facts["dataset"], facts.get("data_sha256")):
                continue
            is_fixed = one.dataset == facts["dataset"] in FIXED
            for key in ("split", "fold", *(() if is_fixed else ("data_sha256",))):
                its = getattr(one, key)
                if key in facts and its != facts[key]:
                    raise UsageError(
                        f"{one.title} cannot be the start of this run: it learnt from the same people with another "
                        f"{key} ({its}, here {facts[key]}), maybe from beats that test here",
                        "Begin with one of the same data and split, or of other people; or train without --start",
                    )

    def other_windows(self, segmentation: str, fingerprint: str) -> str:
        """How its windows were cut otherwise than those of a segmentation and preprocessing; empty if they were not."""
        told = [f"{self.info.segmentation} segmentation"] if self.info.segmentation != segmentation else []
        return " and ".join(told + ["another preprocessing"] * (self.info.preprocessing_fingerprint != fingerprint))

    def float_network(self, windows: NDArray[np.float32]) -> Any:
        """Its Keras model in float32; that of a bundle is compared with the bundle on ``windows``.

        Raises
        ------
        DataError
            The weights of a run cannot be read.
        ModelError
            The bundle's tensors are not those of its network, or the float network says something else.
        """
        if isinstance(self.info, RunInfo):
            return load_network(self.folder, self.info)
        bundle = load_bundle(self.folder)
        # First of all: it tells of a file that is no model.
        classifier = TfliteClassifier(bundle)
        network = build_of(self.info.network)(n_outputs(self.info.label_set))
        _dequantise(bundle.model, network, self.info.id)
        _check_alike(network, classifier, windows, self.info.id)
        return network


def hand_over(begun: Any, model: Any, *, same_classes: bool) -> tuple[str, ...]:
    """Give ``model`` the weights of ``begun``, layer by layer; names of the layers that begin fresh.

    These are those from the first that has another shape on, and the last, if the classes are not the same.

    Raises
    ------
    UsageError
        All would begin fresh.
    """
    pairs = [(a, b) for a, b in zip(begun.layers, model.layers, strict=False) if a.weights or b.weights]
    alike = [[w.shape for w in a.weights] == [w.shape for w in b.weights] for a, b in pairs]
    n = alike.index(False) if False in alike else len(pairs) - (not same_classes)
    if n == 0:
        raise UsageError(f"no layer of {begun.name} fits this network", "Train without --start")
    for a, b in pairs[:n]:
        b.set_weights(a.get_weights())
    return tuple(b.name for _, b in pairs[n:])


def _dequantise(model: bytes, network: Any, name: str) -> None:
    """Give a Keras model the weights that the tensors of a .tflite file stand for, layer by layer in their order."""
    held = _kernels(model)
    layers = [layer for layer in network.layers if layer.weights]
    for layer in layers:
        if type(layer).__name__ not in ("Conv2D", "Dense") or not layer.use_bias:
            raise ModelError(
                f"{name} cannot be a start: its layer {layer.name} ({type(layer).__name__}) cannot be taken out of a "
                ".tflite file, whose layers were joined when it was converted",
                "Begin with the run it comes from",
            )
    if [list(kernel.shape) for kernel, _ in held] != [list(layer.kernel.shape) for layer in layers]:
        raise ModelError(
            f"{name} cannot be a start: its layers are not those of the {network.name} network",
            "Begin with one whose filters are all there, or with the run it comes from",
        )
    for layer, weights in zip(layers, held, strict=True):
        layer.set_weights(weights)


def _kernels(model: bytes) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Kernel, as Keras has it, and bias of each convolution and dense layer of a .tflite file, as they run."""
    _, make = interpreter_class()
    with native_remarks_dropped():
        interpreter = make(model_content=model)
    details = {int(d["index"]): d for d in interpreter.get_tensor_details()}
    ops = interpreter._get_ops_details()
    # Of a float16 file the weights stand behind an operator that makes them float32.
    behind = {int(op["outputs"][0]): int(op["inputs"][0]) for op in ops if op["op_name"] == "DEQUANTIZE"}

    def value(index: int) -> NDArray[np.float32]:
        index = behind.get(index, index)
        raw, q = interpreter.get_tensor(index), details[index]["quantization_parameters"]
        if not len(q["scales"]):
            return np.asarray(raw, np.float32)
        shape = np.ones(raw.ndim, int)
        shape[q["quantized_dimension"]] = -1
        counts = raw.astype(np.float64) - q["zero_points"].reshape(shape)
        return np.asarray(counts * q["scales"].astype(np.float64).reshape(shape), np.float32)

    found = []
    for op in ops:
        if op["op_name"] in ("CONV_2D", "FULLY_CONNECTED"):
            kernel, bias_at = value(int(op["inputs"][1])), int(op["inputs"][2])
            # A bias of zeros was left out of the file.
            bias = value(bias_at) if bias_at >= 0 else np.zeros(len(kernel), np.float32)
            found.append((kernel.transpose(1, 2, 3, 0) if kernel.ndim == 4 else kernel.T, bias))
    return found


def _check_alike(network: Any, classifier: TfliteClassifier, windows: NDArray[np.float32], name: str) -> None:
    from train.fit import predict

    some = windows[np.linspace(0, len(windows) - 1, min(N_BEATS, len(windows))).astype(int)]
    given, said = classifier.classify_many(some), predict(network, some)
    apart = float(np.abs(given - said).mean())
    alike = float((given.argmax(axis=1) == said.argmax(axis=1)).mean())
    if apart > _MEAN_APART or alike < _ALIKE:
        raise ModelError(
            f"{name} cannot be a start: with the weights of its file the {network.name} network says something else "
            f"({alike:.1%} of {len(some)} beats get the same label, probabilities are {apart:.3f} apart)",
            "Begin with the run it comes from",
        )
