"""WFDB annotations (``.atr``), MIT format: where the beats lie and what they are.

Format: G. B. Moody, WFDB Applications Guide, annot(5), https://physionet.org/physiotools/wag/annot-5.htm
The file is a row of 16-bit little-endian words, code << 10 | time step, ended by a zero word.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import DataError
from edge_ecg.io.header import record_stem

__all__ = [
    "BEAT_SYMBOLS",
    "END_MARK",
    "AnnotationEncoder",
    "Annotations",
    "encode_annotations",
    "read_annotations",
    "write_annotations",
]

END_MARK = b"\0\0"

BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")
"""Symbols that mark a heartbeat. ``!`` (a flutter wave) is none, as in the published beat counts."""

_SYMBOLS = dict(
    enumerate("NLRaVFJASEj/Q~", start=1)
    # 15, 17 and 42 to 49 have no symbol and read as [15]; 0 is no annotation at all.
) | {16: "|", **dict(enumerate('sT*D"=pB^t+u?![]en@xf()r', start=18))}
_CODES = {symbol: code for code, symbol in _SYMBOLS.items()}
_LAST_CODE = 49
_SKIP, _NUM, _SUB, _CHN, _AUX = 59, 60, 61, 62, 63
_RESOLUTION = re.compile(r"## time resolution: ([0-9]{1,9}(?:\.[0-9]{1,9})?)")
_HINT = "Fetch it again with `edge-ecg data fetch`; read are annotations in MIT format"


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """Annotations of one record, in file order; all fields have the same length.

    Attributes
    ----------
    sample
        ``(n,) int64``, read-only: sample index in the record.
    symbol
        ``"N"``, ``"V"``, ``"+"`` and so on; a code without a symbol reads as ``"[15]"``.
    subtype, num
        ``(n,) int16``, -128 to 127, 0 where not given.
    chan
        ``(n,) int16``, 0 to 255: the signal the annotation belongs to.
    aux
        Text such as ``"(AFIB"`` at a change of rhythm, else ``""``.
    fs_hz
        The rate ``sample`` counts in, where the file states one; None means that of the record.
    problem
        One line on a file that was cut short, None when all is well.
    """

    sample: NDArray[np.int64]
    symbol: tuple[str, ...]
    subtype: NDArray[np.int16]
    chan: NDArray[np.int16]
    num: NDArray[np.int16]
    aux: tuple[str, ...]
    fs_hz: float | None = None
    problem: str | None = None

    @classmethod
    def of(
        cls,
        sample: Sequence[int] | NDArray[np.int64],
        symbol: Sequence[str],
        *,
        subtype: Sequence[int] | NDArray[np.int16] | None = None,
        chan: Sequence[int] | NDArray[np.int16] | None = None,
        num: Sequence[int] | NDArray[np.int16] | None = None,
        aux: Sequence[str] | None = None,
        fs_hz: float | None = None,
        problem: str | None = None,
    ) -> Annotations:
        """Annotations from any sequences; what is left out is 0 or empty.

        Raises
        ------
        DataError
            Fields of different lengths.
        """
        n = len(sample)
        notes = ("",) * n if aux is None else tuple(aux)
        numbers = [
            np.zeros(n, np.int16) if v is None else np.array(v, np.int16) for v in (subtype, chan, num)
        ]
        if any(len(field) != n for field in (*numbers, symbol, notes)):
            raise DataError(f"all fields of annotations must have one length, here {n}")
        samples = np.array(sample, np.int64)
        samples.flags.writeable = False
        for field in numbers:
            field.flags.writeable = False
        return cls(samples, tuple(symbol), numbers[0], numbers[1], numbers[2], notes, fs_hz, problem)

    def __len__(self) -> int:
        return len(self.symbol)

    @property
    def is_beat(self) -> NDArray[np.bool_]:
        """Which annotations mark a heartbeat, ``(n,) bool``."""
        return np.fromiter((s in BEAT_SYMBOLS for s in self.symbol), np.bool_, len(self.symbol))


def read_annotations(path: str | Path, extension: str = "atr") -> Annotations:
    """Read the annotations of a record, given as the record or as the annotation file itself.

    A file that was cut short gives the annotations it holds and a line in `Annotations.problem`.

    Raises
    ------
    DataError
        No such file, no annotation in it, or bytes that are no annotations in MIT format.
    """
    stem = record_stem(path)
    file = stem.with_name(f"{stem.name}.{extension}")
    if Path(path).suffix.lower() not in {"", ".hea", ".dat", ".xyz", ".atr"} and not file.exists():
        file = Path(path)
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"no annotations {file}", "Check the name; not every record comes with annotations"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read the annotations {file}: {error}", "Check the path and its permissions"
        ) from None
    return _parse(data, str(file))


def _parse(data: bytes, where: str) -> Annotations:
    words = np.frombuffer(data, "<u2", len(data) // 2).tolist()
    sample: list[int] = []
    symbol: list[str] = []
    subtype: list[int] = []
    chan: list[int] = []
    num: list[int] = []
    aux: list[str] = []
    time, at, n_words = 0, 0, len(words)
    channel = number = 0  # these two stay until changed; subtype and aux belong to one annotation
    ended = kept = False
    while at < n_words:
        word = words[at]
        code, value = word >> 10, word & 1023
        at += 1
        if word == 0:
            ended = True
            break
        if code == _SKIP:
            if at + 2 > n_words:
                break
            step = words[at] << 16 | words[at + 1]  # high half first, as the PDP-11 had it
            time += step - (1 << 32) if step >> 31 else step
            at += 2
        elif code == _AUX:
            n_bytes = value & 0xFF
            if 2 * at + n_bytes > len(data):
                break
            if kept:
                aux[-1] = data[2 * at : 2 * at + n_bytes].decode("latin-1").rstrip("\0")
            at += (n_bytes + 1) // 2
        elif code == _CHN:
            channel = value & 0xFF
            if kept:
                chan[-1] = channel
        elif code == _NUM:
            number = _signed(value)
            if kept:
                num[-1] = number
        elif code == _SUB:
            if kept:
                subtype[-1] = _signed(value)
        elif code > _LAST_CODE:
            raise DataError(
                f"{where} byte {2 * at - 2}: expected an annotation code up to {_LAST_CODE}, found {code}",
                _HINT,
            )
        else:
            time += value
            kept = code != 0  # code 0 only moves the time on
            if kept:
                sample.append(time)
                symbol.append(_SYMBOLS.get(code, f"[{code}]"))
                subtype.append(0)
                chan.append(channel)
                num.append(number)
                aux.append("")
    problem = None
    if not ended:
        if not sample:
            raise DataError(f"{where} ({len(data)} bytes) holds no annotation and no end mark", _HINT)
        problem = (
            f"{where} is cut short: no end mark after {len(sample)} annotations, which are used. {_HINT}"
        )
    elif any(data[2 * at :]):
        problem = f"{where} has {len(data) - 2 * at} bytes after its end mark, which are left out. {_HINT}"
    fs_hz = None
    while sample and sample[0] == 0 and symbol[0] == '"' and aux[0].startswith("## "):
        # notes on the file itself, not on the record
        stated = _RESOLUTION.fullmatch(aux[0])
        fs_hz = float(stated[1]) if stated else fs_hz
        for field in (sample, symbol, subtype, chan, num, aux):
            del field[0]
    return Annotations.of(
        sample, symbol, subtype=subtype, chan=chan, num=num, aux=aux, fs_hz=fs_hz, problem=problem
    )


def _signed(value: int) -> int:
    value &= 0xFF
    return value - 256 if value > 127 else value


def write_annotations(path: str | Path, annotations: Annotations) -> None:
    """Write annotations in MIT format; a path without a suffix gets ``.atr``.

    Raises
    ------
    DataError
        A symbol WFDB does not know, a field or text too large for the format.
    """
    path = Path(path)
    (path if path.suffix else path.with_suffix(".atr")).write_bytes(encode_annotations(annotations))


def encode_annotations(annotations: Annotations) -> bytes:
    """A whole file in MIT format, its end mark included. Raises as `write_annotations`."""
    out = bytearray()
    if annotations.fs_hz is not None:
        out += struct.pack("<H", _CODES['"'] << 10) + _aux(
            f"## time resolution: {annotations.fs_hz:.12g}".encode()
        )
    encoder = AnnotationEncoder()
    fields = zip(
        annotations.sample.tolist(),
        annotations.symbol,
        annotations.subtype.tolist(),
        annotations.chan.tolist(),
        annotations.num.tolist(),
        annotations.aux,
        strict=True,
    )
    for row in fields:
        out += encoder.encode(*row)
    return bytes(out) + END_MARK


class AnnotationEncoder:
    """Gives the bytes of one annotation after the other; a file of them is ended by `END_MARK`.

    Parameters
    ----------
    after
        What the last annotation said: sample, chan, num. Zeros at the begin of a file.
    """

    def __init__(self, after: tuple[int, int, int] = (0, 0, 0)) -> None:
        self._sample, self._chan, self._num = after

    @property
    def after(self) -> tuple[int, int, int]:
        """What the last annotation said."""
        return self._sample, self._chan, self._num

    def encode(self, sample: int, symbol: str, subtype: int = 0, chan: int = 0, num: int = 0, aux: str = "") -> bytes:
        """Bytes of the next annotation: an even number. It may lie before the last one.

        Raises
        ------
        DataError
            A symbol WFDB does not know, a field or text too large for the format.
        """
        code = _CODES.get(symbol) or _numbered(symbol)
        note = aux.encode("latin-1", errors="replace")
        if not (-128 <= subtype < 128 and 0 <= chan < 256 and -128 <= num < 128 and len(note) < 255):
            raise DataError(
                f"annotation {symbol!r} at sample {sample} does not fit the MIT format: subtype, chan, num or aux"
            )
        out = bytearray()
        step = sample - self._sample
        while not 0 <= step < 1024:
            jump = max(min(step, (1 << 31) - 1), -(1 << 31))
            half = jump & 0xFFFFFFFF
            out += struct.pack("<HHH", _SKIP << 10, half >> 16, half & 0xFFFF)
            step -= jump
        out += struct.pack("<H", code << 10 | step)
        if subtype:
            out += struct.pack("<H", _SUB << 10 | subtype & 0xFF)
        if chan != self._chan:
            out += struct.pack("<H", _CHN << 10 | chan)
        if num != self._num:
            out += struct.pack("<H", _NUM << 10 | num & 0xFF)
        if note:
            out += _aux(note + b"\0")  # with the zero, as in PhysioNet's files
        self._sample, self._chan, self._num = sample, chan, num
        return bytes(out)


def _aux(note: bytes) -> bytes:
    return struct.pack("<H", _AUX << 10 | len(note)) + note + b"\0" * (len(note) % 2)


def _numbered(symbol: str) -> int:
    number = symbol[1:-1]
    if (
        symbol[:1] == "["
        and symbol[-1:] == "]"
        and number.isascii()
        and number.isdecimal()
        and len(number) < 3
    ):
        code = int(number)
        if 0 < code <= _LAST_CODE:
            return code
    raise DataError(f"{symbol!r} is no WFDB annotation symbol", f"Known are {' '.join(_CODES)}")
