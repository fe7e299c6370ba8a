"""Pictures of benchmark runs, as SVG text: they stand in the page, and alone as files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from edge_ecg.report.shapes import line, rect, text

__all__ = ["Bar", "Point", "bars", "frontier", "history", "scatter"]

_WIDTH, _LEFT, _RIGHT = 420.0, 52.0, 12.0
_GRID, _INK = "#e4e4ea", "#22303f"
_COLOURS = ("#2f6fb3", "#c0392b", "#3f9b5f", "#e0a43a", "#8e5bb5", "#4f9d9d", "#d08ac0", "#5f6b78", "#8a5a2b")
_SIZE = 5.0


@dataclass(frozen=True, slots=True)
class Point:
    """One model: what it costs, what it reaches, what it is called; its network has a shape, its form a colour."""

    x: float
    y: float
    name: str
    network: str
    form: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A value of one device in a group of bars, and what else to say of it."""

    group: str
    device: str
    value: float


def frontier(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats: none costs less and reaches as much; the cheapest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, -p.y)):
        if not best or point.y > best[-1].y:
            best.append(point)
    return best


def scatter(points: Sequence[Point], x_title: str, y_title: str, among: Sequence[Point] = ()) -> str:
    """Cost (a logarithmic axis) against what is reached, with a line through those that no other beats.

    Each point has a number, and the key its name: a phone shows no titles of shapes. Its shape is
    its network's, its colour its form's, counted in ``among`` so that they mean the same in all drawings of them.
    """
    forms, networks = (list(dict.fromkeys(getattr(p, a) for p in among or points)) for a in ("form", "network"))
    top, high = 24.0, 210.0
    low_x, high_x = _decades([p.x for p in points])
    low_y, high_y, step = _steps([p.y for p in points])

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log(value / low_x) / math.log(high_x / low_x)

    def y(value: float) -> float:
        return top + high * (high_y - value) / (high_y - low_y)

    parts = [text(_LEFT - 46, 12, y_title)]
    for tick in _ticks(low_x, high_x):
        parts += [
            line(x(tick), top, x(tick), top + high, _GRID),
            text(x(tick), top + high + 14, f"{tick:,g}", "middle"),
        ]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    for k in range(round((high_y - low_y) / step) + 1):
        at = low_y + k * step
        parts += [
            line(_LEFT, y(at), _WIDTH - _RIGHT, y(at), _GRID),
            text(_LEFT - 5, y(at) + 4, f"{at:.{digits}f}", "end"),
        ]
    parts.append(text(_WIDTH - _RIGHT, top + high + 29, x_title, "end"))
    best = frontier(points)
    path = f"M{x(best[0].x):.1f} {y(best[0].y):.1f}" + "".join(f"H{x(p.x):.1f}V{y(p.y):.1f}" for p in best[1:])
    parts.append(f'<path d="{path}H{_WIDTH - _RIGHT:.1f}" fill="none" stroke="#9aa3ad" stroke-dasharray="4 3"/>')
    keys = []
    for number, point in enumerate(sorted(points, key=lambda p: (p.x, -p.y)), 1):
        kind, colour = networks.index(point.network), _colour(forms.index(point.form))
        told = f"{point.name}: {point.x:,.4g}, {point.y:.4f}"
        # Neighbours are close to each other: one has its number above, the next one below.
        numbered = text(x(point.x), y(point.y) + (-8 if number % 2 else 17), f"{number}", "middle")
        parts.append(f"<g><title>{escape(told)}</title>{_mark(kind, x(point.x), y(point.y), colour)}{numbered}</g>")
        keys.append((f"{number} {point.name}", _mark(kind, 0, 0, colour)))
    bottom = top + high + 36.0
    rows, height = _key(keys, bottom)
    return _drawing([*parts, *rows], bottom + height, f"{y_title} against {x_title}")


def bars(values: Sequence[Bar], title: str) -> str:
    """Devices beside each other, model by model, on a logarithmic axis."""
    devices = list(dict.fromkeys(bar.device for bar in values))
    groups = list(dict.fromkeys(bar.group for bar in values))
    low, high = _decades([bar.value for bar in values])
    left, right = 8.0, _WIDTH - 60.0
    parts, at = [text(left, 12, title)], 22.0
    for group in groups:
        parts.append(text(left, at + 11, group))
        at += 16.0
        for bar in (bar for bar in values if bar.group == group):
            wide = max(1.0, (right - left) * math.log(bar.value / low) / math.log(high / low))
            parts.append(rect(left, at, wide, 10.0, _colour(devices.index(bar.device))))
            parts.append(text(left + wide + 4, at + 9, f"{bar.value:,.4g}"))
            at += 13.0
        at += 4.0
    rows, height = _key([(name, rect(-5, -5, 10, 10, _colour(k))) for k, name in enumerate(devices)], at + 4.0)
    return _drawing([*parts, *rows], at + height + 4.0, title)


def history(runs: Sequence[str], series: Mapping[str, Sequence[float | None]], title: str) -> str:
    """Values of models over runs, which are given in their order by a short name each."""
    there = [value for values in series.values() for value in values if value is not None]
    low, high = _decades(there)
    top, tall = 24.0, 170.0
    step = (_WIDTH - _LEFT - _RIGHT - 20.0) / max(1, len(runs) - 1)
    shown = max(1, -(-len(runs) // 5))

    def y(value: float) -> float:
        return top + tall * (1.0 - math.log(value / low) / math.log(high / low))

    parts = [text(6, 12, title)]
    for tick in _ticks(low, high):
        parts += [
            line(_LEFT, y(tick), _WIDTH - _RIGHT, y(tick), _GRID),
            text(_LEFT - 5, y(tick) + 4, f"{tick:,g}", "end"),
        ]
    for k, run in enumerate(runs):
        if k % shown == 0:
            anchor = "start" if k == 0 else "middle" if k < len(runs) - 1 else "end"
            parts.append(text(_LEFT + 10 + k * step, top + tall + 14, run, anchor))
    for number, (name, values) in enumerate(series.items()):
        at = [(_LEFT + 10 + k * step, y(v)) for k, v in enumerate(values) if v is not None]
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in at)
        colour = _colour(number)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        parts += [f"<g><title>{escape(name)}</title>{_mark(number // len(_COLOURS), a, b, colour)}</g>" for a, b in at]
    rows, height = _key(
        [(name, _mark(k // len(_COLOURS), 0, 0, _colour(k))) for k, name in enumerate(series)], top + tall + 22.0
    )
    return _drawing([*parts, *rows], top + tall + 22.0 + height, title)


def _drawing(parts: Sequence[str], height: float, told: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" width="{_WIDTH:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(told)}" font-family="system-ui,sans-serif" '
        f'font-size="12" fill="{_INK}"><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>'
    )


def _key(keys: Sequence[tuple[str, str]], top: float) -> tuple[list[str], float]:
    """What shapes and colours mean, in rows, and how tall that is; letters are guessed to be 6.6 wide."""
    parts, x, y = [], 10.0, top + 8.0
    for name, mark in keys:
        wide = 24.0 + 6.6 * len(name)
        if x > 10.0 and x + wide > _WIDTH:
            x, y = 10.0, y + 17.0
        parts.append(f'<g transform="translate({x + 5:.1f} {y:.1f})">{mark}{text(9, 4, name)}</g>')
        x += wide
    return parts, y - top + 12.0


def _mark(kind: int, x: float, y: float, colour: str) -> str:
    s, r = _SIZE, 1.3 * _SIZE
    paths = (
        f"M{x - s:.1f} {y:.1f}a{s} {s} 0 1 0 {2 * s} 0a{s} {s} 0 1 0 {-2 * s} 0z",
        f"M{x - s:.1f} {y - s:.1f}h{2 * s}v{2 * s}h{-2 * s}z",
        f"M{x:.1f} {y - 1.2 * s:.1f}l{1.2 * s:.1f} {2.2 * s:.1f}h{-2.4 * s:.1f}z",
        f"M{x:.1f} {y - r:.1f}l{r:.1f} {r:.1f}l{-r:.1f} {r:.1f}l{-r:.1f} {-r:.1f}z",
        f"M{x:.1f} {y + 1.2 * s:.1f}l{1.2 * s:.1f} {-2.2 * s:.1f}h{-2.4 * s:.1f}z",
    )
    return f'<path d="{paths[kind % len(paths)]}" fill="{colour}" fill-opacity="0.85" stroke="#fff"/>'


def _colour(k: int) -> str:
    return _COLOURS[k % len(_COLOURS)]


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """Ends of a logarithmic axis around positive values, with some room."""
    low, high = min(values) / 1.4, max(values) * 1.4
    return low, high


def _ticks(low: float, high: float) -> list[float]:
    found = [
        m * 10.0**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for m in (1, 2, 5)
    ]
    found = [tick for tick in found if low <= tick <= high]
    return found if len(found) <= 7 else [tick for tick in found if round(math.log10(tick), 6).is_integer()]


def _steps(values: Sequence[float]) -> tuple[float, float, float]:
    """Ends and step of a linear axis around values."""
    span = max(max(values) - min(values), 1e-3)
    raw = span / 4
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(m * size for m in (1, 2, 5, 10) if m * size >= raw)
    return math.floor(min(values) / step - 0.3) * step, math.ceil(max(values) / step + 0.3) * step, step
