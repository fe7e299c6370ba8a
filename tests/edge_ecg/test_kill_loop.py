"""A recorder that is killed at random moments; the long form is `make kill-loop`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIMES = 20


def test_a_recorder_that_is_killed_loses_next_to_nothing(tmp_path: Path) -> None:
    arguments = ["--times", str(TIMES), "--longest", "0.5", "--seed", "1", "--folder", str(tmp_path)]
    loop = [sys.executable, "-m", "benchmarks.kill_loop", *arguments]
    done = subprocess.run(loop, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.match(r"(\d+) kills, (\d+) before there was a record: (\d+) records, (\d+) samples", done.stdout)
    assert found, done.stdout
    kills, unborn, records, samples = map(int, found.groups())
    assert kills == TIMES
    assert 0 < records == TIMES - unborn
    assert samples > 1000 * records


def test_any_command_that_records_can_be_put_in_its_place(tmp_path: Path) -> None:
    code = "import benchmarks.kill_loop as k, sys, pathlib; k._record(pathlib.Path(sys.argv[1]))"
    command = f"{sys.executable} -c '{code}' {{folder}}"
    arguments = ["--times", "2", "--longest", "3", "--seed", "7", "--folder", str(tmp_path), "--command", command]
    loop = [sys.executable, "-m", "benchmarks.kill_loop", *arguments]
    done = subprocess.run(loop, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"2 kills, \d before", done.stdout)
