"""Tables of a record, as comma-separated values: the signal, its beats, its marks."""

from __future__ import annotations

import csv
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.export import Labelled, Progress
from edge_ecg.io import BEAT_SYMBOLS, INVALID_COUNT
from edge_ecg.io.whole import replaced

__all__ = ["table_files", "write_tables"]

CHUNK = 20_000
_BEATS = ("sample", "time_s", "utc", "lead", "symbol", "confidence", "reject", "note")
_MARKS = ("sample", "time_s", "utc", "symbol", "subtype", "note")


def table_files(file: Path) -> tuple[Path, Path, Path]:
    """The files that go with a name: signal, beats, marks."""
    return file, file.with_name(f"{file.stem}-beats.csv"), file.with_name(f"{file.stem}-marks.csv")


def write_tables(labelled: Labelled, file: Path, progress: Progress = lambda n: None) -> None:
    """Write the three tables; files that are there are replaced, when all went well. Raises `OSError`.

    Times are in seconds from the first sample and in UTC. A sample that is not there is an empty field.
    """
    with ExitStack() as stack:
        signal, beats, marks = (stack.enter_context(replaced(part)) for part in table_files(file))
        _write_labels(labelled, beats, marks)
        _write_signal(labelled, signal, progress)


def _write_signal(labelled: Labelled, file: Path, progress: Progress) -> None:
    header, counts = labelled.record.header, labelled.record.counts
    leads = [f"{lead or k}_{labelled.units(k)}" for k, lead in enumerate(header.leads)]
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerow(["time_s", *leads])
        for first in range(0, len(counts), CHUNK):
            part = counts[first : first + CHUNK]
            columns = [_cells(part[:, k], labelled, k) for k in range(part.shape[1])]
            times = [f"{at:.6f}" for at in (np.arange(first, first + len(part)) / header.fs_hz).tolist()]
            out.writelines(",".join(row) + "\n" for row in zip(times, *columns, strict=True))
            progress(len(part))


def _cells(counts: NDArray[np.int32], labelled: Labelled, k: int) -> list[str]:
    signal = labelled.record.header.signals[k]
    missing = INVALID_COUNT[signal.fmt]
    values = ((counts - signal.baseline) / signal.gain_per_mv).tolist()
    return ["" if c == missing else f"{v:.6g}" for c, v in zip(counts.tolist(), values, strict=True)]


def _write_labels(labelled: Labelled, beats: Path, marks: Path) -> None:
    found, header, start = labelled.annotations, labelled.record.header, labelled.start
    with beats.open("w", encoding="utf-8", newline="") as of_beats, marks.open("w", encoding="utf-8", newline="") as of:
        beat_rows, mark_rows = csv.writer(of_beats, lineterminator="\n"), csv.writer(of, lineterminator="\n")
        beat_rows.writerow(_BEATS)
        mark_rows.writerow(_MARKS)
        for k, symbol in enumerate(found.symbol):
            sample, subtype, note = int(found.sample[k]), int(found.subtype[k]), found.aux[k].strip("\0 ")
            t_s = sample / header.fs_hz
            utc = "" if start is None else f"{start + timedelta(seconds=t_s):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
            when = [sample, f"{t_s:.6f}", utc]
            if symbol in BEAT_SYMBOLS:
                chan = int(found.chan[k])
                lead = header.leads[chan] if chan < len(header.leads) else ""
                beat_rows.writerow([*when, lead, symbol, f"{int(found.num[k]) / 100:.2f}", int(subtype == 1), note])
            else:
                mark_rows.writerow([*when, symbol, subtype, note])
