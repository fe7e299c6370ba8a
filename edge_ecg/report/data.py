"""A day as one JSON object."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from edge_ecg import __version__
from edge_ecg.day import Day
from edge_ecg.sinks.jsonl import utc_text
from edge_ecg.summary import Summary

__all__ = ["REPORT_SCHEMA", "as_json"]

REPORT_SCHEMA = 1
"""Version of the object; raised when a field changes its meaning or goes."""


def as_json(day: Day, summary: Summary) -> dict[str, Any]:
    """All figures and all episodes; times are seconds from ``begin_utc``."""
    window = day.window
    begin_utc, end_utc = (utc_text(t) if window.has_clock else None for t in (window.begin_s, window.end_s))
    told: dict[str, Any] = _rounded(
        {
            "schema": REPORT_SCHEMA,
            "type": "day",
            "version": __version__,
            "note": "Research software, not a medical device.",
            "day": window.title,
            "subject": day.subject,
            "begin_utc": begin_utc,
            "end_utc": end_utc,
            "models": sorted({track.model for _, track in day.tracks if track.model}),
            "leads": sorted({track.lead for _, track in day.tracks if track.lead}),
            "left_out": list(day.notes),
            "figures": asdict(summary.day),
            "hours": [asdict(hour) for hour in summary.hours if hour.recorded_s],
            "episodes": [asdict(episode) for episode in summary.episodes],
            "minute_bpm": [None if np.isnan(bpm) else bpm for bpm in summary.minute_bpm.tolist()],
        }
    )
    return told


def _rounded(value: Any) -> Any:
    """Numbers as far as they mean something."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
