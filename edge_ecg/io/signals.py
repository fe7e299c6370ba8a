"""WFDB signals (``.dat``): counts and millivolts of a record, and records written anew.

Formats 16, 61, 80 and 212: G. B. Moody, WFDB Applications Guide, signal(5),
https://physionet.org/physiotools/wag/signal-5.htm
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_ecg.errors import DataError
from edge_ecg.io.header import FORMAT_BITS, RecordHeader, SignalSpec, format_header, read_header, record_stem
from edge_ecg.leads import pick_lead

__all__ = ["INVALID_COUNT", "Record", "length_of", "read_part", "read_record", "write_record"]

INVALID_COUNT = {"16": -32768, "61": -32768, "80": -128, "212": -2048}
"""The count that means "no sample here", by format (the formats that are read)."""

FETCH_AGAIN = "Fetch it again with `edge-ecg data fetch`, or mend the header"


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A record in memory.

    Attributes
    ----------
    header
        As the header file says, without the signals whose file is not there; where ``problem`` is set,
        ``counts`` may hold fewer samples.
    counts
        ``(n_samples, n_signals) int32``, read-only.
    problem
        One line on a file that is not what its header says, None when all is well.
    """

    header: RecordHeader
    counts: NDArray[np.int32]
    problem: str | None = None

    def lead_index(self, name: str | int | None = None) -> int:
        """Column of a lead: by name (case does not matter), by number, or the usual one for None.

        The usual one is MLII, else II, else the first.

        Raises
        ------
        UsageError
            No such lead; the message lists those there are.
        """
        return pick_lead(self.header.leads, name, f"record {self.header.name}")

    def samples_mv(self, leads: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Millivolts of the given columns (all for None), ``(n_samples, n_leads) float32``.

        A sample that the file marks as invalid is NaN. A lead without a known gain counts as 200 per mV
        (see `SignalSpec.calibrated`).
        """
        columns = list(range(len(self.header.signals)) if leads is None else leads)
        out = np.empty((len(self.counts), len(columns)), np.float32)
        for k, column in enumerate(columns):
            signal, counts = self.header.signals[column], self.counts[:, column]
            with np.errstate(over="ignore", under="ignore"):  # a damaged gain may scale beyond float32
                out[:, k] = (counts - float(signal.baseline)) / signal.gain_per_mv
            out[counts == INVALID_COUNT[signal.fmt], k] = np.nan
        return out


def read_record(path: str | Path) -> Record:
    """Read all signals of a record, given with or without its suffix.

    A file that is shorter or longer than the header says gives what header and file both hold, and a
    line in `Record.problem`; so does a wrong checksum.

    Raises
    ------
    DataError
        No such record, a damaged header, a format that is not read, or a file that holds no sample.
    """
    header = read_header(path)
    folder = record_stem(path).parent
    header, problems = _without_missing_files(header, folder)
    columns = _by_file(header)
    parts = []
    for name, members in columns.items():
        counts, problem = _read_file(folder / name, [header.signals[k] for k in members], header.n_samples)
        parts.append(counts)
        problems += [problem] if problem else []
    n_samples = min(len(part) for part in parts)
    if header.n_samples is None and any(len(part) != n_samples for part in parts):
        problems.append(
            f"the files of record {header.name} differ in length; the first {n_samples} samples are used"
        )
    counts = parts[0]
    if len(parts) > 1:
        counts = np.empty((n_samples, len(header.signals)), np.int32)
        for part, members in zip(parts, columns.values(), strict=True):
            counts[:, members] = part[:n_samples]
    if n_samples == header.n_samples:
        problems += _wrong_checksums(header, counts)
    counts.flags.writeable = False
    return Record(header, counts, "; ".join(problems) if problems else None)


def read_part(path: str | Path, begin: int, end: int) -> Record:
    """Read the samples from ``begin`` to before ``end``, as far as they are there, and nothing else of the files.

    Neither the length of the files nor their checksums are looked at.

    Raises
    ------
    DataError
        As `read_record`, but for a part beyond the end: that has no sample.
    """
    header, _ = _without_missing_files(read_header(path), record_stem(path).parent)
    begin = max(begin, 0)
    even = begin - begin % 2  # two samples of format 212 share a byte
    n_wanted = max((end if header.n_samples is None else min(end, header.n_samples)) - even, 0)
    columns = _by_file(header)
    parts: dict[int, NDArray[np.int32]] = {}
    for name, members in columns.items():
        fmt, offset = _layout(record_stem(path).parent / name, [header.signals[k] for k in members])
        width = len(members)
        try:
            with (record_stem(path).parent / name).open("rb") as stream:
                stream.seek(offset + _bytes_of(fmt, even * width))
                data = stream.read(_bytes_of(fmt, n_wanted * width))
        except (OSError, ValueError, OverflowError) as error:
            raise DataError(f"cannot read a part of {name}: {error}", "Check the path and its permissions") from None
        n_read = _samples_in(fmt, len(data)) // width
        counts = _decode(fmt, data[: _bytes_of(fmt, n_read * width)], n_read * width).reshape(n_read, width)
        parts |= {column: counts[begin - even :, k] for k, column in enumerate(members)}
    n_held = min(len(part) for part in parts.values())
    counts = np.stack([parts[k][:n_held] for k in range(len(header.signals))], axis=1)
    counts.flags.writeable = False
    return Record(header, counts)


def length_of(path: str | Path, header: RecordHeader) -> int:
    """Samples of each signal that a record's files hold and its header does not deny; reads none.

    Raises
    ------
    DataError
        A format that is not read, or a file that is not there.
    """
    header, problems = _without_missing_files(header, record_stem(path).parent)
    if problems:
        raise DataError(problems[0])
    lengths = [] if header.n_samples is None else [header.n_samples]
    for name, members in _by_file(header).items():
        file = record_stem(path).parent / name
        fmt, offset = _layout(file, [header.signals[k] for k in members])
        lengths.append(_samples_in(fmt, max(file.stat().st_size - offset, 0)) // len(members))
    return min(lengths)


def _without_missing_files(header: RecordHeader, folder: Path) -> tuple[RecordHeader, list[str]]:
    """The header of what can be read, and a line for each signal file that is not there."""
    names = dict.fromkeys(signal.file_name for signal in header.signals)
    missing = [name for name in names if not _exists(folder / name)]
    if len(missing) == len(names):
        raise DataError(
            f"the signal file {folder / missing[0]} of record {header.name} is not there", FETCH_AGAIN
        )
    problems = []
    for name in missing:
        leads = ", ".join(s.description or "(no name)" for s in header.signals if s.file_name == name)
        problems.append(f"{folder / name} is not there, so its leads are left out: {leads}. {FETCH_AGAIN}")
    kept = tuple(signal for signal in header.signals if signal.file_name not in missing)
    return replace(header, signals=kept), problems


def _by_file(header: RecordHeader) -> dict[str, list[int]]:
    """Which columns each file holds."""
    columns: dict[str, list[int]] = {}
    for column, signal in enumerate(header.signals):
        columns.setdefault(signal.file_name, []).append(column)
    return columns


def _layout(file: Path, signals: list[SignalSpec]) -> tuple[str, int]:
    """Format and offset that all signals of a file have."""
    fmt, offset = signals[0].fmt, signals[0].byte_offset
    if any((signal.fmt, signal.byte_offset) != (fmt, offset) for signal in signals):
        raise DataError(
            f"the header gives several formats or offsets for the one file {file}", "Mend the header"
        )
    if fmt not in INVALID_COUNT:
        raise DataError(
            f"{file} is in format {fmt}; read are {', '.join(INVALID_COUNT)}",
            "Rewrite the record in format 16 with WFDB's `xform`",
        )
    return fmt, offset


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # such as a name too long for the file system
        return False


def _read_file(
    file: Path, signals: list[SignalSpec], n_expected: int | None
) -> tuple[NDArray[np.int32], str | None]:
    """Frames of one signal file, ``(n, len(signals))``, and what is wrong with its size."""
    fmt, offset = _layout(file, signals)
    width = len(signals)
    try:
        with file.open("rb") as stream:
            n_bytes = max(os.fstat(stream.fileno()).st_size - offset, 0)
            n_held = _samples_in(fmt, n_bytes) // width
            n_read = n_held if n_expected is None else min(n_held, n_expected)
            stream.seek(offset)
            data = stream.read(_bytes_of(fmt, n_read * width))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read the signal file {file}: {error}", "Check the path and its permissions"
        ) from None
    if n_read == 0:
        raise DataError(f"{file} holds no sample: it has {n_bytes} bytes after offset {offset}", FETCH_AGAIN)
    counts = _decode(fmt, data, n_read * width).reshape(n_read, width)
    if n_expected is None:
        return counts, None
    n_needed = _bytes_of(fmt, n_expected * width)
    spare = 1 if fmt == "212" and n_expected * width % 2 else 0  # some writers fill the last pair
    if n_needed <= n_bytes <= n_needed + spare:
        return counts, None
    change = "cut short" if n_bytes < n_needed else "longer than its header says"
    return counts, (
        f"{file} is {change}: the header says {n_expected} samples ({n_needed} bytes), "
        f"the file holds {n_held} ({n_bytes} bytes); {n_read} are used. {FETCH_AGAIN}"
    )


def _samples_in(fmt: str, n_bytes: int) -> int:
    if fmt == "212":
        return n_bytes // 3 * 2 + (n_bytes % 3 == 2)
    return n_bytes * 8 // FORMAT_BITS[fmt]


def _bytes_of(fmt: str, n: int) -> int:
    if fmt == "212":
        return n // 2 * 3 + n % 2 * 2
    return n * FORMAT_BITS[fmt] // 8


def _decode(fmt: str, data: bytes, n: int) -> NDArray[np.int32]:
    if fmt == "80":
        return np.frombuffer(data, np.uint8).astype(np.int32) - 128
    if fmt in {"16", "61"}:
        return np.frombuffer(data, "<i2" if fmt == "16" else ">i2").astype(np.int32)
    # 212: two 12-bit two's complement numbers in three bytes; the middle byte holds the high bits of both.
    triples = np.frombuffer(data + b"\0" * (-len(data) % 3), np.uint8).reshape(-1, 3)
    low, middle, high = (triples[:, k].astype(np.uint16) for k in range(3))
    pairs = np.empty((len(triples), 2), np.uint16)
    pairs[:, 0] = low | (middle & 0x0F) << 8
    pairs[:, 1] = high | (middle & 0xF0) << 4
    signed = (pairs << 4).view(np.int16) >> 4  # up to the sign bit and back
    return signed.reshape(-1)[:n].astype(np.int32)


def _wrong_checksums(header: RecordHeader, counts: NDArray[np.int32]) -> list[str]:
    sums = counts.sum(axis=0, dtype=np.int64) % 65536
    wrong = [k for k, s in enumerate(header.signals) if s.checksum is not None and s.checksum != sums[k]]
    if not wrong:
        return []
    named = ", ".join(
        f"{header.signals[k].description or k} ({sums[k]}, not {header.signals[k].checksum})" for k in wrong
    )
    return [
        f"record {header.name}: the checksum of the header does not fit the samples of {named}. {FETCH_AGAIN}"
    ]


def write_record(
    stem: str | Path,
    counts: ArrayLike,
    fs_hz: float,
    leads: Sequence[str],
    gain_per_mv: float = 200.0,
    baseline: int = 0,
    *,
    adc_bits: int | None = None,
    fmt: str = "212",
    comments: Sequence[str] = (),
) -> None:
    """Write ``stem.hea`` and ``stem.dat``: all leads in one file, of one gain and baseline.

    Parameters
    ----------
    stem
        Directory and name of the record: letters, digits, ``_`` and ``-``.
    counts
        ``(n_samples, n_leads)`` whole numbers that fit the format.
    fmt
        ``"212"`` (12 bits) or ``"16"``.

    Raises
    ------
    DataError
        Counts or names that the format cannot hold.
    """
    stem = Path(stem)
    values = np.atleast_2d(np.asarray(counts))
    if fmt not in {"16", "212"}:
        raise DataError(f"cannot write format {fmt}", "Written are 16 and 212")
    if values.shape[1] != len(leads) or not leads or not len(values) or values.dtype.kind not in "iu":
        raise DataError(f"expected whole counts (n, {len(leads)}), found {values.shape} {values.dtype}")
    lowest, highest = -(1 << FORMAT_BITS[fmt] - 1), (1 << FORMAT_BITS[fmt] - 1) - 1
    if values.min() < lowest or values.max() > highest:
        raise DataError(
            f"format {fmt} holds {lowest} to {highest}, found {values.min()} to {values.max()}",
            "Write format 16",
        )
    name = stem.name
    if not name.replace("_", "").replace("-", "").isalnum() or any(
        "\n" in text for text in (*leads, *comments)
    ):
        raise DataError(
            f"{name!r} cannot name a record, or a lead or comment spans lines", "Use letters, digits, _ and -"
        )
    values = values.astype(np.int32)
    sums = values.sum(axis=0, dtype=np.int64) % 65536
    signals = tuple(
        SignalSpec(
            file_name=f"{name}.dat",
            fmt=fmt,
            gain_per_mv=gain_per_mv,
            baseline=baseline,
            adc_zero=baseline,
            adc_bits=adc_bits or FORMAT_BITS[fmt],
            checksum=int(sums[k]),
            description=lead,
            first_count=int(values[0, k]),
        )
        for k, lead in enumerate(leads)
    )
    header = RecordHeader(name, fs_hz, len(values), signals, comments=tuple(comments))
    stem.with_name(f"{name}.dat").write_bytes(_encode(fmt, values.reshape(-1)))
    stem.with_name(f"{name}.hea").write_text(format_header(header), encoding="utf-8")


def _encode(fmt: str, values: NDArray[np.int32]) -> bytes:
    if fmt == "16":
        return values.astype("<i2").tobytes()
    n_bytes = _bytes_of("212", len(values))
    pairs = np.append(values, [0] * (len(values) % 2)).astype(np.int32).reshape(-1, 2) & 0xFFF
    triples = np.empty((len(pairs), 3), np.uint8)
    triples[:, 0] = pairs[:, 0] & 0xFF
    triples[:, 1] = pairs[:, 0] >> 8 | (pairs[:, 1] >> 8) << 4
    triples[:, 2] = pairs[:, 1] & 0xFF
    return triples.tobytes()[:n_bytes]
