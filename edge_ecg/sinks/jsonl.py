"""JSON lines: one event a line, as docs/events.md describes them."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TextIO

from edge_ecg.errors import UsageError
from edge_ecg.types import (
    LAST_UTC_S,
    Classified,
    EpisodeEvent,
    Event,
    GapEvent,
    LeadOffEvent,
    LinkEvent,
    ModelEvent,
    OutputEvent,
    PatientEvent,
    QualityEvent,
    RhythmEvent,
    StateEvent,
    StreamInfo,
)

__all__ = ["SCHEMA", "JsonlFileSink", "JsonlSink", "as_json", "utc_text"]

SCHEMA = 1
"""Version of the line format; raised when a field changes its meaning or goes."""


_HEAD = re.compile(rb'\{"schema":\d+,"type":"[a-z_]')
"""How each line begins."""


def as_json(event: Event) -> dict[str, Any]:
    """An event as the object of its line."""
    match event:
        case Classified():
            beat = event.beat
            return {
                **_head("beat", event.stream, beat.r_index, beat.t_s),
                "lead": event.lead,
                "label": event.label,
                "probs": {name: round(p, 4) for name, p in zip(event.labels, event.probs, strict=True)},
                "confidence": round(event.confidence, 4),
                "model": event.model_id,
                "rr_s": _rounded(beat.rr_prev_s, 4),
                "hr_bpm": _rounded(beat.hr_bpm, 1),
                "quality": round(beat.quality, 3),
                "flags": list(beat.flags),
                "reject": "reject" in beat.flags,
                "lag_ms": round(1e3 * event.lag_s, 1),
            }
        case GapEvent():
            return {
                **_head("gap", event.stream, event.at_index),
                "lost_samples": event.n_lost,
                "interpolated": event.interpolated,
            }
        case LeadOffEvent():
            return {**_head("lead_off", event.stream, event.at_index), "off": event.off}
        case QualityEvent():
            return {
                **_head("quality", event.stream, event.sample),
                "noisy": event.noisy,
                "quality": round(event.quality, 3),
                "causes": list(event.causes),
            }
        case RhythmEvent():
            return {
                **_head("rhythm", event.stream, event.sample),
                "state": event.state,
                "score": round(event.score, 3),
            }
        case EpisodeEvent():
            return {
                **_head("episode", event.stream, event.sample),
                "kind": event.kind,
                "over": event.over,
                "beats": event.n_beats,
                "length_s": round(event.length_s, 3),
            }
        case PatientEvent():
            return {**_head("patient", event.stream, event.sample), "known": event.known}
        case ModelEvent():
            return {
                **_head("model", event.stream, event.at_index),
                "lead": event.lead,
                "model": event.model_id,
                "sha256": event.sha256,
                "operating_point": event.operating_point,
                "fs_hz": event.stream.fs_hz,
                "leads": list(event.stream.leads),
                "calibrated": event.stream.calibrated,
            }
        case LinkEvent():
            stream = None if event.stream is None else event.stream.stream
            return {"schema": SCHEMA, "type": "link", "stream": stream, "state": event.state, "detail": event.detail}
        case StateEvent():
            return {**_apart("state", event.utc_s), "state": event.state, "detail": event.detail}
        case OutputEvent():
            told = {"output": event.output, "state": event.state, "detail": event.detail}
            return {**_apart("output", event.utc_s), **told}


class JsonlSink:
    """Writes each event as a line and hands it to the system at once.

    Parameters
    ----------
    stream
        An open text stream; not closed here.
    """

    lasting: ClassVar[bool] = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def emit(self, event: Event) -> None:
        """Write one line."""
        self._stream.write(_line(event))
        self._stream.flush()

    def close(self) -> None:
        """The stream is not ours to close."""


class JsonlFileSink:
    """Appends each event as a line to a file, without a buffer: a full disk then holds back no half line.

    What was cut short, by a full disk or a lost supply, stays a line of its own: the next one begins behind it.

    Raises
    ------
    UsageError
        When the file cannot be opened, or holds something else: a slip must not write into a recording.
    """

    lasting: ClassVar[bool] = True

    def __init__(self, path: str | Path) -> None:
        file = Path(os.path.expanduser(path))
        try:
            if not _is_ours(file):
                raise UsageError(
                    f"{path} is not empty and does not begin with a JSON line of edge-ecg",
                    "Choose another name for the JSON lines",
                )
            self._torn = _ends_in_mid_line(file)
            self._file = file.open("ab", buffering=0)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"cannot write {path}: {getattr(error, 'strerror', None) or error}",
                "Name a file in a folder that exists and is yours",
            ) from None

    def emit(self, event: Event) -> None:
        """Write one line."""
        line = _line(event).encode()
        if self._torn:
            line = b"\n" + line
        n_written = 0
        while n_written < len(line):
            n_written += self._file.write(line[n_written:])
            self._torn = line[n_written - 1 : n_written] != b"\n"

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line(event: Event) -> str:
    return json.dumps(as_json(event), separators=(",", ":"), allow_nan=False) + "\n"


def _is_ours(file: Path) -> bool:
    """Whether a file may be appended to: absent, empty, no regular file, or begun by us (torn after a few bytes?)."""
    if not file.is_file():
        return True
    with file.open("rb") as held:
        first = held.read(64)
    return _HEAD.match(first) is not None or f'{{"schema":{SCHEMA},"type":"'.encode().startswith(first)


def _ends_in_mid_line(file: Path) -> bool:
    if not file.is_file() or not file.stat().st_size:
        return False
    with file.open("rb") as held:
        held.seek(-1, os.SEEK_END)
        return held.read(1) != b"\n"


def _head(kind: str, stream: StreamInfo, sample: int, t_s: float | None = None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "type": kind,
        "stream": stream.stream,
        "sample": sample,
        "t_s": round(sample / stream.fs_hz if t_s is None else t_s, 4),
        "utc": utc_text(stream.utc_s(sample)),
    }


def _apart(kind: str, utc_s: float) -> dict[str, Any]:
    """The head of what belongs to no sample."""
    return {"schema": SCHEMA, "type": kind, "utc": utc_text(utc_s)}


def utc_text(utc_s: float | None) -> str | None:
    """Wall time as text, ISO 8601 with ``Z``; None for what no calendar holds."""
    if utc_s is None or not abs(utc_s) < LAST_UTC_S:
        return None
    return datetime.fromtimestamp(utc_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
