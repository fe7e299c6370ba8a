"""Draw the README's picture: what the shipped model says of the shipped excerpt, on ECG paper.

python -m benchmarks.picture docs/strip.png
"""

from __future__ import annotations

from pathlib import Path

import click
import matplotlib
import numpy as np

from edge_ecg.infer import open_classifier
from edge_ecg.io import read_annotations, read_record
from edge_ecg.runner import Runner
from edge_ecg.sinks.beats import BeatList
from edge_ecg.sources.replay import open_replay
from edge_ecg.sources.virtual import EXCERPT

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {"N": "#1a7f37", "S": "#bf8700", "V": "#cf222e", "F": "#8250df", "Q": "#0969da"}
PAPER, FINE, COARSE = "#fffaf8", "#f6dcd8", "#e9b8b0"


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--model", default="rhythm", show_default=True)
@click.option("--start", "start_s", default=132.0, show_default=True, help="First second drawn.")
@click.option("--length", "length_s", default=10.0, show_default=True, help="Seconds drawn.")
def main(out: Path, model: str, start_s: float, length_s: float) -> None:
    """Label the shipped excerpt and draw some seconds of it: 25 mm/s, 10 mm/mV."""
    record, notes = read_record(EXCERPT), read_annotations(EXCERPT)
    fs_hz = record.header.fs_hz
    beats = BeatList()
    Runner(open_replay(EXCERPT), open_classifier(model), [beats]).run()
    lead = record.lead_index(None)
    signal_mv = record.samples_mv([lead])[:, 0]
    shown = slice(round(start_s * fs_hz), round((start_s + length_s) * fs_hz))
    centre = float(np.median(signal_mv[shown]))
    t_s = np.arange(len(signal_mv)) / fs_hz - start_s

    figure, axes = plt.subplots(figsize=(length_s * 25 / 25.4 * 1.05, 2.9), dpi=110)
    axes.set_facecolor(PAPER)
    low, high = -1.3, 2.4
    for step, colour, width in ((0.04, FINE, 0.4), (0.2, COARSE, 0.7)):
        axes.vlines(np.arange(0, length_s + 1e-9, step), low, high, colors=colour, linewidth=width, zorder=0)
    for step, colour, width in ((0.1, FINE, 0.4), (0.5, COARSE, 0.7)):
        axes.hlines(np.arange(low + 0.3, high, step), 0, length_s, colors=colour, linewidth=width, zorder=0)
    axes.plot(t_s[shown], signal_mv[shown] - centre, color="#1f2328", linewidth=0.9)
    for sample, label in zip(beats.samples, beats.labels, strict=True):
        if shown.start <= sample < shown.stop:
            axes.text(
                sample / fs_hz - start_s, 2.0, label, color=COLOURS[label], ha="center", fontsize=13, weight="bold"
            )
    experts = {int(s): k for s, k in zip(notes.sample, notes.symbol, strict=True) if k in "NVAaJeFf/"}
    for sample, symbol in experts.items():
        if shown.start <= sample < shown.stop:
            axes.text(sample / fs_hz - start_s, -1.2, symbol, color="#57606a", ha="center", fontsize=9)
    axes.set(xlim=(0, length_s), ylim=(low, high), xticks=[], yticks=[])
    axes.text(0.06, 1.72, "edge-ecg, int8", fontsize=8, color="#57606a")
    axes.text(0.06, -0.98, "cardiologists", fontsize=8, color="#57606a")
    figure.tight_layout(pad=0.3)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Software": None})
    click.echo(f"written: {out}")


if __name__ == "__main__":
    main()
