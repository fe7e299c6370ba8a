"""EDF+ of a record: the counts as they are, labels and marks as annotations.

EDF knows no missing sample: there the last valid value is held, and an annotation says ``no signal``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import DataError, UsageError
from edge_ecg.export import Labelled, Progress
from edge_ecg.io import INVALID_COUNT
from edge_ecg.io.whole import replaced

if TYPE_CHECKING:
    from edfio import EdfAnnotation, EdfSignal

__all__ = ["NO_SIGNAL", "write_edf"]

NO_SIGNAL = "no signal"
LONGEST_BLOCK_S = 10.0
FIELD = 8
"""Characters of a number in the header."""
_FIRST_YEAR, _LAST_YEAR = 1985, 2084
_MOST_TEXT = 200
_PARTS = 64
"""Readers check the time of each data record to the last digit; 64ths of a second add up without rounding."""
_MOST_IN_BLOCK = 5000
_WORST_RATE = 1e-4


def write_edf(labelled: Labelled, file: Path, progress: Progress = lambda n: None) -> None:
    """Write a record as EDF+C; a file that is there is replaced, when all went well.

    Raises
    ------
    UsageError
        edfio is not installed.
    DataError
        Counts of more than 16 bits, or a rate that EDF cannot tell.
    OSError
        It cannot be written.
    """
    try:
        import edfio
    except ModuleNotFoundError as error:
        if error.name != "edfio":
            raise
        raise UsageError(
            "EDF needs edfio, which is not installed", 'Run `pip install "edge-ecg[export]"`, or export csv'
        ) from None
    header, counts = labelled.record.header, labelled.record.counts
    n_block, block_s = _block(header.fs_hz)
    fs_hz = n_block / block_s
    n_padded = -(-len(counts) // n_block) * n_block
    missing = np.stack([counts[:, k] == INVALID_COUNT[signal.fmt] for k, signal in enumerate(header.signals)], axis=1)
    notes = _labels(labelled, fs_hz) + _missing(missing, n_padded, header.leads, fs_hz)
    signals: list[EdfSignal] = []
    for k in range(len(header.signals)):
        signals.append(_signal(labelled, k, missing[:, k], n_padded, fs_hz))
        progress(len(counts) // (2 * len(header.signals)))
    start = None if labelled.start is None else _on_grid(labelled.start)
    dated = start is not None and _FIRST_YEAR <= start.year <= _LAST_YEAR
    edf = edfio.Edf(
        signals,
        patient=edfio.Patient(name=_word(labelled.subject or "X")),
        recording=edfio.Recording(
            startdate=start.date() if dated and start is not None else None,
            equipment_code="edge-ecg",
            additional=("research_use", "no_medical_device"),
        ),
        starttime=None if start is None else start.time(),
        data_record_duration=block_s,
        annotations=notes,
    )
    with replaced(file) as part:
        edf.write(part)
    progress(len(counts) - len(counts) // (2 * len(header.signals)) * len(header.signals))


def _block(fs_hz: float) -> tuple[int, float]:
    """Samples and length of a data record: a whole number in a time that eight characters can tell."""
    ratio = Fraction(fs_hz).limit_denominator(1000)
    if abs(float(ratio) - fs_hz) < 1e-9 * fs_hz and ratio.denominator <= LONGEST_BLOCK_S:
        n_seconds = ratio.denominator
        return int(ratio * n_seconds), float(n_seconds)
    n_most = int(LONGEST_BLOCK_S * fs_hz)
    blocks = ((n, round(_PARTS * n / fs_hz) / _PARTS) for n in range(1, min(n_most, _MOST_IN_BLOCK) + 1))
    found = min(((abs(n - s * fs_hz) / n, n, s) for n, s in blocks if s > 0.0), default=(1.0, 0, 0.0))
    if found[0] > _WORST_RATE:
        raise DataError(f"EDF cannot tell a rate of {fs_hz:g} Hz", "Export csv")
    return found[1], found[2]


def _on_grid(start: datetime) -> datetime:
    """The nearest 64th of a second."""
    return start.replace(microsecond=0) + timedelta(seconds=round(_PARTS * start.microsecond / 1e6) / _PARTS)


def _short(value: float) -> float:
    """The nearest number that fits a field."""
    for digits in range(FIELD, -1, -1):
        text = f"{value:.{digits}f}"
        if len(str(float(text)).removesuffix(".0")) <= FIELD:
            return float(text)
    raise DataError(f"EDF cannot tell the amplitude {value:g}", "Export csv")


def _signal(labelled: Labelled, k: int, missing: NDArray[np.bool_], n_padded: int, fs_hz: float) -> EdfSignal:
    import edfio

    signal, counts = labelled.record.header.signals[k], labelled.record.counts[:, k]
    if len(counts) and (counts.min() < -32768 or counts.max() > 32767):
        raise DataError(f"lead {signal.description} has counts of more than 16 bits", "Export csv")
    digital = np.empty(n_padded, np.int16)
    digital[: len(counts)] = counts
    if missing.any():
        at = np.maximum.accumulate(np.where(missing, -1, np.arange(len(counts))))
        zero = min(max(signal.baseline, -32768), 32767)
        digital[: len(counts)] = np.where(at < 0, zero, counts[at])
    digital[len(counts) :] = digital[len(counts) - 1]
    low, high = ((end - signal.baseline) / signal.gain_per_mv for end in (-32768, 32767))
    return edfio.EdfSignal.from_digital(
        digital,
        fs_hz,
        label=_ascii(signal.description or f"lead {k}")[:16],
        physical_dimension=_ascii(labelled.units(k))[:FIELD],
        physical_range=(_short(low), _short(high)),
        digital_range=(-32768, 32767),
    )


def _labels(labelled: Labelled, fs_hz: float) -> list[EdfAnnotation]:
    """A beat by its symbol, a mark by its text."""
    from edfio import EdfAnnotation

    found = labelled.annotations
    texts = (aux.strip("\0 ") or symbol for symbol, aux in zip(found.symbol, found.aux, strict=True))
    seconds = (found.sample / fs_hz).round(6).tolist()
    return [EdfAnnotation(max(0.0, s), None, _printable(text)) for s, text in zip(seconds, texts, strict=True)]


def _missing(missing: NDArray[np.bool_], n_padded: int, leads: tuple[str, ...], fs_hz: float) -> list[EdfAnnotation]:
    """Where no lead has a signal, and where one alone has none."""
    from edfio import EdfAnnotation

    nowhere = missing.all(axis=1)
    runs = [(run, NO_SIGNAL) for run in _runs(np.append(nowhere, [True] * (n_padded - len(missing))))]
    for k, lead in enumerate(leads):
        runs += [(run, f"{NO_SIGNAL} in {lead}") for run in _runs(missing[:, k] & ~nowhere)]
    return [
        EdfAnnotation(round(begin / fs_hz, 6), round((end - begin) / fs_hz, 6), _printable(text))
        for (begin, end), text in runs
    ]


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:_MOST_TEXT]


def _ascii(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def _word(text: str) -> str:
    return _ascii(text).replace(" ", "_")[:40] or "X"
