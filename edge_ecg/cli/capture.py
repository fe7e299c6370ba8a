"""`edge-ecg capture`: keep what a board sends, byte for byte, to replay it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from edge_ecg import config
from edge_ecg.cli.interrupt import orderly_stop
from edge_ecg.cli.ranges import NumberRange
from edge_ecg.cli.report import link_line, tell
from edge_ecg.cli.run import only_port
from edge_ecg.errors import DataError, UsageError
from firmware_bridge.boards import BOARDS
from firmware_bridge.capture import About, CaptureWriter
from firmware_bridge.lasting import LastingLink, LinkChange, Opener, opener_of
from firmware_bridge.probe import find_board
from firmware_bridge.wire import Stopped


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--port", metavar="DEVICE", help="Serial port; default: the only one there is.")
@click.option("--board", metavar="NAME", help="What is on it: edge (the default), auto, one of `edge-ecg boards list`.")
@click.option("--baud", type=int, help="Bits per second; default: the board's usual.")
@click.option("--for", "length_s", type=NumberRange(0.1, 1e7), metavar="SECONDS", help="End after so long.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Settings file.")
def capture(
    file: Path, port: str | None, board: str | None, baud: int | None, length_s: float | None, config_path: Path | None
) -> None:
    """Keep all bytes that a board sends in FILE, with the times at which they came, until it ends or Ctrl-C.

    \b
    Example:
      edge-ecg capture --port /dev/ttyACM0 --for 60 minute.ecgcap
      edge-ecg replay minute.ecgcap
    """
    flags = {"link.port": port, "link.board": board, "link.baud": baud}
    link = config.load(flags, config_path=config_path).settings.link
    if file.exists() and file.stat().st_size:
        raise UsageError(f"{file} is not empty", "Name another file, or remove it: a capture is never appended to")
    where = link.port or only_port()
    board_name, speed = find_board(where) if link.board == "auto" else (link.board, link.baud)
    is_new = not file.exists()
    try:
        out = file.open("wb", buffering=0)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}", "Name another place") from None
    with out:
        about = About(board_name, where, speed or BOARDS[board_name].bauds[0], time.time())
        tap = _Tap(CaptureWriter(out, about, time.monotonic()))
        opener = opener_of(board_name, speed, link.handshake_timeout_s, fs_hz=link.fs_hz, tap=tap)
        with _opened(where, opener, file, is_new) as held, orderly_stop(held.cancel):
            tell(f"{held.info.name}: {held.info.fs_hz:g} Hz, leads {', '.join(held.info.leads)}; Ctrl-C ends it")
            _keep(held, tap, length_s)
            tell(link_line(held.stats()))
    if tap.failure is not None:
        why = tap.failure.strerror or tap.failure
        raise DataError(f"{file} cannot be written: {why}", "What it holds can be replayed")
    click.echo(f"{file}: {file.stat().st_size} bytes. Next: edge-ecg replay {file}")


def _opened(where: str, opener: Opener, file: Path, is_new: bool) -> LastingLink:
    """The board; where none answers, nothing is kept of what did."""
    try:
        return LastingLink(where, opener)
    except BaseException:
        if is_new:
            file.unlink(missing_ok=True)
        elif file.is_file():
            os.truncate(file, 0)
        raise


class _Tap:
    """Writes in the reader's thread; a disk that is full ends the capture, not the thread."""

    def __init__(self, writer: CaptureWriter) -> None:
        self._writer = writer
        self.failure: OSError | None = None

    def __call__(self, data: bytes, host_s: float) -> None:
        if self.failure is None:
            try:
                self._writer.write(data, host_s)
            except OSError as error:
                self.failure = error


def _keep(board: LastingLink, tap: _Tap, length_s: float | None) -> None:
    begin_s = shown_s = time.monotonic()
    while not (board.cancelled or tap.failure is not None):
        items = board.read(0.1)
        for item in items:
            if isinstance(item, LinkChange):
                tell(f"link {item.state}: {item.detail}")
        now_s = time.monotonic()
        if sys.stderr.isatty() and now_s >= shown_s + 1.0:
            shown_s = now_s
            click.echo(f"\r{now_s - begin_s:.0f} s, {link_line(board.stats())}", err=True, nl=False)
        if any(isinstance(item, Stopped) for item in items) or (length_s is not None and now_s >= begin_s + length_s):
            break
    board.stop()
