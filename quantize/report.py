"""The page of a conversion: what it cost, what it brings, what is left in the graph. Needs no other file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edge_ecg.infer.operators import Operator, Tensor
from edge_ecg.manifest import Metrics, ModelManifest
from edge_ecg.scoring.confusion import Confusion
from quantize.changes import Kept
from quantize.measure import Measurements
from quantize.parity import MaxDrop, parity_rows, parity_sentence
from quantize.tune import Tuned
from train.evaluation_page import STYLE, safe, table
from train.evaluation_plots import confusion_png

__all__ = ["report_page"]


def report_page(
    m: ModelManifest, operators: Sequence[Operator], here: Measurements, kept: Sequence[Kept] = (),
    tuned: Sequence[Tuned] = (),
) -> str:
    """The page.

    Parameters
    ----------
    m
        Of the bundle.
    operators
        Of the converted graph, in their order.
    here
        What was measured on this machine.
    kept
        What pruning left.
    tuned
        How it was fine-tuned.
    """
    warned = "".join(f"<p class=warning><b>Mind:</b> {safe(text)}</p>" for text in _warnings(m))
    facts = "".join(f"<tr><th>{safe(k)}</th><td>{safe(v)}</td></tr>" for k, v in _facts(m, here).items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Conversion: {safe(m.id)}</title><style>{STYLE}{_MORE_STYLE}</style>"
        f"<h1>{safe(m.id)} <small>against the float network</small></h1>{warned}"
        f"<div class=cards>{_cards(m, here)}</div><table class=facts>{facts}</table>"
        f"<h2>What it costs</h2><p>{safe(parity_sentence(m))}</p>{_parity(m)}"
        f"<h2>Confusion matrices</h2><div class=sides>{_confusions(m)}</div>"
        f"<h2>What it brings</h2>{_bars(m, here)}{_pruned(kept)}{_tuned(tuned)}"
        f"<h2>Operators</h2>{_operators(operators)}"
        f"<h2>How it was made</h2><pre>{safe(chr(10).join(m.commands))}</pre>"
        f"<p>Research software, not a medical device.</p></html>\n"
    )


def _warnings(m: ModelManifest) -> list[str]:
    found = []
    if m.parity is not None and not m.parity.is_within:
        found.append(f"It loses more than the {MaxDrop(*m.parity.max_drop)} points that a conversion may.")
    if m.is_foreign:
        found.append("The network came as a Keras file: beats of the test part may have trained it.")
    if m.bench_only:
        found.append("For benchmarks only: whatever labels beats refuses it.")
    if m.patients_on_both_sides:
        found.append("Beats of one patient train and test it: a new patient gets worse labels.")
    return found


def _facts(m: ModelManifest, here: Measurements) -> dict[str, str]:
    facts = {
        "network": f"{m.network}, {m.n_parameters:,} parameters",
        "precision": m.precision,
        "changes": ", then ".join(m.changes) or "none",
        "data": f"{m.dataset}, {m.split} split" + ("" if m.fold is None else f", fold {m.fold}") + f", lead {m.lead}",
        "test beats": f"{m.metrics.n:,}",
    }
    if m.calibration is not None:
        shares = ", ".join(f"{n} {name}" for name, n in m.calibration.per_class.items())
        facts["calibration"] = f"{m.calibration.n} training beats ({shares}), seed {m.calibration.seed}"
    facts |= {
        "input": f"{m.input.dtype}, scale {m.input.scale:.6g}, zero {m.input.zero_point}",
        "output": f"{m.output.dtype}, scale {m.output.scale:.6g}, zero {m.output.zero_point}",
        "SHA-256": m.sha256,
        "measured on": f"{here.machine}; {here.runtime}, {here.n_threads} thread; {here.measured_utc}",
    }
    if here.arena_bytes is not None:
        facts["arena"] = f"{here.arena_bytes:,} bytes for TensorFlow Lite Micro"
    return facts


def _cards(m: ModelManifest, here: Measurements) -> str:
    p, x = m.parity, m.metrics
    assert p is not None
    cards = [
        ("accuracy", f"{100 * x.accuracy:.2f} %", f"{p.accuracy_points:+.2f} points"),
        ("macro F1", f"{x.macro_f1:.4f}", f"{p.macro_f1_points:+.2f} points"),
        ("the same label", f"{100 * p.argmax_agreement:.2f} %", f"of {p.n:,} test beats"),
        ("size", f"{m.bytes / 1000:.0f} KB", f"float32 is {here.times_smaller:.1f} times that"),
        ("one beat", f"{here.model.latency.p50_us:.0f} µs", f"float32 takes {here.times_faster:.1f} times as long"),
    ]
    return "".join(f"<div><h3>{name}</h3><b>{value}</b><p>{below}</p></div>" for name, value, below in cards)


def _parity(m: ModelManifest) -> str:
    rows = []
    for row in parity_rows(m):
        mark = " class=bad" if row.points is not None and row.points < -1 else ""
        change = "-" if row.points is None else f"<span{mark}>{row.points:+.2f}</span>"
        rows.append([safe(row.name), _percent(row.before), _percent(row.after), change])
    note = "<p>Figures in %, changes in points; red: more than one point lost. EC57: at known positions.</p>"
    return table(["", "float32, as trained", safe(f"{m.precision}, this file"), "change"], rows) + note


def _confusions(m: ModelManifest) -> str:
    shown: dict[str, Metrics] = {"float32, as trained": m.float_metrics}
    if m.changed_metrics is not None:
        shown[f"float32, {', '.join(m.changes)}"] = m.changed_metrics
    shown[f"{m.precision}, this file"] = m.metrics
    return "".join(
        f'<figure><img alt="{safe(title)}" src="data:image/png;base64,{_png(metrics, m.labels, title)}"></figure>'
        for title, metrics in shown.items()
    )


def _png(metrics: Metrics, labels: tuple[str, ...], title: str) -> str:
    return base64.b64encode(confusion_png(Confusion(np.array(metrics.confusion)), labels, title)).decode()


def _bars(m: ModelManifest, here: Measurements) -> str:
    new, old = here.model, here.float32
    groups: Mapping[str, Mapping[str, tuple[float, float]]] = {
        "Size, KB": {
            "as it is": (old.bytes / 1e3, new.bytes / 1e3),
            "gzip -9": (old.gzip_bytes / 1e3, new.gzip_bytes / 1e3),
        },
        f"One beat, µs ({new.latency.n:,} each, in turns)": {
            "median": (old.latency.p50_us, new.latency.p50_us),
            "95 %": (old.latency.p95_us, new.latency.p95_us),
            "99 %": (old.latency.p99_us, new.latency.p99_us),
        },
    }
    shown = []
    for title, rows in groups.items():
        # The slowest in a hundred would make the others look alike.
        full = max(before for name, (before, _) in rows.items() if name != "99 %")
        lines = "".join(
            f"<tr><th>{safe(name)}</th><td>{_bar('float32', before, full)}{_bar(m.precision, after, full)}</td></tr>"
            for name, (before, after) in rows.items()
        )
        shown.append(f"<div><h3>{safe(title)}</h3><table class=compared>{lines}</table></div>")
    return f"<div class=sides>{''.join(shown)}</div>"


def _bar(name: str, value: float, full: float) -> str:
    # Both bars of a float32 bundle are of float32.
    kind = "old" if name == "float32" else "new"
    wide, more = min(100.0, 100 * value / full), " …" if value > full else ""
    return (
        f'<div class=line><span class=track><i class={kind} style="width:{wide:.1f}%"></i></span>'
        f"{more} {value:,.0f} <small>{safe(name)}</small></div>"
    )


def _pruned(kept: Sequence[Kept]) -> str:
    if not kept:
        return ""
    what = kept[0].what
    together = Kept("all", what, sum(x.before for x in kept), sum(x.after for x in kept))
    rows = [
        [safe(x.name), f"{x.before:,}", f"{x.after:,}", f"{100 - 100 * x.after / x.before:.1f}"]
        for x in [*kept, together]
    ]
    return f"<h2>What pruning left</h2>{table(['layer', what, 'left', 'gone %'], rows)}"


def _tuned(tuned: Sequence[Tuned]) -> str:
    if not tuned:
        return ""
    rows = [
        [
            safe(t.what), f"{len(t.rows)}", f"{t.best_epoch}", f"{t.best['validation_accuracy']:.4f}",
            f"{t.best['validation_macro_f1']:.4f}", f"{sum(row['seconds'] for row in t.rows) / 60:.1f}",
        ]
        for t in tuned
    ]  # fmt: skip
    heads = ["", "epochs", "best", "validation accuracy", "macro F1", "minutes"]
    return f"<h2>Fine-tuning</h2>{table(heads, rows)}"


def _operators(operators: Sequence[Operator]) -> str:
    rows = []
    for k, operator in enumerate(operators):
        given = [t for t in operator.inputs if not t.is_constant]
        weights = [t for t in operator.inputs if t.is_constant]
        rows.append([f"{k}", safe(operator.name), _tensors(given), _tensors(weights), _tensors(operator.outputs)])
    return table(["", "operator", "takes", "weights", "gives"], rows)


def _tensors(tensors: Iterable[Tensor]) -> str:
    return "<br>".join(
        safe(f"{t.dtype} {' x '.join(map(str, t.shape)) or 'scalar'}" + (", by channel" if t.n_scales > 1 else ""))
        for t in tensors
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


_MORE_STYLE = """
.compared th{text-align:right;font-weight:400;padding-right:.6em;vertical-align:top}
.sides{display:flex;flex-wrap:wrap;gap:1em}.sides>*{flex:1 1 20em;max-width:49%}
.sides img{max-height:none;width:100%}.sides h3{margin:0 0 .3em;font-size:1em}
.line{display:flex;align-items:center;gap:.4em;white-space:nowrap}.track{flex:none;width:16em;display:inline-block}
.track i{display:block;height:.95em}.old{background:#b0b0b0}.new{background:#4c84b8}
"""
