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
from edge_ecg.manifest import load_any
from edge_ecg.rhythm_manifest import RhythmManifest
from edge_ecg.sources.virtual import EXCERPT


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two people, who are the excerpt, and the curves that ship, measured as for the page."""
    folder = tmp_path_factory.mktemp("new_patient")
    people = folder / "people"
    people.mkdir()
    header = EXCERPT.with_suffix(".hea").read_text(encoding="utf-8")
    for name in ("202", "999"):
        for suffix in (".dat", ".atr"):
            shutil.copy(EXCERPT.with_suffix(suffix), people / f"{name}{suffix}")
        (people / f"{name}.hea").write_text(header.replace("mitdb_223", name), encoding="utf-8")
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
    gross = results["ds2"]["classification_without_paced"]["gross"]
    cells = f"{100 * gross['accuracy']:.1f} | {100 * gross['s_se']:.1f} | {100 * gross['s_ppv']:.1f}"
    # Both are the same recording: without one of them, every rate stays.
    for what in ("all beats", "all beats, without 202"):
        assert f"| {what} | detected | {cells}" in page
    assert "| 202 | 500 |" in page
    assert "| 999 | 500 |" in page
    assert "| 2026-01-02 03:04 | a look | 2 | - |" in page
    (row,) = new_patient.readme_rows(results)
    assert f"accuracy {gross['accuracy']:.4f}" in row
    assert "2 people" in row


def test_both_pictures_are_drawn(measured: Path) -> None:
    for name in PLOTS:
        assert (measured / name).read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    told = CliRunner().invoke(new_patient.main, ["rhythm", "--run", str(tmp_path), "--out", str(tmp_path / "out")])
    assert told.exit_code == 1
    assert "curves.json" in str(told.exception)
