"""`edge-ecg demo`: bytes to labels without hardware, and how they compare with the experts'."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from edge_ecg.cli.main import run


def test_the_demo_labels_compares_and_says_what_it_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--speed", "1e5"]) == 0
    captured = capsys.readouterr()
    out = captured.out
    assert captured.err == ""
    assert out.startswith("Research software, not a medical device.\n")
    assert "link connected: virtual board (mitdb_223)" in out
    assert "summary   330 s of ECG" in out
    assert "500 annotated: 500 found, 0 missed, 0 extra" in out
    agreed = re.search(r"labels    (\d+) of 500 agree", out)
    assert agreed
    assert int(agreed[1]) > 450
    assert re.search(r"delay     R peak to label: p50 \d+ ms, p99 \d+ ms", out)
    assert re.search(r"link      \d+ bytes, \d+ frames, 0 bad frames, 118800 samples, 0 lost, 0 overruns", out)
    assert "took part in training" in out
    assert re.search(r"next      edge-ecg run --port", out)
    beats = [line for line in out.splitlines() if re.match(r" +\d+:\d\d\.\d\d  [NSVFQ] ", line)]
    assert len(beats) == 500


def test_ctrl_c_ends_the_demo_with_the_summary_of_what_was_heard() -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "edge_ecg.cli.main", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        head = [process.stdout.readline() for _ in range(10)]
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate()
    assert process.returncode == 0
    assert err == ""
    out = "".join(head) + rest
    assert "summary   stopped after " in out
    found = re.search(r"beats     (\d+) annotated: (\d+) found, (\d+) missed", out)
    assert found
    assert 5 < int(found[1]) < 400, "beats that were not heard do not count"
    assert int(found[3]) <= 1
    assert "edge-ecg run --port" in out


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "fast", "1e9", "1e-7"])
def test_a_speed_that_is_none(capsys: pytest.CaptureFixture[str], speed: str) -> None:
    assert run(["demo", "--speed", speed]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("edge-ecg: ")
    assert len(captured.err.splitlines()) == 1


def test_an_unknown_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--model", "nope"]) == 3
    assert "edge-ecg: no model 'nope'" in capsys.readouterr().err
