"""`edge-ecg replay`: label a recording as fast as it goes."""

from __future__ import annotations

import re
from pathlib import Path

import click

from edge_ecg import config
from edge_ecg.cli.accelerator import model_options, open_model
from edge_ecg.cli.interrupt import orderly_stop
from edge_ecg.cli.report import (
    DISCLAIMER,
    agreement_lines,
    event_sinks,
    raise_what_went_wrong,
    stats_lines,
    tell,
    tell_failure,
)
from edge_ecg.errors import DataError, EdgeEcgError
from edge_ecg.infer import Accelerator
from edge_ecg.io import Annotations, read_annotations
from edge_ecg.labels import OperatingPoint
from edge_ecg.manifest import load_any
from edge_ecg.runner import Runner
from edge_ecg.sinks.beats import BeatList
from edge_ecg.sources.replay import open_replay

_TRAINING = (("mitdb", 360.0, r"[12]\d\d"), ("svdb", 128.0, r"8\d\d"), ("nsrdb_2h", 128.0, r"1\d{4}"))
"""Databases that models learn from: their rate, Hz, and the names of their records."""


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@model_options
@click.option("--lead", metavar="NAME|N", help="Lead to label; default MLII, else II, else the first.")
@click.option("--invert", is_flag=True, default=None, help="Turn the lead upside down.")
@click.option("--reference", metavar="ATR", type=click.Path(path_type=Path), help="Compare with these annotations.")
@click.option("--jsonl", metavar="FILE|-", help="JSON lines: appends to FILE; - for stdout, and nothing else there.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Settings file.")
def replay(
    path: Path,
    model: str | None,
    accelerator: Accelerator,
    operating_point: OperatingPoint | None,
    min_confidence: float | None,
    lead: str | None,
    invert: bool | None,
    reference: Path | None,
    jsonl: str | None,
    config_path: Path | None,
) -> None:
    """Label the beats of a recording: a WFDB record (by its header, .hea may be left out), or raw bytes of a board.

    Ctrl-C ends it early: what was read is labelled, the exit code is 130.

    \b
    Example:
      edge-ecg replay mitdb/100 --reference mitdb/100.atr
      edge-ecg replay mitdb/100 --jsonl - > 100.jsonl
    """
    flags = {
        "model.id": model,
        "model.operating_point": operating_point,
        "model.min_confidence": min_confidence,
        "signal.lead": lead,
        "signal.invert": invert,
        "output.jsonl": jsonl,
    }
    settings = config.load(flags, config_path=config_path).settings
    notes = _read_reference(reference) if reference else None
    source = open_replay(path, settings.signal.uv_per_lsb)
    classifier = open_model(settings.model.id, accelerator, settings.model.operating_point)
    beats = BeatList()
    sinks = [beats, *event_sinks(settings.output.jsonl)]
    runner = Runner(
        source,
        classifier,
        sinks,
        lead=settings.signal.lead,
        invert=settings.signal.invert,
        min_confidence=settings.model.min_confidence,
        on_failure=tell_failure,
    )
    broken: EdgeEcgError | None = None
    with orderly_stop(runner.stop) as interrupted:
        try:
            runner.run()
        except EdgeEcgError as error:
            broken = error
    if broken is None or runner.stats.n_samples:
        lines = stats_lines(runner.stats)
        if notes is not None:
            is_whole = broken is None and not interrupted.happened
            lines += agreement_lines(notes, beats, None if is_whole else runner.stats.n_samples)
        if beats.fs_hz is not None and _learned(settings.model.id, beats.fs_hz, path.stem):
            lines.append("note      beats of this record may have trained the model: no test")
        for line in [*lines, DISCLAIMER]:
            tell(line)
    raise_what_went_wrong(broken, runner.sinks[1:])
    if interrupted.happened:
        raise KeyboardInterrupt


def _learned(model: str, fs_hz: float, record: str) -> bool:
    """Whether a record is, by its rate and name, of a database that trained the model."""
    manifest = load_any(model).manifest
    return any(
        fs_hz == rate_hz and re.fullmatch(names, record) and manifest.learned(database, record)
        for database, rate_hz, names in _TRAINING
    )


def _read_reference(path: Path) -> Annotations:
    extension = path.suffix.lstrip(".") or "atr"
    notes = read_annotations(path.with_suffix("") if path.suffix else path, extension)
    if notes.problem:
        raise DataError(f"{path} is cut short, and would compare nothing", "Get the annotations again")
    return notes
