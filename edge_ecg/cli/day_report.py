"""`edge-ecg report`: a day in figures."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path

import click

from edge_ecg import config
from edge_ecg.cli.report import DISCLAIMER
from edge_ecg.errors import UsageError


@click.command()
@click.argument("day", required=False)
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Directory of the recordings; default recording.folder."
)
@click.option("--subject", metavar="NAME", help="Whose records, where a day has those of several.")
@click.option("--jsonl", metavar="FILE", type=click.Path(path_type=Path), help="Take JSON lines of `run --jsonl`.")
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="Write a page; into a folder: named.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
@click.option("--utc", "is_utc", is_flag=True, help="Days and times in UTC; default the zone of this machine.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Settings file.")
def report(
    day: str | None,
    folder: Path | None,
    subject: str | None,
    jsonl: Path | None,
    html: Path | None,
    is_json: bool,
    is_utc: bool,
    config_path: Path | None,
) -> None:
    """Sum up a DAY: 2026-11-23, today, yesterday, or the path of a day's folder.

    What each figure means: docs/summary.md. Research software, not a medical device.

    \b
    Example:
      edge-ecg report yesterday --folder recordings
      edge-ecg report recordings/2026-11-23 --html monday.html
      edge-ecg report --jsonl beats.jsonl
    """
    from edge_ecg.day import day_named, lay, window_of_day, window_of_tracks
    from edge_ecg.report.text import text_lines
    from edge_ecg.summary import summarise

    zone = UTC if is_utc else None
    if jsonl is not None:
        from edge_ecg.day_lines import tracks_of_lines

        tracks, notes = tracks_of_lines(jsonl)
        window = window_of_day(day_named(day, zone), zone) if day else window_of_tracks(jsonl.name, tracks, zone)
        if day and all(track.start_utc_s is None for track in tracks):
            raise UsageError(f"the lines of {jsonl} have no clock", "Name no day: all of them are taken then")
    else:
        from edge_ecg.day_records import find_day

        if day is None:
            raise UsageError("which day?", "Say `edge-ecg report today`, or --jsonl FILE")
        if folder is None:
            kept = config.load(config_path=config_path).settings.recording.folder
            folder = None if kept is None else Path(kept).expanduser()
        window, tracks, subject, notes = find_day(day, folder, subject, zone)
    found = lay(window, tracks, subject, notes)
    summary = summarise(found.labels)
    if html is not None:
        from edge_ecg.report.page import write_page

        click.echo(f"edge-ecg: wrote {write_page(html, found, summary)}", err=True)
    if is_json:
        from edge_ecg.report.data import as_json

        click.echo(json.dumps(as_json(found, summary), allow_nan=False))
        return
    for line in [*text_lines(found, summary), DISCLAIMER]:
        click.echo(line)
