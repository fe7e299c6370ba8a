"""Own data: a folder of WFDB records with annotated beats, and `dataset.toml` that says what they are."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
from tqdm import tqdm

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ConfigError, DataError, UsageError
from edge_ecg.io import BEAT_SYMBOLS
from edge_ecg.io.header import read_header
from edge_ecg.labels import LABEL_SETS
from edge_ecg.schema import decode, nearest
from train.record_files import RecordFiles
from train.window_set import WindowSet, kept
from train.windows import Part, joined_parts, record_windows

__all__ = ["DATASET_FILE", "OwnData", "build_own", "read_own_data"]

DATASET_FILE = "dataset.toml"
_MAX_PATIENT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class OwnData:
    """`dataset.toml`.

    Attributes
    ----------
    label_set
        Which classes a network is to tell apart.
    lead
        Name of the lead, the same in all records.
    class_map
        Annotation symbol -> name of a class. A beat whose symbol is not here is not learnt from, but counts
        for the rhythm.
    patients
        Record -> number of the person it is of. The records of the data set are those named here.
    annotator
        Suffix of the annotation files.
    """

    label_set: Literal["aami5", "binary"]
    lead: str
    class_map: dict[str, str]
    patients: dict[str, int]
    annotator: str = "atr"

    def __post_init__(self) -> None:
        names = LABEL_SETS[self.label_set]
        if not self.class_map:
            raise ValueError(f'"class_map" is empty, expected lines such as N = "{names[0]}"')
        for symbol, name in self.class_map.items():
            if symbol not in BEAT_SYMBOLS:
                known = " ".join(sorted(BEAT_SYMBOLS))
                raise ValueError(f'"class_map": {symbol!r} is no beat symbol of WFDB; these are {known}')
            if name not in names:
                raise ValueError(f'"class_map.{symbol}" must be a class of {self.label_set}, found "{name}". '
                                 f"{nearest(name, names)}")  # fmt: skip
        if not self.patients:
            raise ValueError('"patients" is empty, expected a line for each record, such as rec01 = 1')
        for record, patient in self.patients.items():
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", record):
                raise ValueError(f'"patients": {record!r} is no name of a record in the folder')
            if not 0 <= patient <= _MAX_PATIENT:
                raise ValueError(f'"patients.{record}" must be a number from 0 to {_MAX_PATIENT}, found {patient}')
        if not re.fullmatch(r"[A-Za-z0-9_]+", self.annotator) or self.annotator in ("hea", "dat"):
            raise ValueError(f'"annotator" must be the suffix of annotation files such as "atr", '
                             f'found "{self.annotator}"')  # fmt: skip

    def record_numbers(self) -> dict[str, int]:
        """The digits at the end of each record's name where these tell all apart, else its place from 1."""
        digits = [re.search(r"[0-9]{1,9}$", name) for name in self.patients]
        numbers = [int(found[0]) for found in digits if found]
        apart = len(set(numbers)) == len(self.patients)
        return dict(zip(self.patients, numbers if apart else range(1, len(self.patients) + 1), strict=True))


def read_own_data(folder: Path) -> OwnData:
    """Read `dataset.toml` of a folder.

    Raises
    ------
    UsageError
        No such folder, or none with that file.
    ConfigError
        What the file says does not fit: with file and key.
    """
    file = folder / DATASET_FILE
    if not file.is_file():
        what = f"there is no {DATASET_FILE} in it" if folder.is_dir() else "there is no such folder"
        raise UsageError(f"{folder} is no data set: {what}", "docs/own-data.md shows how to make one")
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}", "docs/own-data.md shows an example") from None
    return decode(OwnData, table, where=str(file), error=ConfigError)


def build_own(folder: Path, params: PreprocessParams) -> WindowSet:
    """The beats of a folder of own data; a second call reads the first one's file.

    Raises
    ------
    UsageError, ConfigError
        As `read_own_data`.
    DataError
        Files that are missing or cut short, a record without the lead, no beat at all, or no room.
    """
    folder = folder.resolve()
    about = read_own_data(folder)
    file = folder / DATASET_FILE
    stems = [folder / name for name in about.patients]
    files = RecordFiles.of(stems, about.annotator, f"Mend the table [patients] of {file}, or the files")
    for name in about.patients:
        leads = read_header(folder / name).leads
        if about.lead.casefold() not in [lead.casefold() for lead in leads]:
            raise DataError(f'{file}: "lead" is "{about.lead}", record {name} has {", ".join(leads)}',
                            "Name a lead that all records have, or leave the record out of [patients]")  # fmt: skip
    _tell_unlisted(folder, about)

    def build() -> WindowSet:
        files.check_room(folder.name)
        names = LABEL_SETS[about.label_set]
        class_map = {symbol: names.index(name) for symbol, name in about.class_map.items()}
        numbers = about.record_numbers()
        parts: list[Part] = []
        with tqdm(about.patients.items(), unit="record", desc="beat windows") as shown:
            for name, patient in shown:
                windows, labels = record_windows(
                    folder / name, params, class_map=class_map, lead=about.lead, annotator=about.annotator
                )
                parts.append((windows, labels, numbers[name], patient))
        data = WindowSet.of(*joined_parts(parts), dataset=str(folder), label_set=about.label_set, lead=about.lead)
        if not len(data.labels):
            raise DataError(
                f'{file}: no beat of the records has a symbol of "class_map"',
                "Compare it with the symbols of the annotations",
            )
        return data

    return kept(str(folder), "causal", params, [file, *files.files], build)


def _tell_unlisted(folder: Path, about: OwnData) -> None:
    unlisted = sorted({header.stem for header in folder.glob("*.hea")} - set(about.patients))
    if unlisted:
        shown = ", ".join(unlisted[:6]) + (f" and {len(unlisted) - 6} more" if len(unlisted) > 6 else "")
        click.echo(f"{folder / DATASET_FILE}: not in [patients], so left out: {shown}", err=True)
