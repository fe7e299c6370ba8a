"""The operators of a .tflite file, in the order in which they run, as the file has them: before any delegate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_ecg.errors import ModelError
from edge_ecg.infer.tflite import interpreter_class

__all__ = ["Operator", "Tensor", "operators_of"]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a graph.

    Attributes
    ----------
    dtype
        As numpy names it.
    shape
        Sizes; -1 for one that is not fixed.
    n_scales
        Of its quantisation: 0 for none, 1 a tensor, more a channel.
    is_constant
        Weights and other things that stand in the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    n_scales: int
    is_constant: bool


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: its name in the TFLite schema (``CONV_2D``), and what it takes and gives."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def operators_of(model: bytes) -> tuple[Operator, ...]:
    """The operators of a model file.

    Raises
    ------
    ModelError
        It is no TFLite model that the installed runtime can read.
    """
    runtime, make = interpreter_class()
    try:
        interpreter = make(model_content=model)
        # Neither runtime has a public call for it; both have had this one since TensorFlow 2.4.
        ops, details = interpreter._get_ops_details(), interpreter.get_tensor_details()
        given = {int(d["index"]) for d in interpreter.get_input_details()}
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"no model that {runtime} can read: {error}", "Convert the run again") from None
    computed = given | {int(i) for op in ops for i in op["outputs"]}
    tensors = {int(d["index"]): _tensor(d, is_constant=int(d["index"]) not in computed) for d in details}
    return tuple(
        Operator(
            str(op["op_name"]),
            tuple(tensors[int(i)] for i in op["inputs"] if i >= 0),
            tuple(tensors[int(i)] for i in op["outputs"]),
        )
        for op in ops
    )


def _tensor(detail: dict[str, Any], *, is_constant: bool) -> Tensor:
    return Tensor(
        name=str(detail["name"]),
        dtype=np.dtype(detail["dtype"]).name,
        shape=tuple(int(n) for n in detail["shape_signature"]),
        n_scales=len(detail["quantization_parameters"]["scales"]),
        is_constant=is_constant,
    )
