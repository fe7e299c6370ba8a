"""The service: what its unit closes, by systemd's own judgement, and what installing it leaves where."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ecg import service as plan
from edge_ecg import systemd
from edge_ecg.cli import service as cli
from edge_ecg.cli.main import run
from edge_ecg.config import load, read_file
from edge_ecg.errors import ConfigError
from edge_ecg.settings import (
    HookSettings,
    ModelSettings,
    MqttSettings,
    OutputSettings,
    RecordingSettings,
    Settings,
    WebSettings,
)
from edge_ecg.sources.virtual import EXCERPT
from firmware_bridge.ports import PortInfo

Run = Callable[..., tuple[int, str, str]]

PROGRAM = plan.Program(Path(sys.executable), (Path("/opt/edge-ecg"),))
NETWORKED = Settings(
    mqtt=MqttSettings(host="homeassistant.local", password_file="/etc/edge-ecg/mqtt-password"),
    web=WebSettings(enabled=True, host="0.0.0.0", token_file="/etc/edge-ecg/web-token"),
    recording=RecordingSettings(folder="/mnt/usb/my ecg"),
)
MAX_EXPOSURE = 2.0


@pytest.fixture(name="edge_ecg")
def edge_ecg_fixture(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str, str]:
        code = run([str(a) for a in args])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(name="systemd")
def systemd_fixture(missing: Callable[[str], None]) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd is not here: `make ci-deps` installs it")


@pytest.fixture(name="root")
def root_fixture(systemd: None, tmp_path: Path) -> Path:
    """An image of a system."""
    root = tmp_path / "root"
    root.mkdir()
    return root


def keys(text: str, *names: str) -> list[str]:
    return [line for line in text.splitlines() if line.partition("=")[0] in names]


def exposure(file: Path) -> float:
    """How much a unit leaves open, 0 to 10, by systemd."""
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", file],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for edge-ecg.service: ([\d.]+)", told.stdout)
    assert found, told.stdout
    return float(found[1])


# The unit


@pytest.mark.parametrize(
    ("settings", "has_coral"),
    [
        (Settings(), False),
        (NETWORKED, False),
        (NETWORKED, True),
        (Settings(recording=RecordingSettings(folder="/home/pi/ecg data")), False),
    ],
    ids=["closed", "web and mqtt", "coral", "home"],
)
def test_systemd_takes_the_unit_and_finds_it_closed(
    settings: Settings, has_coral: bool, systemd: None, tmp_path: Path
) -> None:
    file = tmp_path / "edge-ecg.service"
    file.write_text(plan.unit(PROGRAM, settings, has_coral=has_coral), encoding="utf-8")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    assert exposure(file) <= MAX_EXPOSURE


@pytest.mark.parametrize("model", ["rhythm", "mitdb-deep_residual-int8"])
def test_every_kind_of_model_labels_behind_the_filter_of_system_calls(
    model: str, systemd: None, tmp_path: Path
) -> None:
    """No code is made as it runs, and no call is missing: with the interpreter that is installed here."""
    file = tmp_path / "edge-ecg.service"
    file.write_text(plan.unit(PROGRAM), encoding="utf-8")
    walled = [sys.executable, Path(__file__).parents[1] / "walled.py", file]

    def behind(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*walled, *words], capture_output=True, text=True, check=False)

    probe = "import mmap, os; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)"
    assert "PermissionError" in behind(sys.executable, "-c", probe).stderr, "the filter is not there"
    assert "PermissionError" in behind(sys.executable, "-c", "import os; os.chroot('/')").stderr
    done = behind(
        sys.executable, "-m", "edge_ecg.cli.main", "replay", EXCERPT, "--model", model, "--jsonl", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr
    beats = [line for line in (tmp_path / "out").read_text().splitlines() if '"type":"beat"' in line]
    assert len(beats) > 490


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        (
            Settings(),
            ["PrivateNetwork=yes", "IPAddressDeny=any", "RestrictAddressFamilies=AF_UNIX"],
        ),
        (
            Settings(web=WebSettings(enabled=True)),
            [
                "IPAddressDeny=any",
                "IPAddressAllow=localhost",
                "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
            ],
        ),
        (
            Settings(web=WebSettings(enabled=True, host="::1"), mqtt=MqttSettings(host="192.168.1.5")),
            [
                "IPAddressDeny=any",
                "IPAddressAllow=192.168.1.5 localhost",
                "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
            ],
        ),
        (
            Settings(mqtt=MqttSettings(host="localhost")),
            [
                "IPAddressDeny=any",
                "IPAddressAllow=localhost",
                "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
            ],
        ),
        (
            Settings(web=WebSettings(enabled=True), mqtt=MqttSettings(host="broker.example")),
            ["RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"],
        ),
        (
            Settings(web=WebSettings(enabled=True, host="0.0.0.0")),
            ["RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"],
        ),
        (
            Settings(web=WebSettings(host="0.0.0.0")),
            ["PrivateNetwork=yes", "IPAddressDeny=any", "RestrictAddressFamilies=AF_UNIX"],
        ),
    ],
)
def test_the_network_is_as_open_as_the_outputs_need(settings: Settings, lines: list[str]) -> None:
    text = plan.unit(PROGRAM, settings)
    assert keys(text, "PrivateNetwork", "IPAddressDeny", "IPAddressAllow", "RestrictAddressFamilies") == lines


def test_a_secret_reaches_the_daemon_as_a_credential(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[mqtt]\npassword_file = "/etc/edge-ecg/mqtt-password"\n', encoding="utf-8")
    text = plan.unit(PROGRAM, NETWORKED)
    assert "LoadCredential=mqtt-password:/etc/edge-ecg/mqtt-password" in text
    env = {}
    for line in keys(text, "Environment"):
        name, _, value = line.removeprefix("Environment=").partition("=")
        env[name] = value.replace("%d", "/run/credentials/edge-ecg.service")
    told = load(env=env, config_path=tmp_path / "config.toml")
    assert told.settings.mqtt.password_file == "/run/credentials/edge-ecg.service/mqtt-password"
    assert told.settings.web.token_file == "/run/credentials/edge-ecg.service/web-token"
    quiet = Settings(mqtt=MqttSettings(password_file="/etc/p"), web=WebSettings(token_file="/etc/t"))
    assert "LoadCredential" not in plan.unit(PROGRAM, quiet), "outputs that are off need no secret"


def test_folders_of_the_settings_may_be_written_and_none_of_them_executed() -> None:
    text = plan.unit(PROGRAM, NETWORKED)
    assert 'ReadWritePaths="-/mnt/usb/my ecg"' in text
    assert 'RequiresMountsFor="/mnt/usb/my ecg"' in text
    (noexec,) = keys(text, "NoExecPaths")
    assert '"-/mnt/usb/my ecg"' in noexec
    assert "-/var/lib/edge-ecg" in noexec
    own = Settings(recording=RecordingSettings(folder="/var/lib/edge-ecg/recordings"), output=OutputSettings("x.jsonl"))
    assert not keys(plan.unit(PROGRAM, own), "ReadWritePaths", "BindPaths", "RequiresMountsFor")


def test_of_a_home_only_what_is_needed_is_in_sight() -> None:
    assert "ProtectHome=yes" in plan.unit(PROGRAM, NETWORKED)
    made_of = (Path("/home/pi/ecg"), Path("/home/pi/.pyenv/3.11"))
    at_home = plan.Program(made_of[0] / ".venv/bin/edge-ecg", made_of)
    settings = Settings(
        model=ModelSettings(id="/home/pi/bundle"),
        recording=RecordingSettings(folder="/home/pi/recordings"),
        hooks=HookSettings(pause=("/home/pi/bell.sh", "loud")),
    )
    text = plan.unit(at_home, settings)
    assert "ProtectHome=tmpfs" in text
    (seen,) = keys(text, "BindReadOnlyPaths")
    assert seen == "BindReadOnlyPaths=-/home/pi/.pyenv/3.11 -/home/pi/bell.sh -/home/pi/bundle -/home/pi/ecg"
    assert "BindPaths=-/home/pi/recordings" in text


@given(st.text(min_size=1))
def test_no_setting_writes_a_line_of_its_own_into_the_unit(text: str) -> None:
    settings = replace(NETWORKED, recording=RecordingSettings(folder=f"/mnt/{text}"))
    try:
        told = plan.unit(PROGRAM, settings)
    except ConfigError:
        return
    known = [line.partition("=")[0] for line in plan.unit(PROGRAM, NETWORKED).splitlines()]
    assert [line.partition("=")[0] for line in told.splitlines()] == known


def test_a_unit_made_for_other_settings_is_found(tmp_path: Path) -> None:
    for settings in (Settings(), NETWORKED):
        for has_coral in (False, True):
            text = plan.unit(PROGRAM, settings, has_coral=has_coral)
            assert not plan.is_stale(text, settings)
            assert plan.is_stale(text, Settings(web=WebSettings(enabled=True)))


def test_the_unit_needs_no_settings_file(edge_ecg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "CONFIG", tmp_path / "none.toml")
    monkeypatch.setenv("EDGE_ECG__WEB__ENABLED", "true")  # of this shell, not of the service
    code, out, err = edge_ecg("service", "unit")
    assert (code, err) == (0, "")
    assert "PrivateNetwork=yes" in out
    (start,) = keys(out, "ExecStart")
    program = start.removeprefix("ExecStart=").split()
    assert program[1:] == ["daemon", "--config", str(tmp_path / "none.toml")]
    assert subprocess.run([program[0], "--version"], check=False).returncode == 0
    (tmp_path / "none.toml").write_text("[link]\n", encoding="utf-8")
    assert "PrivateNetwork=yes" in edge_ecg("service", "unit")[1]
    (tmp_path / "a.toml").write_text("[web]\nenable = true\n", encoding="utf-8")
    code, out, err = edge_ecg("service", "unit", "--config", "a.toml")
    assert (code, out) == (2, "")
    assert 'Did you mean "web.enabled"?' in err


def test_the_settings_that_the_page_shows_are_settings(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "raspberry-pi.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "config.toml").write_text(shown, encoding="utf-8")
    assert load(config_path=tmp_path / "config.toml", env={}).settings.link.port == plan.PORT


@pytest.mark.parametrize(
    ("row", "settings"),
    [
        ("none", Settings()),
        (
            "a page for this machine and a broker by its address",
            Settings(web=WebSettings(enabled=True), mqtt=MqttSettings(host="192.168.1.5")),
        ),
        ("a page for the network and a broker by its name", NETWORKED),
    ],
)
def test_the_page_on_security_tells_the_exposure(row: str, settings: Settings, systemd: None, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    (told,) = re.findall(rf"^\| {row} \| ([\d.]+) \|$", page, re.MULTILINE)
    file = tmp_path / "edge-ecg.service"
    file.write_text(plan.unit(PROGRAM, settings), encoding="utf-8")
    assert exposure(file) == pytest.approx(float(told), abs=0.3)  # each version of systemd judges a little differently


# The name of the port

RULE_LINE = re.compile(r'(?:[A-Z_]+(?:\{\w+\})?(?:==|\+=|=)"[^"]*"(?:, |$))+')


@pytest.mark.parametrize(
    ("port", "match"),
    [
        (None, 'ENV{ID_BUS}=="usb"'),
        (PortInfo("/dev/ttyAMA0", "ttyAMA0", None, None, None), 'KERNEL=="ttyAMA0"'),
        (
            PortInfo("/dev/ttyUSB0", "CP2102\n", 0x10C4, 0xEA60, "0001"),
            'ATTRS{idVendor}=="10c4", ATTRS{idProduct}=="ea60", ATTRS{serial}=="0001"',
        ),
        (PortInfo("/dev/ttyUSB0", "", 0x1A86, 0x7523, None), 'ATTRS{idProduct}=="7523", SYMLINK'),
        (PortInfo("/dev/ttyUSB0", "", 0x1A86, 0x7523, 'a"*'), 'ATTRS{idProduct}=="7523", SYMLINK'),
    ],
)
def test_the_rule_names_the_board(port: PortInfo | None, match: str, tmp_path: Path) -> None:
    text = plan.port_rule(port)
    comment, line = text.splitlines()
    assert comment.startswith("# /dev/edge-ecg: ")
    assert RULE_LINE.fullmatch(line), line
    assert line.startswith('SUBSYSTEM=="tty", ')
    assert match in line
    assert 'SYMLINK+="edge-ecg"' in line
    udevadm = shutil.which("udevadm")
    if udevadm and subprocess.run([udevadm, "verify", "--help"], capture_output=True, check=False).returncode == 0:
        file = tmp_path / "70-edge-ecg.rules"
        file.write_text(text, encoding="utf-8")
        told = subprocess.run([udevadm, "verify", file], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr


def test_a_modem_is_no_board() -> None:
    (vendors,) = re.findall(r'ID_VENDOR_ID}=="([^"]*)"', plan.port_rule())
    assert "2341" in vendors.split("|")
    assert not {"12d1", "2c7c", "1e0e", "1199"} & set(vendors.split("|"))


# Installing


def test_an_image_gets_the_service_and_gives_it_back(edge_ecg: Run, root: Path) -> None:
    code, _, err = edge_ecg("service", "install", "--root", root, "--executable", "/opt/edge-ecg/bin/edge-ecg")
    assert (code, err) == (0, "")
    unit = root / "etc/systemd/system/edge-ecg.service"
    assert "ExecStart=/opt/edge-ecg/bin/edge-ecg daemon --config /etc/edge-ecg/config.toml" in unit.read_text()
    wanted = root / "etc/systemd/system/multi-user.target.wants/edge-ecg.service"
    assert os.readlink(wanted) == "/etc/systemd/system/edge-ecg.service"
    assert re.search(r"^edge-ecg:.*:/var/lib/edge-ecg:.*nologin$", (root / "etc/passwd").read_text(), re.MULTILINE)
    assert re.search(r"^dialout:.*edge-ecg$", (root / "etc/group").read_text(), re.MULTILINE)
    config = root / "etc/edge-ecg/config.toml"
    assert read_file(config)["link"]["port"] == "/dev/edge-ecg"
    assert "edge-ecg" in (root / "etc/udev/rules.d/70-edge-ecg.rules").read_text()
    recordings = root / "var/lib/edge-ecg/recordings"
    recordings.mkdir(parents=True)

    config.write_text("[web]\nenabled = true\n", encoding="utf-8")
    assert edge_ecg("service", "install", "--root", root)[0] == 0
    assert config.read_text() == "[web]\nenabled = true\n"
    assert "IPAddressAllow=localhost" in unit.read_text(), "the unit follows the settings that are there"

    code, out, err = edge_ecg("service", "uninstall", "--root", root)
    assert (code, err) == (0, "")
    assert str(root / "var/lib/edge-ecg") in out.splitlines()[-1]
    assert (config.exists(), recordings.exists()) == (True, True)
    assert not any(os.path.lexists(root / path) for path in (unit, wanted, "etc/udev/rules.d/70-edge-ecg.rules"))
    assert edge_ecg("service", "uninstall", "--root", root)[0] == 0, "twice is once"

    code, _, err = edge_ecg("service", "uninstall", "--purge", "--yes", "--root", root)
    assert (code, err) == (0, "")
    assert not (root / "etc/edge-ecg").exists()
    assert not (root / "var/lib/edge-ecg").exists()


def test_a_purge_leaves_what_lies_elsewhere_and_says_so(edge_ecg: Run, root: Path) -> None:
    (root / "etc/edge-ecg").mkdir(parents=True)
    (root / "mnt/usb").mkdir(parents=True)
    (root / "etc/edge-ecg/config.toml").write_text('[recording]\nfolder = "/mnt/usb"\n', encoding="utf-8")
    code, out, _ = edge_ecg("service", "uninstall", "--purge", "--yes", "--root", root)
    assert code == 0
    assert out.splitlines()[-1] == f"kept: {root}/mnt/usb"


def test_a_purge_is_asked_about(edge_ecg: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "var/lib/edge-ecg").mkdir(parents=True)
    with open(os.devnull) as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        assert edge_ecg("service", "uninstall", "--purge", "--root", root)[0] == 130
    assert (root / "var/lib/edge-ecg").exists()


def test_a_dry_run_shows_every_file_and_command_and_touches_nothing(edge_ecg: Run, root: Path) -> None:
    code, out, _ = edge_ecg("service", "install", "--dry-run", "--root", root)
    assert code == 0
    assert list(root.iterdir()) == []
    for file in (plan.UNIT, plan.RULE, plan.CONFIG, plan.USERS):
        assert f"write   {root}{file}" in out
    assert "          NoNewPrivileges=yes" in out
    assert f"run     systemctl --root={root} enable edge-ecg.service" in out


def test_whoever_is_not_root_is_told_the_command(edge_ecg: Run, systemd: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["/opt/edge-ecg/bin/edge-ecg", "service", "install", "--no-start"])
    code, out, err = edge_ecg("service", "install", "--no-start")
    assert (code, out) == (2, "")
    assert "sudo /opt/edge-ecg/bin/edge-ecg service install --no-start" in err
    assert len(err.splitlines()) == 1
    assert edge_ecg("service", "install", "--dry-run")[0] == 0


def test_a_program_that_others_cannot_read_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "env/bin/edge-ecg"
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    for folder in (tmp_path / "env", program.parent):
        folder.chmod(0o755)
    assert cli.hidden(plan.Program(program, (tmp_path / "env",)), above=tmp_path) is None
    (tmp_path / "env").chmod(0o700)
    assert cli.hidden(plan.Program(program, (tmp_path / "env",)), above=tmp_path) == tmp_path / "env"


# Its state


@pytest.fixture(name="machine")
def machine_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of ours: its files in a folder, systemd a script that says what the file `shown` holds."""
    for name in ("UNIT", "CONFIG"):
        monkeypatch.setattr(plan, name, tmp_path / getattr(plan, name).name)
    monkeypatch.setattr(systemd, "RUNS", tmp_path / "systemd-runs")
    systemctl = tmp_path / "bin/systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f'#!/bin/sh\ncat "{tmp_path}/shown"\n', encoding="utf-8")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{systemctl.parent}:{os.environ['PATH']}")
    return tmp_path


def test_status_without_service_or_systemd(edge_ecg: Run, machine: Path) -> None:
    code, out, err = edge_ecg("service", "status")
    assert (code, err) == (0, "")
    assert "sudo edge-ecg service install" in out
    assert "systemd does not run here" in out


def test_status_of_a_running_service(edge_ecg: Run, machine: Path) -> None:
    (machine / "systemd-runs").mkdir()
    (machine / "config.toml").write_text(
        '[web]\nenabled = true\nhost = "0.0.0.0"\nport = 99\n[recording]\nfolder = "/mnt/ecg"\n', encoding="utf-8"
    )
    plan.UNIT.write_text(plan.unit(PROGRAM), encoding="utf-8")
    shown = "UnitFileState=enabled\nActiveState={}\nSubState={}\nResult={}\nNRestarts=2\nStatusText={}\n"
    (machine / "shown").write_text(shown.format("active", "running", "success", "streaming, 72 /min"), encoding="utf-8")
    code, out, _ = edge_ecg("service", "status", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["state"] == "streaming, 72 /min"
    assert told["active"] == "active (running), restarted 2 times"
    assert told["enabled"] == "enabled"
    assert re.fullmatch(r"http://\S+\.local:99/", told["page"])
    assert told["recordings"] == "/mnt/ecg"
    assert "other settings" in told["unit"]
    (machine / "shown").write_text(shown.format("failed", "failed", "exit-code", ""), encoding="utf-8")
    out = edge_ecg("service", "status")[1]
    assert "failed (failed), last ended by: exit-code" in out
    assert "journalctl -u edge-ecg" in out


def test_status_says_that_the_settings_are_wrong(edge_ecg: Run, machine: Path) -> None:
    (machine / "config.toml").write_text("[web]\nport = 1e9\n", encoding="utf-8")
    code, out, _ = edge_ecg("service", "status")
    assert code == 0
    assert '"web.port"' in out
