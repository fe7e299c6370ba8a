"""What is peculiar to a Raspberry Pi: its UART, its clock that stops, its power. Judges, and readers below a root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from edge_ecg.check import Check, Status

__all__ = [
    "THROTTLED",
    "examine_pi",
    "is_uart",
    "judge_clock",
    "judge_console",
    "judge_power",
    "judge_uart",
    "read_throttled",
    "throttled_bits",
]

ROOT = Path("/")
MODEL = Path("proc/device-tree/model")
BOOT = (Path("boot/firmware"), Path("boot"))  # since Bookworm, and before
GETTYS = (Path("etc/systemd/system/getty.target.wants"), Path("run/systemd/generator/getty.target.wants"))
CONSOLE = re.compile(r"\bconsole=((?:serial|ttyAMA|ttyS)\d+)")
UART = re.compile(r"(?:serial|ttyAMA|ttyS)\d+")

OLDEST_YEAR = 2024
"""A Pi without a clock of its own begins where it ended, or in 1970."""

NO_CONSOLE = "sudo raspi-config nonint do_serial_cons 1, then reboot"
UART_ON = "sudo raspi-config nonint do_serial_hw 0, then reboot"

THROTTLED = ("under-voltage", "clock capped", "throttled", "hot (soft limit)")
"""Bits 0 to 3 of what vcgencmd says: now; 16 bits above: since the start."""


def examine_pi(port: str | None, root: Path = ROOT) -> list[Check]:
    """Look at the clock of any machine, and at UART, console and power of a Raspberry Pi.

    Parameters
    ----------
    port
        Of the board, as the settings name it.
    root
        Where its files are.
    """
    checks = [judge_clock(_is_synchronised(root), time.gmtime().tm_year)]
    model = _text(root / MODEL).rstrip("\0\n")
    if model.startswith("Raspberry Pi"):
        device = None if port is None else Path(os.path.realpath(root / port.lstrip("/"))).name
        cmdline, config = (_first(root, name) for name in ("cmdline.txt", "config.txt"))
        checks += [
            judge_console(cmdline, _gettys(root), port=device),
            judge_uart(config, model, port=device),
        ]
    told = read_throttled()
    return checks if told is None else [*checks, judge_power(told)]


def is_uart(port: str | None) -> bool:
    """Whether a port is one of the Pi's own, on the pins."""
    return port is not None and UART.fullmatch(Path(port).name) is not None


def judge_console(cmdline: str, gettys: Sequence[str], *, port: str | None) -> Check:
    """Judge who else speaks on the UART: the kernel, by its command line, and a login, by the names of its ports."""
    name = "uart console"
    users = [f"the kernel ({found})" for found in CONSOLE.findall(cmdline)]
    users += [f"a login ({getty})" for getty in gettys]
    if not users:
        return Check(name, "ok", "none")
    detail = f"{' and '.join(users)} on the serial line"
    if is_uart(port):
        return Check(name, "fail", f"{detail}, where the board is", NO_CONSOLE)
    return Check(name, "ok", f"{detail}; in the way only of a board on the pins")


def judge_uart(config: str, model: str, *, port: str | None) -> Check:
    """Judge whether the UART on GPIO 14 and 15 is enabled, by ``config.txt``; the last word counts, filters do not."""
    name = "uart"
    lines = [line.partition("#")[0].replace(" ", "") for line in config.splitlines()]
    words = [re.fullmatch(r"enable_uart=(\d)|dtparam=uart0(?:=(on|off))?", line) for line in lines]
    is_on = next((word[1] == "1" if word[1] else word[2] != "off" for word in reversed(words) if word), False)
    if not is_uart(port):
        return Check(name, "ok", f"{'enabled' if is_on else 'not enabled'}; only a board on the pins needs it")
    if not is_on:
        return Check(name, "fail", "not enabled in config.txt", UART_ON)
    if model.startswith("Raspberry Pi 5") and port == "ttyAMA10":
        step = f"Wire to GPIO 14 and 15 is /dev/ttyAMA0 here; {UART_ON}"
        return Check(name, "warn", "this port is the plug for debugging, between the HDMI plugs", step)
    if "dtoverlay=disable-bt" in lines or port != "ttyS0":
        return Check(name, "ok", "enabled")
    step = "dtoverlay=disable-bt in config.txt gives the board the better one, instead of Bluetooth"
    return Check(name, "ok", "enabled, the mini UART", step)


def judge_clock(is_synchronised: bool | None, year: int) -> Check:
    """Judge the wall clock, which dates recordings; None: nobody can say whether it is synchronised."""
    step = "Connect it to a network, or set it: sudo date -s '2026-01-31 12:00'; recordings carry its dates"
    if year < OLDEST_YEAR:
        return Check("clock", "warn", f"it is {year} here: no clock that runs without power, and no network", step)
    if is_synchronised is False:
        return Check("clock", "warn", "not synchronised with the network", step)
    return Check("clock", "ok", "synchronised" if is_synchronised else "not known whether synchronised")


def judge_power(told: str) -> Check:
    """Judge the answer of ``vcgencmd get_throttled``: ``throttled=0x50005``."""
    name, step = "power", "A supply of 5.1 V and 3 A (Pi 5: 5 A) and a short cable; a fan or a heat sink when hot"
    bits = throttled_bits(told)
    if bits is None:
        first = told.strip().splitlines()[:1]
        return Check(name, "warn", f"vcgencmd: {first[0] if first else 'no answer'}", "sudo usermod -aG video $USER")
    now = [word for bit, word in enumerate(THROTTLED) if bits >> bit & 1]
    past = [word for bit, word in enumerate(THROTTLED) if bits >> bit + 16 & 1 and word not in now]
    parts = [f"now: {', '.join(now)}"] if now else []
    parts += [f"since the start: {', '.join(past)}"] if past else []
    status: Status = "warn" if parts else "ok"
    return Check(name, status, "; ".join(parts) or "enough, and cool", step if parts else "")


def _is_synchronised(root: Path) -> bool | None:
    if (root / "run/systemd/timesync/synchronized").exists():
        return True
    told = _told("timedatectl", "show", "--property=NTPSynchronized", "--value")
    return {"yes": True, "no": False}.get((told or "").strip())


def throttled_bits(told: str) -> int | None:
    """The number in what `read_throttled` gives; None when it is something else."""
    found = re.fullmatch(r"throttled=0x([0-9a-fA-F]+)", told.strip())
    return int(found[1], 16) if found else None


def read_throttled() -> str | None:
    """What ``vcgencmd get_throttled`` says; None where there is no such command."""
    return _told("vcgencmd", "get_throttled")


def _told(*words: str) -> str | None:
    """What a command says; None where there is none."""
    if shutil.which(words[0]) is None:
        return None
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=5.0)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}"
    return done.stdout or done.stderr


def _gettys(root: Path) -> list[str]:
    """Serial ports on which a login waits."""
    units = (path.name for folder in GETTYS for path in (root / folder).glob("serial-getty@*.service"))
    return sorted({unit.removeprefix("serial-getty@").removesuffix(".service") for unit in units})


def _first(root: Path, name: str) -> str:
    """A file of the boot partition, wherever that is."""
    return next((text for folder in BOOT if (text := _text(root / folder / name))), "")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
