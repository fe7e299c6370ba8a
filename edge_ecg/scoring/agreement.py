"""A run's beats beside the experts' annotations of the same record, in a few lines for a person.

Reports that are published use `edge_ecg.scoring.ec57`, which pairs the same beats and counts more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_ecg.labels import AAMI5, BeatLabel
from edge_ecg.scoring.confusion import Confusion
from edge_ecg.scoring.matching import MATCH_WINDOW_S
from edge_ecg.scoring.pairing import pair_record

__all__ = ["Agreement", "compare"]

_CLASSES = tuple(label.name for label in BeatLabel)


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Beats found and labels agreed on. Whole record, 150 ms, flutter left out, class map `aami5`.

    Attributes
    ----------
    n_reference, n_matched, n_missed, n_extra
        Annotated beats, those found, those not, detections without one.
    n_in_flutter
        Detections without a beat in flutter or fibrillation, where there is none to find: they count for nothing.
    confusion
        Labels of the matched beats that carry one of the five classes; rows are the experts.
    """

    n_reference: int
    n_matched: int
    n_missed: int
    n_extra: int
    n_in_flutter: int
    confusion: Confusion

    @property
    def se(self) -> float:
        """Sensitivity of the detector, a fraction."""
        return self.n_matched / self.n_reference if self.n_reference else 1.0

    @property
    def ppv(self) -> float:
        """Positive predictivity of the detector, a fraction."""
        found = self.n_matched + self.n_extra
        return self.n_matched / found if found else 1.0

    def lines(self) -> list[str]:
        """The comparison as a few lines of text."""
        agreed, labelled = int(np.trace(self.confusion.counts)), int(self.confusion.counts.sum())
        lines = [
            f"beats     {self.n_reference} annotated: {self.n_matched} found, {self.n_missed} missed, "
            f"{self.n_extra} extra (Se {100 * self.se:.2f} %, +P {100 * self.ppv:.2f} %)",
            *([f"flutter   {self.n_in_flutter} detections in it left out"] if self.n_in_flutter else []),
            f"labels    {agreed} of {labelled} agree ({100 * agreed / max(1, labelled):.2f} %)",
        ]
        for name, figures in zip(_CLASSES, self.confusion.per_class(), strict=True):
            if figures.n:
                rates = f"Se {100 * figures.se:6.2f} %  +P {100 * figures.ppv:6.2f} %"
                lines.append(f"  {name}  {figures.n:6d} beats  {rates}")
        return lines


def compare(
    samples: Sequence[int], symbols: Sequence[str], detected: Sequence[float], labels: Sequence[str], fs_hz: float
) -> Agreement:
    """Compare a run with annotations.

    Parameters
    ----------
    samples, symbols
        All annotations of the record, in order: beats, and ``[`` ``]`` around flutter, in which neither the
        annotated nor the detected beats count.
    detected, labels
        R peaks of the run, ascending, and what it said of each; a label of another set is not judged.
    fs_hz
        The rate that both count in.

    Raises
    ------
    DataError
        As `edge_ecg.scoring.pairing.pair_record`.
    """
    pairing = pair_record(samples, symbols, detected, MATCH_WINDOW_S * fs_hz)
    labelled = [
        (AAMI5[symbol], BeatLabel[labels[j]])
        for symbol, j in ((pairing.beats[i][1], j) for i, j in pairing.pairs)
        if symbol in AAMI5 and labels[j] in _CLASSES
    ]
    return Agreement(
        len(pairing.beats),
        len(pairing.pairs),
        len(pairing.missed),
        len(pairing.extra),
        len(pairing.in_flutter),
        Confusion.of([a for a, _ in labelled], [b for _, b in labelled], len(_CLASSES)),
    )
