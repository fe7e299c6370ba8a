"""Run a TFLite bundle on ai-edge-litert, or on tflite-runtime where that has no wheel (32-bit Arm)."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ModelError
from edge_ecg.infer import largest
from edge_ecg.manifest import Bundle, TensorSpec

__all__ = ["Accelerated", "TfliteClassifier", "interpreter_class", "native_remarks_dropped", "quantised"]


@dataclass(frozen=True, slots=True)
class Accelerated:
    """A bundle's network compiled for an accelerator.

    Attributes
    ----------
    model
        The compiled .tflite file.
    library
        Path of the delegate library that takes it; a broken one can end this process, so probe it before.
    name
        What `TfliteClassifier.runs_on` says.
    """

    model: bytes
    library: str
    name: str


def interpreter_class() -> tuple[str, Any]:
    """Name and Interpreter class of the runtime that is installed.

    Raises
    ------
    ModelError
        When there is none, or tflite-runtime meets a numpy it was not built for.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        pass
    else:
        return "ai-edge-litert", Interpreter
    if int(np.__version__.split(".")[0]) >= 2:
        raise ModelError(
            f"no interpreter: ai-edge-litert is not installed, and tflite-runtime needs numpy 1, not {np.__version__}",
            "pip install ai-edge-litert==2.3.0; on 32-bit Arm: pip install 'numpy<2' tflite-runtime==2.14.0",
        )
    try:
        from tflite_runtime.interpreter import Interpreter as LegacyInterpreter
    except ImportError:
        raise ModelError(
            "no interpreter: neither ai-edge-litert nor tflite-runtime can be imported",
            "pip install ai-edge-litert==2.3.0; on 32-bit Arm: pip install 'numpy<2' tflite-runtime==2.14.0",
        ) from None
    return "tflite-runtime", LegacyInterpreter


@contextlib.contextmanager
def native_remarks_dropped() -> Iterator[None]:
    """Keep what a library writes to stderr past Python ("INFO: Created ... delegate") from the user's terminal.

    Its errors are exceptions.
    """
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def quantised(windows: NDArray[np.float32], spec: TensorSpec) -> NDArray[Any]:
    """Windows ``(n, n_samples)`` as input tensors ``(n, *spec.shape)``: to the nearest count, clipped to its type."""
    if spec.dtype == "float32":
        return windows.reshape(-1, *spec.shape)
    limits = np.iinfo(spec.dtype)
    counts = windows / np.float32(spec.scale)
    np.rint(counts, out=counts)
    counts += np.float32(spec.zero_point)
    np.minimum(np.maximum(counts, np.float32(limits.min), out=counts), np.float32(limits.max), out=counts)
    tensors: NDArray[Any] = counts.astype(spec.dtype).reshape(-1, *spec.shape)
    return tensors


def _interpreter(make: Any, model: bytes, accelerated: Accelerated | None) -> Any:
    if accelerated is None:
        interpreter = make(model_content=model, num_threads=1)
    else:
        delegate = importlib.import_module(make.__module__).load_delegate(accelerated.library)
        interpreter = make(model_content=accelerated.model, num_threads=1, experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    return interpreter


class TfliteClassifier:
    """A bundle's network, one beat at a time, on one thread.

    Parameters
    ----------
    bundle
        The bundle.
    accelerated
        The same network for an accelerator, to run instead.
    remark
        Why it runs where it does, for the user; empty when there is nothing to say.

    Attributes
    ----------
    runs_on
        ``CPU (ai-edge-litert)``, ``Edge TPU (libedgetpu)``.

    Raises
    ------
    ModelError
        When the file is no TFLite model, its tensors are not those of the manifest, or the accelerator does not
        take it.
    """

    def __init__(self, bundle: Bundle, accelerated: Accelerated | None = None, *, remark: str = "") -> None:
        manifest = bundle.manifest
        self.model_id = manifest.id
        self.sha256 = manifest.sha256
        self.labels = manifest.labels
        self.preprocessing: PreprocessParams = manifest.preprocessing
        self.operating_point = None
        self.runtime, make = interpreter_class()
        self.runs_on = accelerated.name if accelerated else f"CPU ({self.runtime})"
        self.remark = remark
        try:
            with native_remarks_dropped():
                self._interpreter = _interpreter(make, bundle.model, accelerated)
        except (ValueError, RuntimeError, OSError) as error:
            first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            if accelerated:
                raise ModelError(
                    f"the {accelerated.name} does not take {bundle.manifest.id}: {first_line}",
                    "See `edge-ecg doctor`, or do without it: --accelerator cpu",
                ) from None
            raise ModelError(
                f"{bundle.folder / 'model.tflite'} is no model that {self.runtime} can run: {first_line}",
                "Convert the run again, or get the bundle again",
            ) from None
        self._input = self._checked(self._interpreter.get_input_details(), manifest.input, "input", bundle)
        self._output = self._checked(self._interpreter.get_output_details(), manifest.output, "output", bundle)
        self._input_spec, self._output_spec = manifest.input, manifest.output

    @staticmethod
    def _checked(details: list[dict[str, Any]], spec: TensorSpec, what: str, bundle: Bundle) -> int:
        if len(details) != 1:
            raise ModelError(
                f"{bundle.manifest.id} has {len(details)} {what}s, a beat model has one", "Convert its run again"
            )
        found = details[0]
        shape, dtype = tuple(int(n) for n in found["shape"]), np.dtype(found["dtype"]).name
        scale, zero_point = found["quantization"]
        same_scale = bool(np.isclose(scale, spec.scale, rtol=1e-5, atol=1e-12)) and zero_point == spec.zero_point
        if shape != spec.shape or dtype != spec.dtype or not same_scale:
            raise ModelError(
                f"the {what} of {bundle.manifest.id} is {dtype}{list(shape)} scale {scale:.3g} zero {zero_point}, "
                f"its manifest says {spec.dtype}{list(spec.shape)} scale {spec.scale:.3g} zero {spec.zero_point}",
                "The model and the manifest do not belong together: get the bundle again",
            )
        return int(found["index"])

    def classify(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(n_classes,)`` of one window ``(n_samples,)``."""
        probs: NDArray[np.float32] = self.classify_many(inputs[None])[0]
        return probs

    def classify_many(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(n, n_classes)`` of windows ``(n, n_samples)``.

        The network takes them one by one: together they would need another 1 MB and be hardly faster.
        """
        spec, interpreter = self._output_spec, self._interpreter
        raw = np.empty((len(inputs), spec.shape[-1]), dtype=spec.dtype)
        for k, tensor in enumerate(quantised(inputs, self._input_spec)):
            interpreter.set_tensor(self._input, tensor)
            interpreter.invoke()
            raw[k] = interpreter.get_tensor(self._output)[0]
        probs = raw.astype(np.float32)
        if spec.dtype != "float32":
            probs -= np.float32(spec.zero_point)
            probs *= np.float32(spec.scale)
        return np.hstack([1.0 - probs, probs]) if probs.shape[1] == 1 else probs

    def decide(self, probs: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The most probable class of each, and its probability."""
        return largest(probs)
