"""Short pieces of the signal on ECG paper, 25 mm/s and 10 mm/mV: the most notable moments of a day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from edge_ecg.day import Day, Track
from edge_ecg.errors import DataError
from edge_ecg.io import read_part
from edge_ecg.leads import pick_lead
from edge_ecg.report.words import KINDS, clock, lasting, number
from edge_ecg.summary import Episode, Summary

__all__ = ["Strip", "caption", "cut", "drawn", "notable"]

STRIP_S = 7.0
"""At 25 mm/s as wide as a page with its margins."""
BEFORE_S = 1.5
MM_PER_S, MM_PER_MV = 25.0, 10.0
_TOP_MM = 6.0


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """One piece.

    Attributes
    ----------
    begin_s, reason
        Where it begins, on the clock of the window, and why it is shown.
    samples_mv, fs_hz
        ``(n,)``, NaN where there is none.
    beats
        Seconds from its begin, label, and whether that is rejected.
    calibrated
        Whether millivolts are millivolts.
    """

    begin_s: float
    reason: str
    samples_mv: NDArray[np.float32]
    fs_hz: float
    beats: tuple[tuple[float, str, bool], ...]
    calibrated: bool


def notable(summary: Summary) -> list[tuple[float, str]]:
    """Where to cut, and why: an ordinary piece first, then the most of each kind."""
    wanted: list[tuple[float, str]] = []
    plain = [begin for begin, end in summary.readable if end - begin >= STRIP_S]
    if plain:
        wanted.append((plain[0], "the first readable seconds"))
    by_kind: dict[str, list[Episode]] = {}
    for episode in summary.episodes:
        by_kind.setdefault(episode.kind, []).append(episode)
    for kind, found in by_kind.items():
        longest = max(found, key=lambda e: (e.n_beats if e.bpm else 0, e.length_s))
        wanted.append((_before(longest), f"the longest {_told(longest)}"))
        fastest = max(found, key=lambda e: e.bpm or 0.0)
        if fastest.bpm and fastest is not longest:
            wanted.append((_before(fastest), f"the fastest {_told(fastest)}"))
        if not longest.bpm and kind not in ("pause", "bigeminy", "trigeminy") and found[0] is not longest:
            wanted.append((_before(found[0]), f"the first {_told(found[0])}"))
    rate = summary.day.rate
    if rate.max_at_s is not None and rate.min_at_s is not None:
        wanted.append((rate.max_at_s + 27.0, f"within the fastest minute, {number(rate.max_bpm)}/min on average"))
        wanted.append((rate.min_at_s + 27.0, f"within the slowest minute, {number(rate.min_bpm)}/min on average"))
    return wanted


def cut(day: Day, wanted: Sequence[tuple[float, str]]) -> Iterator[Strip]:
    """Cut what there is a signal for; reads those parts of the files only, one after the other."""
    for begin_s, reason in wanted:
        found = next((one for one in day.tracks if _holds(one, begin_s)), None)
        if found is None:
            continue
        at_s, track = found
        try:
            strip = _cut(day, at_s, track, begin_s, reason)
        except DataError:  # the files went away, or are not what they were: the figures stand without
            continue
        if strip is not None:
            yield strip


def drawn(strip: Strip) -> str:
    """A strip as SVG; its user units are millimetres of paper."""
    samples = strip.samples_mv.astype(np.float64)
    middle = float(np.nanmedian(samples))
    reach = np.nanpercentile(samples, [0.5, 99.5]) - middle
    above = float(np.clip(np.ceil(max(reach[1], 0.5) * MM_PER_MV / 5.0) * 5.0 + 5.0, 15.0, 35.0))
    below = float(np.clip(np.ceil(max(-reach[0], 0.5) * MM_PER_MV / 5.0) * 5.0 + 5.0, 15.0, 35.0))
    width, height = round(STRIP_S * MM_PER_S), round(above + below)
    x = np.rint(np.arange(len(samples)) * (100.0 * MM_PER_S / strip.fs_hz))
    y = np.rint(100.0 * np.clip(above - (samples - middle) * MM_PER_MV, 0.3, height - 0.3))
    labels = "".join(
        f'<text x="{t * MM_PER_S:.1f}" y="{_TOP_MM - 1.5}" text-anchor="middle" '
        f'class="{"reject" if rejected else escape(label)}">{escape(label[:1])}</text>'
        for t, label, rejected in strip.beats
    )
    return (
        f'<svg class="strip" viewBox="0 0 {width} {height + _TOP_MM:g}" role="img" aria-label="ECG strip">'
        f"{labels}"
        f'<g transform="translate(0 {_TOP_MM:g})"><path class="paper" d="M0 0h{width}v{height}h-{width}z"/>'
        f'<path class="small" d="{_grid(width, height, 1)}"/><path class="large" d="{_grid(width, height, 5)}"/>'
        f'<path class="trace" transform="scale(0.01)" d="{_trace(x, y)}"/></g></svg>'
    )


def _before(episode: Episode) -> float:
    return max(0.0, episode.begin_s - BEFORE_S)


def _told(episode: Episode) -> str:
    text = KINDS[episode.kind]
    if episode.bpm:
        return f"{text}: {episode.n_beats} beats, {lasting(episode.length_s)}, {number(episode.bpm)}/min"
    return f"{text}: {lasting(episode.length_s)}"


def _holds(one: tuple[float, Track], begin_s: float) -> bool:
    at_s, track = one
    return track.path is not None and at_s + track.from_s <= begin_s + BEFORE_S < at_s + track.length_s


def _cut(day: Day, at_s: float, track: Track, begin_s: float, reason: str) -> Strip | None:
    assert track.path is not None
    assert track.fs_hz is not None
    first = max(0, round((begin_s - at_s) * track.fs_hz))
    part = read_part(track.path, first, first + round(STRIP_S * track.fs_hz) + 1)
    column = pick_lead(part.header.leads, track.lead if track.lead in part.header.leads else None, track.name)
    samples = part.samples_mv([column])[:, 0]
    if not np.isfinite(samples).any():
        return None
    begin_s = at_s + first / track.fs_hz
    labels = day.labels
    lo, hi = np.searchsorted(labels.t_s, (begin_s, begin_s + len(samples) / track.fs_hz))
    beats = zip(
        (labels.t_s[lo:hi] - begin_s).tolist(),
        labels.label[lo:hi].tolist(),
        labels.is_rejected[lo:hi].tolist(),
        strict=True,
    )
    return Strip(begin_s, reason, samples, track.fs_hz, tuple(beats), track.calibrated)


def caption(day: Day, strip: Strip) -> str:
    """When, and why it is shown."""
    size = "" if strip.calibrated else "; arbitrary units, not millivolts"
    return f"{clock(day.window, strip.begin_s)}  {strip.reason}{size}"


def _grid(width: int, height: int, step: int) -> str:
    across = "".join(f"M0 {y}h{width}" for y in range(0, height + 1, step))
    return across + "".join(f"M{x} 0v{height}" for x in range(0, width + 1, step))


def _trace(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """A line through the samples there are, in hundredths of a millimetre, by steps: short."""
    held = np.isfinite(y)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], held.astype(np.int8), [0]])))
    pieces = []
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        xs, ys = x[begin:end].astype(int), y[begin:end].astype(int)
        steps = " ".join(f"{dx} {dy}" for dx, dy in zip(np.diff(xs).tolist(), np.diff(ys).tolist(), strict=True))
        pieces.append(f"M{xs[0]} {ys[0]}l{steps}" if steps else f"M{xs[0]} {ys[0]}h1")
    return "".join(pieces)
