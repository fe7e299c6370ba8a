"""The whole database, built once a session."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_ecg.dsp.preprocess import PreprocessParams
from train.window_set import WindowSet
from train.windows import build_mitdb


@pytest.fixture(scope="session")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    # The workers of one session (pytest -n) share it.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "runs"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def mitdb_windows(data_dir: Path, runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], WindowSet]:
    """Call for the beats of the MIT-BIH Arrhythmia Database; kept in a runs directory of the session."""
    monkeypatch.setenv("EDGE_ECG_RUNS", str(runs_dir))

    def windows() -> WindowSet:
        with (runs_dir / "lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            return build_mitdb(PreprocessParams(), data_dir)

    return windows
