"""The long tables of what `benchmarks.training` measured: by class, by record, and on disturbed records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.training_cells import about, classes_table, limits, mean_of, number, percent, section, sentence, table
from benchmarks.training_results import NETWORKS, Group, Result, best_of
from edge_ecg.scoring.confusion import Confusion, ec57_score
from train.evaluation import RecordRow

__all__ = ["SAME_PERSON", "bundles", "new_patients", "sturdiness"]

SAME_PERSON = "201 (DS1) and 202 (DS2) are one person"

_RATES = ("v_se", "v_ppv", "s_se", "s_ppv")


def bundles(results: Sequence[Result]) -> str:
    """All bundles beside each other; then every class of each, and the intervals of the totals."""
    shipped = [r for r in results if r.is_bundle]
    lines = _all_bundles(shipped)
    for r in shipped:
        t, intervals = r.table, r.table["intervals"]
        drawn = {"over_beats": "beats drawn", "over_patients": f"{intervals['n_patients']} patients drawn whole"}
        told = []
        for key, name in {"accuracy": "Accuracy", "macro_f1": "macro F1"}.items():
            found = [f"{limits(intervals[kind][key])} {how}" for kind, how in drawn.items() if intervals[kind]]
            told.append(f"{name} {number(t[key])}, 95 %: {', '.join(found)}")
        lines += [
            f"### `{r.name}`", "", f"{about(r)}; {t['bytes']:,} bytes, seed {r.seed}.", "",
            f"{'; '.join(told)}. Calibration error (ECE) {number(t['calibration']['ece'])}.", "",
            *classes_table(t), "",
        ]  # fmt: skip
    return section("Shipped bundles, class by class", lines[:-1]) if lines else ""


def _all_bundles(shipped: Sequence[Result]) -> list[str]:
    rows = [
        [f"`{r.name}`", f"{r.table['dataset']}, `{r.table['split']}`", f"{r.table['bytes'] / 1000:,.0f}",
         number(r.table["accuracy"]), number(r.table["macro_f1"]), number(r.auc) if r.is_binary else ""]
        for r in shipped
    ]  # fmt: skip
    return [*table(["bundle", "test part", "KB", "accuracy", "macro F1", "AUC"], rows), ""] if rows else []


def new_patients(results: Sequence[Result]) -> str:
    """The runs trained on DS1 and tested on DS2, by EC57's classes, each record in a row."""
    lines: list[str] = []
    for network, name in NETWORKS.items():
        run = best_of(results, Group("mitdb", network, "inter"))
        if run is not None:
            t = run.table
            lines += [
                f"### {sentence(name)}", "",
                f"{about(run)}; seed {run.seed}. Accuracy {number(t['accuracy'])}, "
                f"macro F1 {number(t['macro_f1'])}.", "",
                *classes_table(t), "", *_records(run), "",
            ]  # fmt: skip
    if not lines:
        return ""
    intro = [
        "Beat by beat at known R, so none is missed or extra; classes and rules of ANSI/AAMI EC57, class map `aami5`,",
        f"paced records out. {SAME_PERSON}. By record, F and Q beats called V do not count against V +P, nor Q beats",
        "called S against S +P; by class, they do. A dash: nothing to divide by. *Average*: of records that have it.",
    ]
    return section("New patients, by class and record (mitdb, DS1 → DS2)", [*intro, "", *lines[:-1]])


def _records(run: Result) -> list[str]:
    t = run.table
    of = sorted(t["records"], key=lambda row: int(row["record"]))
    scores = [ec57_score(row["confusion"]) for row in of]
    gross = ec57_score(t["confusion"])
    rows = [
        [str(row["record"]), f"{row['n']:,}", str(row["errors"]), percent(row["accuracy"]),
         *(percent(getattr(score, rate)) for rate in _RATES), _worst(row["confusion"], t["classes"])]
        for row, score in zip(of, scores, strict=True)
    ]  # fmt: skip
    rows += [
        ["**gross**", f"{t['n']:,}", str(sum(row["errors"] for row in of)), percent(t["accuracy"]),
         *(percent(getattr(gross, rate)) for rate in _RATES), _worst(t["confusion"], t["classes"])],
        ["**average**", "", "", percent(float(np.mean([row["accuracy"] for row in of]))),
         *(percent(mean_of(scores, rate)) for rate in _RATES), ""],
    ]  # fmt: skip
    head = ["record", "beats", "errors", "right %", "V Se %", "V +P %", "S Se %", "S +P %", "most of the errors"]
    return table(head, rows)


def _worst(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    return str(RecordRow(0, 0, Confusion(np.array(confusion))).worst(classes))


def sturdiness(results: Sequence[Result]) -> str:
    """Points of accuracy that disturbed records cost."""
    found = {r.name: r.table["sturdiness"] for r in results if r.table["sturdiness"]}
    if not found:
        return ""
    what = {name: c["what"] for told in found.values() for name, c in told["conditions"].items()}
    disturbed = [name for name in what if name != "clean"]
    rows = []
    for name, told in found.items():
        held = told["conditions"]
        losses = [f"{held[c]['loss_points']:.2f}" if c in held else "" for c in disturbed]
        rows.append([f"`{name}`", number(held["clean"]["accuracy"]), *losses])
    first = next(iter(found.values()))
    lines = [
        f"Points of accuracy lost; the id says the precision. mitdb, `{first['split']}` split, {first['n']:,} test",
        f"beats, lead {first['lead']}, class map `aami5`; {first['rules']}.",
        "",
        *(f"- `{name}`: {what[name]}" for name in disturbed),
    ]
    return section("Sturdiness", lines, table(["bundle", "clean accuracy", *(f"`{c}`" for c in disturbed)], rows))
