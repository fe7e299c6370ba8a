"""Which machine it is: what a figure is worth nothing without. Whatever it does not tell is None."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from edge_ecg import __version__
from edge_ecg.infer.tflite import interpreter_class

__all__ = ["Fingerprint", "default_device", "fingerprint"]

_MODEL = Path("proc/device-tree/model")
_CPUINFO = Path("proc/cpuinfo")
_GOVERNOR = Path("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_ARM_CORES = {
    "0xb76": "ARM1176", "0xc07": "Cortex-A7", "0xc08": "Cortex-A8", "0xd03": "Cortex-A53", "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55", "0xd07": "Cortex-A57", "0xd08": "Cortex-A72", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1", "0xd41": "Cortex-A78", "0xd42": "Cortex-A78AE",
}  # fmt: skip
_TELLING = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "neon", "asimd", "asimddp", "i8mm", "fphp")
"""Features of a processor that decide which kernels run."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A machine and what runs on it.

    Attributes
    ----------
    board
        As the device tree says.
    cores, usable_cores
        All, and those that this process may use.
    """

    board: str | None
    machine: str
    cpu: str | None
    cpu_features: tuple[str, ...]
    cores: int
    usable_cores: int
    governor: str | None
    memory_mb: int | None
    system: str | None
    kernel: str
    python: str
    numpy: str
    runtime: str
    edge_ecg: str


def fingerprint(root: Path = Path("/")) -> Fingerprint:
    """Look at this machine; ``root`` is where its files are. Raises `ModelError` when no interpreter is installed."""
    cpuinfo = _text(root / _CPUINFO) or ""
    runtime, _ = interpreter_class()
    return Fingerprint(
        board=_text(root / _MODEL),
        machine=platform.machine(),
        cpu=_cpu(cpuinfo),
        cpu_features=_features(cpuinfo),
        cores=os.cpu_count() or 1,
        usable_cores=len(os.sched_getaffinity(0)),
        governor=_text(root / _GOVERNOR),
        memory_mb=_memory_mb(_text(root / "proc/meminfo") or ""),
        system=_system(_text(root / "etc/os-release") or ""),
        kernel=platform.release(),
        python=platform.python_version(),
        numpy=np.__version__,
        runtime=f"{runtime} {_version(runtime)}",
        edge_ecg=__version__,
    )


def default_device(of: Fingerprint) -> str:
    """What the device is called when nobody says: its board, else its kind of processor."""
    return re.sub(r"[^a-z0-9_]+", "-", (of.board or of.machine).lower()).strip("-")


def _cpu(cpuinfo: str) -> str | None:
    named = re.search(r"(?m)^(?:model name|Model Name)\s*:\s*(.+)$", cpuinfo)
    parts = list(dict.fromkeys(re.findall(r"(?m)^CPU part\s*:\s*(0x\w+)", cpuinfo)))
    if parts:
        return " + ".join(_ARM_CORES.get(part.lower(), f"Arm {part}") for part in parts)
    return named[1].strip() if named else None


def _features(cpuinfo: str) -> tuple[str, ...]:
    found = re.search(r"(?m)^(?:flags|Features)\s*:\s*(.+)$", cpuinfo)
    there = set(found[1].split()) if found else set()
    return tuple(name for name in _TELLING if name in there)


def _memory_mb(meminfo: str) -> int | None:
    found = re.search(r"MemTotal:\s*(\d+) kB", meminfo)
    return round(int(found[1]) / 1024) if found else None


def _system(release: str) -> str | None:
    found = re.search(r'(?m)^PRETTY_NAME="?([^"\n]*)"?$', release)
    return found[1] if found else None


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of unknown version"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n") or None
    except OSError:
        return None
