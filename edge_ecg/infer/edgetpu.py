"""The Edge TPU of a Coral board: find its library, and try it in a child process before it is trusted.

A libedgetpu that does not fit the interpreter ends the process that loads it with a segmentation fault
(google-coral/edgetpu issue 812): so a child loads it first, and runs a beat.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_ecg.errors import ModelError
from edge_ecg.infer.tflite import interpreter_class
from edge_ecg.manifest import Bundle

__all__ = ["FILE_NAME", "LIBRARY_VARIABLE", "Device", "Probe", "compiled_model", "devices", "find_library", "probe"]

FILE_NAME = "model_edgetpu.tflite"
LIBRARY_VARIABLE = "EDGE_ECG_EDGETPU_LIB"
TIMEOUT_S = 60.0
"""The first use of a USB Edge TPU loads its firmware and waits for it to come back under its other id."""

PLACES = ("/usr/local/lib", "/usr/lib/*-linux-gnu*", "/usr/lib", "/usr/lib64")
"""Where packages and `make install` put it; ctypes.util.find_library would start a compiler to find nothing."""

USB_IDS = {("1a6e", "089a"), ("18d1", "9302")}
"""Before and after its firmware is loaded."""

# The child knows nothing of this package: it needs the interpreter only, and must start where that can be imported.
_CHILD = """
import importlib, sys
import numpy as np
runtime = importlib.import_module(sys.argv[1])
try:
    delegate = runtime.load_delegate(sys.argv[2])
    model = sys.stdin.buffer.read()
    interpreter = runtime.Interpreter(model_content=model, num_threads=1, experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    for tensor in interpreter.get_input_details():
        interpreter.set_tensor(tensor["index"], np.zeros(tensor["shape"], tensor["dtype"]))
    interpreter.invoke()
except Exception as error:
    print(error)
    sys.exit(1)
"""


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether the Edge TPU can be used, and in one sentence what was found."""

    ok: bool
    what: str


@dataclass(frozen=True, slots=True)
class Device:
    """An Edge TPU that the system shows.

    Attributes
    ----------
    node
        Its file below /dev.
    group
        The group that udev gives it to.
    may_use
        Whether this user may open it.
    """

    node: Path
    group: str
    may_use: bool


def find_library() -> str | None:
    """Path of the library to load: of the environment variable EDGE_ECG_EDGETPU_LIB, else the system's libedgetpu."""
    files = (file for place in PLACES for file in sorted(Path("/").glob(f"{place[1:]}/libedgetpu.so.1")))
    return os.environ.get(LIBRARY_VARIABLE) or next(map(str, files), None)


def devices(root: Path = Path("/")) -> tuple[Device, ...]:
    """Every Edge TPU on USB or PCIe, as the system below ``root`` shows them."""
    nodes = [(node, "apex") for node in sorted((root / "dev").glob("apex_*"))]
    for usb in sorted((root / "sys/bus/usb/devices").glob("*")):
        if (_read(usb / "idVendor"), _read(usb / "idProduct")) in USB_IDS:
            bus, number = (int(_read(usb / name) or 0) for name in ("busnum", "devnum"))
            nodes.append((root / f"dev/bus/usb/{bus:03d}/{number:03d}", "plugdev"))
    return tuple(Device(node, group, os.access(node, os.R_OK | os.W_OK)) for node, group in nodes)


def probe(model: bytes, library: str | None, *, timeout_s: float = TIMEOUT_S, found: Sequence[Device] = ()) -> Probe:
    """Run one beat of zeros through ``library`` in a child process.

    Parameters
    ----------
    model
        A .tflite file, compiled for the Edge TPU or not.
    library
        Path of the delegate library, as `find_library` gives it.
    timeout_s
        How long the child may take.
    found
        What `devices` found; tells a device that may not be opened from one that is not there.

    Raises
    ------
    ModelError
        There is no interpreter at all.
    """
    if library is None or not os.path.exists(library):
        where = f" ({LIBRARY_VARIABLE} says {library})" if library else ""
        return Probe(False, f"libedgetpu is not on this machine{where}; docs/coral.md says which one to install")
    runtime, make = interpreter_class()
    # -P: what lies in the current folder is no part of Python.
    command = [sys.executable, "-P", "-c", _CHILD, make.__module__, library]
    try:
        child = subprocess.run(
            command, input=model, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Probe(False, f"{library} gave no answer in {timeout_s:g} s; plug the Edge TPU out and in again")
    if child.returncode == 0:
        return Probe(True, f"{library} ran a beat")
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        return Probe(
            False,
            f"{library} crashed ({name}) under {runtime}; Google's own build is for TensorFlow 2.5: "
            "install one of github.com/feranick/libedgetpu that is for a newer one",
        )
    return Probe(False, f"{library} refused: {_refusal(child.stdout.decode(errors='replace'), found)}")


def compiled_model(bundle: Bundle) -> bytes | None:
    """The file of a bundle that is compiled for the Edge TPU; None when its manifest tells of none.

    Raises
    ------
    ModelError
        It is missing or not the one of the manifest.
    """
    spec, file = bundle.manifest.edgetpu, bundle.folder / FILE_NAME
    if spec is None:
        return None
    hint = "Get the bundle again, or do without it: --accelerator cpu"
    try:
        model = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}", hint) from None
    sha256 = hashlib.sha256(model).hexdigest()
    if sha256 != spec.sha256:
        raise ModelError(
            f"{file} is not the one of its manifest: its SHA-256 begins {sha256[:12]}, "
            f"the manifest says {spec.sha256[:12]}",
            hint,
        )
    return model


def _refusal(message: str, found: Sequence[Device]) -> str:
    """Why a library gave no delegate: in its own words; Google's has none when it finds no device."""
    for device in found:
        if not device.may_use:
            join = f"sudo usermod -aG {device.group} $USER, then log in again"
            return f"this user may not open {device.node}; {join}"
    # The interpreter puts a line of its own before the library's words.
    said = " ".join(line for line in message.splitlines() if not line.startswith("Failed to load delegate from"))
    return said.strip() or "it found no Edge TPU"


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
