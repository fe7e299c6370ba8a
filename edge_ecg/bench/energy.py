"""Energy meters that a device may have: RAPL's counters, INA chips, the Raspberry Pi 5's power chip."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

__all__ = ["Meter", "find_meter", "pmic_watts"]

_RAPL = "sys/class/powercap/intel-rapl:[0-9]*"
_HWMON = "sys/class/hwmon/hwmon*"
_INA = re.compile(r"ina\d+")
_RAIL = re.compile(r"(\w+)_([AV]) (?:current|volt)\(\d+\)=([\d.]+)")


class Meter(Protocol):
    """Counts what goes through a device, all of it or its processor."""

    @property
    def name(self) -> str:
        """What is measured, for a reader."""

    def begin(self) -> None:
        """Count from here."""

    def tick(self) -> None:
        """Look, for meters that tell power and not energy; often is good, each look may take milliseconds."""

    def joules(self) -> float | None:
        """Energy since `begin`; None when the meter failed meanwhile."""


def find_meter(root: Path = Path("/"), ask: Callable[[], str | None] | None = None) -> Meter | None:
    """The first meter that gives a figure; None without any.

    Parameters
    ----------
    root
        Where the files of the machine are.
    ask
        Gives what ``vcgencmd pmic_read_adc`` says; None: that command.
    """
    domains = sorted(path for path in root.glob(_RAPL) if ":" not in path.name.partition(":")[2])
    counters = [path / "energy_uj" for path in domains if _number(path / "energy_uj") is not None]
    if counters:
        return _Rapl(counters)
    for chip in sorted(root.glob(_HWMON)):
        files = [path for path in sorted(chip.glob("power*_input")) if _number(path) is not None]
        if _INA.match(_text(chip / "name")) and files:
            return _Sampled(f"{_text(chip / 'name')}, {len(files)} rails", partial(_micro_sum, files))
    told = ask or _ask_pmic
    if pmic_watts(told() or "") is not None:
        return _Sampled("the board's power chip (PMIC)", lambda: pmic_watts(told() or ""))
    return None


def pmic_watts(told: str) -> float | None:
    """Sum of the rails of ``vcgencmd pmic_read_adc``, W; what hangs on the 5 V pins and USB is not in it."""
    rails: dict[str, dict[str, float]] = {}
    for rail, kind, value in _RAIL.findall(told):
        try:
            rails.setdefault(rail, {})[kind] = float(value)
        except ValueError:
            continue
    watts = [of["A"] * of["V"] for of in rails.values() if len(of) == 2]
    return sum(watts) if watts else None


class _Rapl:
    """Packages of a processor, in microjoules that wrap around."""

    name = "RAPL, processor package"

    def __init__(self, counters: list[Path]) -> None:
        self._counters = counters
        self._ranges = [_number(path.with_name("max_energy_range_uj")) or 0 for path in counters]
        self._at: list[int | None] = []
        self.begin()

    def begin(self) -> None:
        self._at = [_number(path) for path in self._counters]

    def tick(self) -> None:
        """Nothing: it counts by itself."""

    def joules(self) -> float | None:
        total = 0
        for path, before, wraps_at in zip(self._counters, self._at, self._ranges, strict=True):
            now = _number(path)
            if now is None or before is None:
                return None
            total += now - before if now >= before else now + wraps_at - before
        return total / 1e6


class _Sampled:
    """Power that is looked at now and then: its mean times the time."""

    def __init__(self, name: str, watts: Callable[[], float | None]) -> None:
        self.name = name
        self._watts = watts
        self.begin()

    def begin(self) -> None:
        self._begin_s, self._seen = time.perf_counter(), list[float]()
        self.tick()

    def tick(self) -> None:
        found = self._watts()
        if found is not None:
            self._seen.append(found)

    def joules(self) -> float | None:
        self.tick()
        if not self._seen:
            return None
        return sum(self._seen) / len(self._seen) * (time.perf_counter() - self._begin_s)


def _micro_sum(files: list[Path]) -> float | None:
    found = [_number(path) for path in files]
    return None if None in found else sum(value for value in found if value is not None) / 1e6


def _ask_pmic() -> str | None:
    if shutil.which("vcgencmd") is None:
        return None
    command = ("vcgencmd", "pmic_read_adc")
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
