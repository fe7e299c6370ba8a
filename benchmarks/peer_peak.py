"""What a core could do at most, and how many multiply-adds a beat of each network asks for."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edge_ecg.errors import UsageError
from edge_ecg.infer.operators import Operator, operators_of

__all__ = ["Peak", "measured_peaks", "multiply_adds", "peaks_of"]

SOURCE = Path(__file__).with_name("peak.c")


@dataclass(frozen=True, slots=True)
class Peak:
    """Multiply-adds per second of one core, and the instructions that reach them."""

    instructions: str
    per_s: float


def measured_peaks(core: int | None = None) -> dict[str, Peak]:
    """Compile `peak.c` for this very processor and run it, on one core; by precision, those that it has.

    Raises
    ------
    UsageError
        There is no C compiler, or it cannot compile for this processor.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise UsageError("no C compiler: the core's peak is measured in C", "make ci-deps, or apt install gcc")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        built = subprocess.run(
            [compiler, "-O3", "-march=native", "-o", str(program), str(SOURCE)], capture_output=True, text=True
        )
        if built.returncode:
            raise UsageError(f"{SOURCE.name} does not compile: {built.stderr.strip().splitlines()[0]}")
        pin = ["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []
        told = subprocess.run([*pin, str(program)], capture_output=True, text=True, check=True, env=os.environ).stdout
    return peaks_of(told)


def peaks_of(told: str) -> dict[str, Peak]:
    """Read what `peak.c` prints."""
    rows = [line.split("\t") for line in told.splitlines()]
    return {name: Peak(instructions, float(per_s)) for name, instructions, per_s in rows}


def multiply_adds(model: bytes) -> int:
    """Multiply-adds of one beat, of convolutions and dense layers; zeros of a padding count as values."""
    return sum(_of_operator(operator) for operator in operators_of(model))


def _of_operator(operator: Operator) -> int:
    if operator.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return 0
    kernel, gives = operator.inputs[1].shape, operator.outputs[0].shape
    # Each weight is used once for each place of the output.
    places = 1 if operator.name == "FULLY_CONNECTED" else math.prod(gives[1:-1])
    return places * math.prod(kernel)
