"""``edge-ecg data``: bring the public databases, check them, list them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from edge_ecg.errors import DataError

__all__ = ["data"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def data() -> None:
    """Public ECG databases: fetch them, verify them, list them.

    They lie in the directory EDGE_ECG_DATA, else in the user's cache.

    \b
    Example:
        edge-ecg data fetch mitdb
    """


@data.command()
@click.argument("name")
@click.option(
    "--to",
    "to",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory to put the folder NAME into.",
)
@click.option("--mirror", metavar="URL", help="Address to ask instead of the database's home.")
def fetch(name: str, to: Path | None, mirror: str | None) -> None:
    """Download the database NAME and check every file.

    What is there and whole is left alone; a broken download goes on where it stopped.

    \b
    Example:
        edge-ecg data fetch mitdb --to ~/ecg
    """
    from edge_ecg import datasets

    entry = datasets.dataset(name)
    click.echo(f"{entry.title}\n{entry.licence}, {entry.home}, about {entry.size_mb} MB", err=True)
    progress = _ProgressLine()
    try:
        folder = datasets.fetch(name, to or datasets.data_root(), progress.show, mirror)
    finally:
        progress.close()
    click.echo(f"{folder} is complete. Cite: {entry.citation}")


@data.command()
@click.argument("name")
@click.option(
    "--from",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory that holds the folder NAME.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(name: str, root: Path | None, as_json: bool) -> None:
    """Check the files of the database NAME.

    Each is held against its checksum; the exit code is 5 if any is missing or wrong.

    \b
    Example:
        edge-ecg data verify mitdb --json
    """
    from edge_ecg import datasets

    root = root or datasets.data_root()
    states = datasets.verify(name, root)
    bad = [(file, state) for file, state in states if state != "ok"]
    if as_json:
        listed = {state: [file for file, s in bad if s == state] for state in ("missing", "wrong")}
        click.echo(
            json.dumps({"name": name, "folder": str(root / name), "ok": len(states) - len(bad), **listed})
        )
    else:
        for file, state in bad:
            click.echo(f"{state:8} {file}")
    if bad:
        raise DataError(
            f"{len(bad)} of {len(states)} files of {name} in {root / name} are missing or wrong",
            f"`edge-ecg data fetch {name}` brings what lacks",
        )
    if not as_json:
        click.echo(f"all {len(states)} files of {name} in {root / name} are whole")


@data.command("list")
def list_sets() -> None:
    """List the databases: size, licence, whether the folder is there.

    \b
    Example:
        edge-ecg data list
    """
    from edge_ecg import datasets

    root = datasets.data_root()
    click.echo(f"in {root}:")
    for entry in datasets.CATALOGUE.values():
        here = "here" if (root / entry.name).is_dir() else "-"
        click.echo(f"{entry.name:12} {here:5} {entry.size_mb:5} MB  {entry.licence:10}  {entry.title}")


class _ProgressLine:
    """One line on stderr that is written over; without a terminal, a line every tenth of the files."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = False
        self._tenth = -1

    def show(self, file: str, n_done: int, n_files: int, n_bytes: int) -> None:
        text = f"{n_done}/{n_files} files {file}"
        if self._terminal:
            size = f" {n_bytes / 1e6:.1f} MB" if n_bytes else ""
            click.echo(f"\r{text + size:<70.70}", nl=False, err=True)
            self._shown = True
        elif n_done * 10 // max(n_files, 1) > self._tenth:
            self._tenth = n_done * 10 // max(n_files, 1)
            click.echo(text.rstrip(), err=True)

    def close(self) -> None:
        if self._shown:
            click.echo(err=True)
