"""What the whole device reached: EC57 by record, agreement of labels with and without the detector, delays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_ecg.labels import LABEL_SETS
from edge_ecg.scoring.confusion import Confusion
from edge_ecg.scoring.ec57 import score_record
from edge_ecg.scoring.pairing import Pairing, pair_record
from edge_ecg.scoring.report import Report
from edge_ecg.scoring.rules import CLASS_MAPS, Rules
from train.record_run import RecordRun

__all__ = ["CLASSES", "Outcome", "outcome_of", "pairing_of"]

CLASSES = LABEL_SETS["aami5"]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Scores of a run over records.

    Attributes
    ----------
    detection
        EC57 over all records.
    classification
        The same without the records that hold paced beats.
    device
        Labels of the matched beats of ``classification``, rows are the experts.
    at_annotated_r
        EC57 of ``classification``'s records, had every beat been found where the experts put it.
    annotated
        What the same classifier says of the same beats, its inputs made at the annotated R.
    annotated_all
        The same over all compared beats, those the detector missed included.
    lag_median_s, lag_max_s
        Stream time from R to the label; None without a beat.
    cpu_s_per_hour
        Processor time per hour of ECG.
    """

    detection: Report
    classification: Report
    at_annotated_r: Report
    device: Confusion
    annotated: Confusion
    annotated_all: Confusion
    lag_median_s: float | None
    lag_max_s: float | None
    cpu_s_per_hour: float

    @property
    def difference_points(self) -> float | None:
        """Agreement end to end less that with annotated R peaks, in points; None without a matched beat."""
        if not self.device.counts.sum():
            return None
        return 100.0 * (self.device.accuracy - self.annotated.accuracy)

    def to_json(self) -> dict[str, Any]:
        """All figures; fractions, where a name does not say otherwise."""
        return {
            "detection": self.detection.to_json(),
            "classification_without_paced": self.classification.to_json(),
            "classification_at_annotated_r": self.at_annotated_r.to_json(),
            "label_agreement": {
                "end_to_end": _confusion_json(self.device),
                "annotated_r": _confusion_json(self.annotated),
                "annotated_r_all_beats": _confusion_json(self.annotated_all),
                "difference_points": self.difference_points,
            },
            "lag_r_to_label_s": {"median": self.lag_median_s, "max": self.lag_max_s},
            "cpu_s_per_hour": self.cpu_s_per_hour,
        }

    def figures(self) -> dict[str, Any]:
        """The few that a list of looks keeps."""
        all_beats, labels = self.detection.gross, self.classification.gross
        return {
            "q_se": all_beats.q_se,
            "q_ppv": all_beats.q_ppv,
            "v_se": labels.v_se,
            "v_ppv": labels.v_ppv,
            "s_se": labels.s_se,
            "s_ppv": labels.s_ppv,
            "v_se_annotated_r": self.at_annotated_r.gross.v_se,
            "v_ppv_annotated_r": self.at_annotated_r.gross.v_ppv,
            "s_se_annotated_r": self.at_annotated_r.gross.s_se,
            "s_ppv_annotated_r": self.at_annotated_r.gross.s_ppv,
            "agreement": self.device.accuracy,
            "agreement_annotated_r": self.annotated.accuracy,
        }

    def lines(self) -> list[str]:
        """The report as text."""
        timing = self.detection.gross.timing
        left_out = " ".join(name for name, _ in self.classification.left_out)
        lines = ["Detection, all records", self.detection.table(), ""]
        if left_out:
            lines += [f"Classification, without the paced records {left_out}", self.classification.table(), ""]
        else:
            lines += ["Classification: the table above; no record of it has paced beats", ""]
        lines += ["The same at annotated R", self.at_annotated_r.table(), ""]
        n = int(self.device.counts.sum())
        lines.append(
            f"Labels that agree with the experts, {n} matched beats{f' without {left_out}' if left_out else ''}:"
        )
        rows = [("end to end", self.device), ("same beats, annotated R", self.annotated)]
        rows.append((f"all {int(self.annotated_all.counts.sum())} beats, annotated R", self.annotated_all))
        for name, confusion in rows:
            classes = "  ".join(
                f"{label} {100 * c.se:.2f}/{100 * c.ppv:.2f}"
                for label, c in zip(CLASSES, confusion.per_class(), strict=True)
                if c.n
            )
            share = f"{100 * confusion.accuracy:6.2f} %   Se/+P  {classes}" if classes else "     -"
            lines.append(f"  {name:28} {share}")
        cells = np.ndenumerate(self.device.counts)
        wrong = sorted(((int(n), f"{CLASSES[i]} as {CLASSES[j]}") for (i, j), n in cells if i != j and n), reverse=True)
        if wrong:
            lines.append("  most often  " + ", ".join(f"{name} {n}" for n, name in wrong[:6]))
        if self.difference_points is not None:
            lines.append(f"  difference {self.difference_points:+.2f} points")
        if timing is not None:
            lines.append(f"R error   median {timing.median_ms:.1f} ms, 95 % within {timing.p95_ms:.1f} ms")
        if self.lag_median_s is not None and self.lag_max_s is not None:
            lines.append(f"R to label  median {1e3 * self.lag_median_s:.0f} ms, max {1e3 * self.lag_max_s:.0f} ms")
        lines.append(f"processor {self.cpu_s_per_hour:.2f} s per hour of ECG")
        return lines


def pairing_of(run: RecordRun, rules: Rules) -> Pairing:
    """Which beats of a run go with which annotations, by the rules."""
    window, start = rules.match_window_s * run.fs_hz, rules.start_s * run.fs_hz
    return pair_record(run.reference, run.symbols, run.r_pos, window, start=start, end=float(run.n_samples))


def outcome_of(runs: Sequence[RecordRun], rules: Rules) -> Outcome:
    """Score runs."""
    rows = [
        score_record(
            run.record, run.reference, run.symbols, run.r_pos, run.labels, run.fs_hz, rules,
            n_samples=run.n_samples, shutdown=[(a, b - 1) for a, b in run.shutdown],
        )
        for run in runs
    ]
    detection = Report(rows, rules)
    classification = detection.without(detection.paced) if detection.paced else detection
    kept = {row.record for row in classification.rows}
    at_annotated_r = [
        score_record(
            run.record, run.reference, run.symbols, run.annotated, run.annotated_labels, run.fs_hz, rules,
            n_samples=run.n_samples,
        )
        for run in runs if run.record in kept
    ]  # fmt: skip
    device, annotated, annotated_all = [], [], []
    for run in runs:
        if run.record in kept:
            both, alone = _labels_of(run, rules)
            device += [(expert, said) for expert, said, _ in both]
            annotated += [(expert, said) for expert, _, said in both]
            annotated_all += alone
    lags = np.array([lag for run in runs for lag in run.lag_s])
    return Outcome(
        detection=detection,
        classification=classification,
        at_annotated_r=Report(at_annotated_r, rules, classification.left_out),
        device=_confusion(device),
        annotated=_confusion(annotated),
        annotated_all=_confusion(annotated_all),
        lag_median_s=float(np.median(lags)) if len(lags) else None,
        lag_max_s=float(lags.max()) if len(lags) else None,
        cpu_s_per_hour=3600.0 * sum(r.cpu_s for r in runs) / sum(r.n_samples / r.fs_hz for r in runs),
    )


def _labels_of(run: RecordRun, rules: Rules) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """Of matched beats: expert, device, classifier at the annotated R. Of all compared beats: expert, the last."""
    class_of, pairing = CLASS_MAPS[rules.class_map], pairing_of(run, rules)
    at_r = dict(zip(run.annotated, run.annotated_labels, strict=True))
    both, alone = [], []
    device = {i: run.labels[j] for i, j in pairing.pairs}
    for i in sorted([*device, *pairing.missed]):
        sample, symbol = pairing.beats[i]
        if symbol in class_of and sample in at_r:
            alone.append((class_of[symbol], at_r[sample]))
            if i in device:
                both.append((class_of[symbol], device[i], at_r[sample]))
    return both, alone


def _confusion(pairs: Sequence[tuple[str, str]]) -> Confusion:
    codes = [(CLASSES.index(a), CLASSES.index(b)) for a, b in pairs]
    return Confusion.of([a for a, _ in codes], [b for _, b in codes], len(CLASSES))


def _confusion_json(confusion: Confusion) -> dict[str, Any]:
    return {
        "n": int(confusion.counts.sum()),
        "accuracy": confusion.accuracy,
        "macro_f1": confusion.macro_f1,
        "per_class": {
            name: {"n": c.n, "se": c.se, "ppv": c.ppv, "f1": c.f1}
            for name, c in zip(CLASSES, confusion.per_class(), strict=True)
        },
        "confusion": confusion.counts.tolist(),
    }
