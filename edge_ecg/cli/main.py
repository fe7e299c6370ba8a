"""The command line: a table of commands that load when called, and the one place that reports errors."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NamedTuple

import click

from edge_ecg import __version__
from edge_ecg.cli.streams import flush_or_drop
from edge_ecg.errors import EdgeEcgError

__all__ = ["COMMANDS", "LazyGroup", "main", "run"]

BUG = 70
USAGE = 2
LINK = 4
OUTPUT = 5
READER_GONE = 141
NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


class Entry(NamedTuple):
    """Where a command lives, what the overview says of it, whether only a checkout has it."""

    target: str
    help: str
    in_checkout: bool = False


COMMANDS = {
    "demo": Entry("edge_ecg.cli.demo:demo", "Label a shipped recording and score it; no hardware needed."),
    "run": Entry("edge_ecg.cli.run:run_command", "Label beats from a board on a serial port."),
    "daemon": Entry("edge_ecg.cli.daemon:daemon", "Label beats as a service: waits, records, serves a page."),
    "top": Entry("edge_ecg.cli.top:top", "Watch a running daemon in the terminal."),
    "replay": Entry("edge_ecg.cli.replay:replay", "Label the beats of a recording."),
    "report": Entry("edge_ecg.cli.day_report:report", "Sum up a day of recordings: rates, ectopic beats, pauses."),
    "simulate": Entry("edge_ecg.cli.simulate:simulate", "Play a board on a virtual serial port."),
    "capture": Entry("edge_ecg.cli.capture:capture", "Keep what a board sends, byte for byte, to replay it."),
    "export": Entry("edge_ecg.cli.export:export", "Write a recording as EDF+ or CSV."),
    "ports": Entry("edge_ecg.cli.ports:ports", "List the serial ports of this machine."),
    "boards": Entry("edge_ecg.cli.boards:boards", "List and show known boards, decode their bytes."),
    "firmware": Entry("edge_ecg.cli.firmware:firmware", "Build the firmware of an Arduino board (in a checkout)."),
    "models": Entry("edge_ecg.cli.models:models", "List, show and verify models."),
    "bench": Entry("edge_ecg.cli.bench:bench", "Measure models on this device, compare devices."),
    "data": Entry("edge_ecg.cli.data:data", "Fetch and check public ECG databases."),
    "config": Entry("edge_ecg.cli.config:config", "Show and check the settings, print an example."),
    "hooks": Entry("edge_ecg.cli.hooks:hooks", "Try the commands that run when something happens."),
    "service": Entry("edge_ecg.cli.service:service", "Install the daemon as a systemd service."),
    "doctor": Entry("edge_ecg.cli.doctor:doctor", "Check this machine and say what to mend."),
    "train": Entry("train.cli:train", "Train a network.", in_checkout=True),
    "evaluate": Entry("train.evaluate:evaluate", "Score a run or a bundle on test beats or records.", in_checkout=True),
    "convert": Entry("quantize.cli:convert", "Quantise a network into a model bundle.", in_checkout=True),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if entry.in_checkout:
            from edge_ecg.cli.checkout import load_verb

            command = load_verb(f"edge-ecg {cmd_name}", entry.target)
        else:
            from edge_ecg.registry import load

            command = load(entry.target)
        assert isinstance(command, click.Command), entry.target
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from edge_ecg.schema import nearest

            ctx.fail(f'there is no command "{name}". {nearest(name, list(COMMANDS))}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        workbench = 'In a checkout with pip install -e ".[train]"'
        for title, in_checkout in (("Commands", False), (workbench, True)):
            with formatter.section(title):
                rows = [(name, e.help) for name, e in COMMANDS.items() if e.in_checkout == in_checkout]
                formatter.write_dl(rows)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="edge-ecg %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error (or set EDGE_ECG_DEBUG=1).")
def main(debug: bool) -> None:
    """Serial bytes to beat labels: an open toolkit for portable ECG monitors.

    Research software, not a medical device.

    \b
    Example:
      edge-ecg demo                      a shipped recording, labelled and scored
      edge-ecg run --port /dev/ttyACM0   a board on a serial port
    """


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: the entry point, and the only error handler.

    0 ok, 2 usage or settings, 3 model, 4 source or link, 5 data or output, 70 bug, 130 Ctrl-C, 141 reader gone.
    """
    if sys.stdout is None:  # Python's way to say that the descriptor is closed
        return _say(_not_written("standard output is closed"), OUTPUT, None, debug=False)
    code = _run(argv)
    failure = flush_or_drop(sys.stdout)
    if failure is not None and code == 0:
        broken = isinstance(failure, BrokenPipeError)
        code = READER_GONE if broken else _say(_not_written(failure.strerror), OUTPUT, failure, debug=False)
    if sys.stderr is not None:
        flush_or_drop(sys.stderr)
    return code


def _run(argv: Sequence[str] | None) -> int:
    args = list(sys.argv[1:] if argv is None else argv)
    debug = bool(os.environ.get("EDGE_ECG_DEBUG"))
    try:
        with main.make_context("edge-ecg", args) as ctx:
            debug = debug or ctx.params["debug"]
            main.invoke(ctx)
        return 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        return _say("stopped", 130, error, debug)
    except BrokenPipeError:
        return READER_GONE  # (`| head`): be quiet
    except click.ClickException as error:
        # A bare group: click 8.1 prints the help and exits, newer ones raise it as an error.
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            click.echo(error.format_message(), err=True)
            return USAGE
        ctx_of_error = getattr(error, "ctx", None)
        message = error.format_message().rstrip()
        if ctx_of_error:
            stop = "" if message.endswith((".", "?", "!")) else "."
            message += f"{stop} Try `{ctx_of_error.command_path} -h`."
        return _say(message, USAGE, error, debug)
    except Exception as error:
        return _report(error, debug)


def _report(error: Exception, debug: bool) -> int:
    """Say what ended the work, and return the exit code of its kind."""
    from firmware_bridge.blocks import LinkError

    if isinstance(error, EdgeEcgError):
        return _say(str(error), error.exit_code, error, debug)
    if isinstance(error, LinkError):
        return _say(str(error), LINK, error, debug)
    if isinstance(error, ModuleNotFoundError):
        from edge_ecg.cli.checkout import missing_library

        missing = missing_library(error)
        if missing is not None:
            return _say(str(missing), missing.exit_code, error, debug)
    if isinstance(error, OSError) and error.errno in NOT_WRITTEN and error.filename is None:
        return _say(_not_written(error.strerror), OUTPUT, error, debug)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    advice = "Please report it on the project's issue tracker, with the output of `edge-ecg doctor`"
    more = "" if debug else "; EDGE_ECG_DEBUG=1 shows the traceback"
    return _say(f"this is a bug ({what}). {advice}{more}.", BUG, error, debug)


def _say(message: str, code: int, error: BaseException | None, debug: bool) -> int:
    with contextlib.suppress(OSError):  # stderr may be as full or gone as stdout
        if debug:
            traceback.print_exception(error)
        click.echo("edge-ecg: " + " ".join(message.split()), err=True)
    return code


def _not_written(reason: str | None) -> str:
    return f"cannot write the output: {reason}. Make room, or send it elsewhere."


if __name__ == "__main__":
    sys.exit(run())
