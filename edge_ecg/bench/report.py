"""Benchmark runs as a folder: a page that fetches nothing, Markdown, pictures, CSV."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import fields
from html import escape
from pathlib import Path

from edge_ecg import __version__
from edge_ecg.bench.results import BenchResult, ModelResult
from edge_ecg.bench.sections import Block, Caution, Picture, Section, Table, sections_of
from edge_ecg.errors import UsageError
from edge_ecg.io.whole import write_whole

__all__ = ["csv_text", "markdown", "page", "pictures", "write_report"]

_MARK = '<meta name="generator" content="edge-ecg bench report">'
_NOTE = "Research software, not a medical device."
_EXPLAINED = (
    "One beat: from its window to its probabilities, one thread on one core; p50, p95, p99 over all rounds; rounds: the "
    "least and the largest median of a round. Accuracy and macro F1: the model's test part, from its manifest. Overhead: "
    "what of a beat is not the network, timed without one, and between two beats. Pipeline: samples to labels in a process of its own; memory: its highest. "
    "Labels as golden: beats labelled here as where the model was made."
)
_STYLE = """
:root{color-scheme:light}*{box-sizing:border-box}
body{font:15px/1.45 system-ui,sans-serif;color:#22303f;background:#fff;margin:0 auto;padding:16px;max-width:960px}
h1{font-size:1.5em;margin:.2em 0}h2{font-size:1.2em;margin:1.8em 0 .4em}p{margin:.5em 0;overflow-wrap:anywhere}
.warn{border-left:4px solid #c0392b;padding:.3em .7em;background:#fdf3f2}.quiet{color:#5f6b78;font-size:.9em}
.wide{overflow-x:auto;margin:.6em 0}.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:12px}
svg{width:100%;height:auto;display:block}figure{margin:.6em 0;break-inside:avoid}figcaption{font-weight:600}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:3px 8px;text-align:right;border-bottom:1px solid #e8e8ee;white-space:nowrap}
th{white-space:normal;vertical-align:bottom;color:#5f6b78;font-weight:600;font-size:.87em}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:#fff}
@media (max-width:520px){body{padding:10px}th,td{padding:3px 5px;font-size:.87em}
td:first-child{white-space:normal;overflow-wrap:anywhere;min-width:8.5em;max-width:8.5em}}
@media print{.wide{overflow:visible}}
"""


def write_report(folder: Path, results: Sequence[BenchResult], *, png: bool = False) -> list[str]:
    """Write all of it into a folder; return lines that say what was written, and what could not be.

    Raises
    ------
    UsageError
        The folder holds another page, or cannot be written.
    """
    sections = sections_of(results)
    drawn = _pictures(sections)
    index = folder / "index.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if index.exists() and _MARK not in index.read_text("utf-8", "replace")[:2000]:
            raise UsageError(f"{index} is there and no benchmark report", "Choose another folder for --html")
        texts = {"report.md": f"# Benchmarks\n\n{markdown(results)}", "models.csv": csv_text(results)}
        texts |= {f"{picture.name}.svg": f"{picture.svg}\n" for picture in drawn}
        for name, text in {"index.html": page(results), **texts}.items():
            write_whole(folder / name, text.encode())
    except OSError as error:
        hint = "Name a folder that is yours, on a disk with room"
        raise UsageError(f"cannot write into {folder}: {error.strerror}", hint) from None
    lines = [f"written: {index}", f"with it: report.md, models.csv, {len(drawn)} pictures (SVG)"]
    return lines + (_write_pngs(folder, drawn) if png else [])


def pictures(results: Sequence[BenchResult]) -> list[Picture]:
    """All drawings."""
    return _pictures(sections_of(results))


def markdown(results: Sequence[BenchResult], *, pictures_at: str | None = "", level: int = 2) -> str:
    """The report as Markdown; ``pictures_at`` is where the pictures lie, with a slash at its end; None: there are none."""
    parts = [_NOTE, _EXPLAINED]
    for section in sections_of(results):
        parts.append(f"{'#' * level} {section.title}")
        blocks = [block for block in section.blocks if pictures_at is not None or not isinstance(block, Picture)]
        parts += [_block_markdown(block, pictures_at or "") for block in blocks]
    return "\n\n".join(parts) + "\n"


def page(results: Sequence[BenchResult]) -> str:
    """The report as one HTML file: nothing is fetched, nothing runs."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        _MARK,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>edge-ecg benchmarks</title><style>{_STYLE}</style></head><body><h1>edge-ecg benchmarks</h1>",
        f'<p class="quiet">{escape(_EXPLAINED)}</p>',
    ]
    for section in sections_of(results):
        parts.append(f"<h2>{escape(section.title)}</h2>")
        parts += _blocks_html(section)
    parts.append(f'<p class="quiet">Written by edge-ecg {__version__}. {_NOTE}</p></body></html>')
    return "\n".join(parts) + "\n"


def csv_text(results: Sequence[BenchResult]) -> str:
    """One row a model and run, with all its figures."""
    own = [f.name for f in fields(ModelResult) if f.name not in ("all_threads", "agreement")]
    heads = ["device", "measured_utc", "complete", "throttled", "cpu", "runtime", *own]
    heads += ["all_threads", "all_threads_p50_us", "all_threads_p99_us", "labels_n", "labels_other"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(heads)
    for r in results:
        of_run = [
            r.device,
            r.measured_utc,
            r.complete,
            " + ".join(r.throttled),
            r.fingerprint.cpu,
            r.fingerprint.runtime,
        ]
        for m in r.models:
            t, a = m.all_threads, m.agreement
            more: list[object] = [None] * 3 if t is None else [t.threads, t.p50_us, t.p99_us]
            more += [None, None] if a is None else [a.n, a.n_other]
            writer.writerow([_cell(value) for value in (*of_run, *(getattr(m, name) for name in own), *more)])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    # A name that a spreadsheet would take for a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@" else value


def _pictures(sections: Sequence[Section]) -> list[Picture]:
    return [block for section in sections for block in section.blocks if isinstance(block, Picture)]


def _block_markdown(block: Block, pictures_at: str) -> str:
    match block:
        case Table():
            rows = [block.heads, ("---",) * len(block.heads), *block.rows]
            return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
        case Picture():
            return f"![{block.title}]({pictures_at}{block.name}.svg)"
        case Caution():
            return f"**Mind:** {block.words}"
    return block


def _blocks_html(section: Section) -> list[str]:
    parts, drawn = [], [block for block in section.blocks if isinstance(block, Picture)]
    for block in section.blocks:
        match block:
            case Table():
                heads = "".join(f"<th>{escape(head)}</th>" for head in block.heads)
                rows = "".join(
                    "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in block.rows
                )
                parts.append(f'<div class="wide"><table><tr>{heads}</tr>{rows}</table></div>')
            case Picture():
                if block is drawn[0]:  # all of a section stand together
                    figures = "".join(
                        f"<figure><figcaption>{escape(p.title)}</figcaption>{p.svg}</figure>" for p in drawn
                    )
                    parts.append(f'<div class="pictures">{figures}</div>')
            case Caution():
                parts.append(f'<p class="warn"><b>Mind:</b> {escape(block.words)}</p>')
            case _:
                parts.append(f"<p>{escape(block)}</p>")
    return parts


def _write_pngs(folder: Path, drawn: Sequence[Picture]) -> list[str]:
    """By what this machine has: librsvg's program, else a Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    converter = shutil.which("rsvg-convert")
    if converter is None and chromium is None:
        return ["no PNG: sudo apt install librsvg2-bin, which turns SVG into it"]
    n_done = 0
    for picture in drawn:
        svg, png = folder / f"{picture.name}.svg", folder / f"{picture.name}.png"
        if converter:
            command = [converter, "--zoom", "2", "--output", str(png), str(svg)]
        else:
            size = (
                picture.svg.split('width="', 1)[1].split('"', 1)[0],
                picture.svg.split('height="', 1)[1].split('"', 1)[0],
            )
            root = ["--no-sandbox"] if os.geteuid() == 0 else []
            command = [str(chromium), "--headless", "--disable-gpu", "--hide-scrollbars", *root]
            command += ["--force-device-scale-factor=2", f"--window-size={','.join(size)}", f"--screenshot={png}"]
            command.append(svg.resolve().as_uri())
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            continue
        n_done += png.exists()
    return [f"with it: {n_done} of {len(drawn)} pictures as PNG"]
