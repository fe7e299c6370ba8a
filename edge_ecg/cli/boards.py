"""`edge-ecg boards`: the boards that are known, and what their bytes say."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from edge_ecg.cli.report import tell
from edge_ecg.errors import DataError, UsageError
from edge_ecg.schema import nearest
from firmware_bridge.boards import BOARDS, Board

if TYPE_CHECKING:
    from firmware_bridge.blocks import LinkStats, RawBlock
    from firmware_bridge.messages import Message
    from firmware_bridge.protocols import Decoder

CHUNK_BYTES = 65536
LEAD_OFF = {"none": "not told", "hint": "a hint: 1 means off, 0 means nothing", "sure": "told"}


@click.group()
def boards() -> None:
    """List the boards that are known, show one, decode bytes that one has sent.

    \b
    Example:
      edge-ecg boards list
      edge-ecg boards show cyton
      edge-ecg boards decode cyton capture.bin --json
    """


@boards.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object a board.")
def list_boards(as_json: bool) -> None:
    """List the boards that are known.

    \b
    Example:
      edge-ecg boards list --json
    """
    if as_json:
        click.echo(json.dumps([board.as_dict() for board in BOARDS.values()], indent=2))
        return
    click.echo(f"{'name':<10} {'Hz':>7} {'leads':>5} {'uV/count':>9} {'lead-off':<8}  board")
    for board in BOARDS.values():
        leads = len(board.leads) or "-"
        row = f"{board.name:<10} {_rate(board):>7} {leads:>5} {_scale(board):>9} {board.lead_off:<8}  {board.title}"
        click.echo(row)


@boards.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(name: str, as_json: bool) -> None:
    """Show what is known of a board, its traps included.

    \b
    Example:
      edge-ecg boards show hpi4
    """
    board = _board(name)
    if as_json:
        click.echo(json.dumps(board.as_dict(), indent=2))
        return
    click.echo(f"{board.name}: {board.title}")
    for what, value in _facts(board):
        click.echo(f"  {what:<12} {value}")
    for note in board.notes:
        click.echo(f"  - {note}")


@boards.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--json", "as_json", is_flag=True, help='JSON lines: {"counts": [...]} a sample, "lead_off" when known.')
@click.option("--channels", "n_channels", type=click.IntRange(1, 16), help="Of bitalino, chords and spiker.")
@click.option("--columns", metavar="N,...", help="Columns of lines that are leads, from 1; else all numbers.")
def decode(name: str, file: Path, as_json: bool, n_channels: int | None, columns: str | None) -> None:
    """Decode the raw bytes that a board sent, from FILE or from stdin (-).

    Counts are the codes of the ADC. Where the board says that an electrode is off instead of a sample, "counts" is
    empty. What was skipped, damaged and lost is told on stderr.

    \b
    Example:
      edge-ecg boards decode hpi4 capture.bin --json > samples.jsonl
      edge-ecg boards decode eifwd lines.txt --columns 2
    """
    from firmware_bridge.blocks import LinkError, RawBlock
    from firmware_bridge.messages import Error
    from firmware_bridge.protocols import open_decoder

    board = _board(name)
    options = {"n_channels": n_channels, "columns": _column_numbers(columns)}
    try:
        decoder = open_decoder(board.decoder, **{k: v for k, v in options.items() if v is not None})
    except LinkError as error:
        hint = "--channels is for bitalino, chords and spiker, --columns for ad8232 and eifwd"
        raise UsageError(error.message, hint) from None
    except ValueError as error:
        raise UsageError(str(error), "Without --channels the bytes tell") from None
    show_blocks = _json_lines if as_json else _Table(board).lines
    try:
        for out in _decoded(decoder, file):
            lines = show_blocks([item for item in out if isinstance(item, RawBlock)])
            if lines:
                click.echo("\n".join(lines))
            for item in out:
                if isinstance(item, Error):
                    tell(f"the board says: {item.text}")
    except KeyboardInterrupt:
        tell(_stats_line(board, decoder.stats()))
        raise
    tell(_stats_line(board, decoder.stats()))


def _board(name: str) -> Board:
    try:
        return BOARDS[name]
    except KeyError:
        raise UsageError(f'no board is called "{name}"', nearest(name, list(BOARDS))) from None


def _column_numbers(text: str | None) -> tuple[int, ...] | None:
    """Columns as the command line counts them, from 1, counted from 0."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise UsageError(f'"{text}" is no list of columns', "The first column is 1: --columns 2, or --columns 2,3")
    return tuple(int(word) - 1 for word in words)


def _chunks(file: Path) -> Iterator[bytes]:
    """The bytes of a file, or of stdin as they come."""
    is_stdin = str(file) == "-"
    if is_stdin and sys.stdin is None:
        raise DataError("standard input is closed", "Give a file, or send bytes in")
    try:
        with nullcontext(sys.stdin.buffer) if is_stdin else file.open("rb") as stream:
            while data := cast(BufferedReader, stream).read1(CHUNK_BYTES):  # what has come, not all it asks for
                yield data
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"cannot read {file}: {reason}", "Give a file of the bytes that a board sent") from None


def _decoded(decoder: Decoder, file: Path) -> Iterator[list[RawBlock | Message]]:
    for data in _chunks(file):
        yield decoder.feed(data, 0.0)
    yield decoder.flush()


def _json_lines(blocks: list[RawBlock]) -> list[str]:
    lines = []
    for block in blocks:
        electrodes = {} if block.lead_off is None else {"lead_off": block.lead_off}
        for row in block.counts.tolist() or ([[]] if block.lead_off else []):
            lines.append(json.dumps({"counts": [_plain(count) for count in row], **electrodes}))
    return lines


class _Table:
    """Samples as lines for a person, under the names of the leads."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._n_leads: int | None = None

    def lines(self, blocks: list[RawBlock]) -> list[str]:
        lines = []
        for block in blocks:
            if block.lost_before:
                lines.append(f"-- {block.lost_before} samples lost --")
            n_leads = block.counts.shape[1]
            if len(block.counts) and n_leads != self._n_leads:
                self._n_leads = n_leads
                known = self._board.leads if len(self._board.leads) == n_leads else ()
                names = known or tuple(f"CH{n}" for n in range(1, n_leads + 1))
                lines.append(" ".join([f"{'sample':>9}", *(f"{name:>11}" for name in names)]))
            off = "  electrode off" if block.lead_off else ""
            for at, row in enumerate(block.counts.tolist(), block.first_sample):
                lines.append(f"{at:>9} " + " ".join(f"{_plain(count):>11}" for count in row) + off)
            if block.lead_off and not len(block.counts):
                lines.append("-- electrode off, no samples --")
        return lines


def _plain(count: float) -> float:
    """A whole number without a point behind it."""
    return int(count) if count == int(count) else count


def _stats_line(board: Board, stats: LinkStats) -> str:
    line = (
        f"{board.name}: {stats.bytes_received} bytes, {stats.frames_ok} frames, {stats.samples_received} samples, "
        f"{stats.samples_lost} lost; {stats.bytes_skipped} bytes skipped, {stats.frame_errors} bad frames, "
        f"{stats.crc_errors} bad CRC"
    )
    if stats.bytes_received and not stats.frames_ok:
        line += ". Is it this board? `edge-ecg boards list` shows the others"
    return line


def _rate(board: Board) -> str:
    return "-" if board.fs_hz is None else ("" if board.is_isochronous else "~") + f"{board.fs_hz:g}"


def _scale(board: Board) -> str:
    return "-" if board.lsb_nv is None else f"{board.lsb_nv / 1000:.4g}"


def _facts(board: Board) -> Iterator[tuple[str, str]]:
    """What is known of a board, as names and values."""
    measured = "" if board.is_isochronous else ", measured as it streams"
    yield "rate", f"{_rate(board)} Hz{measured}" if board.fs_hz else "not known before it streams"
    yield "leads", ", ".join(board.leads) or "as the board has them"
    yield "a count", f"{board.lsb_nv:.6g} nV" if board.lsb_nv else "of unknown size"
    yield (
        "lead-off",
        {"none": "not told", "hint": "a hint: 1 means off, 0 means nothing", "sure": "told"}[board.lead_off],
    )
    if board.group_delay_ms:
        yield "delay", f"{board.group_delay_ms:g} ms in filters"
    yield "baud", ", ".join(map(str, board.bauds))
    if board.usb_ids:
        yield "USB", ", ".join(f"{vid:04x}:{pid:04x}" for vid, pid in board.usb_ids)
    if board.settle_s:
        yield "opening", f"resets it: wait {board.settle_s:g} s"
    for what, command in (("greeting", board.greeting), ("start", board.start), ("stop", board.stop)):
        if command:
            yield what, f"{command.hex(' ')}  {command!r}"
    yield "frame", "of varying length" if board.frame_bytes is None else f"{board.frame_bytes} bytes"
    yield "losses", f"counted modulo {board.counter_modulo}" if board.counter_modulo else "not counted"
    yield "source", board.source
