"""`edge-ecg top`: the figures of a running daemon, in the terminal."""

from __future__ import annotations

import shutil
import sys
import threading

import click

from edge_ecg.cli.interrupt import orderly_stop
from edge_ecg.errors import SourceError
from edge_ecg.settings import WebSettings
from edge_ecg.top import ask, lines, wrapped
from edge_ecg.web.token import read_token

REFRESH_S = 1.0
_BEGIN = "\x1b[?1049h\x1b[?25l"  # a screen of its own, without a cursor
_END = "\x1b[?25h\x1b[?1049l"
_HOME, _TO_LINE_END, _TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command()
@click.option(
    "--url", default=f"http://{WebSettings().host}:{WebSettings().port}", show_default=True, help="Where the page is."
)
@click.option("--token-file", metavar="FILE", help="File of mode 0600 with the token, if the page asks for one.")
@click.option("--once", is_flag=True, help="Print the figures once and end.")
def top(url: str, token_file: str | None, once: bool) -> None:
    """Watch a running daemon: heart rate, rhythm, ectopic beats, link and outputs, each second. Ctrl-C ends it.

    It asks the live page, so the daemon needs web.enabled = true. Into a pipe it prints once.

    \b
    Example:
      edge-ecg top
      edge-ecg top --once
      edge-ecg top --url http://192.168.1.20:8137 --token-file ~/.edge-ecg-token
    """
    token = None if token_file is None else read_token(token_file)
    told = ask(url, token)
    if once or not sys.stdout.isatty():
        click.echo("\n".join(lines(told)))
        return
    is_over = threading.Event()
    with orderly_stop(is_over.set):
        sys.stdout.write(_BEGIN)
        try:
            warning: list[str] = []
            while True:
                size = shutil.get_terminal_size()
                width = max(20, size.columns)
                _draw([*wrapped(warning, width), *lines(told, width)], size.lines)
                if is_over.wait(REFRESH_S):
                    return
                try:
                    told, warning = ask(url, token), []
                except SourceError as error:
                    # What is shown stays, since it is the last that is known; the daemon may come back.
                    warning = [f"NO ANSWER: {error.message}; this is old, trying again"]
        finally:
            sys.stdout.write(_END)
            sys.stdout.flush()


def _draw(shown: list[str], height: int) -> None:
    """Write over what is there; what does not fit is left out."""
    rows = shown[: height - 1]
    sys.stdout.write(_HOME + "".join(f"{row}{_TO_LINE_END}\r\n" for row in rows) + _TO_SCREEN_END)
    sys.stdout.flush()
