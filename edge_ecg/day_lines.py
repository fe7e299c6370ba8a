"""JSON lines (docs/events.md) as the records of a day."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from edge_ecg.day import Marked, Track
from edge_ecg.errors import DataError

__all__ = ["tracks_of_lines"]

_KINDS = frozenset(("beat", "gap", "lead_off", "quality", "rhythm", "model"))
_LAST_S = 0.001
"""What the last line tells of lies within."""
_HINT = "Give a file that `edge-ecg run --jsonl FILE` wrote"


@dataclass(slots=True)
class _Stream:
    """What the lines of one stream said so far; times in seconds of the stream."""

    name: str
    start_utc_s: float | None = None
    first_s: float = math.inf
    last_s: float = 0.0
    beats: list[tuple[float, str, bool]] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    lead_off: Marked = field(default_factory=Marked)
    noise: Marked = field(default_factory=Marked)
    rhythm: list[tuple[float, str]] = field(default_factory=list)
    lead: str | None = None
    model: str | None = None
    calibrated: bool = True

    def take(self, line: dict[str, Any]) -> None:
        """Take one line of `_KINDS`; a field that is not there, or no number, raises `KeyError` and its like."""
        t_s, kind = float(line["t_s"]), line["type"]
        if not (math.isfinite(t_s) and t_s >= 0.0):
            raise ValueError(f"t_s {t_s}")
        begin_s = t_s
        if kind == "beat":
            self.beats.append((t_s, str(line["label"]), bool(line["reject"])))
        elif kind == "gap":
            # Samples count at one rate: the time of the sample tells it.
            begin_s = t_s * max(0.0, 1.0 - int(line["lost_samples"]) / max(int(line["sample"]), 1))
            if not line["interpolated"]:
                self.gaps.append((begin_s, t_s))
        elif kind == "lead_off":
            self.lead_off.mark(t_s, begins=bool(line["off"]))
        elif kind == "quality":
            self.noise.mark(t_s, begins=bool(line["noisy"]))
        elif kind == "rhythm":
            self.rhythm.append((t_s, str(line["state"])))
        else:
            self.lead, self.model = str(line["lead"]), str(line["model"])
            self.calibrated = bool(line["calibrated"])
        if self.start_utc_s is None and line["utc"] is not None:
            self.start_utc_s = datetime.fromisoformat(line["utc"]).timestamp() - t_s
        # A file that begins hours later is told first which model and rhythm there has been since then.
        if kind not in ("model", "rhythm"):
            self.first_s = min(self.first_s, begin_s)
        self.last_s = max(self.last_s, t_s)

    def track(self) -> Track:
        """What came of it."""
        beats = sorted(self.beats)
        return Track(
            name=f"stream {self.name}",
            start_utc_s=self.start_utc_s,
            length_s=self.last_s + _LAST_S,
            t_s=np.array([t for t, _, _ in beats], np.float64),
            label=np.array([label for _, label, _ in beats], np.str_),
            is_rejected=np.array([reject for _, _, reject in beats], np.bool_),
            gaps=tuple(self.gaps),
            lead_off=tuple(self.lead_off.pairs),
            noise=tuple(self.noise.pairs),
            # A later line for the same sample replaces the earlier.
            rhythm=tuple(sorted(self.rhythm, key=lambda change: change[0])),
            lead=self.lead,
            model=self.model,
            calibrated=self.calibrated,
            from_s=self.first_s,
        )


def tracks_of_lines(path: Path) -> tuple[list[Track], list[str]]:
    """Read a file of JSON lines: a track for each stream, and a note on lines that are none and left out.

    Raises
    ------
    DataError
        No such file, or none of its lines is one of ours.
    """
    streams: list[_Stream] = []
    current: dict[str, _Stream] = {}
    n_bad = 0
    try:
        for line in _lines(path):
            try:
                event = json.loads(line)
                if event["type"] in _KINDS:
                    name = str(event["stream"])
                    # A model comes once for each: a recording that was replayed twice has one name.
                    if name not in current or (event["type"] == "model" and current[name].model):
                        current[name] = _Stream(name)
                        streams.append(current[name])
                    current[name].take(event)
            except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
                n_bad += 1
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}", _HINT) from None
    tracks = [stream.track() for stream in streams if stream.first_s <= stream.last_s]
    notes = [f"{n_bad} line{'s' * (n_bad > 1)} of {path} left out: none of ours, or cut short"] if n_bad else []
    if not tracks:
        raise DataError(f"{path} holds no line of a beat or of anything else", _HINT)
    timed = [track for track in tracks if track.start_utc_s is not None]
    if timed and len(timed) < len(tracks):
        notes.append(f"{len(tracks) - len(timed)} streams without a clock are left out")
    return timed or tracks, notes


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        # A line of ours is short: what is longer comes in pieces, none of which is one.
        while line := file.readline(1 << 16):
            if line.strip():
                yield line
