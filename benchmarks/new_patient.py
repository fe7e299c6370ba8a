"""What a rhythm model reaches on test people, for docs/new-patient.md.

python -m benchmarks.new_patient MODEL --run RUN   measure, draw; each is a look at test people, and listed as one
python -m benchmarks.tables                        put the figures into the page
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.new_patient_plots import plot_all
from edge_ecg.errors import DataError, EdgeEcgError
from edge_ecg.rhythm_manifest import RhythmManifest
from edge_ecg.scoring.ec57 import COLUMNS, ROWS, Score
from edge_ecg.scoring.rules import Rules
from train.evaluation_plots import require_matplotlib
from train.rhythm_card import people_section

__all__ = ["CURVES", "RESULTS", "RUNS", "page", "read_results", "readme_rows"]

RESULTS = Path(__file__).parent / "results" / "new_patient"
DOCS = Path(__file__).resolve().parents[1] / "docs"
CURVES = "curves.json"
_WHOLE = ("--class-map", "aami5", "--start", "0")
RUNS: Mapping[str, tuple[str, ...]] = {
    "ds2": ("--records", "DS2", *_WHOLE),
    "ds2-ec57": ("--records", "DS2"),
    "ds2-noise": ("--records", "DS2", "--noise", "ma", "--snr", "12", *_WHOLE),
    "svdb": ("--records", "svdb-test", *_WHOLE),
    "svdb-ec57": ("--records", "svdb-test"),
}
"""Options of `edge-ecg evaluate --end-to-end` by name: all beats by the class map of the published sets, EC57's own
rules, and noise."""
_LEFT_OUT = {"ds2": ((), ("202",), ("232",), ("202", "232"))}
"""202 is the person of 201, who trained; 232 was looked at in a study before."""
_BUT = {"ds2": " (202 trained as 201)"}
_RATES = ("accuracy", "s_se", "s_ppv", "v_se", "v_ppv")


@click.command()
@click.argument("model")
@click.option("--run", "trained", required=True, type=click.Path(path_type=Path), help="Folder of its training.")
@click.option("--only", multiple=True, type=click.Choice(list(RUNS)), help="These; default: all.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, help="Of the figures.")
@click.option("--pictures", type=click.Path(path_type=Path), default=DOCS, help="Where to draw.")
def main(model: str, trained: Path, only: tuple[str, ...], out: Path, pictures: Path) -> None:
    """Score MODEL, a rhythm bundle, on the test people of mitdb and svdb.

    \b
    Example:
      python -m benchmarks.new_patient rhythm --run ~/.cache/edge-ecg/runs/rhythm-seed0
    """
    require_matplotlib()
    curves = trained / CURVES
    try:
        text = curves.read_text(encoding="utf-8")
    except OSError as error:
        hint = "Name the folder of a run of `edge-ecg train --network rhythm`"
        raise DataError(f"cannot read {curves}: {error.strerror}", hint) from None
    out.mkdir(parents=True, exist_ok=True)
    (out / CURVES).write_text(text, encoding="utf-8")
    for name in only or RUNS:
        command = [sys.executable, "-m", "edge_ecg.cli.main", "evaluate", "--end-to-end", model, *RUNS[name], "--json"]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if said.returncode:
            raise DataError(f"run {name} failed with exit code {said.returncode}", "It said why above")
        (out / f"{name}.json").write_text(json.dumps(json.loads(said.stdout), indent=1) + "\n", encoding="utf-8")
    plot_all(json.loads(text), read_results(out), pictures)
    click.echo(f"written: {out}\nnext: python -m benchmarks.tables")


def read_results(folder: Path) -> dict[str, Any]:
    """What `main` wrote, by name of the run; empty: nothing was measured."""
    files = {name: folder / f"{name}.json" for name in RUNS}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()}


def page(m: RhythmManifest, results: Mapping[str, Mapping[str, Any]], looks: Sequence[Mapping[str, Any]]) -> str:
    """The generated part of docs/new-patient.md.

    Parameters
    ----------
    m
        Of the bundle that ships.
    results
        What `main` wrote, by name of the run.
    looks
        Lines of `train/looks.jsonl`.
    """
    parts = [people_section(m)]
    for name, result in results.items():
        parts += [_title(result), _people(result, _LEFT_OUT.get(name.partition("-")[0], ((),))), _records(result)]
    return "\n\n".join([*parts, _looks(looks)])


def readme_rows(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Of README.md's table: the test people of each database, end to end."""
    rows = []
    for name in ("ds2", "svdb"):
        if (r := results.get(name)) is not None:
            report = r["classification_without_paced"]
            gross, median = report["gross"], report["median"]
            told = f"accuracy {_percent(gross['accuracy'])} %, " + ", ".join(
                f"{label.upper()} Se {_percent(gross[f'{label}_se'])} %, +P {_percent(gross[f'{label}_ppv'])} % "
                f"(median record {_percent(median[f'{label}_se'])} / {_percent(median[f'{label}_ppv'])} %)"
                for label in ("v", "s")
            )
            where = f"{r['records']}, {len(report['records'])} people{_BUT.get(name, '')}, end to end, {r['lead']}"
            rows.append(f"| **`{r['model']}`, people never seen** | {told} | {where} |")
    return rows


def _title(r: Mapping[str, Any]) -> str:
    rules = r["detection"]["rules"]["text"]
    agreement = r["label_agreement"]
    lag = r["lag_r_to_label_s"]
    told = f"## {r['records']}, class map {r['detection']['rules']['class_map']}, noise: {r['noise']}\n\n{rules}. "
    told += f"Operating point {r['operating_point']}, lead {r['lead']}."
    if agreement["difference_points"] is not None:
        told += f" Labels end to end against annotated R: {agreement['difference_points']:+.2f} points."
    return f"{told} R to label: median {1e3 * lag['median']:.0f} ms, at most {1e3 * lag['max']:.0f} ms."


def _people(r: Mapping[str, Any], left_out: Sequence[Sequence[str]]) -> str:
    rows = ["| | R | accuracy | S Se | S +P | V Se | V +P |", "|---|---|---|---|---|---|---|"]
    for key, name in (("classification_at_annotated_r", "annotated"), ("classification_without_paced", "detected")):
        report = r[key]
        for without in left_out:
            kept = [row for row in report["records"] if row["record"] not in without]
            what = "all beats" + (f", without {' and '.join(without)}" if without else "")
            rows.append(f"| {what} | {name} | {_cells(_pooled(kept).figures())} |")
        rows.append(f"| mean of records | {name} | {_cells(report['average'])} |")
        rows.append(f"| median of records | {name} | {_cells(report['median'])} |")
    return "\n".join(rows)


def _records(r: Mapping[str, Any]) -> str:
    rows = ["| record | beats | accuracy | S Se | S +P | V Se | V +P |", "|---|---|---|---|---|---|---|"]
    for row in r["classification_without_paced"]["records"]:
        rows.append(f"| {row['record']} | {row['matched'] + row['missed']:,} | {_cells(row)} |")
    return f"<details><summary>Each record, detected R</summary>\n\n{chr(10).join(rows)}\n\n</details>"


def _pooled(rows: Sequence[Mapping[str, Any]]) -> Score:
    """All records as one, of the counts only."""
    counts = np.array([[[row["counts"][a][b] for b in COLUMNS] for a in ROWS] for row in rows]).sum(axis=0)
    return Score.of_counts(counts, Rules())


def _cells(figures: Mapping[str, float | None]) -> str:
    return " | ".join(_percent(figures[name]) for name in _RATES)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _looks(looks: Sequence[Mapping[str, Any]]) -> str:
    rows = ["| when | what | people | commit | model |", "|---|---|---|---|---|"]
    for look in looks:
        if "detectors compared" not in look["what"]:
            when, commit = look["date_utc"][:16].replace("T", " "), look["commit"] or "-"
            model = (look.get("model_sha256") or "-")[:8]
            rows.append(f"| {when} | {look['what']} | {len(look['people'])} | {commit} | {model} |")
    table = "\n".join(rows)
    n_here = len(rows) - 2
    told = f"Each evaluation on test people is written down in `train/looks.jsonl`: {len(looks)} so far, {n_here} of "
    told += f"them of models and rhythms, below; the other {len(looks) - n_here} compared beat detectors."
    head = f"## Looks at test people\n\n{told}"
    return f"{head}\n\n<details><summary>Those of models and rhythms</summary>\n\n{table}\n\n</details>"


if __name__ == "__main__":
    try:
        main()
    except EdgeEcgError as error:
        sys.exit(f"error: {error}")
