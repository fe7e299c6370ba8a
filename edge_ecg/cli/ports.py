"""`edge-ecg ports`: what is plugged in."""

from __future__ import annotations

import json

import click

from firmware_bridge.ports import list_ports


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object a port.")
def ports(as_json: bool) -> None:
    """List the serial ports of this machine.

    \b
    Example:
      edge-ecg ports
      edge-ecg ports --json
    """
    found = list_ports()
    if as_json:
        click.echo(json.dumps([port.as_dict() for port in found], indent=2))
        return
    for port in found:
        usb = f"  USB {port.vid:04x}:{port.pid:04x}" if port.vid is not None and port.pid is not None else ""
        serial = f"  serial {port.serial_number}" if port.serial_number else ""
        click.echo(f"{port.device}  {port.description}{usb}{serial}")
    if not found:
        click.echo("no serial port. Plug a board in, or try without one: `edge-ecg simulate`", err=True)
