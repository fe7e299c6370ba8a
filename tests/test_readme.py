"""What the README shows is what happens."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_ecg.cli.main import run
from edge_ecg.sources.virtual import EXCERPT

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The first fenced block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found, f"README.md shows no {language} block"
    return found[1]


def test_the_python_example_labels_the_excerpt() -> None:
    code = block("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 14
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    labels = [line.split()[2] for line in done.stdout.splitlines()]
    assert len(labels) >= 490
    assert {"N", "S", "V"} <= set(labels)


def test_the_json_line_has_the_fields_of_a_real_one(capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(block("json"))
    assert run(["replay", str(EXCERPT), "--jsonl", "-"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    real = next(e for e in lines if e["type"] == "beat" and e["sample"] == shown["sample"])
    assert list(shown) == list(real)
    stable = ("stream", "sample", "t_s", "label", "model", "rr_s", "hr_bpm", "flags")
    assert {k: shown[k] for k in stable} == {k: real[k] for k in stable}


def test_the_first_screen_has_the_two_commands_a_picture_and_the_results() -> None:
    head = README[: README.index("## Use it")]
    for part in ("make demo", "make test", "not a medical device", "docs/strip.png", "| accuracy"):
        assert part in head


def test_what_the_documents_link_to_is_there() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[)#]", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
