"""What must not be loaded: start-up time and memory on a small board depend on it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "scipy",
    "ai_edge_litert",
    "tflite_runtime",
    "tensorflow",
    "tf_keras",
    "pandas",
    "matplotlib",
    "wfdb",
}
WORKBENCH = {"train", "quantize", "benchmarks"}


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after running some code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stderr.splitlines()[-1])
    return {name.partition(".")[0] for name in modules}


def test_import_edge_ecg_loads_numpy_at_most() -> None:
    assert not loaded_by("import edge_ecg") & (
        HEAVY | WORKBENCH | {"click", "serial", "dacite", "platformdirs"}
    )


def test_import_firmware_bridge_loads_nothing_of_edge_ecg() -> None:
    assert not loaded_by("import firmware_bridge.blocks") & (HEAVY | WORKBENCH | {"click", "edge_ecg"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_loads_no_command(arguments: list[str]) -> None:
    loaded = loaded_by(f"from edge_ecg.cli.main import run\nassert run({arguments!r}) == 0")
    assert not loaded & (HEAVY | WORKBENCH | {"numpy", "serial", "dacite", "platformdirs"})


def test_settings_load_no_numpy() -> None:
    loaded = loaded_by("from edge_ecg.cli.main import run\nassert run(['config', 'example']) == 0")
    assert not loaded & (HEAVY | WORKBENCH | {"numpy", "serial"})
