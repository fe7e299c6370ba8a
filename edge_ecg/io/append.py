"""WFDB records that grow: a signal in format 16 and annotations, that read at any moment and after any end.

While a record grows, its header leaves the number of samples open: readers then take what the ``.dat`` holds. WFDB's
grammar has no room for the base time in such a header, so it stands in a comment until the record is finished. The end
mark of the annotations is overwritten by the next one together with a new end mark, in one write. A record that nobody
finished (a kill, a power cut) is finished by `mend_record`.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import DataError
from edge_ecg.io.annotations import (
    END_MARK,
    AnnotationEncoder,
    Annotations,
    encode_annotations,
    read_annotations,
)
from edge_ecg.io.header import RecordHeader, format_header, read_header
from edge_ecg.io.whole import write_whole

__all__ = ["ANNOTATOR", "SUFFIXES", "RecordAppender", "is_growing", "mend_record"]

ANNOTATOR = "edge"
SUFFIXES = (".hea", ".dat", f".{ANNOTATOR}")
"""The files of a record."""
_SUM_FRAMES = 1 << 20
_TAIL = 256
"""A late annotation finds its place among so many."""
_Row = tuple[int, str, int, int, int, str]


class RecordAppender:
    """Begin a record and append to it; every call hands its bytes to the system before it returns.

    The ``.dat`` is locked, so that nobody mends or removes what still grows.

    Parameters
    ----------
    stem
        Directory and name of the record.
    header
        What it will say; its number of samples and sums are filled in at the end.
    counts
        ``(n, n_signals) int16``, at least one: what has no sample would be no record.

    Attributes
    ----------
    n_samples
        Samples so far.

    Raises
    ------
    FileExistsError
        There is such a record.
    OSError
        It cannot be begun; nothing of it is left.
    """

    def __init__(self, stem: Path, header: RecordHeader, counts: NDArray[np.int16]) -> None:
        self.stem = stem
        self.n_samples = 0
        self._header = header
        self._first = counts[0].copy()
        self._sums = np.zeros(counts.shape[1], np.int64)
        self._encoder = AnnotationEncoder()
        self._end = 0
        # The last annotations: where each begins, what stood before it, and what it says.
        self._tail: deque[tuple[int, tuple[int, int, int], _Row]] = deque(maxlen=_TAIL)
        self._in_order = True
        self._torn = False
        self._dirty = True
        self._dat = os.open(_beside(stem, ".dat"), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        self._ann = -1
        try:
            fcntl.flock(self._dat, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._ann = os.open(_beside(stem, f".{ANNOTATOR}"), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
            self.append(counts)
            self._put(END_MARK, 0)
            self.sync()  # before the header: what has one can be read, whatever comes
            write_whole(_beside(stem, ".hea"), format_header(header).encode())
        except BaseException:
            self._close()
            for suffix in SUFFIXES:
                _beside(stem, suffix).unlink(missing_ok=True)
            raise

    def append(self, counts: NDArray[np.int16]) -> None:
        """Append samples. After an `OSError` the record can only be finished."""
        data = memoryview(np.ascontiguousarray(counts, "<i2").tobytes())
        self._dirty = self._torn = True
        while data:
            data = data[os.write(self._dat, data) :]
        self._torn = False
        self._sums += counts.sum(axis=0, dtype=np.int64)
        self.n_samples += len(counts)

    def annotate(self, sample: int, symbol: str, subtype: int = 0, chan: int = 0, num: int = 0, aux: str = "") -> None:
        """Add one annotation, as `edge_ecg.io.Annotations` has them. After an `OSError` as `append`.

        One that is late is put in its place, and what follows it written anew.
        """
        later: list[_Row] = []
        begin, after = self._end, self._encoder.after
        while self._tail and self._tail[-1][2][0] > sample:
            begin, after, row = self._tail.pop()
            later.append(row)
        self._in_order &= sample >= after[0]
        self._encoder = AnnotationEncoder(after)
        data = bytearray()
        for row in ((sample, symbol, subtype, chan, num, aux), *reversed(later)):
            self._tail.append((begin + len(data), self._encoder.after, row))
            data += self._encoder.encode(*row)
        self._dirty = self._torn = True
        self._put(bytes(data) + END_MARK, begin)
        if begin + len(data) < self._end:  # two short steps may take less than a long one
            os.ftruncate(self._ann, begin + len(data) + len(END_MARK))
        self._torn = False
        self._end = begin + len(data)

    def sync(self) -> None:
        """Bring all to the disk; nothing to do when nothing came."""
        if self._dirty:
            os.fdatasync(self._dat)
            os.fdatasync(self._ann)
            self._dirty = False

    def finish(self) -> None:
        """Complete the header and close.

        On `OSError` the record is closed as it is, and `mend_record` can do it later.
        """
        if self._dat < 0:
            return
        try:
            self.sync()
            if self._torn or not self._in_order:
                _mend(self.stem, self._dat, self._header)
            else:
                _finish_header(self.stem, self._header, self.n_samples, self._first.tolist(), self._sums.tolist())
        finally:
            self._close()

    def _put(self, data: bytes, at: int) -> None:
        while data:
            n_written = os.pwrite(self._ann, data, at)
            data, at = data[n_written:], at + n_written

    def _close(self) -> None:
        for held in (self._dat, self._ann):
            if held >= 0:
                os.close(held)
        self._dat = self._ann = -1


def is_growing(stem: Path) -> bool:
    """Whether some process has this record open for appending."""
    held = _locked(stem)
    if held is None:
        return True
    if held >= 0:
        os.close(held)
    return False


def mend_record(stem: Path) -> bool:
    """Finish a record that nobody finished; False when there is nothing to do, or it still grows.

    Half a sample at the end and annotations beyond it are cut off. A record that holds no sample is removed.

    Raises
    ------
    DataError
        A damaged header.
    OSError
        It cannot be written; nothing is lost.
    """
    header = read_header(stem)
    if header.n_samples is not None:
        return False
    held = _locked(stem)
    if held is None:
        return False
    try:
        _mend(stem, held, header)
    finally:
        if held >= 0:
            os.close(held)
    return True


def _locked(stem: Path) -> int | None:
    """The ``.dat``, open and locked; -1 when there is none; None when somebody else holds it."""
    try:
        held = os.open(_beside(stem, ".dat"), os.O_RDWR)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    except BaseException:
        os.close(held)
        raise
    return held


def _mend(stem: Path, dat: int, header: RecordHeader) -> None:
    width = len(header.signals)
    n = 0 if dat < 0 else os.fstat(dat).st_size // (2 * width)
    if n == 0:
        for suffix in SUFFIXES:
            _beside(stem, suffix).unlink(missing_ok=True)
        return
    os.ftruncate(dat, 2 * width * n)
    try:
        found = read_annotations(stem, ANNOTATOR)
    except DataError:  # not a single one
        found = Annotations.of([], [])
    write_whole(_beside(stem, f".{ANNOTATOR}"), encode_annotations(_in_order(found, n)))
    sums = np.zeros(width, np.int64)
    first = np.zeros(width, np.int16)
    for at in range(0, n, _SUM_FRAMES):
        data = os.pread(dat, 2 * width * min(_SUM_FRAMES, n - at), 2 * width * at)
        counts = np.frombuffer(data, "<i2").reshape(-1, width)
        first = first if at else counts[0]
        sums += counts.sum(axis=0, dtype=np.int64)
    os.fdatasync(dat)
    _finish_header(stem, header, n, first.tolist(), sums.tolist())


def _in_order(found: Annotations, n_samples: int) -> Annotations:
    kept = [k for k in np.argsort(found.sample, kind="stable").tolist() if found.sample[k] < n_samples]
    return Annotations.of(
        found.sample[kept],
        [found.symbol[k] for k in kept],
        subtype=found.subtype[kept],
        chan=found.chan[kept],
        num=found.num[kept],
        aux=[found.aux[k] for k in kept],
    )


def _finish_header(stem: Path, header: RecordHeader, n: int, first: Sequence[int], sums: Sequence[int]) -> None:
    signals = tuple(
        replace(signal, first_count=count, checksum=total % 65536)
        for signal, count, total in zip(header.signals, first, sums, strict=True)
    )
    comments = tuple(text for text in header.comments if not text.startswith("start: "))
    told = replace(header, n_samples=n, signals=signals, comments=comments)
    write_whole(_beside(stem, ".hea"), format_header(told).encode())


def _beside(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)
