"""An evaluation as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from train.evaluation import CLASS_FIGURES, Evaluation, Intervals

__all__ = ["HEADS", "PATIENT_RULE", "SHOWN_RECORDS", "evaluation_lines", "fraction", "interval", "percent"]

SHOWN_RECORDS = 50
"""Above this many records, text shows those with the most errors only; JSON and page have all."""

PATIENT_RULE = "mean probability of a patient's beats, above one half is abnormal"

HEADS = {"se": "Se %", "ppv": "+P %", "f1": "F1", "roc_auc": "ROC AUC", "pr_auc": "PR AUC"}
"""Of columns, by name of a figure."""


def evaluation_lines(found: Evaluation) -> list[str]:
    """Figures with their intervals, classes, confusion matrix, patients, records."""
    lines = [*_totals(found), "", *_classes(found), "", *_confusion(found), ""]
    if found.patients is not None:
        of = found.patients
        right = sum(row.is_right for row in of.rows)
        lines += [
            f"By patient ({PATIENT_RULE}): {right} of {len(of.rows)} right",
            f"  accuracy {of.accuracy:.4f} {interval(of.intervals['accuracy'])}  "
            f"ROC AUC {fraction(of.roc_auc)} {interval(of.intervals['roc_auc'])}  "
            f"PR AUC {fraction(of.pr_auc)} {interval(of.intervals['pr_auc'])}",
            "",
        ]
    return lines + _records(found)


def interval(limits: tuple[float, float] | None, *, in_percent: bool = False) -> str:
    """``[low, high]``, or ``[-]`` where there is none."""
    if limits is None:
        return "[-]"
    low, high = limits
    return f"[{100 * low:.2f}, {100 * high:.2f}]" if in_percent else f"[{low:.4f}, {high:.4f}]"


def percent(value: float | None) -> str:
    """A fraction in percent, or ``-``."""
    return "-" if value is None else f"{100 * value:.2f}"


def fraction(value: float | None) -> str:
    """With four digits, or ``-``."""
    return "-" if value is None else f"{value:.4f}"


def _totals(found: Evaluation) -> list[str]:
    kinds: list[tuple[str, Intervals]] = [("beats drawn", found.by_beats)]
    if found.by_patients is not None:
        kinds.append((f"{found.n_patients} patients drawn whole", found.by_patients))
    lines = []
    for name, key, value in (
        ("accuracy", "accuracy", found.confusion.accuracy),
        ("macro F1", "macro_f1", found.confusion.macro_f1),
    ):
        told = "  ".join(f"{interval(of[key][0])} {how}" for how, of in kinds)
        lines.append(f"{name:9} {value:.4f}  95 % {told}")
    ece = found.calibration.ece
    lines.append(
        f"ECE       {fraction(ece)}  ({len(found.calibration.n)} bins over the probability of the label given)"
    )
    return lines


def _classes(found: Evaluation) -> list[str]:
    wide = max(5, *map(len, found.classes))
    n_of = found.confusion.counts.sum(axis=1)
    of, how = (found.by_beats, "beats") if found.by_patients is None else (found.by_patients, "patients")
    lines = [
        f"{'class':{wide}} {'beats':>7}" + "".join(f"{HEADS[key]:>9}" for key in CLASS_FIGURES)
        + f"   Se 95 % ({how} drawn)   ROC AUC 95 %"
    ]  # fmt: skip
    for k, name in enumerate(found.classes):
        values = [found.per_class[key][k] for key in CLASS_FIGURES]
        cells = [percent(values[0]), percent(values[1]), *(fraction(v) for v in values[2:])]
        limits = f"   {interval(of['se'][k], in_percent=True):24}{interval(of['roc_auc'][k])}"
        lines.append(f"{name:{wide}} {n_of[k]:7d}" + "".join(f"{cell:>9}" for cell in cells) + limits)
    return lines


def _confusion(found: Evaluation) -> list[str]:
    wide = max(8, *(len(name) + 1 for name in found.classes))
    lines = ["confusion (rows: experts, columns: model)", " " * wide + _cells(found.classes, wide)]
    return lines + [
        f"{name:{wide}}" + _cells([str(n) for n in row], wide)
        for name, row in zip(found.classes, found.confusion.counts.tolist(), strict=True)
    ]


def _cells(texts: Sequence[str], wide: int) -> str:
    return "".join(f"{text:>{wide}}" for text in texts)


def _records(found: Evaluation) -> list[str]:
    rows = found.records if len(found.records) <= SHOWN_RECORDS else found.records[:20]
    less = "" if rows == found.records else f", the {len(rows)} with the most errors of {len(found.records)}"
    return [
        f"By record, most errors first{less}",
        f"{'record':>8} {'beats':>7} {'errors':>7} {'right %':>8}  most of them",
        *(
            f"{row.record:8d} {row.n:7d} {row.n_errors:7d} {percent(row.confusion.accuracy):>8}  "
            f"{row.worst(found.classes)}".rstrip()
            for row in rows
        ),
    ]
