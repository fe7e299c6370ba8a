"""What a .tflite file takes and gives."""

from __future__ import annotations

import numpy as np

from edge_ecg.infer.tflite import interpreter_class
from edge_ecg.manifest import TensorSpec

__all__ = ["signature_of"]


def signature_of(model: bytes) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of a model file, which has one of each."""
    _, make = interpreter_class()
    interpreter = make(model_content=model)
    interpreter.allocate_tensors()
    specs = []
    for details in (interpreter.get_input_details()[0], interpreter.get_output_details()[0]):
        scale, zero_point = details["quantization"]
        shape = tuple(int(n) for n in details["shape"])
        specs.append(TensorSpec(np.dtype(details["dtype"]).name, shape, float(scale), int(zero_point)))
    return specs[0], specs[1]
