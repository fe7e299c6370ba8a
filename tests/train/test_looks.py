"""Test people, and the list of looks at them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_ecg.errors import DataError
from train.looks import append_look, looks_file
from train.people import MITDB_TEST, SVDB_TEST, is_test_person, only_test_people
from train.splits import DS1, DS2


def test_who_is_for_the_report_only() -> None:
    assert {*DS2, 102, 104} == MITDB_TEST
    assert not MITDB_TEST & {*DS1, 107, 217}
    assert only_test_people("mitdb", ["100", "101", 102, "107"]) == ["100", "102"]
    assert only_test_people("svdb", ["800", "807", "100"]) == ["807"]
    # The same people under three names of what was recorded of them; 0 is nobody known.
    for name in ("ecgdb_lead1", "ptb", "ptbdb"):
        assert only_test_people(name, [*range(9), 104]) == ["4", "8", "104"]
    assert not is_test_person("cudb", "100")
    assert not is_test_person("mitdb", "x_100")


def test_every_fifth_of_svdb(data_dir: Path) -> None:
    index = data_dir / "svdb" / "RECORDS"
    if not index.exists():
        pytest.skip("no svdb here")
    assert {int(name) for name in index.read_text().split()[4::5]} == SVDB_TEST


def test_looks_are_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "looks.jsonl"
    monkeypatch.setenv("EDGE_ECG_LOOKS", str(file))
    append_look("detector", ["100", "103"], {"f1": 0.999}, "edge-ecg evaluate")
    append_look("again", [], {}, "")
    first, second = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    assert first["people"] == ["100", "103"]
    assert first["figures"] == {"f1": 0.999}
    assert first["command"] == "edge-ecg evaluate"
    assert first["date_utc"].endswith("+00:00")
    assert second["what"] == "again"


def test_a_look_that_cannot_be_kept_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_LOOKS", str(tmp_path / "absent" / "looks.jsonl"))
    with pytest.raises(DataError, match="EDGE_ECG_LOOKS"):
        append_look("detector", ["100"], {}, "")
    monkeypatch.delenv("EDGE_ECG_LOOKS")
    assert looks_file().parts[-2:] == ("train", "looks.jsonl")
