"""edge-ecg hooks: test."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import click

from edge_ecg import config
from edge_ecg.errors import UsageError
from edge_ecg.sinks import OutputError
from edge_ecg.sinks.hooks import HOOKS, open_hooks
from edge_ecg.types import EpisodeEvent, Event, LeadOffEvent, LinkEvent, StreamInfo

__all__ = ["hooks"]

LOOK_S = 0.05


@click.group()
def hooks() -> None:
    """Try the commands that the daemon runs when something happens.

    \b
    Example:
      edge-ecg hooks test v_run --config edge-ecg.toml
    """


@hooks.command("test")
@click.argument("name", type=click.Choice(HOOKS))
@click.option("--config", "path", type=click.Path(path_type=Path), help="Settings file to use.")
def test_command(name: str, path: Path | None) -> None:
    """Run one hook now, with a made-up event of the stream "test".

    \b
    Example:
      edge-ecg hooks test lead_off --config edge-ecg.toml
    """
    settings = config.load(config_path=path).settings.hooks
    sink = open_hooks(settings)
    hook = sink.hooks.get(name)
    if hook is None:
        raise UsageError(
            f"hooks.{name} is not set", "Name a command in the settings file, see `edge-ecg config example`"
        )
    began_s = time.monotonic()
    with closing(sink):
        sink.emit(_example(name))
        while hook.running:
            time.sleep(LOOK_S)
            hook.look()
    if hook.failure is not None:
        raise OutputError(hook.failure, "Run it by hand to see why")
    click.echo(f"hook {name}: ended in order after {time.monotonic() - began_s:.1f} s")


def _example(name: str) -> Event:
    """An event that the hook runs at."""
    stream = StreamInfo("test", 250.0, ("II",), start_utc_s=time.time() - 60.0)
    match name:
        case "v_run":
            return EpisodeEvent(stream, 15_200, 14_750, "v_run", over=False, n_beats=3, length_s=0.8)
        case "pause":
            return EpisodeEvent(stream, 15_200, 14_450, "pause", over=False, n_beats=0, length_s=2.0)
        case "lead_off":
            return LeadOffEvent(stream, 15_000, off=True)
        case _:
            return LinkEvent("lost", "a test: nothing was lost", stream)
