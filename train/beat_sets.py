"""Make the beat sets that ship in `edge_ecg/bench/beats`: test beats of the `random` split, classes as even as can be.

python -m train.beat_sets      needs mitdb and ecgdb_lead1 (`edge-ecg data fetch`); the same data give the same bytes

Models hold the labels that they gave to these beats: other beats ask for `python -m quantize.golden_labels` after it.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from edge_ecg.bench.beats import BEAT_SETS, SHIPPED, BeatSet, load_beats, pack_beats
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.labels import LABEL_SETS
from train.even_shares import even_shares
from train.load import load_data
from train.splits import Split
from train.window_set import WindowSet

__all__ = ["N_BEATS", "beat_set"]

N_BEATS = 1_000


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=SHIPPED, help="Folder; default: where they ship.")
def main(out: Path) -> None:
    """Write each set and the list of their hashes."""
    out.mkdir(parents=True, exist_ok=True)
    made = [beat_set(name, *load_data(name, "random", PreprocessParams())) for name in BEAT_SETS]
    for beats in made:
        (out / f"{beats.name}.npz").write_bytes(pack_beats(beats))
    (out / "SHA256SUMS").write_text("".join(f"{beats.sha256}  {beats.name}\n" for beats in made), encoding="utf-8")
    for name, label_set in BEAT_SETS.items():
        beats = load_beats(name, out)
        counts = np.bincount(beats.references, minlength=len(LABEL_SETS[label_set])).tolist()
        told = ", ".join(f"{n} {label}" for n, label in zip(counts, LABEL_SETS[label_set], strict=True))
        click.echo(f"{out / name}.npz: {len(beats.counts)} test beats ({told})")


def beat_set(name: str, data: WindowSet, split: Split, n: int = N_BEATS) -> BeatSet:
    """``n`` test beats in the order of their records, each class as often as it can be, spread over its beats."""
    labels = data.labels[split.test]
    shares = even_shares(np.bincount(labels, minlength=len(LABEL_SETS[data.label_set])), n)
    of_classes = [split.test[labels == code] for code in range(len(shares))]
    taken = [
        of[np.linspace(0, len(of) - 1, share).round().astype(int)] for of, share in zip(of_classes, shares, strict=True)
    ]
    at = np.sort(np.concatenate(taken))
    return BeatSet(name, np.rint(data.windows[at] * 255.0).astype(np.uint8), data.labels[at])


if __name__ == "__main__":
    main()
