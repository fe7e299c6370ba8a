"""An evaluation as one HTML file that needs no other: what it is worth at a glance, then everything."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence

from edge_ecg.scoring.confusion import Confusion
from train.evaluation import CLASS_FIGURES, Evaluation
from train.evaluation_text import HEADS, PATIENT_RULE, evaluation_lines, fraction, interval, percent
from train.sturdiness import Sturdiness

__all__ = ["STYLE", "evaluation_page", "safe", "table"]

_MOST_LOST_POINTS = {"inverted": 5.0}
"""Above this a loss is marked; 1.5 for the others, as the released models promise."""


def evaluation_page(
    facts: Mapping[str, str],
    warnings: Sequence[str],
    found: Evaluation,
    sturdiness: Sturdiness | None,
    pictures: Mapping[str, bytes],
) -> str:
    """The page.

    Parameters
    ----------
    facts
        What stands at its head: model, data, split, lead, rules, command.
    warnings
        What a reader must know before the figures.
    pictures
        PNG by caption.
    """
    head = "".join(f"<tr><th>{safe(k.replace('_', ' '))}</th><td>{safe(v)}</td></tr>" for k, v in facts.items())
    warned = "".join(f"<p class=warning><b>Mind:</b> {safe(text)}</p>" for text in warnings)
    shown = "".join(
        f'<figure><img alt="{safe(caption)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{safe(caption)}</figcaption></figure>"
        for caption, png in pictures.items()
    )
    text = [*evaluation_lines(found), *(["", *sturdiness.lines()] if sturdiness else [])]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Evaluation: {safe(facts.get('model', ''))}</title><style>{STYLE}</style>"
        f"<h1>{safe(facts.get('model', ''))} <small>on {safe(facts.get('data', ''))}</small></h1>{warned}"
        f"<div class=cards>{_cards(found, sturdiness)}</div><table class=facts>{head}</table>"
        f"<h2>Classes</h2>{_classes(found)}<div class=pictures>{shown}</div>"
        f"{_sturdiness(sturdiness)}{_patients(found)}<h2>Records</h2>{_records(found)}"
        f"<h2>The same as text</h2><pre>{safe(chr(10).join(text))}</pre>"
        f"<p>Research software, not a medical device.</p></html>\n"
    )


def _cards(found: Evaluation, sturdiness: Sturdiness | None) -> str:
    def ranges(key: str) -> str:
        told = [f"{interval(found.by_beats[key][0], in_percent=key == 'accuracy')} beats drawn"]
        if found.by_patients is not None:
            limits = interval(found.by_patients[key][0], in_percent=key == "accuracy")
            told.append(f"{limits} {found.n_patients} patients drawn")
        return "<br>".join(told)

    counts = found.confusion.counts
    n_errors = found.n - int(counts.trace())
    cards = [
        ("accuracy", f"{percent(found.confusion.accuracy)} %", ranges("accuracy")),
        ("macro F1", f"{found.confusion.macro_f1:.4f}", ranges("macro_f1")),
        ("errors", f"{n_errors:,}", f"of {found.n:,} beats, {len(found.records)} records"),
        ("calibration error", fraction(found.calibration.ece), f"ECE, {len(found.calibration.n)} bins"),
    ]
    if found.patients is not None:
        of = found.patients
        limits = interval(of.intervals["roc_auc"])
        cards.append(("AUC by patient", fraction(of.roc_auc), f"{limits}<br>accuracy {percent(of.accuracy)} %"))
    if sturdiness is not None:
        worst = max(sturdiness.conditions, key=lambda c: c.loss_points)
        cards.append(("most lost to", f"{worst.loss_points:.2f} points", safe(worst.name)))
    return "".join(f"<div><h3>{name}</h3><b>{value}</b><p>{below}</p></div>" for name, value, below in cards)


def _classes(found: Evaluation) -> str:
    n_of = found.confusion.counts.sum(axis=1).tolist()
    of, how = (found.by_beats, "beats") if found.by_patients is None else (found.by_patients, "patients")
    rows = []
    for k, name in enumerate(found.classes):
        cells = [safe(name), f"{n_of[k]:,}"]
        for key in CLASS_FIGURES:
            value, in_percent = found.per_class[key][k], key in ("se", "ppv")
            limits = interval(of[key][k], in_percent=in_percent)
            told = percent(value) if in_percent else fraction(value)
            bar = _bar(value) if in_percent else ""
            cells.append(f"{told}{bar}<small class=below>{limits}</small>")
        rows.append(cells)
    note = f"<p>In brackets 95 % intervals, {how} drawn. Areas: the class against the rest.</p>"
    return table(["class", "beats", *(HEADS[key] for key in CLASS_FIGURES)], rows) + note


def _sturdiness(found: Sturdiness | None) -> str:
    if found is None:
        return ""
    rows = []
    for c in found.conditions:
        limit = _MOST_LOST_POINTS.get(c.name, 1.5)
        mark = " class=bad" if c.loss_points > limit else ""
        loss = f"<span{mark}>{c.loss_points:+.2f}</span>"
        what = safe(found.what(c.name))
        rows.append([safe(c.name), percent(c.accuracy), f"{c.macro_f1:.4f}", loss, f"<span class=what>{what}</span>"])
    head = ["condition", "accuracy %", "macro F1", "points lost", "what was done"]
    note = f"<p>{safe(found.lines()[0])}. Red: above 1.5 points (inverted: 5).</p>"
    return f"<h2>Sturdiness</h2>{note}{table(head, rows)}"


def _patients(found: Evaluation) -> str:
    if found.patients is None:
        return ""
    # The worst first: the furthest on the wrong side.
    ordered = sorted(found.patients.rows, key=lambda r: (r.probability if not r.reference else 1 - r.probability) * -1)
    rows = [
        [str(r.patient), f"{r.n:,}", safe(found.classes[r.reference]), f"{r.probability:.3f}{_bar(r.probability)}",
         "" if r.is_right else "<span class=bad>wrong</span>"]
        for r in ordered
    ]  # fmt: skip
    n_right = sum(row.is_right for row in found.patients.rows)
    head = ["patient", "beats", "is", f"P({safe(found.classes[1])})", ""]
    return (
        f"<h2>Patients</h2><p>{safe(PATIENT_RULE)}: {n_right} of {len(rows)} right. The worst first.</p>"
        f"<div class=tall>{table(head, rows)}</div>"
    )


def _records(found: Evaluation) -> str:
    rows = [
        [str(r.record), f"{r.n:,}", str(r.n_errors), f"{percent(r.confusion.accuracy)}{_bar(r.confusion.accuracy)}",
         safe(r.worst(found.classes)), *_sensitivities(r.confusion)]
        for r in found.records
    ]  # fmt: skip
    head = ["record", "beats", "errors", "right %", "most of them", *(f"{safe(c)} Se %" for c in found.classes)]
    return f"<p>Most errors first; Se with the number of beats.</p><div class=tall>{table(head, rows)}</div>"


def _sensitivities(confusion: Confusion) -> Iterable[str]:
    return (f"{100 * c.se:.1f} <small>of {c.n:,}</small>" if c.n else "" for c in confusion.per_class())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    top = "".join(f"<th>{name}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=wide><table class=figures><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _bar(share: float | None) -> str:
    return f'<i class=bar><i style="width:{100 * (share or 0):.1f}%"></i></i>'


def safe(text: str) -> str:
    """Text as HTML."""
    return html.escape(text)


STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.5em}h1 small{font-weight:400;color:#666}h2{font-size:1.15em;margin-top:2em}
table{border-collapse:collapse}small{color:#666;font-size:.82em}
.warning{background:#fff3cd;border-left:5px solid #e0a800;padding:.5em .8em;margin:.5em 0}
.cards{display:flex;flex-wrap:wrap;gap:.8em;margin:1em 0}
.cards div{border:1px solid #ddd;border-radius:6px;padding:.5em 1em;min-width:9em}
.cards h3{margin:0;font-size:.85em;font-weight:400;color:#666}.cards b{font-size:1.7em}
.cards p{margin:0;font-size:.8em;color:#666}
.facts th{text-align:left;padding-right:1em;font-weight:600;vertical-align:top;white-space:nowrap}
.facts td{word-break:break-word}
.wide{overflow-x:auto}.tall{max-height:32em;overflow-y:auto}
.figures td,.figures th{text-align:right;padding:.15em .6em;white-space:nowrap}
.figures td small{margin-left:.3em}.figures small.below{display:block;margin:0}
.figures td:first-child,.figures th:first-child{text-align:left}.figures thead th{border-bottom:1px solid #888}
.figures tbody tr:nth-child(even){background:#f5f5f5}.figures .what{white-space:normal;text-align:left;display:block}
.bad{color:#c00;font-weight:700}
.bar{display:inline-block;width:4em;height:.7em;background:#e6e6e6;margin-left:.5em;vertical-align:baseline}
.bar i{display:block;height:100%;background:#4c84b8}
.pictures{display:flex;flex-wrap:wrap;gap:1em;margin:1em 0;align-items:flex-end}
figure{margin:0}figure img{max-width:100%;height:auto;max-height:30em}figcaption{font-size:.85em;color:#666}
pre{overflow-x:auto;font-size:11px;line-height:1.3}
@media print{.tall{max-height:none}}
"""
