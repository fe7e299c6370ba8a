"""What of a graph an Edge TPU takes, by Google's published list, and Google's compiler for it.

The list and its rules: https://coral.ai/docs/edgetpu/models-intro/#supported-operations (compiler 16, runtime 14, the
last ones). It says what the compiler *should* map; only the compiler itself knows.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from edge_ecg.errors import ModelError
from edge_ecg.infer.operators import Operator, Tensor

__all__ = [
    "COMPILER_MISSING",
    "SUPPORTED",
    "EdgeTpuReport",
    "Placement",
    "compile_for_edgetpu",
    "edgetpu_report",
]

COMPILER = "edgetpu_compiler"
COMPILER_MISSING = (
    "edgetpu_compiler is not on this machine, so there is no file for the Edge TPU; the int8 file runs on the CPU "
    "meanwhile. It is for x86-64 only: package edgetpu-compiler of Google's repository for Debian (deb "
    "https://packages.cloud.google.com/apt coral-edgetpu-stable main), on another machine in a Debian container or in "
    "Google's Colab notebook (https://coral.ai/docs/edgetpu/compiler/). docs/coral.md has the commands"
)
COMPILER_TIMEOUT_S = 300.0
CUSTOM_OP = b"edgetpu-custom-op"
"""What the compiler puts in the place of the operators that it mapped."""

SUPPORTED: Mapping[str, str] = MappingProxyType(
    {
        "ADD": "",
        "AVERAGE_POOL_2D": "no fused activation",
        "CONCATENATION": "no fused activation; a constant input must be all zeros and one of two",
        "CONV_2D": "same dilation in x and y",
        "DEPTHWISE_CONV_2D": "same dilation in x and y",
        "EXPAND_DIMS": "",
        "FULLY_CONNECTED": "default format of weights; output of one dimension",
        "L2_NORMALIZATION": "",
        "LOGISTIC": "",
        "MAXIMUM": "",
        "MAX_POOL_2D": "no fused activation",
        "MEAN": "not over the batch; over channels only multiples of 4",
        "MINIMUM": "",
        "MUL": "",
        "PACK": "not along the batch",
        "PAD": "not along the batch",
        "PRELU": "alpha of one dimension",
        "QUANTIZE": "",
        "REDUCE_MAX": "not over the batch",
        "REDUCE_MIN": "not over the batch",
        "RELU": "",
        "RELU6": "",
        "RELU_N1_TO_1": "",
        "RESHAPE": "large ones may stay on the CPU",
        "RESIZE_BILINEAR": "three dimensions; some sizes stay on the CPU",
        "RESIZE_NEAREST_NEIGHBOR": "three dimensions; some sizes stay on the CPU",
        "RSQRT": "",
        "SLICE": "",
        "SOFTMAX": "input of one dimension, at most 16,000 values",
        "SPACE_TO_DEPTH": "",
        "SPLIT": "not along the batch",
        "SQUARED_DIFFERENCE": "",
        "SQUEEZE": "only dimensions in front",
        "STRIDED_SLICE": "all strides 1, no ellipsis, no new axis",
        "SUB": "",
        "SUM": "not over the batch",
        "TANH": "",
        "TRANSPOSE": "",
        "TRANSPOSE_CONV": "",
        "UNIDIRECTIONAL_SEQUENCE_LSTM": "",
    }
)
"""Operators by their names in the TFLite schema, and what Google's list asks of each."""

_REDUCTIONS = frozenset({"MEAN", "REDUCE_MAX", "REDUCE_MIN", "SUM"})
_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
_BYTES = frozenset({"int8", "uint8"})


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one operator would run: on the Edge TPU, or on the CPU and why."""

    operator: Operator
    is_mapped: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class EdgeTpuReport:
    """Every operator of a graph, in the order in which they run."""

    placements: tuple[Placement, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to the CPU."""
        return all(p.is_mapped for p in self.placements)

    @property
    def summary(self) -> str:
        """One line: how many operators map, and what stops the others."""
        n, n_mapped = len(self.placements), sum(p.is_mapped for p in self.placements)
        if self.is_whole:
            return f"all {n} operators are on Google's list for the Edge TPU"
        k, stop = next((k, p) for k, p in enumerate(self.placements, 1) if not p.is_mapped)
        return f"{n_mapped} of {n} operators map to the Edge TPU; number {k} ({stop.operator.name}): {stop.why_not}"

    def markdown(self) -> str:
        """A table, one row an operator, without a newline at its end."""
        lines = ["| | operator | output | Edge TPU | why not, or what is asked |", "|---|---|---|---|---|"]
        for k, p in enumerate(self.placements, 1):
            shape = ", ".join(" x ".join(map(str, t.shape)) for t in p.operator.outputs)
            limit = SUPPORTED.get(p.operator.name, "")
            mapped = "yes" if p.is_mapped else "no"
            lines.append(f"| {k} | {p.operator.name} | {shape} | {mapped} | {p.why_not or limit} |")
        return "\n".join(lines)


def edgetpu_report(operators: Sequence[Operator]) -> EdgeTpuReport:
    """Say of each operator whether an Edge TPU takes it, by Google's published list.

    A graph is split once: behind the first operator that stays on the CPU, all stay there. Fused activations,
    dilations and strides stand in options that `Operator` does not have; the table names them as asked for.
    """
    placements: list[Placement] = []
    stop = ""
    for k, op in enumerate(operators, 1):
        why_not = _why_not(op)
        if not why_not and stop:
            why_not = f"behind {stop}; a graph is split once"
        elif why_not and not stop:
            stop = f"number {k} ({op.name})"
        placements.append(Placement(op, not why_not, why_not))
    return EdgeTpuReport(tuple(placements))


def compile_for_edgetpu(model: bytes, *, timeout_s: float = COMPILER_TIMEOUT_S) -> tuple[bytes, str] | None:
    """Run Google's compiler on an int8 .tflite file.

    Returns
    -------
    The compiled file and the compiler's version; None when the compiler is not on PATH (see `COMPILER_MISSING`).

    Raises
    ------
    ModelError
        The compiler failed, or mapped nothing.
    """
    compiler = shutil.which(COMPILER)
    if compiler is None:
        return None
    version = _run([compiler, "--version"], Path.cwd(), timeout_s).strip().rpartition(" ")[2]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "model.tflite").write_bytes(model)
        log = _run([compiler, "--show_operations", "--out_dir", str(folder), "model.tflite"], folder, timeout_s)
        try:
            compiled = (folder / "model_edgetpu.tflite").read_bytes()
        except OSError:
            raise _failure("wrote no model_edgetpu.tflite", log) from None
    if CUSTOM_OP not in compiled:
        raise _failure("mapped no operator to the Edge TPU", log)
    return compiled, version


def _run(command: Sequence[str], folder: Path, timeout_s: float) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failure(f"did not end in {timeout_s:g} s", "") from None
    except OSError as error:
        raise _failure(f"cannot be started: {error.strerror}", "") from None
    if done.returncode:
        raise _failure(f"failed (exit code {done.returncode})", done.stdout)
    return done.stdout


def _failure(what: str, log: str) -> ModelError:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    told = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "")
    return ModelError(
        f"{COMPILER} {what}{f': {told}' if told else ''}",
        "Leave --edgetpu out for a bundle that runs on the CPU; docs/coral.md has more",
    )


def _why_not(op: Operator) -> str:
    """What keeps an operator off the Edge TPU; empty when nothing does."""
    if op.name not in SUPPORTED:
        return "not on Google's list"
    if op.name in _WEIGHTED and not op.inputs[1].is_constant:
        return "weights that are computed"
    flow = [*(t for t in op.inputs if not t.is_constant), *op.outputs]
    for t in flow:
        if -1 in t.shape:
            return f"a size that is not fixed ({_shape(t)})"
        if t.dtype not in _BYTES:
            return f"{t.dtype}, not int8 or uint8"
        if any(n > 1 for n in t.shape[:-3]):
            return f"more than three dimensions ({_shape(t)})"
    for t in op.inputs:
        # int32: biases, and what a shape or an axis is.
        if t.is_constant and t.dtype not in _BYTES | {"int32"}:
            return f"{t.dtype} weights, not int8 or uint8"
    return _why_not_this(op)


def _why_not_this(op: Operator) -> str:
    """What Google's list says of the one operator, as far as shapes tell it."""
    given, made = op.inputs[0], op.outputs[0]
    if op.name == "FULLY_CONNECTED":
        if op.inputs[1].n_scales > 1:
            return "weights quantised per channel, which a dense layer must not be"
        if math.prod(made.shape) != made.shape[-1]:
            return f"output of more than one dimension ({_shape(made)})"
    if op.name == "SOFTMAX" and (math.prod(given.shape) != given.shape[-1] or given.shape[-1] > 16_000):
        return f"input of more than one dimension, or of more than 16,000 values ({_shape(given)})"
    if op.name in _REDUCTIONS and given.shape[0] > 1 and made.shape[:1] != given.shape[:1]:
        return "a reduction over the batch"
    if op.name == "MEAN" and made.shape[-1:] != given.shape[-1:] and given.shape[-1] % 4:
        return f"a mean over {given.shape[-1]} channels, no multiple of 4"
    return ""


def _shape(t: Tensor) -> str:
    return " x ".join(map(str, t.shape))
