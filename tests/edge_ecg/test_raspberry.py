"""The doctor on a Raspberry Pi: files of boot partitions as they are found, and a vcgencmd that says what is asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ecg.check import Check
from edge_ecg.raspberry import examine_pi, judge_clock, judge_power, judge_uart

PI_4, PI_5 = "Raspberry Pi 4 Model B Rev 1.4", "Raspberry Pi 5 Model B Rev 1.0"
CMDLINE = "console=serial0,115200 console=tty1 root=PARTUUID=5c5d4a7f-02 rootfstype=ext4 fsck.repair=yes rootwait"
CONFIG = "# For more options see the documentation\ndtparam=audio=on\n\n[cm4]\notg_mode=1\n\n[all]\n"


class Pi:
    """Files of a Raspberry Pi below a folder, and its own commands on the PATH."""

    def __init__(self, root: Path, bin_: Path) -> None:
        self.root, self.bin = root, bin_

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def command(self, name: str, script: str) -> None:
        file = self.bin / name
        file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        file.chmod(0o755)

    def check(self, name: str, port: str | None = None) -> Check:
        (check,) = [check for check in examine_pi(port, self.root) if check.name == name]
        return check


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pi:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    pi = Pi(tmp_path / "root", tmp_path / "bin")
    pi.write("proc/device-tree/model", f"{PI_4}\0")
    pi.write("boot/firmware/cmdline.txt", CMDLINE)
    pi.write("boot/firmware/config.txt", CONFIG)
    return pi


def test_another_machine_has_a_clock_only(pi: Pi) -> None:
    (pi.root / "proc/device-tree/model").unlink()
    assert [check.name for check in examine_pi("/dev/ttyS0", pi.root)] == ["clock"]


def test_a_console_where_the_board_is_fails(pi: Pi) -> None:
    found = pi.check("uart console", "/dev/ttyS0")
    assert found.status == "fail"
    assert "serial0" in found.detail
    assert "raspi-config" in found.next_step
    assert pi.check("uart console", "/dev/ttyACM0").status == "ok", "a board on USB does not mind"
    assert pi.check("uart console").status == "ok"
    pi.write("boot/firmware/cmdline.txt", CMDLINE.replace("console=serial0,115200 ", ""))
    assert pi.check("uart console", "/dev/ttyS0") == Check("uart console", "ok", "none")


def test_a_login_on_the_line_fails_too(pi: Pi) -> None:
    pi.write("boot/firmware/cmdline.txt", "console=tty1")
    pi.write("run/systemd/generator/getty.target.wants/serial-getty@ttyAMA0.service", "")
    found = pi.check("uart console", "/dev/ttyAMA0")
    assert found.status == "fail"
    assert "a login (ttyAMA0)" in found.detail


def test_the_boot_partition_of_before_bookworm(pi: Pi) -> None:
    for name in ("cmdline.txt", "config.txt"):
        (pi.root / "boot" / "firmware" / name).rename(pi.root / "boot" / name)
    assert pi.check("uart console", "/dev/serial0").status == "fail"
    assert pi.check("uart", "/dev/serial0").status == "fail"


def test_a_stable_name_is_followed_to_the_port_itself(pi: Pi) -> None:
    (pi.root / "dev").mkdir()
    (pi.root / "dev/ttyS0").touch()
    (pi.root / "dev/edge-ecg").symlink_to("ttyS0")
    assert pi.check("uart console", "/dev/edge-ecg").status == "fail"


@pytest.mark.parametrize(
    ("lines", "model", "port", "status", "words"),
    [
        ("", PI_4, "ttyS0", "fail", "do_serial_hw"),
        ("", PI_4, "ttyUSB0", "ok", "not enabled"),
        ("enable_uart=1", PI_4, "ttyS0", "ok", "disable-bt"),
        ("enable_uart=1\ndtoverlay=disable-bt", PI_4, "ttyAMA0", "ok", "enabled"),
        ("enable_uart = 1 # for the board", PI_4, "ttyAMA0", "ok", "enabled"),
        ("#enable_uart=1", PI_4, "ttyS0", "fail", "not enabled"),
        ("enable_uart=1\nenable_uart=0", PI_4, "ttyS0", "fail", "not enabled"),
        ("dtparam=uart0=on", PI_5, "ttyAMA0", "ok", "enabled"),
        ("dtparam=uart0", PI_5, "ttyAMA0", "ok", "enabled"),
        ("dtparam=uart0=off", PI_5, "ttyAMA0", "fail", "not enabled"),
        ("enable_uart=1", PI_5, "ttyAMA10", "warn", "/dev/ttyAMA0"),
    ],
)
def test_uart(lines: str, model: str, port: str, status: str, words: str) -> None:
    check = judge_uart(CONFIG + lines, model, port=port)
    assert check.status == status
    assert words in f"{check.detail} {check.next_step}"
    assert check.next_step or status == "ok"


def test_clock(pi: Pi) -> None:
    assert judge_clock(True, 2026).status == "ok"
    assert "1970" in judge_clock(None, 1970).detail
    assert judge_clock(True, 1970).status == "warn"
    pi.command("timedatectl", '[ "$2" = --property=NTPSynchronized ] && echo no')
    assert pi.check("clock").status == "warn"
    assert "sudo date -s" in pi.check("clock").next_step
    pi.command("timedatectl", "echo yes")
    assert pi.check("clock") == Check("clock", "ok", "synchronised")
    pi.command("timedatectl", "echo 'Failed to connect to bus' >&2; exit 1")
    assert pi.check("clock").detail == "not known whether synchronised"
    pi.write("run/systemd/timesync/synchronized", "")
    assert pi.check("clock").detail == "synchronised"


@pytest.mark.parametrize(
    ("told", "status", "detail"),
    [
        ("throttled=0x0", "ok", "enough, and cool"),
        ("throttled=0x50005", "warn", "now: under-voltage, throttled"),
        ("throttled=0x50000", "warn", "since the start: under-voltage, throttled"),
        ("throttled=0x50001", "warn", "now: under-voltage; since the start: throttled"),
        ("throttled=0xe0008", "warn", "now: hot (soft limit); since the start: clock capped, throttled"),
        ("VCHI initialization failed", "warn", "vcgencmd: VCHI initialization failed"),
    ],
)
def test_power(told: str, status: str, detail: str, pi: Pi) -> None:
    pi.command("vcgencmd", f'[ "$1" = get_throttled ] && echo "{told}"')
    found = pi.check("power")
    assert (found.status, found.detail) == (status, detail)
    assert bool(found.next_step) == (status == "warn")


def test_without_vcgencmd_nothing_is_said_of_power(pi: Pi) -> None:
    assert os.environ["PATH"] == str(pi.bin)
    assert "power" not in [check.name for check in examine_pi(None, pi.root)]


@given(st.text())
def test_whatever_the_files_and_commands_say_the_doctor_goes_on(text: str) -> None:
    judge_power(text)
    judge_uart(text, text, port="ttyS0")
