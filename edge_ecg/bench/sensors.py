"""Heat, and whether a device slows itself down while it works. Missing sensors are named, never fatal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_ecg.raspberry import THROTTLED, read_throttled, throttled_bits

__all__ = ["Watch"]

_ZONES = "sys/class/thermal/thermal_zone*/temp"
_COUNTERS = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"
_NOW = (1 << len(THROTTLED)) - 1


class Watch:
    """Looks at the sensors between measurements.

    Parameters
    ----------
    root
        Where the files of the machine are.
    ask
        Gives what ``vcgencmd get_throttled`` says; None where there is no such command.

    Attributes
    ----------
    first_c, highest_c
        Temperature of the hottest zone at the beginning and at its highest, degrees Celsius; None without a sensor.
    throttled
        What slowed the device down while this watched, in words.
    """

    def __init__(self, root: Path = Path("/"), ask: Callable[[], str | None] = read_throttled) -> None:
        self._root = root
        self._ask = ask
        self._had_bits = self._bits()
        self._had_counts = self._counts()
        self.first_c = self.highest_c = self._hottest()
        self.throttled: tuple[str, ...] = ()
        self.look()

    @property
    def missing(self) -> tuple[str, ...]:
        """What this device does not tell."""
        missing = [] if self.first_c is not None else ["temperature"]
        if self._had_bits is None and not self._had_counts:
            missing.append("throttling")
        return tuple(missing)

    def look(self) -> None:
        """Take note of what the sensors say now."""
        now_c = self._hottest()
        if now_c is not None and (self.highest_c is None or now_c > self.highest_c):
            self.highest_c = now_c
        found = set(self.throttled)
        bits = self._bits()
        if bits is not None and self._had_bits is not None:
            # Now, or since the start of the machine but not yet when this began.
            new = (bits | (bits & ~self._had_bits) >> 16) & _NOW
            found |= {word for bit, word in enumerate(THROTTLED) if new >> bit & 1}
        if sum(self._counts()) > sum(self._had_counts):
            found.add("hot (counted by the kernel)")
        self.throttled = tuple(sorted(found))

    def _bits(self) -> int | None:
        told = self._ask()
        return None if told is None else throttled_bits(told)

    def _hottest(self) -> float | None:
        return max((value / 1000.0 for value in self._numbers(_ZONES) if -50_000 < value < 200_000), default=None)

    def _counts(self) -> list[int]:
        return self._numbers(_COUNTERS)

    def _numbers(self, pattern: str) -> list[int]:
        found = []
        for path in sorted(self._root.glob(pattern)):
            try:
                found.append(int(path.read_text()))
            except (OSError, ValueError):
                continue
        return found
