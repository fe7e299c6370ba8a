"""docs/faults.md: each kind of fault has an example, and each example is a board that can be labelled."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from edge_ecg.cli.main import run
from edge_ecg.io import read_record, write_record
from edge_ecg.sources.virtual import EXCERPT
from firmware_bridge.faults import FaultPlan

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "faults.md").read_text(encoding="utf-8")
EXAMPLES = {
    kind: "".join(f"{line}\n" for line in re.findall(r"`([^`]+)`", example))
    for kind, example in re.findall(r"^\| ([^|]+) \| (`[^|]+`) \|", PAGE, re.MULTILINE)
}


def test_every_setting_of_a_plan_has_an_example() -> None:
    shown = {line.split(" = ")[0] for example in EXAMPLES.values() for line in example.splitlines()}
    assert shown == {item.name for item in fields(FaultPlan)}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_example_is_a_board_that_can_be_labelled(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_ECG__LINK__WAIT_S", "0.5")  # the fault may take what the board says at its end
    (tmp_path / "bad.toml").write_text(EXAMPLES[kind])
    write_record(tmp_path / "minute", read_record(EXCERPT).counts[:21_600] - 1024, 360.0, ["MLII", "V1"])
    link, labels = str(tmp_path / "board"), tmp_path / "beats.jsonl"
    flags = ["--record", "minute", "--speed", "100", "--faults", "bad.toml", "--pty-link", link]
    with subprocess.Popen(
        [sys.executable, "-m", "edge_ecg.cli.main", "simulate", *flags],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as board:
        assert board.stdout is not None
        assert board.stdout.readline() == f"{link}\n"
        assert run(["run", "--port", link, "--jsonl", str(labels)]) in (0, 4)
        board.send_signal(signal.SIGINT)
        told = board.communicate()[1]
    assert board.returncode == 0
    for line in EXAMPLES[kind].splitlines():
        assert line.split(" = ")[0] in told
    assert labels.read_text().count('"type":"beat"') > 60
