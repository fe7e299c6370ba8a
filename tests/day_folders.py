"""Days of recordings as the recorder writes them, without a recorder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ecg.io import Annotations, write_annotations, write_record

__all__ = ["FS_HZ", "Mark", "write_day_record"]

FS_HZ = 250.0
Mark = tuple[float, str, int, str]
"""Seconds from the begin, symbol, subtype, text."""


def write_day_record(
    folder: Path,
    start: datetime,
    beats: Sequence[tuple[float, str]],
    marks: Sequence[Mark] = (),
    *,
    subject: str = "bed-3",
    length_s: float = 120.0,
    is_growing: bool = False,
    samples_mv: NDArray[np.float64] | None = None,
) -> Path:
    """Write one record into the folder of its day (UTC); return its stem. ``beats``: seconds and label."""
    day = folder / f"{start:%Y-%m-%d}"
    day.mkdir(parents=True, exist_ok=True)
    stem = day / f"{subject}_{start:%H%M%S}"
    n = round(length_s * FS_HZ)
    if samples_mv is None:
        samples_mv = np.zeros(n)
        for t_s, label in beats:
            at = round(t_s * FS_HZ)
            samples_mv[at - 3 : at + 4] += 2.0 if label == "V" else 1.0
    told = [f"subject: {subject}", "labels: rhythm (sha256 00, balanced), lead II"]
    began = f"start: {start.isoformat()}Z"
    counts = np.rint(1000.0 * samples_mv[:, None]).astype(np.int32)
    write_record(stem, counts, FS_HZ, ["II"], 1000.0, fmt="16", comments=[began, *told] if is_growing else told)
    header = stem.with_name(f"{stem.name}.hea")
    first, *rest = header.read_text().splitlines()
    first = first.rsplit(" ", 1)[0] if is_growing else f"{first} {start:%H:%M:%S.%f %d/%m/%Y}"
    header.write_text("\n".join([first, *rest]) + "\n")
    rows = sorted([*((t_s, label, 0, "") for t_s, label in beats), *marks], key=lambda row: row[0])
    notes = Annotations.of(
        [round(t_s * FS_HZ) for t_s, *_ in rows],
        [symbol for _, symbol, *_ in rows],
        subtype=[subtype for *_, subtype, _ in rows],
        aux=[text for *_, text in rows],
    )
    write_annotations(stem.with_name(f"{stem.name}.edge"), notes)
    return stem
