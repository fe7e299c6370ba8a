"""The same labels from another Python and from the other interpreter, each in an environment of its own.

They install the runtime from the package index, so they are the slowest tests of the suite.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEGACY = ["numpy<2", "tflite-runtime==2.14.0", "pyserial==3.5", "click", "dacite", "platformdirs"]


def call(command: list[str], cwd: Path, python_path: str = "") -> str:
    """Run a command away from the checkout and return what it prints."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("EDGE_ECG", "PYTHON"))}
    if python_path:
        env["PYTHONPATH"] = python_path
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    return done.stdout


def candidates(version: str) -> Iterator[str]:
    """Yield interpreters that may be of a version: on the path, and of pyenv."""
    found = shutil.which(f"python{version}")
    if found:
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from map(str, sorted(pyenv.glob(f"{version}*/bin/python{version}")))


def find_python(version: str) -> str | None:
    """Return an interpreter that runs and is of a version (a shim of pyenv may be there and not run)."""
    for path in candidates(version):
        code = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return path
    return None


def environment(python: str, place: Path, *requirements: str) -> str:
    """Make a virtual environment with some packages and return its interpreter."""
    call([python, "-m", "venv", str(place)], place.parent)
    inner = str(place / "bin" / "python")
    call([inner, "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements], place.parent)
    return inner


def beats(printed: str) -> list[tuple[int, str]]:
    """Return sample and label of every beat among JSON lines."""
    events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return [(event["sample"], event["label"]) for event in events if event["type"] == "beat"]


@pytest.fixture(scope="module")
def excerpt() -> str:
    """Name a shipped recording, by path and without suffix."""
    headers = sorted((ROOT / "edge_ecg" / "excerpts").glob("*.hea"))
    assert headers, "no recording is shipped in edge_ecg/excerpts"
    return str(headers[0].with_suffix(""))


@pytest.fixture(scope="module")
def expected(excerpt: str, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str]]:
    """Label the shipped recording with the interpreter that runs the tests."""
    command = [sys.executable, "-m", "edge_ecg.cli.main", "replay", excerpt, "--jsonl", "-"]
    found = beats(call(command, tmp_path_factory.mktemp("here"), str(ROOT)))
    assert len(found) > 10
    return found


def test_python_3_13_gives_the_same_labels(
    expected: list[tuple[int, str]], excerpt: str, tmp_path: Path, missing: Callable[[str], None]
) -> None:
    python = find_python("3.13")
    if python is None:
        missing("no Python 3.13 here")
        return
    inner = environment(python, tmp_path / "venv", str(ROOT))
    edge_ecg = str(Path(inner).with_name("edge-ecg"))
    assert beats(call([edge_ecg, "replay", excerpt, "--jsonl", "-"], tmp_path)) == expected


def test_tflite_runtime_gives_the_same_labels_and_takes_every_model(
    expected: list[tuple[int, str]], excerpt: str, tmp_path: Path, missing: Callable[[str], None]
) -> None:
    python = find_python("3.11")
    if python is None:
        missing("no Python 3.11 here, the last that tflite-runtime exists for")
        return
    inner = environment(python, tmp_path / "venv", *LEGACY)
    absent = "import importlib.util as u; print(u.find_spec('ai_edge_litert'))"
    assert call([inner, "-c", absent], tmp_path).strip() == "None"
    edge_ecg = [inner, "-m", "edge_ecg.cli.main"]
    assert beats(call([*edge_ecg, "replay", excerpt, "--jsonl", "-"], tmp_path, str(ROOT))) == expected
    assert "broken" not in call([*edge_ecg, "models", "verify"], tmp_path, str(ROOT))
