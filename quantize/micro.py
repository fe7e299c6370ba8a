"""TensorFlow Lite Micro on this machine, in a process of its own: what kills it must not kill the caller."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import ModelError, UsageError

__all__ = ["arena_bytes", "micro_outputs", "micro_version"]

LARGEST_ARENA = 16 * 2**20
"""Bytes; no microcontroller has more."""

STEP = 16
"""Bytes: the arena is aligned to as much."""

_PACKAGE = "tflite-micro==0.dev20261023182759"


def micro_version() -> str:
    """Version of the `tflite-micro` package that measures.

    Raises
    ------
    UsageError
        It is not installed.
    """
    if importlib.util.find_spec("tflite_micro") is None:
        raise UsageError(
            "tflite-micro is not installed: it runs a model as a microcontroller does and measures its arena",
            f'pip install {_PACKAGE}; or, in the checkout: pip install -e ".[mcu]"',
        )
    return importlib.metadata.version("tflite-micro")


def arena_bytes(model: bytes) -> int:
    """The smallest tensor arena that a model runs in, in bytes, found by trying: a multiple of 16.

    It is that of this machine's pointers (8 bytes on x86-64) and of the reference kernels: where pointers have
    4 bytes it is less, and kernels such as CMSIS-NN want some room beside it.

    Raises
    ------
    UsageError
        `tflite-micro` is not installed.
    ModelError
        TensorFlow Lite Micro does not run it.
    """
    micro_version()
    too_small, enough = 0, LARGEST_ARENA + STEP
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "model.tflite").write_bytes(model)
        while enough - too_small > STEP:
            done = _child(scratch, str(too_small), str(enough))
            tried = [line.split() for line in done.stdout.splitlines()]
            if not tried:
                raise ModelError(f"tflite-micro does not start: {_last_line(done)}", f"pip install {_PACKAGE}")
            # The last size has no verdict when it killed the process: it was too small.
            for size, *verdict in tried:
                if verdict == ["ran"]:
                    enough = int(size)
                else:
                    too_small = int(size)
    if enough > LARGEST_ARENA:
        raise _refusal(done)
    return enough


def micro_outputs(model: bytes, inputs: NDArray[Any]) -> NDArray[Any]:
    """What a model gives on TensorFlow Lite Micro, with its reference kernels.

    Parameters
    ----------
    model
        The .tflite file.
    inputs
        ``(n, ...)`` quantised windows; each is brought to the shape of the model's input.

    Returns
    -------
    ``(n, n_outputs)``, of the type that the model gives.

    Raises
    ------
    UsageError
        `tflite-micro` is not installed.
    ModelError
        TensorFlow Lite Micro does not run it.
    """
    micro_version()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "model.tflite").write_bytes(model)
        np.save(folder / "inputs.npy", inputs)
        done = _child(scratch)
        if not (folder / "outputs.npy").exists():
            raise _refusal(done)
        outputs: NDArray[Any] = np.load(folder / "outputs.npy")
    return outputs


def _child(*args: str) -> subprocess.CompletedProcess[str]:
    # -P: this folder must not stand before the library's, it has modules with common names.
    command = [sys.executable, "-P", __file__, *args]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return said[-1] if said else f"it ended with code {done.returncode}"


def _refusal(done: subprocess.CompletedProcess[str]) -> ModelError:
    return ModelError(
        f"TensorFlow Lite Micro does not run this model: {_last_line(done)}",
        "It takes fewer operators than LiteRT: docs/microcontrollers.md",
    )


def _interpreter(model: bytes, arena: int) -> Any:
    from tflite_micro import runtime

    return runtime.Interpreter.from_bytes(model, arena_size=arena)


def _search(model: bytes, too_small: int, enough: int) -> None:
    """Print each size before it is tried, and behind it what came of it."""
    while enough - too_small > STEP:
        size = (too_small + enough) // 2 // STEP * STEP
        print(size, end=" ", flush=True)
        try:
            interpreter = _interpreter(model, size)
            details = interpreter.get_input_details(0)
            interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
            interpreter.invoke()
        except Exception as error:
            print(error, file=sys.stderr)
            print("failed", flush=True)
            too_small = size
        else:
            print("ran", flush=True)
            enough = size


def _run(model: bytes, folder: Path) -> None:
    interpreter = _interpreter(model, LARGEST_ARENA)
    shape = interpreter.get_input_details(0)["shape"]
    outputs = []
    for window in np.load(folder / "inputs.npy"):
        interpreter.set_input(window.reshape(shape), 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).reshape(-1))
    np.save(folder / "outputs.npy", np.array(outputs))


if __name__ == "__main__":
    here = Path(sys.argv[1])
    file = (here / "model.tflite").read_bytes()
    if len(sys.argv) > 2:
        _search(file, int(sys.argv[2]), int(sys.argv[3]))
    else:
        _run(file, here)
