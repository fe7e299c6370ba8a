"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("edge-ecg", deadline=None)
settings.load_profile("edge-ecg")

# A runner in the background may have been told to ignore Ctrl-C, and all that it starts would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def missing(reason: str) -> None:
    """Skip for something this machine lacks; fail instead where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (a skip is a failure with CI=true)")
    pytest.skip(reason)


@pytest.fixture(name="missing", scope="session")
def missing_fixture() -> Callable[[str], None]:
    """Hand `missing` to tests, which cannot import this file."""
    return missing


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The directory that holds the full databases (`EDGE_ECG_DATA`)."""
    root = os.environ.get("EDGE_ECG_DATA")
    if not root or not (Path(root) / "mitdb" / "RECORDS").exists():
        missing("the full databases are not here: set EDGE_ECG_DATA or run `edge-ecg data fetch mitdb`")
    return Path(str(root)).resolve()


@pytest.fixture(autouse=True)
def no_trace_in_the_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What commands remember from run to run is not the user's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture
def timed_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle's model is timed with 50 beats, instead of the 3 s that `convert` takes for it."""
    from quantize import bundle, measure

    monkeypatch.setattr(measure, "_MORE_S", 0.0)
    monkeypatch.setattr(bundle, "measure", partial(measure.measure, n=50))


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread of ours running."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and t.name.startswith("edge-ecg")]
    assert not left, f"threads left running: {left}"
