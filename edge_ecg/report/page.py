"""A day as one HTML file: nothing is fetched, nothing runs; it prints, and fits a phone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from edge_ecg import __version__
from edge_ecg.day import Day
from edge_ecg.errors import UsageError
from edge_ecg.report import strips
from edge_ecg.report.svg import COLOUR_S, COLOUR_V, RHYTHM_COLOURS, SIGNAL_COLOURS, day_chart, pair_chart
from edge_ecg.report.text import labelled_by, title
from edge_ecg.report.words import KINDS, clock, lasting, number, percent, spelled, zone_text
from edge_ecg.summary import LABELS, Ectopy, Episode, Figures, Pattern, Summary

__all__ = ["page", "write_page"]

MOST_EPISODES = 60
"""Rows of the list; the largest of each kind stand for the rest."""
_MARK = '<meta name="generator" content="edge-ecg report">'
_STYLE = """
:root{color-scheme:light}*{box-sizing:border-box}
body{font:15px/1.45 system-ui,sans-serif;color:#22303f;background:#fff;margin:0 auto;padding:16px;max-width:900px}
h1{font-size:1.5em;margin:.2em 0}h2{font-size:1.15em;margin:1.8em 0 .5em}p{margin:.4em 0}
.warn{border-left:4px solid #c0392b;padding:.3em .7em;background:#fdf3f2}.quiet{color:#5f6b78;font-size:.9em}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:8px;margin:1em 0}
.cards div{border:1px solid #dcdce3;border-radius:6px;padding:8px 10px}.cards b{display:block;font-size:1.35em}
.cards span{color:#5f6b78;font-size:.87em}
.wide{overflow-x:auto}svg{width:100%;height:auto;display:block;font:11px system-ui,sans-serif}
svg text{fill:#5f6b78}.pairs svg{max-width:360px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:3px 8px;text-align:right;border-bottom:1px solid #e8e8ee;white-space:nowrap}
th{white-space:normal;vertical-align:bottom;color:#5f6b78;font-weight:600;font-size:.87em}th:first-child,td:first-child,
.left td:nth-child(2),.left th:nth-child(2){text-align:left}
.key{display:flex;flex-wrap:wrap;gap:4px 14px;font-size:.87em;color:#5f6b78;margin:.4em 0}
.key i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:5px}
figure{margin:1em 0;break-inside:avoid}figcaption{font-size:.92em;margin-bottom:2px}
.strip{font:3.6px system-ui,sans-serif;font-weight:600;max-width:175mm}
.strip text{fill:#333}.strip .V{fill:#c0392b}.strip .S{fill:#2f6fb3}.strip .reject{fill:#aaa}
.paper{fill:#fff9f7}.small{stroke:#f7dcd6;stroke-width:.12;fill:none}.large{stroke:#eab5aa;stroke-width:.2;fill:none}
.trace{stroke:#1c1c22;stroke-width:28;stroke-linejoin:round;fill:none}
footer{margin-top:2em;border-top:1px solid #dcdce3;padding-top:.6em}
.wraps td,.hours td:last-child{white-space:normal}.hours td:last-child{min-width:110px}
@media (max-width:520px){.cards{grid-template-columns:repeat(3,1fr);gap:5px}.cards div{padding:6px}
.day{font-size:17px}.day .odd{display:none}th,td{padding:3px 5px}}
@page{size:A4;margin:14mm}
@media print{body{padding:0;max-width:none;font-size:9.5pt;print-color-adjust:exact}
.hours th,.hours td{padding:2px 4px}.strip{width:175mm}tr,.cards div{break-inside:avoid}
.wide{overflow:visible}h2{break-after:avoid}}
"""


def write_page(path: Path, day: Day, summary: Summary) -> Path:
    """Write the page to a file, or into a folder under a name of its own; return where it is.

    Raises
    ------
    UsageError
        There is a file of something else, or none can be written there.
    """
    path = path.expanduser()
    if path.is_dir():
        who = "" if day.subject is None else f"{day.subject}-"
        path = path / f"edge-ecg-{who}{day.window.title}.html"
    try:
        if path.exists() and _MARK not in path.read_text("utf-8", "replace")[:2000]:
            raise UsageError(f"{path} is there and no report", "Choose another name for the page")
        path.write_text(page(day, summary), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "Name a file in a folder that is yours") from None
    return path


def page(day: Day, summary: Summary) -> str:
    """The whole file."""
    name, window, figures = escape(title(day)), day.window, summary.day
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        _MARK,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>ECG summary {name}</title><style>{_STYLE}</style></head><body>",
        f"<h1>ECG summary: {name}</h1>",
        f'<p class="quiet">{escape(_span(day))}; {escape(zone_text(window))}. Labelled '
        f"{escape(labelled_by(day))}, by edge-ecg {__version__}.</p>",
        '<p class="warn"><b>Research software, not a medical device.</b> Labels of a program from one lead, that '
        "nobody has looked over: they miss beats and call some wrong.</p>",
        *(f'<p class="warn">{escape(note)}</p>' for note in day.notes[:MOST_EPISODES]),
        _cards(day, figures),
        "<h2>The day</h2>",
        f'<div class="wide">{day_chart(window, summary)}</div>',
        _key({"V, each hour": COLOUR_V, "S, each hour": COLOUR_S}),
        _key(SIGNAL_COLOURS),
        _key({KINDS[state]: colour for state, colour in RHYTHM_COLOURS.items() if figures.rhythm_s[state]}),
        "<h2>Ectopic beats</h2>",
        _ectopy_table(day, figures),
        f"<p>{escape(_pattern_text(figures))}</p>",
        *_strips(day, summary),
        "<h2>Hour by hour</h2>",
        _hour_table(day, summary),
        "<h2>Each R-R interval and the next</h2>",
        f'<div class="pairs">{pair_chart(summary)}</div>',
        '<p class="quiet">Across: an interval; up: the one after it; darker: more often. A regular rhythm is one '
        "cloud, an early beat and the rest behind it leave it.</p>",
        "<h2>Episodes</h2>",
        _episode_table(day, summary),
        "<footer>",
        f'<p class="quiet">{escape(_counted(figures))} Each figure and its rule: docs/summary.md. '
        f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by edge-ecg {__version__}. "
        "Research software, not a medical device.</p></footer></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _span(day: Day) -> str:
    begin, end = day.labels.recorded.begin_s, day.labels.recorded.end_s
    length_s = day.window.end_s - day.window.begin_s
    first, last = max(0.0, float(begin[0])), min(length_s, float(end[-1]))
    return f"Recorded {clock(day.window, first)} to {clock(day.window, last - 1.0)}"


def _cards(day: Day, figures: Figures) -> str:
    rate, window = figures.rate, day.window

    def at(t_s: float | None) -> str:
        return "" if t_s is None else f", {clock(window, t_s, seconds=False)}"

    cards = [
        (number(rate.mean_bpm), "heart rate, mean"),
        (number(rate.min_bpm), f"lowest minute{at(rate.min_at_s)}"),
        (number(rate.max_bpm), f"highest minute{at(rate.max_at_s)}"),
        (f"{figures.n_beats:,}", "beats counted"),
        (f"{figures.v.n_beats:,}", f"V, {number(figures.v.percent, 1)} % of beats"),
        (f"{figures.s.n_beats:,}", f"S, {number(figures.s.percent, 1)} % of beats"),
        (f"{figures.v.n_runs:,}", "V runs of three and more"),
        (f"{figures.n_pauses:,}", f"pauses above 2 s{_longest(figures)}"),
        (percent(figures.readable_s, figures.recorded_s), f"readable, of {lasting(figures.recorded_s)}"),
    ]
    return (
        '<div class="cards">' + "".join(f"<div><b>{n}</b><span>{escape(t)}</span></div>" for n, t in cards) + "</div>"
    )


def _longest(figures: Figures) -> str:
    return f", longest {figures.longest_pause_s:.2f} s" if figures.n_pauses else ""


def _key(colours: dict[str, str]) -> str:
    items = "".join(
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>' for name, colour in colours.items()
    )
    return f'<div class="key">{items}</div>' if items else ""


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], look: str = "wide") -> str:
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    return f'<div class="{look}"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _ectopy_table(day: Day, figures: Figures) -> str:
    def run(episode: Episode | None) -> str:
        if episode is None:
            return "–"
        return f"{clock(day.window, episode.begin_s)}: {episode.n_beats} beats, {number(episode.bpm)}/min"

    def column(e: Ectopy) -> list[str]:
        counts = [f"{n:,}" for n in (e.n_single, e.n_couplets, e.n_triplets, e.n_runs, e.n_in_runs)]
        shares = [f"{number(e.percent, 1)} %", number(e.per_hour, 1)]
        return [f"{e.n_beats:,}", *shares, *counts, run(e.longest), run(e.fastest)]

    names = ["beats", "of all counted", "by readable hour", "single", "couplets", "triplets"]
    names += ["runs of three and more", "beats in runs", "longest run", "fastest run"]
    rows = zip(names, column(figures.v), column(figures.s), strict=True)
    return _table(("", "V", "S"), rows, "wide wraps")


def _pattern_text(figures: Figures) -> str:
    def told(name: str, pattern: Pattern) -> str:
        if not pattern.n_episodes:
            return f"no {name}"
        return f"{name} {spelled(pattern.n_episodes, 'time')}, {lasting(pattern.length_s)} in all"

    return f"{told('bigeminy', figures.bigeminy)}; {told('trigeminy', figures.trigeminy)}.".capitalize()


def _hour_table(day: Day, summary: Summary) -> str:
    rows = []
    for hour in summary.hours:
        if hour.recorded_s:
            rate = hour.rate
            named = [(s, KINDS[state]) for state, s in hour.rhythm_s.items() if s and state not in ("sinus", "unknown")]
            rows.append(
                [
                    clock(day.window, hour.begin_s, seconds=False),
                    percent(hour.readable_s, hour.recorded_s),
                    f"{hour.n_beats:,}",
                    *(number(bpm) for bpm in (rate.mean_bpm, rate.min_bpm, rate.max_bpm)),
                    *(f"{n:,}" for n in (hour.v.n_beats, hour.v.n_couplets, hour.v.n_runs)),
                    *(f"{n:,}" for n in (hour.s.n_beats, hour.s.n_runs, hour.n_pauses)),
                    ", ".join(f"{name} {lasting(s)}" for s, name in named) or "–",
                ]
            )
    head = ("from", "readable", "beats", "mean", "min", "max", "V", "V couplets", "V runs", "S", "S runs", "pauses")
    return _table((*head, "rhythm"), rows, "wide hours")


def _episode_table(day: Day, summary: Summary) -> str:
    shown = _largest(summary.episodes)
    if not shown:
        return "<p>None.</p>"
    rows = [
        (
            clock(day.window, e.begin_s),
            KINDS[e.kind],
            lasting(e.length_s) if e.kind != "pause" else f"{e.length_s:.2f} s",
            f"{e.n_beats:,}" if e.n_beats else "",
            number(e.bpm) if e.bpm else "",
        )
        for e in shown
    ]
    more = len(summary.episodes) - len(shown)
    text = f'<p class="quiet">{more:,} smaller ones are not listed; --json has them all.</p>' if more else ""
    return _table(("at", "what", "length", "beats", "a minute"), rows, "wide left") + text


def _largest(episodes: tuple[Episode, ...]) -> list[Episode]:
    """The largest of each kind, a like number of each, in order of time."""
    by_kind: dict[str, list[Episode]] = {}
    for episode in episodes:
        by_kind.setdefault(episode.kind, []).append(episode)
    ranked = [sorted(found, key=lambda e: (-e.n_beats, -e.length_s)) for found in by_kind.values()]
    places = sorted(
        ((place, k) for k, found in enumerate(ranked) for place in range(min(len(found), MOST_EPISODES))),
    )
    return sorted((ranked[k][place] for place, k in places[:MOST_EPISODES]), key=lambda e: e.begin_s)


def _strips(day: Day, summary: Summary) -> list[str]:
    figures = [
        f"<figure><figcaption>{escape(strips.caption(day, strip))}</figcaption>{strips.drawn(strip)}</figure>"
        for strip in strips.cut(day, strips.notable(summary))
    ]
    if not figures:
        return []
    return [
        "<h2>Strips</h2>",
        '<p class="quiet">25 mm/s, 10 mm/mV when printed at 100 % on A4; small squares are 0.04 s and 0.1 mV. Letters '
        "are the labels, grey where they are rejected.</p>",
        *figures,
    ]


def _counted(figures: Figures) -> str:
    labels = ", ".join(f"{name} {figures.labels[name]:,}" for name in LABELS if figures.labels[name])
    return (
        f"{figures.n_beats:,} beats counted ({labels or 'none'}). {figures.n_rejected:,} more are rejected (noise, an "
        "electrode off, or an unsure label) and counted nowhere."
    )
