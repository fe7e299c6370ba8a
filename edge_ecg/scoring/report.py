"""The scores of many records: one row each, pooled (gross) and averaged, as ``sumstats`` lays them out."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from edge_ecg.errors import UsageError
from edge_ecg.scoring.ec57 import COLUMNS, FIGURES, ROWS, RecordScore, Score
from edge_ecg.scoring.rules import Rules

__all__ = ["RATES", "SCHEMA", "Report"]

SCHEMA = 1

# Each column of `sumstats` is a sum of cells. The prime says that it holds more than its name: a beat of class Q
# counts with F, a label f or q with n.
_COLUMNS = {
    "Nn'": "Nn Nf Nq",
    "Sn'": "Sn Sf Sq",
    "Vn'": "Vn Vf Vq",
    "Fn'": "Fn Ff Fq Qn Qf Qq",
    "On'": "On Of Oq",
    "Ns": "Ns",
    "Ss": "Ss",
    "Vs": "Vs",
    "Fs'": "Fs Qs",
    "Os'": "Os",
    "Nv": "Nv",
    "Sv": "Sv",
    "Vv": "Vv",
    "Fv'": "Fv Qv",
    "Ov'": "Ov",
    "No'": "No",
    "So'": "So",
    "Vo'": "Vo",
    "Fo'": "Fo Qo",
}
_IN_SHUTDOWN = {
    "On'": "Xn Xf Xq",
    "Os'": "Xs",
    "Ov'": "Xv",
    "No'": "Nx",
    "So'": "Sx",
    "Vo'": "Vx",
    "Fo'": "Fx Qx",
}
RATES = {"Q Se": "q_se", "Q +P": "q_ppv", "V Se": "v_se", "V +P": "v_ppv", "S Se": "s_se", "S +P": "s_ppv"}
_MISSED_IN_SHUTDOWN = ("Nx", "Sx", "Vx", "Fx", "Qx")


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of records under one set of rules.

    Attributes
    ----------
    rows
        One score per record.
    rules
        What all of them were reached with.
    left_out
        Records that `without` took away, and why.

    Raises
    ------
    UsageError
        When a row was scored by other rules: their numbers never share a table.
    """

    rows: Sequence[RecordScore]
    rules: Rules
    left_out: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if row.rules != self.rules:
                raise UsageError(
                    f"record {row.record} was scored by other rules ({row.rules.text}) than this report "
                    f"({self.rules.text})",
                    "Score all records with the same rules",
                )

    @property
    def gross(self) -> Score:
        """All records as if they were one."""
        return Score.pooled(self.rows, self.rules)

    @property
    def average(self) -> dict[str, float | None]:
        """Mean over the records of each of `FIGURES`; records that have no such figure do not take part."""
        means: dict[str, float | None] = {}
        for name in FIGURES:
            values = [v for row in self.rows if (v := getattr(row, name)) is not None]
            means[name] = sum(values) / len(values) if values else None
        return means

    @property
    def median(self) -> dict[str, float | None]:
        """Median over the records of each of `FIGURES`: what to expect of one patient."""
        medians: dict[str, float | None] = {}
        for name in FIGURES:
            values = [v for row in self.rows if (v := getattr(row, name)) is not None]
            medians[name] = statistics.median(values) if values else None
        return medians

    @property
    def paced(self) -> tuple[str, ...]:
        """Records among the rows that hold paced beats."""
        return tuple(row.record for row in self.rows if row.n_paced)

    def without(self, records: Iterable[str], reason: str = "paced beats") -> Report:
        """The report without some records; its table and its JSON name them, and why."""
        names = set(records)
        gone = tuple((row.record, reason) for row in self.rows if row.record in names)
        return Report([row for row in self.rows if row.record not in names], self.rules, (*self.left_out, *gone))

    def table(self) -> str:
        """The report as text: rules, the table of ``sumstats``, and one of shutdown and what is left out."""
        return "\n".join([self.rules.text, *self._notes(), "", *self._beats(), "", *self._shutdown()])

    def to_json(self) -> dict[str, object]:
        """The report for machines: figures are fractions, or null where there is nothing to divide by."""
        return {
            "schema": SCHEMA,
            "rules": {**asdict(self.rules), "text": self.rules.text},
            "records": [
                {
                    "record": row.record,
                    **_score_json(row),
                    "missed_at": list(row.missed_at),
                    "extra_at": list(row.extra_at),
                }
                for row in self.rows
            ],
            "gross": _score_json(self.gross),
            "average": self.average,
            "median": self.median,
            "left_out": dict(self.left_out),
            "paced": list(self.paced),
        }

    def _notes(self) -> list[str]:
        notes = []
        for reason in dict.fromkeys(reason for _, reason in self.left_out):
            names = " ".join(record for record, why in self.left_out if why == reason)
            notes.append(f"left out: {names} ({reason})")
        if self.paced:
            notes.append(f"paced beats in {' '.join(self.paced)}: EC57's totals for V and S leave such records out")
        if unmapped := self.gross.n_unmapped:
            notes.append(f"{unmapped} beats of a symbol outside class map {self.rules.class_map} count as Q")
        return notes

    def _beats(self) -> list[str]:
        gross = self.gross
        lines = [
            ["Record", *_COLUMNS, *RATES, "RR err"],
            *([row.record, *_cells(row), *_rates(row.figures())] for row in self.rows),
            ["Sum", *_cells(gross), *[""] * (len(RATES) + 1)],
            ["Gross", *[""] * len(_COLUMNS), *_rates(gross.figures())],
            ["Average", *[""] * len(_COLUMNS), *_rates(self.average)],
            ["Median", *[""] * len(_COLUMNS), *_rates(self.median)],
        ]
        judged = gross.matched + gross.missed + gross.missed_in_shutdown
        v, s = int(gross.counts[2].sum()), int(gross.counts[1].sum())
        n = len(self.rows)
        return [
            *_aligned(lines, rule_after=n),
            f"Beats: {judged}  V: {v}  S: {s}  in {n} record{'' if n == 1 else 's'}; Se, +P in %, RR err in ms",
        ]

    def _shutdown(self) -> list[str]:
        head = ["Record", *_MISSED_IN_SHUTDOWN, "% beats", "extra", "shutdown s", "of s", "in flutter", "V FPR", "acc"]
        lines = [head, *([row.record, *_aside(row)] for row in self.rows), ["Gross", *_aside(self.gross)]]
        return [
            *_aligned(lines, rule_after=len(self.rows)),
            "Nx ... Qx: beats missed in shutdown, % of all; extra: detections without a beat in shutdown; "
            "in flutter: detections left out",
        ]


def _cells(score: Score) -> list[str]:
    counted = score.rules.shutdown == "counted"
    sums = []
    for name, cells in _COLUMNS.items():
        more = _IN_SHUTDOWN.get(name, "") if counted else ""
        sums.append(str(score.count(*cells.split(), *more.split())))
    return sums


def _rates(figures: dict[str, float | None]) -> list[str]:
    error_ms = figures["rr_error_ms"]
    return [*(_percent(figures[name]) for name in RATES.values()), "-" if error_ms is None else f"{error_ms:.2f}"]


def _aside(score: Score) -> list[str]:
    n = score.matched + score.missed + score.missed_in_shutdown
    return [
        *(str(score.count(cell)) for cell in _MISSED_IN_SHUTDOWN),
        _percent(score.missed_in_shutdown / n if n else None),
        str(score.extra_in_shutdown),
        f"{score.shutdown_s:.1f}",
        "-" if score.evaluated_s is None else f"{score.evaluated_s:.1f}",
        str(score.n_in_flutter),
        _percent(score.v_fpr, digits=3),
        _percent(score.accuracy),
    ]


def _percent(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f}"


def _aligned(lines: list[list[str]], rule_after: int) -> list[str]:
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    texts = [" ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    texts.insert(rule_after + 1, "_" * max(map(len, texts)))
    return texts


def _score_json(score: Score) -> dict[str, object]:
    timing = score.timing
    return {
        "counts": {
            r: {c: int(score.counts[i, k]) for k, c in enumerate(COLUMNS)} for i, r in enumerate(ROWS)
        },
        "matched": score.matched,
        "missed": score.missed,
        "missed_in_shutdown": score.missed_in_shutdown,
        "extra": score.extra,
        "extra_in_shutdown": score.extra_in_shutdown,
        **score.figures(),
        "r_error_median_ms": timing.median_ms if timing else None,
        "r_error_p95_ms": timing.p95_ms if timing else None,
        "evaluated_s": score.evaluated_s,
        "shutdown_s": score.shutdown_s,
        "n_in_flutter": score.n_in_flutter,
        "n_unmapped": score.n_unmapped,
        "n_paced": score.n_paced,
    }
