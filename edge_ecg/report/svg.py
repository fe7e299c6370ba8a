"""Drawings of a report, as SVG text: no library, no script."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_ecg.day import Window
from edge_ecg.report.shapes import line, rect, text
from edge_ecg.report.words import clock
from edge_ecg.spans import Spans
from edge_ecg.summary import HOUR_S, MINUTE_S, PAIR_STEP_S, Summary

__all__ = ["COLOUR_S", "COLOUR_V", "RHYTHM_COLOURS", "SIGNAL_COLOURS", "day_chart", "pair_chart"]

SIGNAL_COLOURS = {"readable": "#7fb08a", "noise": "#e0a43a", "electrode off": "#c0504d", "samples lost": "#5a5a66"}
RHYTHM_COLOURS = {
    "sinus": "#a9c7e8",
    "af_suspected": "#8e5bb5",
    "atrial_suspected": "#d08ac0",
    "fibrillation_suspected": "#c0504d",
    "paced_suspected": "#4f9d9d",
}
X = Callable[[float], float]
"""From seconds of the window to the drawing's units."""

COLOUR_V, COLOUR_S = "#c0392b", "#2f6fb3"
_LEFT, _RIGHT, _WIDTH = 48.0, 6.0, 640.0
_SHADES = ("#d6e4f2", "#9dc0e2", "#4f8ac4", "#1b4f8a")


def day_chart(window: Window, summary: Summary) -> str:
    """Heart rate, ectopic beats an hour, what of the signal was readable and the rhythm, on one axis of time."""
    length_s = window.end_s - window.begin_s
    scale = (_WIDTH - _LEFT - _RIGHT) / length_s

    def x(t_s: float) -> float:
        return _LEFT + t_s * scale

    rate, rate_top, rate_high = _rates(summary, x), 18.0, 120.0
    bars_top, bars_high = rate_top + rate_high + 30.0, 70.0
    signal_top = bars_top + bars_high + 22.0
    rhythm_top = signal_top + 30.0
    bottom = rhythm_top + 14.0
    ticks = _ticks(length_s)
    parts = [
        f'<svg class="day" viewBox="0 0 {_WIDTH:.0f} {bottom + 20:.0f}" role="img" aria-label="The day over time">'
    ]
    parts += [line(x(t), rate_top, x(t), bottom, "#e4e4ea") for t in ticks]
    parts += _rate_panel(rate, rate_top, rate_high)
    parts += _bar_panel(summary, x, bars_top, bars_high)
    signal = (summary.readable, summary.noise, summary.lead_off, summary.gaps)
    parts.append(text(_LEFT, signal_top - 3, "signal"))
    for spans, colour in zip(signal, SIGNAL_COLOURS.values(), strict=True):
        parts += _band(spans, x, signal_top, colour, scale)
    parts.append(text(_LEFT, rhythm_top - 3, "rhythm"))
    for state, colour in RHYTHM_COLOURS.items():
        parts += _band(summary.rhythm[state], x, rhythm_top, colour, scale)
    for k, t in enumerate(ticks):
        at, anchor = (x(t), "middle") if x(t) < _WIDTH - 20.0 else (_WIDTH - 2.0, "end")
        tick = text(at, bottom + 14, clock(window, t, seconds=False)[-5:], anchor)
        parts.append(tick.replace("<text", '<text class="odd"') if k % 2 else tick)
    return "".join([*parts, "</svg>"])


def pair_chart(summary: Summary) -> str:
    """Each R-R interval against the one before it: a regular rhythm is one cloud, every ectopic beat leaves it."""
    counts, size, left, top = summary.rr_pairs, 2.0, 34.0, 6.0
    side = size * len(counts)
    ticks = [0.5, 1.0, 1.5, 2.0]
    parts = [f'<svg viewBox="0 0 {left + side + 12:.0f} {top + side + 34:.0f}" role="img" aria-label="R-R pairs">']
    parts.append(f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="#fff" stroke="#c9c9d1"/>')
    for tick in ticks:
        at = tick / PAIR_STEP_S * size
        parts.append(line(left + at, top, left + at, top + side, "#e4e4ea"))
        parts.append(line(left, top + side - at, left + side, top + side - at, "#e4e4ea"))
        parts.append(text(left + at, top + side + 13, f"{tick:g}", "middle"))
        parts.append(text(left - 4, top + side - at + 4, f"{tick:g}", "end"))
    parts.append(line(left, top + side, left + side, top, "#c9c9d1"))
    parts.append(text(left + side / 2, top + side + 28, "R-R interval, s", "middle"))
    if counts.any():
        # Four shades by the logarithm, so that single beats are seen beside a hundred thousand.
        shade = np.minimum(np.log1p(counts) / np.log1p(counts.max()) * len(_SHADES), len(_SHADES) - 1).astype(int)
        for k, colour in enumerate(_SHADES):
            rows, columns = np.nonzero((counts > 0) & (shade == k))
            cells = "".join(
                f"M{left + size * r:g} {top + side - size * (c + 1):g}h2v2h-2z"
                for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
            )
            parts.append(f'<path d="{cells}" fill="{colour}"/>')
    return "".join([*parts, "</svg>"])


def _rates(summary: Summary, x: X) -> list[list[tuple[float, float]]]:
    """Heart rate minute by minute, in pieces without a break."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for k, bpm in enumerate(summary.minute_bpm.tolist()):
        if np.isnan(bpm):
            pieces.append([])
        else:
            pieces[-1].append((x((k + 0.5) * MINUTE_S), bpm))
    return [piece for piece in pieces if piece]


def _rate_panel(pieces: list[list[tuple[float, float]]], top: float, high: float) -> list[str]:
    rates = [bpm for piece in pieces for _, bpm in piece]
    low_bpm = 20.0 * np.floor(min(rates, default=60.0) / 20.0)
    high_bpm = max(low_bpm + 40.0, 20.0 * np.ceil(max(rates, default=100.0) / 20.0))

    def y(bpm: float) -> float:
        return float(top + high * (high_bpm - bpm) / (high_bpm - low_bpm))

    step = 20.0 if high_bpm - low_bpm <= 120.0 else 40.0
    parts = [text(_LEFT, top - 7, "heart rate, a minute")]
    for bpm in np.arange(low_bpm, high_bpm + 1.0, step).tolist():
        parts.append(line(_LEFT, y(bpm), _WIDTH - _RIGHT, y(bpm), "#e4e4ea"))
        parts.append(text(_LEFT - 4, y(bpm) + 4, f"{bpm:.0f}", "end"))
    for piece in pieces:
        path = "L".join(f"{at:.1f} {y(bpm):.1f}" for at, bpm in piece)
        # A minute alone is a dot.
        path += "h0.1" if len(piece) == 1 else ""
        parts.append(f'<path d="M{path}" fill="none" stroke="#22303f" stroke-width="1.3" stroke-linecap="round"/>')
    return parts


def _bar_panel(summary: Summary, x: X, top: float, high: float) -> list[str]:
    most = max([hour.v.n_beats for hour in summary.hours] + [hour.s.n_beats for hour in summary.hours] + [1])
    parts = [text(_LEFT, top - 7, "ectopic beats, each hour")]
    parts += [text(_LEFT - 4, top + 8, f"{most:,}", "end"), text(_LEFT - 4, top + high, "0", "end")]
    parts.append(line(_LEFT, top + high, _WIDTH - _RIGHT, top + high, "#c9c9d1"))
    for hour in summary.hours:
        begin, width = x(hour.begin_s), x(hour.end_s) - x(hour.begin_s)
        width = min(width, 120.0)
        for k, (n, colour) in enumerate(((hour.v.n_beats, COLOUR_V), (hour.s.n_beats, COLOUR_S))):
            if n:
                tall = max(1.0, high * n / most)
                at = begin + width * (0.08 + 0.42 * k)
                parts.append(rect(at, top + high - tall, 0.4 * width, tall, colour))
    return parts


def _band(spans: Spans, x: X, top: float, colour: str, scale: float) -> list[str]:
    """Stretches as one path; what is closer than a third of a point is drawn as one."""
    near_s = 0.3 / scale
    merged: list[list[float]] = []
    for begin, end in spans:
        if merged and begin - merged[-1][1] < near_s:
            merged[-1][1] = end
        else:
            merged.append([begin, end])
    cells = []
    for begin, end in merged:
        width = max(0.4, (end - begin) * scale)
        cells.append(f"M{x(begin):.1f} {top:g}h{width:.1f}v14h-{width:.1f}z")
    return [f'<path d="{"".join(cells)}" fill="{colour}"/>'] if merged else []


def _ticks(length_s: float) -> list[float]:
    """Moments to write below, at most thirteen."""
    steps = (60.0, 300.0, 600.0, 1800.0, HOUR_S, 2 * HOUR_S, 4 * HOUR_S, 12 * HOUR_S)
    step = next((step for step in steps if length_s / step <= 12.5), steps[-1])
    return [float(t) for t in np.arange(0.0, length_s + 1.0, step)]
