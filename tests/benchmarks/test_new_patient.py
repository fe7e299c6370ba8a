"""The page of the rhythm model: from an evaluation's own JSON and a training's own curves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import new_patient
from benchmarks.new_patient_plots import PLOTS
from edge_ecg.io import read_annotations, write_annotations
from edge_ecg.io.annotations import Annotations
from edge_ecg.manifest import load_any
from edge_ecg.rhythm_manifest import RhythmManifest
from edge_ecg.sources.virtual import EXCERPT

RATES = ("accuracy", "s_se", "s_ppv", "v_se", "v_ppv")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two people, who are the excerpt, the second with V where it has N; measured as for the page."""
    folder = tmp_path_factory.mktemp("new_patient")
    people = folder / "people"
    people.mkdir()
    header = EXCERPT.with_suffix(".hea").read_text(encoding="utf-8")
    for name in ("202", "999"):
        for suffix in (".dat", ".atr"):
            shutil.copy(EXCERPT.with_suffix(suffix), people / f"{name}{suffix}")
        (people / f"{name}.hea").write_text(header.replace("mitdb_223", name), encoding="utf-8")
    notes = read_annotations(EXCERPT)
    symbols = ["V" if symbol == "N" else symbol for symbol in notes.symbol]
    write_annotations(people / "202.atr", Annotations.of(notes.sample.tolist(), symbols, fs_hz=360.0))
    (folder / "run").mkdir()
    shutil.copy(new_patient.RESULTS / new_patient.CURVES, folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_ECG_LOOKS", str(folder / "looks.jsonl"))
        patch.setenv("EDGE_ECG_RUNS", str(folder / "runs"))
        patch.setattr(new_patient, "RUNS", {"ds2": ("--records", str(people), "--class-map", "aami5", "--start", "0")})
        told = CliRunner().invoke(
            new_patient.main,
            ["rhythm", "--run", str(folder / "run"), "--out", str(folder / "out"), "--pictures", str(folder)],
        )
        assert told.exit_code == 0, told.output
        yield folder


def results_of(measured: Path) -> dict[str, Any]:
    return {"ds2": json.loads((measured / "out" / "ds2.json").read_text(encoding="utf-8"))}


def manifest() -> RhythmManifest:
    m = load_any("rhythm").manifest
    assert isinstance(m, RhythmManifest)
    return m


def test_the_page_tells_all_beats_each_person_and_who_was_left_out(measured: Path) -> None:
    results = results_of(measured)
    looks = [{"date_utc": "2026-01-02T03:04:05", "what": "a look", "people": ["1", "2"], "commit": None}]
    page = new_patient.page(manifest(), results, looks)
    told = []
    for key, r in (("classification_at_annotated_r", "annotated"), ("classification_without_paced", "detected")):
        report = results["ds2"][key]
        other = next(row for row in report["records"] if row["record"] == "999")
        for what, figures in (
            ("all beats", report["gross"]), ("all beats, without 202", other),
            ("mean of records", report["average"]), ("median of records", report["median"]),
        ):  # fmt: skip
            told.append(" | ".join(f"{100 * figures[rate]:.1f}" for rate in RATES))
            assert f"| {what} | {r} | {told[-1]} |" in page
    assert told[0] != told[1]
    assert told[4] != told[5]
    assert "| 202 | 500 |" in page
    assert "| 999 | 500 |" in page
    assert "| 2026-01-02 03:04 | a look | 2 | - |" in page
    (row,) = new_patient.readme_rows(results)
    gross, median = (results["ds2"]["classification_without_paced"][of] for of in ("gross", "median"))
    for label in ("s", "v"):
        se, ppv, *medians = (100 * of[f"{label}_{rate}"] for of in (gross, median) for rate in ("se", "ppv"))
        in_the_middle = f"(median record {medians[0]:.1f} / {medians[1]:.1f} %)"
        assert f"{label.upper()} Se {se:.1f} %, +P {ppv:.1f} % {in_the_middle}" in row
    assert f"accuracy {100 * gross['accuracy']:.1f} %" in row
    assert "2 people" in row


def test_both_pictures_are_drawn(measured: Path) -> None:
    for name in PLOTS:
        assert (measured / name).read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    told = CliRunner().invoke(new_patient.main, ["rhythm", "--run", str(tmp_path), "--out", str(tmp_path / "out")])
    assert told.exit_code == 1
    assert "curves.json" in str(told.exception)
