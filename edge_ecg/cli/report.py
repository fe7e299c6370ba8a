"""The summary that `demo`, `run` and `replay` end with."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from edge_ecg.cli.streams import flush_or_drop
from edge_ecg.io import Annotations
from edge_ecg.scoring.agreement import compare
from edge_ecg.sinks import GuardedSink, OutputError, Sink
from edge_ecg.sinks.beats import BeatList
from edge_ecg.sinks.console import ConsoleSink
from edge_ecg.sinks.jsonl import JsonlFileSink, JsonlSink
from edge_ecg.stats import RunStats
from firmware_bridge.blocks import LinkStats

__all__ = [
    "DISCLAIMER",
    "SAFETY",
    "agreement_lines",
    "event_sinks",
    "link_line",
    "raise_what_went_wrong",
    "stats_lines",
    "tell",
    "tell_failure",
    "tell_safety_once",
]

DISCLAIMER = "Research software, not a medical device."
SAFETY = (
    "While electrodes touch a person: battery, or an isolated supply and isolated USB; never with a defibrillator. "
    "See docs/safety.md."
)


def event_sinks(jsonl: str | None) -> list[Sink]:
    """Lines for a person on stdout, and JSON lines to a file; or JSON lines alone on stdout, for ``-``."""
    if jsonl == "-":
        return [JsonlSink(sys.stdout)]
    sinks: list[Sink] = [ConsoleSink(sys.stdout, colour=sys.stdout.isatty())]
    if jsonl:
        sinks.append(JsonlFileSink(jsonl))
    return sinks


def agreement_lines(notes: Annotations, beats: BeatList, n_heard: int | None) -> list[str]:
    """A run beside the annotations as lines; of a run that ended early, only what it heard counts.

    Parameters
    ----------
    notes
        Annotations of the record.
    beats
        What the run found.
    n_heard
        Samples that the run heard; None for all there are.
    """
    if beats.fs_hz is None:
        return []
    scale = beats.fs_hz / (notes.fs_hz or beats.fs_hz)
    at = [(round(int(s) * scale), symbol) for s, symbol in zip(notes.sample, notes.symbol, strict=True)]
    heard = [(s, symbol) for s, symbol in at if n_heard is None or s < n_heard]
    return compare([s for s, _ in heard], [k for _, k in heard], beats.samples, beats.labels, beats.fs_hz).lines()


def tell_safety_once() -> None:
    """Say at the first run what electrodes ask for; at each where nothing can be remembered."""
    import platformdirs

    told = Path(platformdirs.user_state_dir("edge-ecg")) / "safety-told"
    if told.exists():
        return
    tell(SAFETY)
    with contextlib.suppress(OSError):
        told.parent.mkdir(parents=True, exist_ok=True)
        told.touch()


def stats_lines(stats: RunStats, link: LinkStats | None = None) -> list[str]:
    """Labels, delays and losses of a run as lines.

    Parameters
    ----------
    stats
        What went by. The samples lost there are all that the signal lacks.
    link
        What it came by, which knows only of those that were sent and did not arrive: the two figures are told apart.
    """
    labels = "  ".join(f"{name} {n}" for name, n in stats.labels.most_common())
    lines = [f"labelled  {stats.n_beats} beats" + (f": {labels}" if labels else "")]
    if stats.n_samples and not stats.n_beats:
        lines.append("note      no beat was found: is this the right lead (--lead), and does it hold a signal?")
    p50, p99 = stats.delays.percentile_s(50), stats.delays.percentile_s(99)
    if p50 is not None and p99 is not None:
        lines.append(f"delay     R peak to label: p50 {1e3 * p50:.0f} ms, p99 {1e3 * p99:.0f} ms")
    if stats.n_rejected:
        lines.append(f"reject    {stats.n_rejected} beats marked reject")
    if stats.n_gaps:
        away = 0 if link is None else stats.n_samples_lost - link.samples_lost
        of_which = f": {stats.n_samples_lost - away} lost by the link, {away} while the board was away"
        lines.append(f"gaps      {stats.n_gaps}, {stats.n_samples_lost} samples missing{of_which if away > 0 else ''}")
    return lines


def link_line(stats: LinkStats) -> str:
    """Counters of a link as a line."""
    errors = stats.crc_errors + stats.frame_errors
    dropped = f", {stats.queue_drops} bytes dropped unread" if stats.queue_drops else ""
    back = f", {stats.reconnects} times lost and back" if stats.reconnects else ""
    made = f" (made of {stats.samples_resampled})" if stats.samples_resampled else ""
    clock = "" if stats.drift_ppm is None else f", clock {stats.drift_ppm:+.0f} ppm"
    return (
        f"link      {stats.bytes_received} bytes, {stats.frames_ok} frames, {errors} bad frames, "
        f"{stats.samples_received} samples{made}, {stats.samples_lost} lost, "
        f"{stats.overruns} overruns{dropped}{back}{clock}"
    )


def tell(line: str) -> None:
    """Write a line to stderr; where that is gone (a closed terminal), the run goes on without."""
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


def tell_failure(sink: GuardedSink) -> None:
    """Say at once that an output fails."""
    tell(f"edge-ecg: cannot write {_place(sink)}: {sink.failure}. The labels go on.")


def raise_what_went_wrong(broken: Exception | None, outputs: Sequence[GuardedSink]) -> None:
    """End a run that broke or lost output with its error; where it did both, the output's is told before."""
    lost = _lost_output(outputs)
    if broken is None and lost is not None:
        raise lost
    if lost is not None:
        tell(f"edge-ecg: {lost}")
    if broken is not None:
        raise broken


def _lost_output(outputs: Sequence[GuardedSink]) -> OutputError | None:
    """What failing outputs lost; None when what should be kept is there.

    One that failed beside one that did not is only told of, but for a file: that was asked for to be kept.
    """
    if any(sink.gone or sink.failure for sink in outputs):
        flush_or_drop(sys.stdout)  # a console that went away beside a file that did not is no error
    failed = [sink for sink in outputs if sink.failure]
    if not failed:
        return None
    lost = "; ".join(f"{_place(s)}: {s.failure}, {s.n_dropped} events were not written" for s in failed)
    error = OutputError(f"cannot write {lost}", "Make room or name another file")
    if len(failed) == len(outputs) or any(sink.lasting for sink in failed):
        return error
    tell(f"edge-ecg: {error}")
    return None


def _place(sink: GuardedSink) -> str:
    return "the file of --jsonl" if sink.lasting else "the output"
