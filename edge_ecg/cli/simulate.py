"""`edge-ecg simulate`: a board without hardware."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from edge_ecg.cli.interrupt import orderly_stop
from edge_ecg.cli.ranges import SPEED, NumberRange
from edge_ecg.sources.virtual import EXCERPT, board_of_record, synthetic_board
from firmware_bridge.simulator import PtyBoard


@click.command()
@click.option("--record", type=click.Path(path_type=Path), help="WFDB record to play; default: the shipped excerpt.")
@click.option("--synthetic", "hr_bpm", type=NumberRange(20, 250), help="A made-up heart of this rate instead.")
@click.option("--speed", type=SPEED, default=1.0, show_default=True, help="Times real time.")
@click.option("--pty-link", type=click.Path(path_type=Path), help="Make this symbolic link to the terminal.")
def simulate(record: Path | None, hr_bpm: float | None, speed: float, pty_link: Path | None) -> None:
    """Play a board on a virtual serial port, until the record ends or Ctrl-C.

    It plays from the beginning for each program that opens it.

    \b
    Example:
      edge-ecg simulate --record mitdb/100 --pty-link /tmp/board
      edge-ecg run --port /tmp/board             (in another terminal)
    """
    if record is not None and hr_bpm is not None:
        raise click.UsageError("--record and --synthetic exclude each other.")
    board = synthetic_board(hr_bpm, speed) if hr_bpm is not None else board_of_record(record or EXCERPT, speed)
    stopped = threading.Event()
    with orderly_stop(stopped.set), PtyBoard(board, pty_link) as pty:
        click.echo(str(pty_link or pty.path))
        click.echo(
            f"{board.info.name}: {board.info.fs_hz:g} Hz, leads {', '.join(board.info.leads)}, {speed:g} x real time. "
            f"Read it with `edge-ecg run --port {pty_link or pty.path}`; Ctrl-C ends it.",
            err=True,
        )
        while not (stopped.is_set() or pty.finished.is_set()):
            stopped.wait(0.05)
