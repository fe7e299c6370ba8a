"""`edge-ecg convert` with a change before it and files for other hardware: from the command line to the bundle."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest
from excerpts import copy_excerpt

from edge_ecg.cli.main import run
from edge_ecg.infer.edgetpu import FILE_NAME
from edge_ecg.manifest import load_bundle
from train.models import baseline
from train.run import read_run

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
    pytest.mark.usefixtures("timed_briefly"),
]

TOML = """\
label_set = "aami5"
lead = "MLII"

[class_map]
N = "N"
V = "V"

[patients]
rec = 1
"""
COMPILER = """\
#!/bin/sh
if [ "$1" = --version ]; then echo "Edge TPU Compiler version 16.0"; exit 0; fi
for last; do :; done
out=.
while [ $# -gt 0 ]; do [ "$1" = --out_dir ] || [ "$1" = -o ] && out=$2; shift; done
name=$(basename "$last" .tflite)
{ cat "$last"; printf edgetpu-custom-op; } > "$out/${name}_edgetpu.tflite"
"""


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run of one epoch on the shipped excerpt, whose name it gives."""
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("EDGE_ECG_LOOKS", str(tmp_path / "looks.jsonl"))
    monkeypatch.chdir(tmp_path)
    copy_excerpt(tmp_path / "mine", "rec")
    (tmp_path / "mine" / "dataset.toml").write_text(TOML)
    recipe = tmp_path / "quick.toml"
    recipe.write_text("epochs = 1\naverage_decay = 0.5\n[augment]\nwander = 0.0\nmuscle = 0.0\n")
    few = baseline.Config(pairs=((4, 5, 0.1), (32, 3, 0.1)), dense=(8,))
    monkeypatch.setattr(baseline.build, "__defaults__", (few,))
    what = ["--network", "baseline", "--data", "mine", "--config", str(recipe), "--out", "runs/small"]
    assert run(["train", *what]) == 0
    return "small"


def test_everything_at_once(trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "edgetpu_compiler").write_text(COMPILER)
    (tools / "edgetpu_compiler").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    wish = ["--int8", "--prune", "0.5", "--structured", "--epochs", "2", "--edgetpu", "--mcu", "--force"]
    assert run(["convert", trained, *wish]) == 0
    said = capsys.readouterr().out
    bundle = load_bundle(tmp_path / "mine-baseline-filters-removed-0.5-int8")
    m = bundle.manifest
    assert m.changes == ("filters removed 0.5",)
    assert m.n_parameters < read_run(tmp_path / "runs" / trained).n_parameters
    assert "--prune 0.5 --structured --epochs 2" in m.commands[-1]
    assert m.edgetpu is not None
    assert (bundle.folder / FILE_NAME).stat().st_size == m.edgetpu.bytes
    assert m.edgetpu.compiler == "16.0"
    assert {"edgetpu.md", "mcu"} <= {p.name for p in bundle.folder.iterdir()}
    assert f"{m.id}.h" in {p.name for p in (bundle.folder / "mcu").iterdir()}
    assert "operators are on Google's list" in said
    assert "TensorFlow Lite Micro" in said
    page = (bundle.folder / "report.html").read_text()
    assert re.search(r"conv\w*</td><td>\d+</td><td>\d+</td>", page), "filters before and after"
    assert "filters-0.5-step2of2" in page
    assert run(["models", "verify", str(bundle.folder)]) == 0
    # What was fine-tuned once is not fine-tuned again.
    assert run(["convert", trained, "--float32", "--prune", "0.5", "--structured", "--epochs", "2", "--force"]) == 0
    assert "done before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (["--float32", "--mcu"], "--mcu means nothing with --float32"),
        (["--float16", "--edgetpu"], "--edgetpu means nothing with --float16"),
        (["--float32", "--qat"], "--qat learns the rounding of int8, not of float32"),
        (["--int8", "--structured"], "Add --prune 0.5"),
        (["--int8", "--prune", "1.5"], "between 0 and 1"),
        (["--int8", "--epochs", "3"], "mean nothing without a change"),
    ],
)
def test_wishes_that_make_no_sense_are_told_before_the_work(wish: list[str], told: str, capsys) -> None:
    assert run(["convert", "no-such-run", *wish]) != 0
    assert told in capsys.readouterr().err


def test_a_bundle_in_place_of_a_run_is_told_how_it_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", "--int8", "mitdb-baseline-int8"]) == 2
    error = capsys.readouterr().err
    assert "is a bundle already" in error
    assert (
        "edge-ecg train --network baseline --data mitdb --split random --start mitdb-baseline-int8 --epochs 0" in error
    )
    assert run(["convert", "--int8", "no-such-thing"]) == 5
    assert "no run 'no-such-thing'" in capsys.readouterr().err
