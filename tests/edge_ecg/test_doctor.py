"""The doctor: every judgement, and the whole run on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_ecg.cli.main import run
from edge_ecg.doctor import (
    Check,
    examine,
    judge_disk,
    judge_group,
    judge_interpreter,
    judge_models,
    judge_python,
)


def test_python_version() -> None:
    assert judge_python((3, 10, 13)).status == "fail"
    assert judge_python((3, 11, 0)).status == "ok"


@pytest.mark.parametrize(
    ("litert", "tflite", "numpy", "status"),
    [
        ("2.3.0", None, "2.4.6", "ok"),
        ("2.3.0", "2.14.0", "2.4.6", "ok"),
        (None, "2.14.0", "1.26.4", "ok"),
        (None, "2.14.0", "2.0.0", "fail"),
        (None, None, "2.4.6", "fail"),
    ],
)
def test_interpreter(litert: str | None, tflite: str | None, numpy: str, status: str) -> None:
    check = judge_interpreter(litert, tflite, numpy)
    assert check.status == status
    assert ("pip install" in check.next_step) == (status == "fail")


def test_numpy_trap_of_tflite_runtime_is_named() -> None:
    assert "numpy<2" in judge_interpreter(None, "2.14.0", "2.1.3").next_step


def test_serial_rights() -> None:
    assert judge_group("pi", {"pi", "dialout"}, {"pi"}, False).status == "ok"
    assert judge_group("pi", {"pi"}, set(), True).status == "ok"
    assert judge_group("pi", {"pi"}, {"pi"}, False).next_step == "Log out and in again"
    assert judge_group("pi", {"pi"}, set(), False).next_step.startswith("sudo usermod -aG dialout pi")


def test_models() -> None:
    assert judge_models([("a", None), ("b", None)]) == Check("models", "ok", "a, b")
    assert judge_models([("a", None), ("b", "wrong hash")]).detail == "b: wrong hash"
    assert judge_models([]).status == "fail"


def test_disk() -> None:
    place = Path("/nonexistent/deeper")
    assert judge_disk(place, 10**12).detail.endswith("free at /")
    assert [judge_disk(place, n).status for n in (0, 10**8, 10**10)] == ["fail", "warn", "ok"]


def test_a_broken_settings_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edge-ecg.toml").write_text("[link]\nbauds = 1\n", encoding="utf-8")
    (settings,) = [check for check in examine() if check.name == "settings"]
    assert settings.status == "fail"
    assert "link.bauds" in settings.detail
    assert "link.baud" in settings.next_step


def test_the_settings_may_be_those_of_a_daemon_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bed-3.toml"
    file.write_text('[model]\nid = "nope"\n', encoding="utf-8")
    assert run(["doctor", "--json", "--config", str(file)]) == 2
    told = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert str(file) in told["settings"]["detail"]
    assert "nope" in told["model in use"]["detail"]
    assert run(["doctor", "--config", str(tmp_path / "absent.toml")]) == 2
    assert f"{tmp_path / 'absent.toml'}: cannot read the settings file" in capsys.readouterr().out


def test_the_model_of_the_settings_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGE_ECG__MODEL__ID", "nope")
    (model,) = [check for check in examine() if check.name == "model in use"]
    assert model.status == "fail"
    monkeypatch.setenv("EDGE_ECG__LINK__BAUD", "fast")
    (settings,) = [check for check in examine() if check.name == "settings"]
    assert settings.status == "fail"
    assert "EDGE_ECG__LINK__BAUD" in settings.detail


def test_data_directory_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_DATA", str(tmp_path / "absent"))
    (data,) = [check for check in examine() if check.name == "data"]
    assert data.status == "warn"
    assert "EDGE_ECG_DATA" in data.detail


def test_nothing_fails_here() -> None:
    failed = [check for check in examine() if check.status == "fail"]
    assert failed == []
