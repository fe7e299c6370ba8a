"""`edge-ecg daemon`: the service."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from pathlib import Path

import click

from edge_ecg import config
from edge_ecg.cli.accelerator import open_model
from edge_ecg.cli.interrupt import orderly_stop
from edge_ecg.cli.report import DISCLAIMER, link_line, stats_lines, tell
from edge_ecg.cli.run import only_port
from edge_ecg.daemon import Daemon
from edge_ecg.detector import shipped_nets
from edge_ecg.errors import SourceError, UsageError
from edge_ecg.leads import pick_lead
from edge_ecg.pipeline import check_rate
from edge_ecg.sdnotify import Notifier
from edge_ecg.settings import Settings
from edge_ecg.sources.serial_link import SerialLinkSource
from edge_ecg.sources.waiting import WaitingSource
from firmware_bridge.blocks import BoardInfo
from firmware_bridge.diagnosis import refuse_locked

__all__ = ["daemon"]

_M_ARENA_MAX = -8  # of glibc's malloc.h


@click.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Settings file.")
@click.option("--port", metavar="DEV", help="Serial port of the board, instead of that of the settings.")
def daemon(config_path: Path | None, port: str | None) -> None:
    """Label beats from a board until SIGTERM: waits for it, records, serves, and goes on after whatever happens.

    What it does stands in the settings ([recording], [mqtt], [web], [hooks], [output]). SIGHUP reads these again.
    `edge-ecg service install` makes a service of it.

    \b
    Example:
      edge-ecg daemon --config /etc/edge-ecg/config.toml
      edge-ecg simulate --pty-link /tmp/board    (in another terminal: a board without hardware)
      EDGE_ECG__WEB__ENABLED=true edge-ecg daemon --port /tmp/board
    """

    def read_settings() -> Settings:
        return config.load({"link.port": port}, config_path=config_path).settings

    settings = read_settings()
    click.echo(DISCLAIMER, err=True)
    _share_one_heap()
    shipped_nets()  # damaged weights are told before a board is waited for
    classifier = open_model(settings.model.id, "auto", settings.model.operating_point)
    with contextlib.suppress(SourceError):  # no port yet, or several: waited for
        # A second daemon on the port ends before it opens the outputs of the first.
        refuse_locked(settings.link.port or only_port())
    notifier = Notifier()
    source = WaitingSource(lambda cancelled: _board(settings, cancelled), on_wait=notifier.alive)
    served = Daemon(settings, classifier, source, tell=tell, read_settings=read_settings, notifier=notifier)
    with orderly_stop(served.stop, on_hangup=served.reload):
        served.run()
    link = source.stats()
    for line in stats_lines(served.stats, link):
        tell(line)
    for name, output in served.health().outputs.items():
        if output.failure or output.n_dropped or output.n_blocks_dropped:
            lost = f"{output.n_dropped} events and {output.n_blocks_dropped} blocks of signal lost"
            tell(f"output    {name}: {lost}" + (f": {output.failure}" if output.failure else ""))
    if link is not None:
        tell(link_line(link))


def _share_one_heap() -> None:
    """Let all threads allocate from one heap, before there are any.

    glibc gives each thread one of its own, and what one allocates and another frees, as each block of samples, leaves
    holes in all of them: 5 MB a day in ten threads that hold no more than before. Elsewhere (musl) there is one anyway.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _board(settings: Settings, cancelled: Callable[[], bool]) -> SerialLinkSource:
    link = settings.link

    def check(info: BoardInfo) -> None:
        """Another board may come, now or later; one that cannot be labelled is waited out, and told."""
        check_rate(info.fs_hz)
        try:
            pick_lead(info.leads, settings.signal.lead, info.name)
        except UsageError as error:
            raise SourceError(error.message, error.hint) from None

    return SerialLinkSource(
        link.port or only_port(), link.baud, link.handshake_timeout_s, settings.signal.uv_per_lsb,
        wait_s=link.wait_s, board=link.board, fs_hz=link.fs_hz, cancelled=cancelled, check=check,
    )  # fmt: skip
