"""`edge-ecg simulate`: a board without hardware."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import click

from edge_ecg.cli.interrupt import orderly_stop
from edge_ecg.cli.ranges import SPEED, NumberRange
from edge_ecg.config import read_tables
from edge_ecg.errors import ConfigError
from edge_ecg.schema import decode
from edge_ecg.sources.virtual import EXCERPT, board_of_record, synthetic_board
from firmware_bridge.faults import FaultPlan, FaultyBoard
from firmware_bridge.simulator import PtyBoard


@click.command()
@click.option("--record", type=click.Path(path_type=Path), help="WFDB record to play; default: the shipped excerpt.")
@click.option("--synthetic", "hr_bpm", type=NumberRange(20, 250), help="A made-up heart of this rate instead.")
@click.option("--speed", type=SPEED, default=1.0, show_default=True, help="Times real time.")
@click.option("--faults", type=click.Path(path_type=Path), help="TOML file of what a bad cable does to it.")
@click.option("--pty-link", type=click.Path(path_type=Path), help="Make this symbolic link to the terminal.")
def simulate(
    record: Path | None, hr_bpm: float | None, speed: float, faults: Path | None, pty_link: Path | None
) -> None:
    """Play a board on a virtual serial port, until the record ends or Ctrl-C.

    It plays from the beginning for each program that opens it. Faults of the cable are shares of frames (drop,
    duplicate, truncate, reorder, garbage, burst, stall) or of bytes (flip), a cable that is pulled now and then
    (disconnect_every_s, disconnect_s, reset) and more (docs/faults.md); the same seed gives the same ones.

    \b
    Example:
      edge-ecg simulate --record mitdb/100 --pty-link /tmp/board
      edge-ecg run --port /tmp/board             (in another terminal)
      printf 'seed = 1\\ndrop = 0.01\\nflip = 1e-4\\n' > bad.toml; edge-ecg simulate --faults bad.toml
    """
    if record is not None and hr_bpm is not None:
        raise click.UsageError("--record and --synthetic exclude each other.")
    plan = FaultPlan() if faults is None else _read_plan(faults)
    how: dict[str, Any] = {"drift_ppm": plan.drift_ppm, "first_sample": plan.first_sample}
    if hr_bpm is not None:
        board = synthetic_board(hr_bpm, speed, **how)
    else:
        board = board_of_record(record or EXCERPT, speed, **how)
    stopped = threading.Event()
    with orderly_stop(stopped.set), PtyBoard(board if faults is None else FaultyBoard(board, plan), pty_link) as pty:
        click.echo(str(pty_link or pty.path))
        click.echo(
            f"{board.info.name}: {board.info.fs_hz:g} Hz, leads {', '.join(board.info.leads)}, {speed:g} x real time. "
            f"Read it with `edge-ecg run --port {pty_link or pty.path}`; Ctrl-C ends it.",
            err=True,
        )
        if faults is not None:
            click.echo(f"faults: {plan}", err=True)
        while not (stopped.is_set() or pty.finished.is_set()):
            stopped.wait(0.05)


def _read_plan(file: Path) -> FaultPlan:
    tables = read_tables(file, what="faults", syntax='Such as "drop = 0.01", one a line', flag="--faults")
    return decode(FaultPlan, tables, where=str(file), error=ConfigError)
