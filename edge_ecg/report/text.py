"""A day as lines for a terminal."""

from __future__ import annotations

from edge_ecg.day import Day, Window
from edge_ecg.report.words import KINDS, clock, lasting, number, percent, spelled, zone_text
from edge_ecg.summary import LABELS, Ectopy, Figures, Pattern, Summary

__all__ = ["MOST_NOTES", "ectopy_text", "labelled_by", "pattern_text", "text_lines", "title", "unreadable_text"]


MOST_NOTES = 8


def text_lines(day: Day, summary: Summary) -> list[str]:
    """The short form: a line a subject, and a row an hour that has a record."""
    window, figures = day.window, summary.day
    rate = figures.rate
    lines = [
        f"{title(day)}, {zone_text(window)}",
        f"recorded    {lasting(figures.recorded_s)}: readable {lasting(figures.readable_s)} "
        f"({percent(figures.readable_s, figures.recorded_s)}){unreadable_text(figures)}",
        f"beats       {figures.n_beats:,}: "
        + "  ".join(f"{name} {figures.labels[name]:,}" for name in LABELS if figures.labels[name] or name in "NSV")
        + f"; {figures.n_rejected:,} more are rejected and not counted",
    ]
    if rate.mean_bpm is not None:
        text = f"heart rate  {rate.mean_bpm:.0f} on average"
        if rate.min_bpm is not None and rate.min_at_s is not None and rate.max_at_s is not None:
            text += f", lowest minute {rate.min_bpm:.0f} ({clock(window, rate.min_at_s, seconds=False)})"
            text += f", highest {number(rate.max_bpm)} ({clock(window, rate.max_at_s, seconds=False)})"
        lines.append(text)
    lines.append(f"V           {ectopy_text(figures.v, window)}")
    lines.append(f"S           {ectopy_text(figures.s, window)}")
    lines.append(
        f"patterns    {pattern_text('bigeminy', figures.bigeminy)}, {pattern_text('trigeminy', figures.trigeminy)}"
    )
    longest = f", the longest {figures.longest_pause_s:.2f} s" if figures.n_pauses else ""
    lines.append(f"pauses      {figures.n_pauses} of more than 2 s{longest}")
    states = [(KINDS[state], length_s) for state, length_s in figures.rhythm_s.items() if length_s]
    if states:
        lines.append("rhythm      " + ", ".join(f"{name} {lasting(length_s)}" for name, length_s in states))
    lines += ["", *_table(window, summary.hours)]
    lines += [f"note        {note}" for note in day.notes[:MOST_NOTES]]
    if len(day.notes) > MOST_NOTES:
        lines.append(f"note        and {len(day.notes) - MOST_NOTES} more of the kind; --json has them all")
    lines.append(f"labelled    {labelled_by(day)}")
    return lines


def title(day: Day) -> str:
    """What the report is of."""
    return day.window.title + ("" if day.subject is None else f", {day.subject}")


def labelled_by(day: Day) -> str:
    """Which models labelled which leads."""
    told = {f"by {t.model or 'an unknown model'}, lead {t.lead or 'unknown'}" for _, t in day.tracks}
    return "; ".join(sorted(told))


def unreadable_text(figures: Figures) -> str:
    """Why the rest of the record is not readable."""
    causes = (("noise", figures.noise_s), ("electrode off", figures.lead_off_s), ("samples lost", figures.gap_s))
    return "".join(f", {cause} {lasting(length_s)}" for cause, length_s in causes if length_s)


def ectopy_text(ectopy: Ectopy, window: Window) -> str:
    """Ectopic beats of a kind in one sentence."""
    if not ectopy.n_beats:
        return "none"
    share = f"{ectopy.percent or 0.0:.1f} %, {ectopy.per_hour or 0.0:.1f} an hour"
    chains = [
        spelled(ectopy.n_single, "single"),
        spelled(ectopy.n_couplets, "couplet"),
        spelled(ectopy.n_triplets, "triplet"),
        spelled(ectopy.n_runs, "run"),
    ]
    text = f"{ectopy.n_beats:,} ({share}): {', '.join(chains)}"
    if ectopy.longest and ectopy.fastest:
        text += f" (longest {ectopy.longest.n_beats} beats at {clock(window, ectopy.longest.begin_s)}"
        text += f", fastest {number(ectopy.fastest.bpm)}/min at {clock(window, ectopy.fastest.begin_s)})"
    return text


def pattern_text(name: str, pattern: Pattern) -> str:
    """Bigeminy or trigeminy in one clause."""
    if not pattern.n_episodes:
        return f"no {name}"
    return f"{name} {spelled(pattern.n_episodes, 'time')}, {lasting(pattern.length_s)} in all"


def _table(window: Window, hours: tuple[Figures, ...]) -> list[str]:
    """A row an hour with a record."""
    rows = [
        f"{'from':>9} {'readable':>9} {'beats':>7} {'mean':>5} {'min':>4} {'max':>4} {'V':>6} {'S':>6} {'pauses':>6}"
    ]
    for hour in hours:
        if hour.recorded_s:
            rate = hour.rate
            rows.append(
                f"{clock(window, hour.begin_s, seconds=False):>9} {percent(hour.readable_s, hour.recorded_s):>9} "
                f"{hour.n_beats:>7,} {number(rate.mean_bpm):>5} {number(rate.min_bpm):>4} {number(rate.max_bpm):>4} "
                f"{hour.v.n_beats:>6,} {hour.s.n_beats:>6,} {hour.n_pauses:>6}"
            )
    return rows
