"""Records as the reference reader of others sees them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np


def signal(stem: Path):
    """The record, counts in ``d_signal``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wfdb

        return wfdb.rdrecord(str(stem), physical=False)


def signal_mv(stem: Path) -> np.ndarray:
    """Millivolts, NaN where there is no sample."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wfdb

        return wfdb.rdrecord(str(stem)).p_signal


def rows(stem: Path, extension: str = "edge") -> list[tuple]:
    """Annotations as (sample, symbol, subtype, chan, num, aux)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wfdb

        a = wfdb.rdann(str(stem), extension)
    notes = [note.rstrip("\0") for note in a.aux_note]
    numbers = [[int(x) for x in field] for field in (a.sample, a.subtype, a.chan, a.num)]
    return list(zip(numbers[0], a.symbol, *numbers[1:], notes, strict=True))
