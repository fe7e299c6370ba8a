"""The decoder of every board that prints its samples as lines of text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from firmware_bridge.blocks import Counts, LinkStats, RawBlock
from firmware_bridge.messages import Error, Message
from firmware_bridge.protocols.samples import BlockMaker

__all__ = ["LineDecoder"]

MAX_LINE_BYTES = 256
ALIKE_AT_FIRST, ALIKE_LATER = 2, 4
"""So many lines in a row of the same columns tell what the columns are, at first and against what was believed."""

_SEPARATORS = re.compile(r"[,;\s]+")
_WHOLE = re.compile(r"(?:[A-Za-z_][^:]*:)?([+-]?\d+)")  # the label of Arduino's plotter may stand before it
_DECIMAL = re.compile(r"(?:[A-Za-z_][^:]*:)?([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
_INT32 = 1 << 31


class _Columns(NamedTuple):
    """How many fields a line has, and which of them are leads."""

    n_fields: int
    leads: tuple[int, ...]


class _Line(NamedTuple):
    columns: _Columns
    values: dict[int, float]
    n_bytes: int

    def fits(self, columns: _Columns) -> bool:
        return self.columns.n_fields == columns.n_fields and all(lead in self.values for lead in columns.leads)


class LineDecoder:
    """Blocks out of lines. Fields are divided by commas, semicolons, tabs or spaces; leads are those that are numbers.

    What the columns are, the first two lines that are alike tell; a line with other columns is damaged. A line
    that has not ended when the stream ends is not believed, since digits may be missing.

    Parameters
    ----------
    dtype
        ``np.int32`` takes whole numbers only, ``np.float64`` fractions too.
    off_mark
        The line that stands for a sample while an electrode is off; "": the board has none. The first of them in a
        row gives a block without samples.
    columns
        Which fields are leads, counted from 0; None: all that are numbers.
    """

    def __init__(
        self, dtype: type[np.int32 | np.float64], off_mark: str = "", columns: Sequence[int] | None = None
    ) -> None:
        self._dtype = dtype
        self._off_mark = off_mark
        self._wanted = None if columns is None else tuple(columns)
        self._maker = BlockMaker()
        self._rest = b""
        self._overlong = False
        self._columns: _Columns | None = None
        self._waiting: list[_Line] = []  # lines alike, too few yet to tell the columns
        self._rows: list[list[float]] = []
        self._is_off = False
        self._host_s = 0.0
        self._bytes_received = 0
        self._bytes_skipped = 0
        self._lines_ok = 0
        self._lines_bad = 0

    @property
    def pending(self) -> bytes:
        """The bytes of a line that has not ended yet."""
        return self._rest

    def feed(self, data: bytes, host_s: float) -> list[RawBlock | Message]:
        """Return what `data`, which arrived at `host_s`, completes, in order. Never raises."""
        self._bytes_received += len(data)
        self._host_s = host_s
        out: list[RawBlock | Message] = []
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            if self._overlong or len(line) > MAX_LINE_BYTES:
                self._overlong = False
                self._reject(len(line) + 1)
            else:
                self._take(line, out)
        if self._overlong or len(rest) > MAX_LINE_BYTES:
            self._overlong = True
            self._bytes_skipped += len(rest)
            rest = b""
        self._rest = rest
        return out + self._block()

    def flush(self) -> list[RawBlock | Message]:
        """Return the line that waited for another one to be alike: the stream has ended."""
        if self._columns is None:
            self._believe()
        self._bytes_skipped += len(self._rest)
        self._rest = b""
        return [*self._block()]

    def stats(self) -> LinkStats:
        """Return the counters; lines count as frames."""
        return LinkStats(
            bytes_received=self._bytes_received,
            frames_ok=self._lines_ok,
            frame_errors=self._lines_bad,
            bytes_skipped=self._bytes_skipped,
            samples_received=self._maker.samples_received,
        )

    def _reject(self, n_bytes: int) -> None:
        self._lines_bad += 1
        self._bytes_skipped += n_bytes

    def _take(self, raw: bytes, out: list[RawBlock | Message]) -> None:
        text = raw.decode("ascii", errors="replace").strip()
        if not text:
            return
        if text == self._off_mark:
            self._take_off_mark(out)
            return
        if text.lstrip("<").startswith("ERR"):
            out += [*self._block(), Error(0, text)]
            self._reject(len(raw) + 1)
            return
        line = self._parse(text, len(raw) + 1)
        if line is None:
            self._reject(len(raw) + 1)
        elif self._columns is not None and line.fits(self._columns):
            self._drop_waiting()
            self._append(line, self._columns)
        else:
            if self._waiting and self._waiting[-1].columns != line.columns:
                self._drop_waiting()
            self._waiting.append(line)
            if len(self._waiting) == (ALIKE_AT_FIRST if self._columns is None else ALIKE_LATER):
                out += self._block()
                self._believe()

    def _take_off_mark(self, out: list[RawBlock | Message]) -> None:
        if self._columns is None:
            self._believe()
        self._lines_ok += 1
        if not self._is_off:
            out += self._block()
            n_leads = 1 if self._columns is None else len(self._columns.leads)
            out.append(self._maker.electrodes_off(n_leads, self._dtype, self._host_s))
            self._is_off = True

    def _parse(self, text: str, n_bytes: int) -> _Line | None:
        fields = _SEPARATORS.split(text)
        number = _WHOLE if self._dtype is np.int32 else _DECIMAL
        values: dict[int, float] = {}
        for column in range(len(fields)) if self._wanted is None else self._wanted:
            match = number.fullmatch(fields[column]) if column < len(fields) else None
            value = math.inf if match is None else float(match[1])
            if math.isfinite(value) and (self._dtype is np.float64 or -_INT32 <= value < _INT32):
                values[column] = value
            elif self._wanted is not None:
                return None
        return _Line(_Columns(len(fields), self._wanted or tuple(values)), values, n_bytes) if values else None

    def _believe(self) -> None:
        """Take the columns of the lines that wait, and their samples."""
        if not self._waiting:
            return
        lines, self._waiting = self._waiting, []
        self._columns = lines[-1].columns
        for line in lines:
            self._append(line, self._columns)

    def _append(self, line: _Line, columns: _Columns) -> None:
        self._lines_ok += 1
        self._is_off = False
        self._rows.append([line.values[lead] for lead in columns.leads])

    def _drop_waiting(self) -> None:
        for line in self._waiting:
            self._reject(line.n_bytes)
        self._waiting = []

    def _block(self) -> list[RawBlock]:
        """Return the samples since the last block."""
        rows, self._rows = self._rows, []
        lead_off = False if self._off_mark else None
        counts: Counts = np.array(rows, self._dtype)
        return self._maker.blocks(counts, self._host_s, lead_off=lead_off)
