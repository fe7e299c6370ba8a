"""The serial ports of this machine."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from serial.tools import list_ports as _tools

__all__ = ["PortInfo", "list_ports"]


@dataclass(frozen=True, slots=True)
class PortInfo:
    """A serial port. USB vendor, product and serial number are None for a port that is not on USB."""

    device: str
    description: str
    vid: int | None
    pid: int | None
    serial_number: str | None

    def as_dict(self) -> dict[str, str | int | None]:
        """Return the fields as a dict ready for JSON."""
        return asdict(self)


def list_ports() -> list[PortInfo]:
    """Return the ports in the order of their names, numbers counted as numbers (ttyUSB2 before ttyUSB10)."""
    found = [
        PortInfo(port.device, port.description or "", port.vid, port.pid, port.serial_number)
        for port in _tools.comports()
    ]
    return sorted(found, key=lambda port: natural_key(port.device))


def natural_key(text: str) -> tuple[tuple[str, int], ...]:
    """Return a sorting key that compares the digits in `text` as numbers."""
    return tuple((word, int(digits or 0)) for word, digits in re.findall(r"(\D*)(\d*)", text))
