"""`edge-ecg demo`: bytes to labels without hardware."""

from __future__ import annotations

import sys

import click

from edge_ecg.cli.accelerator import open_model
from edge_ecg.cli.interrupt import orderly_stop
from edge_ecg.cli.ranges import SPEED
from edge_ecg.cli.report import DISCLAIMER, agreement_lines, link_line, raise_what_went_wrong, stats_lines, tell_failure
from edge_ecg.io import read_annotations
from edge_ecg.runner import Runner
from edge_ecg.settings import ModelSettings
from edge_ecg.sinks.beats import BeatList
from edge_ecg.sinks.console import ConsoleSink
from edge_ecg.sources.serial_link import SerialLinkSource
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from firmware_bridge.simulator import PtyBoard

_NEXT = """\
next      edge-ecg run --port /dev/ttyACM0        label your own board (edge-ecg ports lists them)
          edge-ecg simulate --pty-link /tmp/b     a board without hardware, for your own program
          edge-ecg replay RECORD --jsonl -        a WFDB record as JSON lines
          edge-ecg models list                    what can label, and how well"""


@click.command()
@click.option("--speed", type=SPEED, default=10.0, show_default=True, help="Times real time.")
@click.option("--model", metavar="ID|PATH", default=ModelSettings().id, show_default=True, help="What labels.")
def demo(speed: float, model: str) -> None:
    """Label a shipped recording from a virtual board, and compare with the cardiologists.

    A virtual board streams 5.5 minutes of a real ECG over a pseudo terminal; what `edge-ecg run` runs reads it
    through pyserial, finds each beat and labels it. Ctrl-C ends it in order, with exit code 0.

    \b
    Example:
      edge-ecg demo
      edge-ecg demo --speed 1      in real time
    """
    classifier = open_model(model, "auto")
    notes = read_annotations(EXCERPT)
    board = board_of_record(EXCERPT, speed)
    click.echo(DISCLAIMER)
    beats = BeatList()
    with PtyBoard(board) as pty:
        source = SerialLinkSource(pty.path, wait_s=0.0)
        console = ConsoleSink(sys.stdout, colour=sys.stdout.isatty())
        runner = Runner(source, classifier, [beats, console], on_failure=tell_failure)
        with orderly_stop(runner.stop) as interrupted:
            stats = runner.run()
        link = source.stats()
    raise_what_went_wrong(None, runner.sinks[1:])
    stopped = "stopped after " if interrupted.happened else ""
    click.echo(f"\nsummary   {stopped}{stats.n_samples / board.info.fs_hz:.0f} s of ECG")
    agreement = agreement_lines(notes, beats, stats.n_samples if interrupted.happened else None)
    for line in [*stats_lines(stats, link), *agreement, link_line(link)]:
        click.echo(line)
    click.echo(
        "note      Beats of this record (MIT-BIH 223) took part in training: a demonstration, not a test.\n"
        "          Figures of beats and people that did not are in `edge-ecg models list`.\n" + _NEXT
    )
