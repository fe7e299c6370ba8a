"""What a running systemd says of the service."""

from __future__ import annotations

import subprocess
from pathlib import Path

from edge_ecg.service import NAME

__all__ = ["is_running", "service_properties"]

RUNS = Path("/run/systemd/system")
SHOWN = ("LoadState", "UnitFileState", "ActiveState", "SubState", "Result", "NRestarts", "StatusText")


def is_running() -> bool:
    """Whether this machine was booted by systemd: a container may have its commands, but not itself."""
    return RUNS.is_dir()


def service_properties() -> dict[str, str]:
    """The properties of the service by name (``ActiveState``, ``StatusText``, ...); empty where they cannot be had."""
    words = ["systemctl", "show", f"{NAME}.service", f"--property={','.join(SHOWN)}"]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
