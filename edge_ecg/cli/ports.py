"""`edge-ecg ports`: what is plugged in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from firmware_bridge.blocks import LinkError
from firmware_bridge.ports import PortInfo, list_ports
from firmware_bridge.probe import not_found, probe


@click.command()
@click.argument("devices", nargs=-1, metavar="[PORT]...")
@click.option("--probe", "is_probed", is_flag=True, help="Ask and listen what is on each; about 25 s a silent port.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object a port.")
def ports(devices: tuple[str, ...], is_probed: bool, as_json: bool) -> None:
    """List the serial ports of this machine, or those PORTs of them.

    \b
    Example:
      edge-ecg ports
      edge-ecg ports --json
      edge-ecg ports --probe /dev/ttyUSB0
    """
    known = {port.device: port for port in list_ports()}
    found = [known.get(name, PortInfo(name, "", None, None, None)) for name in devices or known]
    if as_json:
        rows: list[dict[str, Any]] = [port.as_dict() for port in found]
        for row in rows if is_probed else ():
            row["probe"] = _probed(row["device"])
        click.echo(json.dumps(rows, indent=2))
        return
    for port in found:
        usb = f"  USB {port.vid:04x}:{port.pid:04x}" if port.vid is not None and port.pid is not None else ""
        serial = f"  serial {port.serial_number}" if port.serial_number else ""
        click.echo(f"{port.device}  {port.description}{usb}{serial}")
        if is_probed:
            for line in _lines(_probed(port.device)):
                click.echo(f"  {line}")
    if not found:
        click.echo("no serial port. Plug a board in, or try without one: `edge-ecg simulate`", err=True)


def _probed(device: str) -> dict[str, Any]:
    """What was heard, or why nothing could be, and the next step."""
    try:
        found = probe(device)
    except LinkError as error:
        return {"boards": [], "error": str(error), "heard": [], "hint": error.hint}
    heard = [{"baud": one.baud, "boards": list(one.boards), "heard": one.heard} for one in found]
    hint = found[-1].hint if found[-1].boards else not_found(device, found).hint
    return {"boards": list(found[-1].boards), "error": None, "heard": heard, "hint": hint}


def _lines(told: dict[str, Any]) -> Iterator[str]:
    if told["error"]:
        yield told["error"]
        return
    for one in told["heard"]:
        yield f"{one['baud']:>7} baud: {one['heard']}"
    yield told["hint"]
