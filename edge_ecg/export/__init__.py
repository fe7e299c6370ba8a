"""Records for other programs: EDF+ (`edge_ecg.export.edf`) and tables (`edge_ecg.export.tables`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_ecg.errors import DataError
from edge_ecg.io import Annotations, Record, read_annotations, read_record, record_stem
from edge_ecg.io.append import ANNOTATOR

__all__ = ["Labelled", "Progress", "open_labelled", "records_in"]

Progress = Callable[[int], None]
"""Called with the number of samples that were written since the last call."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A record with its annotations.

    Attributes
    ----------
    problems
        Lines on what is not whole; what there is is exported.
    """

    record: Record
    annotations: Annotations
    problems: tuple[str, ...] = ()

    @property
    def subject(self) -> str | None:
        """Who it is, where the header says so."""
        return self.record.header.subject

    @property
    def start(self) -> datetime | None:
        """Wall time of the first sample, UTC."""
        start = self.record.header.base_datetime
        return None if start is None else start.replace(tzinfo=UTC)

    def units(self, lead: int) -> str:
        """What the amplitudes of a lead are in: ``mV``, or what the header calls them."""
        signal = self.record.header.signals[lead]
        return "mV" if signal.calibrated else signal.units if signal.units.lower() != "mv" else "au"


def open_labelled(path: str | Path) -> Labelled:
    """A record with the labels of the recording (``.edge``), else those of others (``.atr``), else none.

    Raises
    ------
    DataError
        No such record, or one that does not read.
    """
    stem = record_stem(path)
    record = read_record(stem)
    problems = [record.problem] if record.problem else []
    annotations = Annotations.of([], [])
    for extension in (ANNOTATOR, "atr"):
        if stem.with_name(f"{stem.name}.{extension}").exists():
            try:
                annotations = read_annotations(stem, extension)
            except DataError as error:
                problems.append(str(error))
            problems += [annotations.problem] if annotations.problem else []
            break
    return Labelled(record, annotations, tuple(problems))


def records_in(path: Path) -> list[Path]:
    """The record of a path, or all records of a folder, by name.

    Raises
    ------
    DataError
        A folder without a record.
    """
    if not path.is_dir():
        return [record_stem(path)]
    found = sorted(file.with_suffix("") for file in path.glob("*.hea"))
    if not found:
        raise DataError(f"there is no record in {path}", "Name a record, or the folder of a day")
    return found
