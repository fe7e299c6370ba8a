"""WFDB headers (``.hea``): what the signals of a record are called and what a count means.

Format: G. B. Moody, WFDB Applications Guide, header(5), https://physionet.org/physiotools/wag/header-5.htm
Left out, and refused by name: multi-segment records, several samples a frame, skewed signals, signal
files outside the record's own directory.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge_ecg.errors import DataError

__all__ = ["RecordHeader", "SignalSpec", "format_header", "parse_header", "read_header", "record_stem"]

DEFAULT_FS_HZ = 250.0
DEFAULT_GAIN_PER_MV = 200.0
FORMAT_BITS = {
    "8": 8,
    "16": 16,
    "24": 24,
    "32": 32,
    "61": 16,
    "80": 8,
    "160": 16,
    "212": 12,
    "310": 10,
    "311": 10,
}
UNITS_PER_MV = {"mv": 1.0, "v": 1e-3, "uv": 1e3, "µv": 1e3, "μv": 1e3, "nv": 1e6}
MAX_HEADER_BYTES = 1 << 20
HINT = "Mend the line or get the header again with `edge-ecg data fetch`"

# Every length is bounded, so that no damaged header can ask for a number of thousands of digits.
_INT = r"[+-]?[0-9]{1,15}"
_REAL = r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,3})?"
_RATE = re.compile(rf"({_REAL})(?:/{_REAL}(?:\({_REAL}\))?)?")
_FORMAT = re.compile(r"([0-9]{1,4})(?:x([0-9]{1,9}))?(?::([0-9]{1,9}))?(?:\+([0-9]{1,15}))?")
_GAIN = re.compile(rf"({_REAL})(?:\(({_INT})\))?(?:/(\S+))?")
_START = re.compile(r"start: ([0-9T:.-]{1,40})Z")
_NAME_NEVER = re.compile(r"[/\\\x00]")


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """One signal of a record.

    Attributes
    ----------
    file_name
        The file that holds it, in the directory of the header.
    fmt
        WFDB storage format, such as ``"212"``.
    byte_offset
        Bytes before the first sample of the file.
    gain_per_mv
        Counts per millivolt (counts per unit when ``units`` is no voltage).
    calibrated
        Whether the gain is known; otherwise 200 per mV is assumed, as WFDB does, and amplitudes mean little.
    baseline
        The count at 0 mV.
    adc_zero, adc_bits
        The middle of the converter's range in counts, and its resolution.
    units
        As written in the header, ``"mV"`` if left out.
    checksum
        16-bit sum of all samples (0 to 65535), None if the header gives none.
    first_count
        The first sample, 0 if the header does not say.
    description
        The lead's name, such as ``"MLII"``; may be empty.
    """

    file_name: str
    fmt: str
    byte_offset: int = 0
    gain_per_mv: float = DEFAULT_GAIN_PER_MV
    calibrated: bool = False
    baseline: int = 0
    adc_zero: int = 0
    adc_bits: int = 0
    units: str = "mV"
    checksum: int | None = None
    description: str = ""
    first_count: int = 0


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """A record as its header describes it. ``n_samples`` is per signal, None when the header leaves it open.

    ``base_datetime`` is the wall clock at the first sample, None unless date and time are both given: after the number
    of samples, or, where that is open and WFDB leaves no room for them, in a comment ``start: 2026-01-31T12:00:00Z``.
    """

    name: str
    fs_hz: float
    n_samples: int | None
    signals: tuple[SignalSpec, ...]
    base_datetime: datetime | None = None
    comments: tuple[str, ...] = ()

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the signals, in the order of the columns."""
        return tuple(signal.description for signal in self.signals)

    @property
    def subject(self) -> str | None:
        """Who it is, where a recorder of ours said so in a comment."""
        told = (text for text in self.comments if text.startswith("subject: "))
        return next(told, "").removeprefix("subject: ") or None


def record_stem(path: str | Path) -> Path:
    """The record's path without ``.hea``, ``.dat``, ``.xyz`` or ``.atr``; any of these may be given."""
    path = Path(path)
    return path.with_suffix("") if path.suffix.lower() in {".hea", ".dat", ".xyz", ".atr"} else path


def read_header(path: str | Path) -> RecordHeader:
    """Read the header of a record, given with or without its suffix.

    Raises
    ------
    DataError
        No such record, or a header that cannot be understood (with file and line).
    """
    stem = record_stem(path)
    file = stem.with_name(f"{stem.name}.hea")
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_HEADER_BYTES)
    except FileNotFoundError:
        raise _missing_record(stem) from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read the header {file}: {error}", "Check the path and its permissions"
        ) from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return parse_header(text, str(file))


def parse_header(text: str, where: str) -> RecordHeader:
    """Parse the text of a header; ``where`` is the file name that errors speak of."""
    lines: list[tuple[int, str]] = []
    comments: list[str] = []
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        stripped = line.strip()
        if stripped.startswith("#"):
            comments.append(stripped.lstrip("#").strip())
        elif stripped:
            lines.append((number, stripped))
    if not lines:
        raise DataError(
            f"{where} is empty: a header starts with a record line `NAME N_SIGNALS FS_HZ N_SAMPLES`", HINT
        )
    name, n_signals, fs_hz, n_samples, base = _record_line(lines[0][1], f"{where} line {lines[0][0]}")
    if len(lines) - 1 < n_signals:
        raise DataError(
            f"{where} line {lines[0][0]} announces {n_signals} signals, but {len(lines) - 1} are described",
            HINT,
        )
    signals = tuple(_signal_line(line, f"{where} line {number}") for number, line in lines[1 : n_signals + 1])
    return RecordHeader(name, fs_hz, n_samples, signals, base or _told_start(comments), tuple(comments))


def format_header(header: RecordHeader) -> str:
    """The text of a header file. While the number of samples is open, the start is told in a comment."""
    start, told = header.base_datetime, list(header.comments)
    line = f"{header.name} {len(header.signals)} {header.fs_hz:.12g}"
    if header.n_samples is not None:
        line += f" {header.n_samples}"
        line += "" if start is None else f"{start: %H:%M:%S.%f %d/%m/%Y}"
    elif start is not None:
        told.insert(0, f"start: {start.isoformat()}Z")
    lines = [line]
    for s in header.signals:
        checksum = s.checksum or 0
        signed = checksum - 65536 if checksum > 32767 else checksum  # as WFDB writes it
        scale = f"{s.gain_per_mv:.12g}({s.baseline})/{s.units} {s.adc_bits} {s.adc_zero}"
        lines.append(f"{s.file_name} {s.fmt} {scale} {s.first_count} {signed} 0 {s.description}".rstrip())
    return "\n".join([*lines, *(f"# {comment}" for comment in told)]) + "\n"


def _told_start(comments: list[str]) -> datetime | None:
    for comment in comments:
        if found := _START.fullmatch(comment):
            try:
                return datetime.fromisoformat(found[1])
            except ValueError:
                return None
    return None


def _record_line(line: str, where: str) -> tuple[str, int, float, int | None, datetime | None]:
    fields = line.split()
    name = fields[0]
    if "/" in name:
        raise DataError(
            f"{where}: {name!r} is a multi-segment record, which is not read here",
            "Name one of its segments (the lines below), or join them first with WFDB's `xform`",
        )
    n_signals = _integer(fields, 1, "the number of signals", where)
    if n_signals is None or n_signals < 1:
        raise DataError(
            f"{where}: expected the number of signals (1 or more) after the name, found {line!r}", HINT
        )
    fs_hz = DEFAULT_FS_HZ
    if len(fields) > 2:
        rate = _RATE.fullmatch(fields[2])
        fs_hz = float(rate[1]) if rate else math.nan
        if not (math.isfinite(fs_hz) and fs_hz > 0):
            raise DataError(f"{where}: expected a sampling rate in Hz, found {fields[2]!r}", HINT)
    n_samples = _integer(fields, 3, "the number of samples", where)
    if n_samples is not None and n_samples < 0:
        raise DataError(f"{where}: expected a number of samples, found {n_samples}", HINT)
    base = _base_datetime(fields[4], fields[5]) if len(fields) > 5 else None
    return name, n_signals, fs_hz, n_samples or None, base


def _signal_line(line: str, where: str) -> SignalSpec:
    fields = line.split(maxsplit=8)
    file_name = fields[0]
    if _NAME_NEVER.search(file_name) or file_name in {".", "..", "-", "~"}:
        raise DataError(
            f"{where}: expected the name of a signal file beside the header, found {file_name!r}",
            "Put the file into the directory of the header and write its plain name",
        )
    if len(fields) < 2 or not (form := _FORMAT.fullmatch(fields[1])):
        raise DataError(
            f"{where}: expected a format such as 212 or 16 after the file name, found {line!r}", HINT
        )
    if int(form[2] or 1) != 1 or int(form[3] or 0) != 0:
        raise DataError(
            f"{where}: format {fields[1]!r} has several samples a frame or a skew, which is not read here",
            "Rewrite the record at one rate with WFDB's `xform`",
        )
    gain, baseline, units = 0.0, None, "mV"
    if len(fields) > 2:
        match = _GAIN.fullmatch(fields[2])
        if not match or not math.isfinite(float(match[1])):
            raise DataError(f"{where}: expected a gain such as 200 or 200(0)/mV, found {fields[2]!r}", HINT)
        gain = float(match[1])
        baseline = int(match[2]) if match[2] else None
        units = match[3] or "mV"
    adc_bits = _integer(fields, 3, "the ADC resolution in bits", where) or FORMAT_BITS.get(form[1], 0)
    adc_zero = _integer(fields, 4, "the ADC zero", where) or 0
    first_count = _integer(fields, 5, "the initial value", where) or 0
    checksum = _integer(fields, 6, "the checksum", where)
    _integer(fields, 7, "the block size", where)
    units_per_mv = UNITS_PER_MV.get(units.lower())
    gain_per_mv = gain * (units_per_mv or 1.0)
    return SignalSpec(
        file_name=file_name,
        fmt=form[1],
        byte_offset=int(form[4] or 0),
        gain_per_mv=gain_per_mv or DEFAULT_GAIN_PER_MV,
        calibrated=gain_per_mv != 0 and units_per_mv is not None,
        baseline=adc_zero if baseline is None else baseline,
        adc_zero=adc_zero,
        adc_bits=adc_bits,
        units=units,
        checksum=None if checksum is None else checksum % 65536,
        description=fields[8] if len(fields) > 8 else "",
        first_count=first_count,
    )


def _integer(fields: list[str], index: int, what: str, where: str) -> int | None:
    if len(fields) <= index:
        return None
    if not re.fullmatch(_INT, fields[index]):
        raise DataError(f"{where}: expected {what}, found {fields[index]!r}", HINT)
    return int(fields[index])


def _base_datetime(time: str, date: str) -> datetime | None:
    """Wall clock of the first sample; None for what is no real moment (00/00/0000 of anonymised records)."""
    found = re.fullmatch(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:\.([0-9]{1,9}))?", time)
    day = re.fullmatch(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{1,4})", date)
    if not found or not day:
        return None
    micro_s = int((found[4] or "0")[:6].ljust(6, "0"))
    try:
        return datetime(
            int(day[3]), int(day[2]), int(day[1]), int(found[1]), int(found[2]), int(found[3]), micro_s
        )
    except ValueError:
        return None


def _missing_record(stem: Path) -> DataError:
    folder = stem if stem.is_dir() else stem.parent
    try:
        records = sorted(file.stem for file in folder.glob("*.hea"))
    except OSError:
        records = []
    if records:
        shown = ", ".join(records[:8]) + (f" and {len(records) - 8} more" if len(records) > 8 else "")
        hint = f"Records in {folder}: {shown}"
    elif folder.is_dir():
        hint = f"There is no record in {folder}; `edge-ecg data fetch mitdb` brings some"
    else:
        hint = f"There is no directory {folder}; `edge-ecg data fetch mitdb` brings records"
    return DataError(f"no record {stem}: expected the file {stem.name}.hea", hint)
