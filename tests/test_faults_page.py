"""docs/faults.md: each kind of fault has an example, and `edge-ecg run` says of it what the page says that it does."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from edge_ecg.cli.main import run
from edge_ecg.io import read_record
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from firmware_bridge.faults import FaultPlan, FaultyBoard
from firmware_bridge.simulator import PtyBoard, VirtualBoard

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "faults.md").read_text(encoding="utf-8")
EXAMPLES = {
    kind: "".join(f"{line}\n" for line in re.findall(r"`([^`]+)`", example))
    for kind, example in re.findall(r"^\| ([^|]+) \| (`[^|]+`) \|", PAGE, re.MULTILINE)
}
N = 10_800
"""Samples that are played: half a minute of the excerpt."""
PULLED_SPEED = 12.0
"""So that a cable is pulled before the record ends."""
FRAME = 14
"""Samples of one."""


@dataclass(frozen=True)
class Told:
    """What `run` says of a board.

    ``gaps`` are lengths in samples; ``bad`` frames, samples ``received`` and ``lost`` are those of its last line.
    """

    gaps: list[int]
    link: list[str]
    bad: int
    received: int
    lost: int
    last_line: str
    n_beats: int


class PulledOnce(FaultyBoard):
    """Once the cable is in again it stays there, so that the record comes to its end."""

    _was_out = _is_back = False

    def is_plugged(self, now_s: float) -> bool:
        if not self._is_back:
            plugged = super().is_plugged(now_s)
            self._is_back = plugged and self._was_out
            self._was_out |= not plugged
            return plugged
        return True


def plan_of(kind: str) -> FaultPlan:
    """An example, its seconds a tenth as long; stalls and bursts are so rare that half a minute may have none."""
    plan = FaultPlan(**tomllib.loads(EXAMPLES[kind]))
    seconds = [item.name for item in fields(plan) if item.name.endswith("_s")]
    rare = {"stall": 10.0 * plan.stall, "burst": 10.0 * plan.burst}
    return replace(plan, **rare, **{name: getattr(plan, name) / 10.0 for name in seconds})


@pytest.fixture(name="told")
def told_fixture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[FaultPlan], Told]:
    monkeypatch.setattr("firmware_bridge.lasting.STALLED_S", 0.1)
    monkeypatch.setattr("firmware_bridge.clock.BUCKET_S", 0.02)
    monkeypatch.setattr("firmware_bridge.clock.LEAST_S", 0.1)

    def told(plan: FaultPlan) -> Told:
        info, counts = board_of_record(EXCERPT, None).info, read_record(EXCERPT).counts[:N] - 1024
        speed, wait_s = (PULLED_SPEED, "5") if plan.disconnect_every_s else (100.0, "0.5")
        # The fault may take what the board says at its end.
        monkeypatch.setenv("EDGE_ECG__LINK__WAIT_S", wait_s)
        board = VirtualBoard(info, counts, speed, drift_ppm=plan.drift_ppm, first_sample=plan.first_sample)
        link = str(tmp_path / "board")
        with PtyBoard(PulledOnce(board, plan), link):
            assert run(["run", "--port", link, "--jsonl", "-"]) in (0, 4)
        out, err = capsys.readouterr()
        rows: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
        line = next(line for line in err.splitlines() if line.startswith("link "))
        bad, received, lost = (
            int(n) for n in re.search(r"(\d+) bad frames, (\d+) samples, (\d+) lost", line).groups()  # type: ignore[union-attr]
        )  # fmt: skip
        return Told(
            [row["lost_samples"] for row in rows if row["type"] == "gap"],
            [row["state"] for row in rows if row["type"] == "link"],
            bad, received, lost, line, sum(row["type"] == "beat" for row in rows),
        )  # fmt: skip

    return told


WHAT_RUN_SAYS: dict[str, Callable[[Told], bool]] = {
    "frames dropped": lambda t: 0 < sum(t.gaps) == t.lost and t.received + t.lost == N and not t.bad,
    "in bursts": lambda t: max(t.gaps) >= 50 * FRAME and len(t.gaps) <= N / (50 * FRAME) and not t.bad,
    "bits flipped": lambda t: t.bad > 0 and 0 < sum(t.gaps) == t.lost,
    "frames cut short": lambda t: t.bad > 0 and 0 < sum(t.gaps) == t.lost,
    "frames twice": lambda t: t.bad > 0 and not t.gaps and (t.received, t.lost) == (N, 0),
    "frames out of order": lambda t: t.bad > 0 and 0 < sum(t.gaps) == t.lost,
    "garbage": lambda t: t.bad > 0 and t.received + t.lost == N,
    "a boot loader's text": lambda t: not t.bad and not t.gaps and (t.received, t.lost) == (N, 0),
    "stalls": lambda t: "stalled" in t.link and not t.gaps and (t.received, t.lost) == (N, 0),
    "cable pulled": lambda t: t.link[1:3] == ["lost", "back"] and max(t.gaps) > 0.2 * PULLED_SPEED * 360,
    "supply gone with it": lambda t: t.link[1:3] == ["lost", "back"] and max(t.gaps) > 0.2 * PULLED_SPEED * 360,
    "a clock that is off": lambda t: re.search(r"clock [+-]\d+ ppm", t.last_line) is not None and not t.gaps,
    "a counter at its end": lambda t: not t.bad and not t.gaps and (t.received, t.lost) == (N, 0),
    "other chances": lambda t: 0 < sum(t.gaps) == t.lost,
}


def test_every_setting_of_a_plan_has_an_example_and_every_example_is_tried() -> None:
    shown = {line.split(" = ")[0] for example in EXAMPLES.values() for line in example.splitlines()}
    assert shown == {item.name for item in fields(FaultPlan)}
    assert WHAT_RUN_SAYS.keys() == EXAMPLES.keys()


def test_a_file_with_every_setting_is_played_and_told(tmp_path: Path) -> None:
    settings = {line.split(" = ")[0]: line for example in EXAMPLES.values() for line in example.splitlines()}
    (tmp_path / "bad.toml").write_text("".join(f"{line}\n" for line in settings.values()))
    with subprocess.Popen(
        [sys.executable, "-m", "edge_ecg.cli.main", "simulate", "--faults", "bad.toml", "--pty-link", "board"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as board:  # fmt: skip
        assert board.stdout is not None
        assert board.stdout.readline() == "board\n"
        board.send_signal(signal.SIGINT)
        told = board.communicate()[1]
    assert board.returncode == 0
    (plan,) = [line for line in told.splitlines() if line.startswith("faults: ")]
    assert [name for name in settings if f"{name} " not in plan] == []


@pytest.mark.parametrize("kind", EXAMPLES)
def test_of_an_example_is_said_what_the_page_says(kind: str, told: Callable[[FaultPlan], Told]) -> None:
    said = told(plan_of(kind))
    assert WHAT_RUN_SAYS[kind](said), said
    assert said.n_beats > 10


def test_another_seed_strikes_other_frames(told: Callable[[FaultPlan], Told]) -> None:
    plan = plan_of("other chances")
    same, again, other = told(plan), told(plan), told(replace(plan, seed=0))
    assert same.gaps == again.gaps != other.gaps
