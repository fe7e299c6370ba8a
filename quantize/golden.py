"""The golden beats of a bundle: test beats of all classes, with what the model says of them."""

from __future__ import annotations

import json

import numpy as np

from edge_ecg.infer.golden import GoldenBeat, GoldenBeats
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.schema import encode
from quantize.card import data_credit
from train.even_shares import even_shares
from train.splits import Split
from train.window_set import WindowSet

__all__ = ["N_GOLDEN", "golden_beats", "golden_text"]

N_GOLDEN = 100


def golden_beats(classifier: TfliteClassifier, data: WindowSet, split: Split, n: int = N_GOLDEN) -> GoldenBeats:
    """``n`` test beats, each class as often as it can be, as 8-bit windows with what the model says of just those."""
    labels, beats = data.labels[split.test], []
    shares = even_shares(np.bincount(labels, minlength=len(classifier.labels)), n)
    for code, (name, share) in enumerate(zip(classifier.labels, shares, strict=True)):
        of_class = split.test[labels == code]
        for index in of_class[np.linspace(0, len(of_class) - 1, share).round().astype(int)]:
            window = np.rint(data.windows[index] * 255.0).astype(np.uint8)
            probs = classifier.classify(window.astype(np.float32) / np.float32(255.0))
            beats.append(GoldenBeat(name, tuple(int(v) for v in window), tuple(round(float(p), 5) for p in probs)))
    return GoldenBeats(1, f"Windows of {data_credit(data.title)}", tuple(beats))


def golden_text(golden: GoldenBeats) -> str:
    """`golden.json`."""
    return json.dumps(encode(golden), separators=(",", ":")) + "\n"
