"""`edge-ecg export`: a recording for other programs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edge_ecg.cli.report import tell
from edge_ecg.errors import DataError, UsageError


@click.command()
@click.argument("path", metavar="RECORD|FOLDER", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["edf", "csv"]), required=True, help="EDF+, or tables.")
@click.option("--out", type=click.Path(path_type=Path), help="File, or folder; default: here, named as the record.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
def export(path: Path, form: str, out: Path | None, force: bool) -> None:
    """Write a RECORD, or all records of a FOLDER (a day), as EDF+ or CSV.

    EDF+ has labels and marks as annotations. CSV is three files: the signal, and beside it NAME-beats.csv and
    NAME-marks.csv. Files appear when they are complete. Research use, not a medical device.

    \b
    Example:
      edge-ecg export recordings/2026-01-31/bed-3_081500 --format edf
      edge-ecg export recordings/2026-01-31 --format csv --out tables
    """
    from edge_ecg.export import open_labelled, records_in
    from edge_ecg.export.edf import write_edf
    from edge_ecg.export.tables import table_files, write_tables

    stems = records_in(path)
    into = out or Path()
    is_folder = out is None or out.is_dir() or path.is_dir()
    files = [into / f"{stem.name}.{form}" if is_folder else into for stem in stems]
    made = [made for file in files for made in (table_files(file) if form == "csv" else (file,))]
    there = [file for file in made if file.exists()]
    if there and not force:
        raise UsageError(f"{there[0]} is there already", "Name another place with --out, or replace it with --force")
    for stem, file in zip(stems, files, strict=True):
        labelled = open_labelled(stem)
        for problem in labelled.problems:
            tell(problem)
        n_samples = len(labelled.record.counts)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with click.progressbar(length=n_samples, label=file.name, file=sys.stderr) as bar:
                (write_edf if form == "edf" else write_tables)(labelled, file, bar.update)
        except OSError as error:
            raise DataError(
                f"{file} cannot be written: {error.strerror or error}", "Make room, or name another place with --out"
            ) from None
        length_s = n_samples / labelled.record.header.fs_hz
        click.echo(f"{file}: {length_s:.1f} s, {int(labelled.annotations.is_beat.sum())} beats")
