"""The tables in the documents come from the manifests and from what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from training_files import evaluated, write

from benchmarks.tables import ROOT, main, readme_table, replaced, tables
from edge_ecg.errors import ModelError
from edge_ecg.manifest import ClassMetrics, Metrics, ModelManifest, PatientMetrics, load_bundle, shipped_ids
from edge_ecg.schema import decode

PAGES = ("README.md", "docs/results.md", "docs/new-patient.md", "docs/benchmarks.md")


@pytest.mark.parametrize("name", PAGES)
def test_no_table_is_stale(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert replaced(text, tables()[ROOT / name]) == text, "run `python -m benchmarks.tables`"


def checked(root: Path, *args: str) -> Any:
    return CliRunner().invoke(main, ["--root", str(root), "--results", str(root / "results"), *args])


def test_a_new_measurement_makes_the_page_stale_until_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in PAGES:
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    files = tmp_path / "results" / "training"
    write(files, "mitdb-baseline-inter-seed1", evaluated("inter"))
    assert checked(tmp_path).exit_code == 0
    assert checked(tmp_path, "--check").exit_code == 0
    page = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert page.startswith((ROOT / "docs" / "results.md").read_text(encoding="utf-8").partition("<!-- gen")[0])
    assert "## New patients, by class and record" in page

    table = evaluated("inter") | {"accuracy": 0.4321}
    write(files, "mitdb-baseline-inter-seed1", table)
    said = checked(tmp_path, "--check")
    assert (said.exit_code, said.output) == (1, "stale: docs/results.md\n")
    assert checked(tmp_path).exit_code == 0
    assert "0.4321" in (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert checked(tmp_path, "--check").exit_code == 0


def test_figures_of_a_model_that_does_not_ship_are_told(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in PAGES:
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    shipped, gone = shipped_ids("network")[0], "mitdb-gone-int8"
    bundle = load_bundle(shipped).manifest
    of_bundle = evaluated("random", n_bytes=bundle.bytes, precision="int8")
    for name, sha256 in ((shipped, bundle.sha256), (gone, "0")):
        write(
            tmp_path / "results" / "training", name, of_bundle | {"models": [{"name": name, "weights_sha256": sha256}]}
        )
    assert checked(tmp_path).exit_code == 0
    said = checked(tmp_path, "--check")
    assert said.exit_code == 1
    assert f"not of the models that ship: {gone};" in said.output


def test_every_result_is_of_a_model_that_ships() -> None:
    said = CliRunner().invoke(main, ["--check"])
    assert (said.exit_code, said.output) == (0, "all tables are fresh\n")


def test_figures_of_another_rhythm_model_are_told(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in PAGES:
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    results = tmp_path / "results" / "new_patient"
    results.mkdir(parents=True)
    measured = json.loads((ROOT / "benchmarks" / "results" / "new_patient" / "svdb.json").read_text(encoding="utf-8"))
    (results / "svdb.json").write_text(json.dumps(measured | {"model_sha256": "0"}), encoding="utf-8")
    assert checked(tmp_path).exit_code == 0
    said = checked(tmp_path, "--check")
    assert said.exit_code == 1
    assert "not of the models that ship: new_patient/svdb;" in said.output


def manifest(**changes: Any) -> ModelManifest:
    """A bundle that ships, changed."""
    file = ROOT / "edge_ecg" / "models" / "mitdb-baseline-int8" / "manifest.json"
    read = json.loads(file.read_text(encoding="utf-8"))
    return replace(decode(ModelManifest, read, where=str(file), error=ModelError), **changes)


def test_the_first_screen_has_a_row_for_each_data_set_and_one_for_new_patients() -> None:
    five = manifest(network="residual", split="random", precision="int8")
    other = five.metrics_of_other_splits
    two = Metrics(
        10, 0.875, 0.8, {"normal": ClassMetrics(2, 1, 1, 1), "abnormal": ClassMetrics(8, 1, 1, 1)}, (), 0.9375
    )
    whole = {"patient": replace(two, accuracy=0.75, per_patient=PatientMetrics(5, 0.8125, 0.8))}
    binary = replace(five, dataset="ptb", label_set="binary", lead="I", metrics=two, metrics_of_other_splits=whole)
    deep = replace(five, network="deep_residual", bytes=2_150_000, metrics=replace(five.metrics, accuracy=0.99125))
    bare = replace(five, network="baseline", metrics_of_other_splits={})
    left_out = [replace(five, precision="float32"), replace(five, split="inter"), replace(five, bench_only=True)]
    rows = readme_table([binary, deep, five, bare, *left_out], []).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [
        f"| mitdb: baseline / residual / deep residual ({bare.bytes / 1000:.0f} / {five.bytes / 1000:.0f} / 2,150 KB)",
        *["| the same recipes on new patients (residual / deep residual)"] * len(other),
        f"| ptb: residual ({five.bytes / 1000:.0f} KB)",
        "| the same recipes on new patients",
    ]
    assert f"accuracy {bare.metrics.accuracy:.4f} / {five.metrics.accuracy:.4f} / 0.9912, macro F1" in rows[0]
    assert "**patients on both sides**" in rows[0]
    assert "accuracy 0.8750, AUC 0.9375" in rows[-2]
    # Eight of ten beats are of one class: without that a figure says nothing.
    assert "accuracy 0.7500, AUC 0.9375 (always the larger class: 0.8000); per patient 0.8125" in rows[-1]


def test_a_pruned_network_has_its_place_on_the_first_screen_beside_its_own() -> None:
    own = manifest()
    pruned = replace(own, id="mitdb-baseline-a", bytes=90_000, changes=("filters removed 0.48", "qat"))
    tiny = replace(own, id="mitdb-a", network="tiny", bytes=30_600, metrics_of_other_splits={})
    rows = readme_table([tiny, pruned, own], []).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [
        f"| mitdb: baseline ({own.bytes / 1000:.0f} KB)",
        "| the same recipes on new patients",
        "| mitdb, smaller: baseline pruned qat / tiny (90 / 31 KB)",
    ]


def test_no_picture_of_a_benchmark_is_stale() -> None:
    drawn = {file: text for file, text in tables().items() if file.suffix == ".svg"}
    assert drawn
    assert {file: file.read_text(encoding="utf-8") for file in drawn} == drawn, "run `python -m benchmarks.tables`"
