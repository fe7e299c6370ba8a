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
    counts = _counts(windows, _Steps.of(spec), np.empty_like(windows))
    tensors: NDArray[Any] = counts.astype(spec.dtype).reshape(-1, *spec.shape)
    return tensors


@dataclass(frozen=True, slots=True)
class _Steps:
    """What quantising divides by, adds, and clips to; numbers, or arrays of the windows' shape."""

    scale: Any
    zero: Any
    low: Any
    high: Any

    @classmethod
    def of(cls, spec: TensorSpec) -> _Steps:
        limits = np.iinfo(spec.dtype)
        return cls(*(np.float32(x) for x in (spec.scale, spec.zero_point, limits.min, limits.max)))


def _counts(windows: NDArray[np.float32], by: _Steps, out: NDArray[np.float32]) -> NDArray[np.float32]:
    np.divide(windows, by.scale, out=out)
    np.rint(out, out=out)
    np.add(out, by.zero, out=out)
    np.maximum(out, by.low, out=out)
    np.minimum(out, by.high, out=out)
    return out


class _OneWindow:
    """`quantised` of one window in memory that is there already: of numpy's cost, half is that of making arrays."""

    def __init__(self, spec: TensorSpec) -> None:
        self._tensor = np.empty(spec.shape, dtype=spec.dtype)
        self._flat = self._tensor.reshape(-1)
        self._work = np.empty(self._flat.shape, dtype=np.float32)
        is_float, full = spec.dtype == "float32", np.ones_like(self._work)
        steps = None if is_float else _Steps.of(spec)
        self._by = steps and _Steps(*(x * full for x in (steps.scale, steps.zero, steps.low, steps.high)))

    def __call__(self, window: NDArray[np.float32]) -> NDArray[Any]:
        """The tensor; the next call overwrites it."""
        self._flat[:] = window if self._by is None else _counts(window, self._by, self._work)
        return self._tensor


def _dequantised(raw: NDArray[Any], spec: TensorSpec) -> NDArray[np.float32]:
    probs = raw.astype(np.float32)
    if spec.dtype != "float32":
        probs -= np.float32(spec.zero_point)
        probs *= np.float32(spec.scale)
    return probs


def _interpreter(make: Any, model: bytes, accelerated: Accelerated | None, n_threads: int) -> Any:
    if accelerated is None:
        interpreter = make(model_content=model, num_threads=n_threads)
    else:
        delegate = importlib.import_module(make.__module__).load_delegate(accelerated.library)
        interpreter = make(model_content=accelerated.model, num_threads=1, experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    return interpreter


class TfliteClassifier:
    """A bundle's network, one beat at a time.

    Parameters
    ----------
    bundle
        The bundle.
    accelerated
        The same network for an accelerator, to run instead.
    remark
        Why it runs where it does, for the user; empty when there is nothing to say.
    n_threads
        Of the CPU: one is the fastest for networks this small, more are for benchmarks.

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

    def __init__(
        self, bundle: Bundle, accelerated: Accelerated | None = None, *, remark: str = "", n_threads: int = 1
    ) -> None:
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
                self._interpreter = _interpreter(make, bundle.model, accelerated, n_threads)
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
        self._tensor_of = _OneWindow(manifest.input)
        # Of each output of 8 bits what `_dequantised` makes of it.
        codes = np.arange(256, dtype=np.uint8)
        is_float = manifest.output.dtype == "float32"
        self._prob_of = None if is_float else _dequantised(codes.view(manifest.output.dtype), manifest.output)

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
        self._interpreter.set_tensor(self._input, self._tensor_of(inputs))
        self._interpreter.invoke()
        return self._probs()

    def _probs(self) -> NDArray[np.float32]:
        raw = self._interpreter.get_tensor(self._output)[0]
        probs: NDArray[np.float32] = raw if self._prob_of is None else self._prob_of.take(raw.view(np.uint8))
        return np.concatenate([1.0 - probs, probs]) if len(probs) == 1 else probs

    def hand_over(self, inputs: NDArray[np.float32]) -> None:
        """All of `classify` but the network: what Python takes for a beat, for benchmarks."""
        self._interpreter.set_tensor(self._input, self._tensor_of(inputs))
        self._probs()

    def run_again(self) -> None:
        """Run the network on its last input once more: what it takes without its input and output, for benchmarks."""
        self._interpreter.invoke()

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
        probs = _dequantised(raw, spec)
        return np.hstack([1.0 - probs, probs]) if probs.shape[1] == 1 else probs

    def decide(self, probs: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The most probable class of each, and its probability."""
        return largest(probs)
