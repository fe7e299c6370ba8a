"""The end-to-end report as one HTML file: tables, and strips of the worst misses to look at."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.scoring.confusion import Confusion
from edge_ecg.scoring.ec57 import Score
from edge_ecg.scoring.report import RATES, Report
from edge_ecg.scoring.rules import CLASS_MAPS, Rules
from train.end_to_end_score import CLASSES, Outcome, pairing_of
from train.record_run import RecordRun

__all__ = ["STRIP_S", "Miss", "Strip", "html_report", "misses_of", "strip_svg", "worst_strips"]

STRIP_S = 6.0
_MM_PER_S, _MM_PER_MV = 25.0, 10.0
_LABEL_MM = 7.0


@dataclass(frozen=True, slots=True)
class Miss:
    """One thing that went wrong: ``missed``, ``extra``, or a label such as ``V as N``, at a sample of a record."""

    kind: str
    record: str
    sample: int


@dataclass(frozen=True, slots=True)
class Strip:
    """A miss to look at, and how many of its kind the record has."""

    miss: Miss
    n_of_kind: int


def misses_of(run: RecordRun, rules: Rules) -> list[Miss]:
    """All that went wrong in a record, by the rules, in order of time."""
    pairing, class_of = pairing_of(run, rules), CLASS_MAPS[rules.class_map]
    found = [Miss("missed", run.record, pairing.beats[i][0]) for i in pairing.missed]
    found += [Miss("extra", run.record, round(run.r_pos[j])) for j in pairing.extra]
    for i, j in pairing.pairs:
        sample, symbol = pairing.beats[i]
        expert, said = class_of.get(symbol, "Q"), run.labels[j]
        if expert != said:
            found.append(Miss(f"{expert} as {said}", run.record, sample))
    return sorted(found, key=lambda miss: miss.sample)


def worst_strips(runs: Sequence[RecordRun], rules: Rules, n_most: int = 20) -> list[Strip]:
    """Up to ``n_most`` strips: kinds in turn, in each the records with the most of it, none shown twice."""
    by_kind: dict[str, dict[str, list[Miss]]] = defaultdict(lambda: defaultdict(list))
    fs_hz = {run.record: run.fs_hz for run in runs}
    for run in runs:
        for miss in misses_of(run, rules):
            by_kind[miss.kind][miss.record].append(miss)
    n_of = {kind: sum(map(len, records.values())) for kind, records in by_kind.items()}
    # A beat missed or invented first, then labels by how many they are.
    order = {"missed": 0, "extra": 1}
    kinds = sorted(by_kind, key=lambda kind: (order.get(kind, 2), -n_of[kind], kind))
    queues = {kind: sorted(by_kind[kind].values(), key=lambda ms: (-len(ms), ms[0].record)) for kind in kinds}
    chosen: list[Strip] = []
    rank = 0
    while len(chosen) < n_most and any(rank < len(queue) for queue in queues.values()):
        for queue in queues.values():
            if rank >= len(queue) or len(chosen) == n_most:
                continue
            for miss in queue[rank]:
                near = STRIP_S * fs_hz[miss.record]
                if all(
                    s.miss.record != miss.record or abs(s.miss.sample - miss.sample) > near for s in chosen
                ):
                    chosen.append(Strip(miss, len(queue[rank])))
                    break
        rank += 1
    return chosen


def strip_svg(run: RecordRun, samples_mv: NDArray[np.float64], miss: Miss, rules: Rules) -> str:
    """Six seconds around a miss on ECG paper: 25 mm/s, 10 mm/mV; the experts above, the device below.

    Parameters
    ----------
    samples_mv
        ``(n_samples,)`` the labelled lead as the device got it.
    """
    n_strip = round(STRIP_S * run.fs_hz)
    a = max(0, min(miss.sample - n_strip // 2, run.n_samples - n_strip))
    b = min(run.n_samples, a + n_strip)
    part = samples_mv[a:b]
    middle_mv = float(np.median(part))
    up = min(4.0, max(1.0, np.ceil(2.0 * (part.max() - middle_mv)) / 2.0))
    down = min(4.0, max(1.0, np.ceil(2.0 * (middle_mv - part.min())) / 2.0))
    width, paper = STRIP_S * _MM_PER_S, float(up + down) * _MM_PER_MV
    height = paper + 2.0 * _LABEL_MM

    def x_of(sample: float) -> float:
        return (sample - a) / run.fs_hz * _MM_PER_S

    y = _LABEL_MM + float(up) * _MM_PER_MV - (part - middle_mv) * _MM_PER_MV
    y = np.clip(y, _LABEL_MM, _LABEL_MM + paper)
    points = " ".join(f"{x_of(a + k):.2f},{v:.2f}" for k, v in enumerate(y.tolist()))
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}mm" height="{height:g}mm" '
        f'viewBox="0 0 {width:g} {height:g}" role="img">',
        f'<rect class="paper" y="{_LABEL_MM:g}" width="{width:g}" height="{paper:g}"/>',
    ]
    for step, name in ((1.0, "fine"), (5.0, "bold")):
        lines = [f"M{x:g} {_LABEL_MM:g}v{paper:g}" for x in np.arange(0.0, width + 0.5, step)]
        lines += [f"M0 {_LABEL_MM + v:g}h{width:g}" for v in np.arange(0.0, paper + 0.5, step)]
        out.append(f'<path class="{name}" d="{"".join(lines)}"/>')
    for begin, end in run.shutdown:
        if begin < b and end > a:
            x0, x1 = x_of(max(a, begin)), x_of(min(b, end))
            box = f'x="{x0:.2f}" y="{_LABEL_MM:g}" width="{x1 - x0:.2f}" height="{paper:g}"'
            out.append(f'<rect class="off" {box}><title>declared unusable</title></rect>')
    out.append(f'<polyline points="{points}"/>')
    out += _labels_svg(run, rules, a, b, x_of, height)
    return "".join([*out, "</svg>"])


def _labels_svg(
    run: RecordRun, rules: Rules, a: int, b: int, x_of: Callable[[float], float], height: float
) -> list[str]:
    pairing, class_of = pairing_of(run, Rules(rules.class_map, 0.0, rules.match_window_s)), CLASS_MAPS[rules.class_map]
    device = {pairing.beats[i][0]: run.labels[j] for i, j in pairing.pairs}
    expert = {j: class_of.get(pairing.beats[i][1], "Q") for i, j in pairing.pairs}
    beats = {sample for sample, _ in pairing.beats}
    out = []
    for sample, symbol in zip(run.reference, run.symbols, strict=True):
        if a <= sample < b:
            wrong = sample in beats and device.get(sample) != class_of.get(symbol, "Q")
            out.append(_text(x_of(sample), 5.0, symbol, "wrong" if wrong else "" if sample in beats else "aside"))
    for j, (r, said) in enumerate(zip(run.r_pos, run.labels, strict=True)):
        if a <= r < b:
            in_flutter = j in pairing.in_flutter
            out.append(f'<path class="tick" d="M{x_of(r):.2f} {height - _LABEL_MM:g}v1.5"/>')
            kind = "aside" if in_flutter else "" if expert.get(j) == said else "wrong"
            out.append(_text(x_of(r), height - 1.2, said, kind))
    return out


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.2f}" y="{y:g}" class="{kind}">{html.escape(text)}</text>'


def html_report(
    facts: Mapping[str, str],
    outcome: Outcome,
    runs: Sequence[RecordRun],
    samples_of: Callable[[str], NDArray[np.float64]],
) -> str:
    """The page.

    Parameters
    ----------
    facts
        What stands at its head: model, records, noise, command.
    samples_of
        Gives ``(n_samples,)`` mV of a record's labelled lead; called for records with strips only.
    """
    rules = outcome.detection.rules
    by_name = {run.record: run for run in runs}
    told = {name.replace("_", " "): value for name, value in facts.items()}
    head = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in told.items())
    strips = worst_strips(runs, rules)
    # Record by record, so that no more than one is in memory.
    drawn: dict[Miss, str] = {}
    for name in dict.fromkeys(strip.miss.record for strip in strips):
        samples_mv = samples_of(name)
        for strip in strips:
            if strip.miss.record == name:
                drawn[strip.miss] = strip_svg(by_name[name], samples_mv, strip.miss, rules)
    figures = "".join(
        f"<figure><figcaption><b>{html.escape(s.miss.kind)}</b> · record {html.escape(s.miss.record)} · "
        f"{_clock(s.miss.sample / by_name[s.miss.record].fs_hz)} · {html.escape(by_name[s.miss.record].lead)} · "
        f"{s.n_of_kind} of this kind in the record</figcaption>{drawn[s.miss]}</figure>"
        for s in strips
    )
    left_out = " ".join(name for name, _ in outcome.classification.left_out) or "none"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>End to end: {html.escape(facts.get('model', ''))}</title><style>{_STYLE}</style>"
        f"<h1>Bytes in, labels out</h1><table class=facts>{head}</table>"
        f"<h2>By record</h2><p>{html.escape(rules.text)}. V and S totals in “without paced”: left out {left_out}. "
        f"Figures in %, R-R error in ms; x: missed while the device had declared the signal unusable.</p>"
        f"{_table(outcome.detection, outcome.classification)}"
        f"<h2>Labels on matched beats</h2>{_agreement(outcome)}"
        f"<h2>What went wrong</h2><p>25 mm/s, 10 mm/mV. Above the annotation, below the device’s label at the R that "
        f"it found; red where they differ; grey where the device declared the signal unusable. "
        f"{len(strips)} strips: kinds of error in turn, the records with the most of each first.</p>{figures}"
        f"<h2>The same as text</h2><pre>{html.escape(chr(10).join(outcome.lines()))}</pre>"
        f"<p>Research software, not a medical device.</p></html>\n"
    )


def _table(detection: Report, classification: Report) -> str:
    head = "".join(
        f"<th>{name}</th>"
        for name in ("Record", "beats", "missed", "extra", "x", "shutdown s", *RATES, "labels", "RR err", "R p95 ms")
    )
    rows = "".join(f"<tr><td>{html.escape(row.record)}</td>{_cells(row)}</tr>" for row in detection.rows)
    rows += f"<tr class=total><td>Gross, all</td>{_cells(detection.gross)}</tr>"
    rows += f"<tr class=total><td>Gross, without paced</td>{_cells(classification.gross)}</tr>"
    for name, average in (("all", detection.average), ("without paced", classification.average)):
        rates = "".join(f"<td>{_percent(average[key])}</td>" for key in (*RATES.values(), "accuracy"))
        rows += (
            f"<tr class=total><td>Average, {name}</td>{'<td></td>' * 5}{rates}"
            f"<td>{_number(average['rr_error_ms'])}</td><td></td></tr>"
        )
    return f"<div class=wide><table class=figures><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _cells(score: Score) -> str:
    n = score.matched + score.missed + score.missed_in_shutdown
    timing, figures = score.timing, score.figures()
    cells = [str(n), str(score.missed), str(score.extra), str(score.missed_in_shutdown), f"{score.shutdown_s:.0f}"]
    cells += [_percent(figures[key]) for key in (*RATES.values(), "accuracy")]
    cells += [_number(figures["rr_error_ms"]), _number(timing.p95_ms if timing else None)]
    return "".join(f"<td>{cell}</td>" for cell in cells)


def _agreement(outcome: Outcome) -> str:
    def row(name: str, confusion: Confusion) -> str:
        classes = "".join(
            f"<td>{100 * c.se:.2f} / {100 * c.ppv:.2f}</td>" if c.n else "<td>-</td>" for c in confusion.per_class()
        )
        return (
            f"<tr><td>{name}</td><td>{int(confusion.counts.sum())}</td>"
            f"<td>{100 * confusion.accuracy:.2f}</td>{classes}</tr>"
        )

    head = "".join(f"<th>{name} Se / +P</th>" for name in CLASSES)
    points = outcome.difference_points
    rows = row("end to end", outcome.device) + row("same beats, windows cut at the annotated R", outcome.annotated)
    rows += row("all compared beats, annotated R", outcome.annotated_all)
    said = "" if points is None else f"<p>End to end less annotated R: {points:+.2f} points.</p>"
    return (
        f"<div class=wide><table class=figures><tr><th></th><th>beats</th><th>agree</th>{head}</tr>{rows}</table></div>"
        + said
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _clock(t_s: float) -> str:
    return f"{int(t_s // 60)}:{t_s % 60:04.1f}"


_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse}
.facts th{text-align:left;padding-right:1em;font-weight:600;vertical-align:top}.facts td{word-break:break-word}
.wide{overflow-x:auto}.figures td,.figures th{text-align:right;padding:.1em .55em;white-space:nowrap}
.figures td:first-child,.figures th:first-child{text-align:left}.figures thead th{border-bottom:1px solid #888}
.figures tbody tr:nth-child(even){background:#f5f5f5}.figures .total{font-weight:600}
figure{margin:1.4em 0;break-inside:avoid}figcaption{margin-bottom:.2em}svg{max-width:100%;height:auto;display:block}
svg .paper{fill:#fff7f5}svg .fine{stroke:#f4cfc8;stroke-width:.1;fill:none}
svg .bold{stroke:#e79c90;stroke-width:.18;fill:none}svg .off{fill:#888;opacity:.25}
svg polyline{fill:none;stroke:#111;stroke-width:.3;stroke-linejoin:round}svg .tick{stroke:#111;stroke-width:.25}
svg text{font:4px system-ui,sans-serif;text-anchor:middle;fill:#111}svg .wrong{fill:#c00;font-weight:700}
svg .aside{fill:#888}pre{overflow-x:auto;font-size:11px;line-height:1.3}
"""
