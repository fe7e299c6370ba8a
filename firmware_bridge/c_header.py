"""The C header of the protocol, written from `wire`: ``python -m firmware_bridge.c_header [FILE]``.

The committed copy is ``firmware/core/edge_wire.h``; a test fails when the two differ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from firmware_bridge import framing, wire

__all__ = ["HEADER_FILE", "c_header", "main"]

HEADER_FILE = Path(__file__).resolve().parent.parent / "firmware" / "core" / "edge_wire.h"

_CAPABILITIES = ("CAN_LEAD_OFF", "CAN_SET_RATE", "CAN_SUPPLY", "SIMULATED")
_ERRORS = ("ERROR_UNKNOWN_COMMAND", "ERROR_UNSUPPORTED", "ERROR_BAD_VALUE", "ERROR_ADC")


def c_header() -> str:
    """Return the header: versions, limits, types, and where each fixed field lies in its body."""
    lines = [
        "/* The serial protocol in numbers (firmware_bridge/PROTOCOL.md). Generated from firmware_bridge/wire.py by",
        " * `python -m firmware_bridge.c_header`: change it there. */",
        "#ifndef EDGE_WIRE_H",
        "#define EDGE_WIRE_H",
        *_section("Frames and limits", _limits()),
        *_section("Capabilities, in HELLO", [(name, _hex(getattr(wire, name))) for name in _CAPABILITIES]),
        *_section("Lead-off, in DATA", [("LEAD_OFF_KNOWN", _hex(wire.LEAD_OFF_KNOWN))]),
        *_section("Error codes, in ERROR", [(name, f"{getattr(wire, name)}u") for name in _ERRORS]),
        *_section("Types of messages", [(f"TYPE_{layout.name}", _hex(layout.code)) for layout in wire.LAYOUTS]),
    ]
    for layout in wire.LAYOUTS:
        if layout.fields:
            tail = f"; then {layout.TAILS[layout.tail]}" if layout.tail else ""
            lines += _section(f"{layout.name}: fields in the body{tail}", _fields(layout))
    return "\n".join([*lines, "", "#endif", ""])


def _limits() -> list[tuple[str, str]]:
    return [
        ("PROTOCOL_VERSION", f"{wire.VERSION}u"),
        ("HEADER_BYTES", f"{wire.HEADER.size}u"),
        ("CRC_BYTES", f"{framing.CRC_BYTES}u"),
        ("MAX_BODY_BYTES", f"{wire.MAX_BODY_BYTES}u"),
        ("MAX_ENCODED_BYTES", f"{framing.MAX_ENCODED_BYTES}u"),
        ("MAX_LEADS", f"{wire.MAX_LEADS}u"),
        ("MAX_FRAME_SAMPLES", "255u"),
        ("MAX_FRAME_MS", f"{round(wire.MAX_FRAME_S * 1000)}u"),
        ("COUNT_BYTES", "3u"),
    ]


def _fields(layout: wire.Layout) -> Iterator[tuple[str, str]]:
    at = 0
    for name, ctype in layout.fields:
        yield f"{layout.name}_{name.upper()}_AT", f"{at}u"
        at += int(ctype.removeprefix("u")) // 8
    yield f"{layout.name}_FIXED_BYTES", f"{at}u"


def _section(title: str, numbers: Iterator[tuple[str, str]] | Sequence[tuple[str, str]]) -> list[str]:
    return ["", f"/* {title} */", *(f"#define EDGE_{name} {value}" for name, value in numbers)]


def _hex(number: int) -> str:
    return f"0x{number:02X}u"


def main(args: Sequence[str]) -> None:
    """Write the header to the file named, or to its place in the checkout."""
    (Path(args[0]) if args else HEADER_FILE).write_text(c_header(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
