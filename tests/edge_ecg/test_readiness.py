"""The doctor on what the daemon needs: real folders and files, of real rights."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_ecg import service, systemd
from edge_ecg.check import Check
from edge_ecg.readiness import (
    examine_outputs,
    examine_service,
    judge_recordings,
    judge_service,
    nearest_folder,
)
from edge_ecg.settings import LinkSettings, MqttSettings, RecordingSettings, Settings, WebSettings

PROGRAM = service.Program(Path("/opt/edge-ecg/bin/edge-ecg"))


def check_of(name: str, settings: Settings) -> Check:
    (check,) = [check for check in examine_outputs(settings) if check.name == name]
    return check


def test_nothing_is_asked_of_outputs_that_are_off() -> None:
    off = Settings(mqtt=MqttSettings(password_file="/nonexistent"), web=WebSettings(token_file="/nonexistent"))
    assert examine_outputs(off) == []


def test_the_board_that_is_not_there() -> None:
    assert check_of("board port", Settings(link=LinkSettings(port="/dev/null"))).status == "ok"
    gone = check_of("board port", Settings(link=LinkSettings(port="/dev/edge-ecg-gone")))
    assert (gone.status, "edge-ecg ports" in gone.next_step) == ("warn", True)


def test_a_folder_of_recordings_that_can_be_made(tmp_path: Path) -> None:
    found = check_of("recordings", Settings(recording=RecordingSettings(folder=str(tmp_path / "a" / "b"))))
    assert found.status == "ok"
    assert str(tmp_path / "a" / "b") in found.detail
    assert not (tmp_path / "a").exists()


def test_a_folder_that_the_writer_may_not_write_to(tmp_path: Path) -> None:
    """Asked by somebody who is not root."""
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o005)
    (tmp_path / "closed").mkdir(mode=0o500)
    settings = Settings(recording=RecordingSettings(folder=str(tmp_path / "closed")))
    if os.getuid() != 0:
        found = check_of("recordings", settings)
        assert (found.status, "install -d" in found.next_step) == ("fail", True)
        return
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        os._exit(0 if check_of("recordings", settings).status == "fail" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_recordings_with_little_room_or_on_a_worn_card() -> None:
    def judge(free_bytes: int, *, is_read_only: bool = False) -> Check:
        return judge_recordings(
            Path("/r"), free_bytes, 0.2, may_write=True, is_read_only=is_read_only, writer="edge-ecg"
        )

    assert judge(10**9).status == "ok"
    assert "min_free_gb" in judge(10**8).detail
    worn = judge(10**9, is_read_only=True)
    assert (worn.status, "SD card" in worn.next_step) == ("fail", True)


@pytest.mark.parametrize(("name", "mode"), [("mqtt password", 0o644), ("web token", 0o640)])
def test_secrets_are_for_their_owner_only(name: str, mode: int, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    settings = Settings(
        mqtt=MqttSettings(host="broker", password_file=str(file)), web=WebSettings(enabled=True, token_file=str(file))
    )
    assert check_of(name, settings).detail == f"no file {file}"
    file.touch()
    file.chmod(mode)
    open_ = check_of(name, settings)
    assert (open_.status, open_.next_step) == ("fail", f"sudo chmod 600 {file}")
    subprocess.run(open_.next_step.split()[1:], check=True)
    assert check_of(name, settings).status == "ok"
    file.unlink()
    file.mkdir()
    assert check_of(name, settings).status == "fail"


def test_a_page_for_the_network_needs_a_token(tmp_path: Path) -> None:
    assert "this machine only" in check_of("page", Settings(web=WebSettings(enabled=True))).detail
    assert check_of("page", Settings(web=WebSettings(enabled=True, host="0.0.0.0"))).status == "fail"
    told = check_of("page", Settings(web=WebSettings(enabled=True, host="0.0.0.0", token_file=str(tmp_path))))
    assert (told.status, "unencrypted" in told.detail) == ("ok", True)


@pytest.mark.parametrize(
    ("shown", "status", "words"),
    [
        (None, "ok", "does not run here"),
        ({"ActiveState": "active", "UnitFileState": "enabled", "StatusText": "72 /min"}, "ok", "72 /min"),
        ({"ActiveState": "active", "UnitFileState": "disabled"}, "warn", "systemctl enable"),
        ({"ActiveState": "inactive", "UnitFileState": "enabled"}, "warn", "systemctl start"),
        ({"ActiveState": "failed", "Result": "exit-code"}, "fail", "journalctl"),
        ({}, "warn", "not running"),
    ],
)
def test_service(shown: dict[str, str] | None, status: str, words: str) -> None:
    check = judge_service(is_installed=True, shown=shown, is_stale=False)
    assert check.status == status
    assert words in f"{check.detail} {check.next_step}"


@pytest.fixture(name="installed")
def installed_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Check]:
    """A service of ours, with settings."""
    for name in ("UNIT", "CONFIG"):
        monkeypatch.setattr(service, name, tmp_path / getattr(service, name).name)
    monkeypatch.setattr(systemd, "RUNS", tmp_path / "absent")

    def examine(settings: str) -> Check:
        service.CONFIG.write_text(settings, encoding="utf-8")
        return examine_service()

    return examine


def test_a_service_whose_settings_changed_is_told(installed: Callable[[str], Check]) -> None:
    assert "not installed" in installed("").detail
    service.UNIT.write_text(service.unit(PROGRAM), encoding="utf-8")
    assert installed("[link]\nboard = 'ad8232'\n").status == "ok"
    stale = installed("[web]\nenabled = true\n")
    assert (stale.status, stale.next_step) == ("warn", "sudo edge-ecg service install")
    assert installed("[web\n").status == "ok", "settings that cannot be read have a line of their own"


def test_the_nearest_folder_that_is_there(tmp_path: Path) -> None:
    assert nearest_folder(tmp_path / "a" / "b") == tmp_path
    (tmp_path / "file").touch()
    assert nearest_folder(tmp_path / "file" / "b") == tmp_path
