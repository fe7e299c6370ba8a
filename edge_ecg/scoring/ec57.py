"""Score a record beat by beat by the rules of ANSI/AAMI EC57, as PhysioNet's ``bxb`` applies them.

Of a beat's two letters the first, large, is the experts' and the second, small, the device's: ``Vn`` counts
ventricular ectopic beats that the device called normal, ``Vo`` those it missed, ``Ov`` what it called ventricular
where there is no beat. ``Vx`` were missed, and ``Xv`` invented, while the device declared that it could not analyse.

Departures from ``bxb``, beside that of `edge_ecg.scoring.pairing`:

- ``bxb`` has no row for detections during the device's own shutdown: here they are row X.
- ``bxb`` counts what was missed in shutdown as missed, too. So do these figures with ``shutdown="counted"``; the
  default leaves columns x and X out of every figure, and `Rules.text` says which it was.
- The R-R error compares the intervals of consecutive matched pairs; ``bxb`` also sums what a missed or an extra
  beat does to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import DataError
from edge_ecg.scoring.matching import Timing, r_errors_ms
from edge_ecg.scoring.pairing import Interval, Pairing, clipped_length, inside, pair_record
from edge_ecg.scoring.rules import CLASS_MAPS, Rules

__all__ = ["CLASS_MAPS", "COLUMNS", "FIGURES", "ROWS", "RecordScore", "Rules", "Score", "score_record"]

ROWS, COLUMNS = "NSVFQOX", "nsvfqox"
FIGURES = ("q_se", "q_ppv", "v_se", "v_ppv", "v_fpr", "s_se", "s_ppv", "accuracy", "rr_error_ms")
_COLUMN_OF_LABEL = {letter: k for k, letter in enumerate("NSVFQ")} | {"U": 4}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Score:
    """Counts and their figures: fractions, or None where there is nothing to divide by.

    Attributes
    ----------
    counts
        ``(7, 7) int64``: rows `ROWS` are the experts, columns `COLUMNS` the device. What cannot be (``Oo``) is 0.
    rr_squares_ms2, n_rr
        Sum of the squared differences of R-R intervals, and how many.
    r_errors_ms
        How late each matched R is, ``(matched,)``.
    evaluated_s
        Time compared: after the learning period, outside flutter. None when the record's length was not given.
    shutdown_s
        How much of the compared time the device declared unusable, flutter included.
    n_in_flutter
        Detections left out because they lie in flutter.
    n_unmapped
        Compared beats in row Q because the class map does not know their symbol.
    n_paced
        Annotated paced beats and fusions with them, wherever in the record.
    """

    rules: Rules
    counts: NDArray[np.int64]
    rr_squares_ms2: float
    n_rr: int
    r_errors_ms: NDArray[np.float64]
    evaluated_s: float | None
    shutdown_s: float
    n_in_flutter: int
    n_unmapped: int
    n_paced: int

    @classmethod
    def of_counts(cls, counts: NDArray[np.int64], rules: Rules) -> Score:
        """Counts of beats alone, ``(7, 7)``: nothing is known of times."""
        return Score(
            rules=rules, counts=counts, rr_squares_ms2=0.0, n_rr=0, r_errors_ms=np.empty(0), evaluated_s=None,
            shutdown_s=0.0, n_in_flutter=0, n_unmapped=0, n_paced=0,
        )  # fmt: skip

    @classmethod
    def pooled(cls, scores: Sequence[Score], rules: Rules) -> Score:
        """Sum of the counts of several records."""
        lengths = [s.evaluated_s for s in scores if s.evaluated_s is not None]
        return Score(
            rules=rules,
            counts=sum((s.counts for s in scores), np.zeros((7, 7), np.int64)),
            rr_squares_ms2=math.fsum(s.rr_squares_ms2 for s in scores),
            n_rr=sum(s.n_rr for s in scores),
            r_errors_ms=np.concatenate([np.empty(0), *(s.r_errors_ms for s in scores)]),
            evaluated_s=math.fsum(lengths) if len(lengths) == len(scores) else None,
            shutdown_s=math.fsum(s.shutdown_s for s in scores),
            n_in_flutter=sum(s.n_in_flutter for s in scores),
            n_unmapped=sum(s.n_unmapped for s in scores),
            n_paced=sum(s.n_paced for s in scores),
        )

    def count(self, *cells: str) -> int:
        """Sum of cells by name, as ``count("Vn", "Vo")``."""
        return sum(int(self.counts[ROWS.index(c[0]), COLUMNS.index(c[1])]) for c in cells)

    @property
    def matched(self) -> int:
        """Annotated beats that were found."""
        return int(self.counts[:5, :5].sum())

    @property
    def missed(self) -> int:
        """Annotated beats that were not found, outside shutdown."""
        return int(self.counts[:5, 5].sum())

    @property
    def missed_in_shutdown(self) -> int:
        """Annotated beats that were not found while the device declared a shutdown."""
        return int(self.counts[:5, 6].sum())

    @property
    def extra(self) -> int:
        """Detections without a beat, outside shutdown."""
        return int(self.counts[5, :5].sum())

    @property
    def extra_in_shutdown(self) -> int:
        """Detections without a beat while the device declared a shutdown."""
        return int(self.counts[6, :5].sum())

    @property
    def q_se(self) -> float | None:
        """Sensitivity for beats: matched / (matched + missed)."""
        return _ratio(self.matched, int(self._judged[:5].sum()))

    @property
    def q_ppv(self) -> float | None:
        """Positive predictivity for beats: matched / (matched + extra)."""
        return _ratio(self.matched, int(self._judged[:, :5].sum()))

    @property
    def v_se(self) -> float | None:
        """Sensitivity for ventricular ectopic beats."""
        return _ratio(self.count("Vv"), int(self._judged[2].sum()))

    @property
    def v_ppv(self) -> float | None:
        """Positive predictivity for ventricular ectopic beats; Fv and Qv do not count against it."""
        return _ratio(self.count("Vv"), self.count("Vv") + self._v_false)

    @property
    def v_fpr(self) -> float | None:
        """Share of all that is no ventricular ectopic beat, extra detections included, that was called one."""
        others = int(self._judged[[0, 1, 3, 4, 5, 6], :5].sum()) - self.count("Fv", "Qv")
        return _ratio(self._v_false, others)

    @property
    def s_se(self) -> float | None:
        """Sensitivity for supraventricular ectopic beats."""
        return _ratio(self.count("Ss"), int(self._judged[1].sum()))

    @property
    def s_ppv(self) -> float | None:
        """Positive predictivity for supraventricular ectopic beats; Qs does not count against it, Fs does.

        ``bxb`` counts so, record by record; ``sumstats`` forgets Fs in its totals.
        """
        said = int(self._judged[:, 1].sum()) - self.count("Qs")
        return _ratio(self.count("Ss"), said)

    @property
    def accuracy(self) -> float | None:
        """Share of matched beats labelled as the experts did, all five classes."""
        return _ratio(int(np.trace(self.counts[:5, :5])), self.matched)

    @property
    def rr_error_ms(self) -> float | None:
        """Root mean square difference of R-R intervals between consecutive matched pairs."""
        return math.sqrt(self.rr_squares_ms2 / self.n_rr) if self.n_rr else None

    @property
    def timing(self) -> Timing | None:
        """Median and 95th percentile of the distance of a matched R from its annotation."""
        return Timing.of(self.r_errors_ms)

    def figures(self) -> dict[str, float | None]:
        """All of `FIGURES`."""
        return {name: getattr(self, name) for name in FIGURES}

    @property
    def _judged(self) -> NDArray[np.int64]:
        """The counts that the figures see."""
        if self.rules.shutdown == "counted":
            return self.counts
        judged = self.counts.copy()
        judged[:, 6] = judged[6, :] = 0
        return judged

    @property
    def _v_false(self) -> int:
        return int(self._judged[[0, 1, 5, 6], 2].sum())


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RecordScore(Score):
    """One record's score, and the samples where it went wrong (shutdown included)."""

    record: str
    missed_at: tuple[int, ...]
    extra_at: tuple[float, ...]


def score_record(
    record: str,
    samples: Sequence[int],
    symbols: Sequence[str],
    detected: Sequence[float],
    labels: Sequence[str],
    fs_hz: float,
    rules: Rules,
    *,
    n_samples: int | None = None,
    shutdown: Sequence[Interval] = (),
) -> RecordScore:
    """Score what a device said of a record. Every position is in samples of ``fs_hz``.

    Parameters
    ----------
    record
        Its name in the report.
    samples, symbols
        All annotations of the record in order, those that mark no beat included.
    detected, labels
        R peaks of the device, ascending, and N, S, V, F or Q of each; U, undecided, counts in column q.
    n_samples
        Length of the record; what lies beyond is left out. None compares all that is given.
    shutdown
        First and last sample of each interval in which the device declared that it could not analyse.

    Raises
    ------
    DataError
        When the lists do not fit each other or go backwards, a label is none of those, or a shutdown has no end.
    """
    if len(detected) != len(labels):
        raise DataError(f"record {record}: {len(detected)} detections, but {len(labels)} labels")
    unknown = sorted(set(labels) - set(_COLUMN_OF_LABEL))
    if unknown:
        raise DataError(f"record {record}: labels must be of N S V F Q U, found {', '.join(map(repr, unknown))}")
    start, end = rules.start_s * fs_hz, math.inf if n_samples is None else float(n_samples)
    for a, b in shutdown:
        if not (a <= b and math.isfinite(min(b, end))):
            raise DataError(f"record {record}: a shutdown from sample {a:g} to {b:g} is no interval")
    pairing = pair_record(samples, symbols, detected, rules.match_window_s * fs_hz, start=start, end=end)
    class_of = CLASS_MAPS[rules.class_map]
    row = [ROWS.index(class_of.get(symbol, "Q")) for _, symbol in pairing.beats]
    column = [_COLUMN_OF_LABEL[label] for label in labels]
    counts = np.zeros((7, 7), np.int64)
    for i, j in pairing.pairs:
        counts[row[i], column[j]] += 1
    for i in pairing.missed:
        counts[row[i], 6 if inside(pairing.beats[i][0], shutdown) else 5] += 1
    for j in pairing.extra:
        counts[6 if inside(detected[j], shutdown) else 5, column[j]] += 1
    counts.flags.writeable = False
    rr_ms = _rr_differences_ms(pairing, detected, shutdown, fs_hz)
    compared = [*(i for i, _ in pairing.pairs), *pairing.missed]
    return RecordScore(
        record=record,
        rules=rules,
        counts=counts,
        rr_squares_ms2=math.fsum(d * d for d in rr_ms),
        n_rr=len(rr_ms),
        r_errors_ms=r_errors_ms([s for s, _ in pairing.beats], detected, pairing.pairs, fs_hz),
        evaluated_s=None
        if n_samples is None
        else (max(0.0, end - start) - clipped_length(pairing.flutter, start, end)) / fs_hz,
        shutdown_s=clipped_length(shutdown, start, end) / fs_hz,
        n_in_flutter=len(pairing.in_flutter),
        n_unmapped=sum(pairing.beats[i][1] not in class_of for i in compared),
        n_paced=sum(symbol in ("/", "f") for symbol in symbols),
        missed_at=tuple(int(pairing.beats[i][0]) for i in pairing.missed),
        extra_at=tuple(float(detected[j]) for j in pairing.extra),
    )


def _rr_differences_ms(
    pairing: Pairing, detected: Sequence[float], shutdown: Sequence[Interval], fs_hz: float
) -> list[float]:
    """Reference minus device, of intervals that both have: nothing missed, extra, flutter or shutdown between."""
    differences = []
    for (i, j), (i_next, j_next) in zip(pairing.pairs, pairing.pairs[1:], strict=False):
        if (i_next, j_next) != (i + 1, j + 1):
            continue
        s, s_next, d, d_next = pairing.beats[i][0], pairing.beats[i_next][0], detected[j], detected[j_next]
        if any(s <= a < s_next for a, _ in pairing.flutter) or any(d <= a < d_next for a, _ in shutdown):
            continue
        differences.append(1e3 * ((s_next - s) - (d_next - d)) / fs_hz)
    return differences


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
