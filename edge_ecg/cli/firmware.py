"""`edge-ecg firmware`: the firmware of an Arduino with an AD8232, from the checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import click

from edge_ecg.cli.checkout import find_checkout
from edge_ecg.errors import DataError, UsageError

FLASH_BYTES = 32256  # of the ATmega328P, what the boot loader leaves
RAM_BYTES = 2048
BUILDS_WITH = {"make": "make", "avr-gcc": "gcc-avr avr-libc"}
SIMULATES_WITH = {**BUILDS_WITH, "cc": "gcc libc6-dev", "simavr": "simavr libsimavr-dev"}

_folder = click.option(
    "--folder", type=click.Path(path_type=Path), help="Build here; default: firmware/build in the checkout."
)


@click.group()
def firmware() -> None:
    """Build and measure the firmware of an Arduino Uno or Nano with an AD8232 (needs a checkout and avr-gcc).

    \b
    Example:
      edge-ecg firmware build
      edge-ecg firmware size
    """


@firmware.command()
@click.option("--gain", type=click.IntRange(1), default=1100, show_default=True, help="V at A0 per V at electrodes.")
@click.option("--port", metavar="DEV", default="/dev/ttyACM0", show_default=True, help="Where the board is plugged in.")
@_folder
def build(gain: int, port: str, folder: Path | None) -> None:
    """Build the firmware, and say how to write it to the board.

    The gain is that of SparkFun's AD8232 board; --gain 100 is for the chip without a second stage.

    \b
    Example:
      edge-ecg firmware build
      edge-ecg firmware build --gain 100 --port /dev/ttyUSB0
    """
    folder = _resolve(folder)
    _make("avr", BUILDS_WITH, folder, f"GAIN={gain}")
    program = folder / "atmega328p.hex"
    click.echo(str(program))
    click.echo("Write it to the board (Debian: apt install avrdude; an old Nano also needs -b 57600):", err=True)
    click.echo(f"  avrdude -p m328p -c arduino -P {port} -D -U flash:w:{program}:i", err=True)
    click.echo(f"Then read it: edge-ecg run --port {port}", err=True)


@firmware.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@_folder
def size(as_json: bool, folder: Path | None) -> None:
    """Measure flash, RAM, interrupts and overruns of the firmware in a simulator.

    \b
    Example:
      edge-ecg firmware size
      edge-ecg firmware size --json
    """
    found = json.loads(_make("size", SIMULATES_WITH, _resolve(folder)))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    ram, variables, cycles = found["ram_bytes"], found["variables_bytes"], found["interrupt_cycles"]
    worst = max(cycles, key=cycles.get)
    click.echo(f"flash       {found['flash_bytes']} bytes of {FLASH_BYTES}")
    click.echo(f"RAM         {ram} bytes of {RAM_BYTES}: {variables} variables, {ram - variables} stack")
    click.echo(f"interrupts  at most {cycles[worst]} cycles of 16 MHz ({worst})")
    click.echo(f"samples     {found['samples']} at 500 Hz, {found['overruns']} overruns, {found['samples_lost']} lost")
    click.echo(f"busy        {found['busy_percent']:g} % of the time")


def _resolve(folder: Path | None) -> Path:
    return find_checkout() / "firmware" / "build" if folder is None else folder.resolve()


def _make(goal: str, needs: dict[str, str], folder: Path, *variables: str) -> str:
    """Make a goal of firmware/Makefile in a folder; gives what it prints.

    Raises
    ------
    UsageError
        There is no checkout, or no compiler.
    DataError
        The build failed, or the firmware needs more than it may.
    """
    source = find_checkout() / "firmware"
    missing = [program for program in needs if shutil.which(program) is None]
    if missing:
        packages = " ".join(needs[program] for program in missing)
        raise UsageError(f"this needs {', '.join(missing)}, not found here", f"Debian: `sudo apt install {packages}`")
    command = ["make", "-s", "-C", str(source), f"BUILD={folder}", f"PYTHON={sys.executable}", *variables, goal]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        first = next(iter(done.stderr.strip().splitlines()), "it does not say why")
        raise DataError(f"`make {goal}` failed: {first}", f"`make -C {source} {goal}` shows all of it")
    return done.stdout
