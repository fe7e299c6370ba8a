"""The shipped excerpt under another name, with its annotations."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge_ecg.io import read_record, write_record
from edge_ecg.sources.virtual import EXCERPT

__all__ = ["copy_excerpt", "short_record"]


def copy_excerpt(folder: Path, name: str = "rec") -> Path:
    """Copy it into ``folder``, which is made; the path of the copy without suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / name
    for suffix in (".dat", ".atr"):
        shutil.copy(EXCERPT.with_suffix(suffix), stem.with_suffix(suffix))
    header = EXCERPT.with_suffix(".hea").read_text(encoding="utf-8")
    stem.with_suffix(".hea").write_text(header.replace("mitdb_223", name), encoding="utf-8")
    return stem


def short_record(folder: Path, n_samples: int) -> Path:
    """Write its first samples as a record of their own; the path without suffix."""
    stem = folder / "short"
    write_record(stem, read_record(EXCERPT).counts[:n_samples], 360.0, ["MLII", "V1"], baseline=1024)
    return stem
