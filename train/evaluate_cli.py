"""`edge-ecg evaluate --end-to-end`: real records through the whole device, scored by EC57."""

from __future__ import annotations

import json
import math
import shlex
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from edge_ecg.datasets import ONE_PERSON, data_root
from edge_ecg.errors import DataError, UsageError
from edge_ecg.labels import LABEL_SETS, OperatingPoint
from edge_ecg.manifest import Bundle, load_any
from edge_ecg.rhythm_manifest import RhythmBundle, RhythmManifest
from edge_ecg.scoring.rules import Rules
from train.end_to_end import lead_as_heard, run_all
from train.end_to_end_report import html_report
from train.end_to_end_score import Outcome, outcome_of
from train.looks import append_look
from train.noise import NOISES, read_noise
from train.people import SVDB_TEST, only_test_people
from train.record_files import listed_records
from train.record_run import Noise, RecordRun, Task
from train.splits import DS1, DS2
from train.window_set import runs_root

__all__ = ["RECORD_SETS", "evaluate_end_to_end", "find_records", "looked_at", "noise_of"]

RECORD_SETS = {
    "DS1": ("mitdb", DS1),
    "DS2": ("mitdb", DS2),
    "all": ("mitdb", None),
    "svdb": ("svdb", None),
    "svdb-test": ("svdb", tuple(sorted(SVDB_TEST))),
}
"""Database and records of each set; None: all that its list names."""
SNR_DB = (-6.0, 24.0)
SCHEMA = 1


def evaluate_end_to_end(
    model: str,
    records: str,
    *,
    lead: str | None,
    noise: str | None,
    snr_db: float | None,
    out: Path | None,
    class_map: str,
    start_s: float,
    jobs: int,
    operating_point: OperatingPoint | None,
    as_json: bool,
) -> None:
    """Run, score, write the annotation files and the reports, print one of them."""
    bundle = load_any(model)
    if operating_point is not None and isinstance(bundle, Bundle):
        hint = "Leave --operating-point out, or name a rhythm model"
        raise UsageError(f"{bundle.manifest.id} is a network and has no operating points", hint)
    if not set(bundle.manifest.labels) <= set(LABEL_SETS["aami5"]):
        raise UsageError(
            f"{bundle.manifest.id} gives {', '.join(bundle.manifest.labels)}; EC57 wants N, S, V, F, Q or some of them",
            "Name a model of the beat classes",
        )
    added, stems, rules = noise_of(noise, snr_db), find_records(records), Rules(class_map, start_s)
    folder = out or runs_root() / "end-to-end" / _run_name(bundle, records, lead, added, rules, operating_point)
    of_all = (str(bundle.folder.absolute()), folder.absolute(), lead, added, operating_point)
    tasks = [Task(stem.absolute(), *of_all) for stem in stems]
    runs = _run(tasks, jobs)
    outcome = outcome_of(runs, rules)
    if not any(row.counts.any() for row in outcome.detection.rows):
        raise DataError(f"no beat is compared: no record goes beyond {start_s:g} s", "Compare all of it with --start 0")
    facts = _facts(bundle, records, runs, rules, added, operating_point)
    table = {"schema": SCHEMA, **facts, **outcome.to_json()}
    _write(folder / "report.json", json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    by_name = dict(zip((run.record for run in runs), tasks, strict=True))
    _write(folder / "report.html", html_report(facts, outcome, runs, lambda name: lead_as_heard(by_name[name])[0]))
    _tell_look(facts, outcome, stems)
    if as_json:
        click.echo(json.dumps(table, indent=1, ensure_ascii=False))
        return
    width = max(map(len, facts))
    told = [f"{name.replace('_', ' '):{width}}  {value}" for name, value in facts.items()]
    for line in [*told, "", *outcome.lines()]:
        click.echo(line)
    click.echo(f"\nannotations (annotator `edge`), report.json, report.html: {folder}")


def find_records(name: str) -> list[Path]:
    """Paths without suffix of a set of `RECORD_SETS`, of the annotated records of a folder, or of one.

    Raises
    ------
    UsageError
        Neither a set, a folder nor a record.
    DataError
        No record there, or one without annotations.
    """
    if name in RECORD_SETS:
        database, numbers = RECORD_SETS[name]
        folder = data_root() / database
        stems = listed_records(folder, database, f"edge-ecg data fetch {database}")
        if numbers is not None:
            stems = [folder / str(number) for number in numbers]
    else:
        folder = Path(name).expanduser()
        is_record = folder.with_name(f"{folder.name}.hea").is_file()
        if not is_record and not folder.is_dir():
            raise UsageError(
                f"no records {name!r}", f"Known are {', '.join(RECORD_SETS)}; or give a folder of records, or a record"
            )
        index = folder / "RECORDS"
        if is_record:
            stems = [folder]
        elif index.is_file():
            stems = [folder / record for record in index.read_text(encoding="utf-8", errors="replace").split()]
        else:
            stems = [file.with_suffix("") for file in sorted(folder.glob("*.hea"))]
    if not stems:
        raise DataError(f"no WFDB record in {folder}", "It must hold .hea, .dat and .atr files")
    for stem in stems:
        for suffix, what in ((".hea", "header"), (".atr", "annotations")):
            if not stem.with_name(f"{stem.name}{suffix}").is_file():
                raise DataError(
                    f"record {stem} has no {what} ({stem.name}{suffix})",
                    "Only annotated records can be scored; leave it out of RECORDS, or use `edge-ecg replay`",
                )
    doubled = {stem.name for stem in stems if sum(other.name == stem.name for other in stems) > 1}
    if doubled:
        raise DataError(f"{folder} names {', '.join(sorted(doubled))} more than once", "Name each record once")
    return stems


def noise_of(name: str | None, snr_db: float | None) -> Noise | None:
    """The noise of the options, looked at before the work begins.

    Raises
    ------
    UsageError
        An unknown name, a strength out of range, one option without the other.
    """
    if name is None or snr_db is None:
        if name is None and snr_db is None:
            return None
        given, wanted = ("--noise", "--snr") if snr_db is None else ("--snr", "--noise")
        raise UsageError(f"{given} is given without {wanted}", "Such as --noise ma --snr 12")
    low, high = SNR_DB
    if not (math.isfinite(snr_db) and low <= snr_db <= high):
        raise UsageError(f"--snr must lie from {low:g} to {high:g} dB, found {snr_db:g}", "Such as --snr 12")
    read_noise(name)
    return Noise(name if name in NOISES else str(Path(name).expanduser().absolute()), snr_db)


def _run(tasks: Sequence[Task], jobs: int) -> list[RecordRun]:
    n_held = 0
    with tqdm(total=len(tasks), unit="record", desc="end to end", disable=None) as bar:

        def progress(run: RecordRun, held: bool) -> None:
            nonlocal n_held
            n_held += held
            bar.set_postfix_str(run.record, refresh=False)
            bar.update()

        try:
            runs = run_all(tasks, jobs, progress)
        except KeyboardInterrupt:
            bar.close()
            click.echo("records that are done are kept: the same command goes on from there", err=True)
            raise
    if n_held:
        click.echo(f"{n_held} of {len(tasks)} records were there from an earlier run", err=True)
    return runs


def _facts(
    bundle: Bundle | RhythmBundle, records: str, runs: Sequence[RecordRun], rules: Rules, noise: Noise | None,
    operating_point: OperatingPoint | None,
) -> dict[str, str]:  # fmt: skip
    manifest = bundle.manifest
    part = "second half of " if noise and noise.name in NOISES else ""
    leads = {lead: [r.record for r in runs if r.lead == lead] for lead in dict.fromkeys(r.lead for r in runs)}
    usual = max(leads, key=lambda lead: len(leads[lead]))
    others = [f"{lead or '(no name)'} for {' '.join(names)}" for lead, names in leads.items() if lead != usual]
    return {
        "model": manifest.id,
        "model_sha256": manifest.sha256,
        **({"operating_point": operating_point or "balanced"} if isinstance(bundle, RhythmBundle) else {}),
        "trained_on": _trained_on(bundle) + _learned(bundle, runs, records),
        "records": f"{records} ({len(runs)})",
        "lead": "; ".join([usual or "(no name)", *others]),
        "noise": f"{part}{noise.name}, {noise.snr_db:g} dB, nst protocol" if noise else "none added",
        "rules": rules.text,
        "command": shlex.join(["edge-ecg", *sys.argv[1:]]),
    }


def _trained_on(bundle: Bundle | RhythmBundle) -> str:
    if isinstance(bundle, RhythmBundle):
        databases = sorted({record.partition("/")[0] for record in bundle.manifest.records})
        return f"{len(bundle.manifest.records)} records of {', '.join(databases)}"
    m = bundle.manifest
    both = "patients stand on BOTH sides of it" if m.patients_on_both_sides else "no patient on both sides"
    return f"{m.dataset}, {m.split} split: {both}"


def _learned(bundle: Bundle | RhythmBundle, runs: Sequence[RecordRun], records: str) -> str:
    """A warning when the scored people took part in the training of the model."""
    database = RECORD_SETS[records][0] if records in RECORD_SETS else Path(records).expanduser().resolve().name
    learned = [run.record for run in runs if _has_learned(bundle, database, run.record)]
    if not learned:
        return ""
    who = "all of these records" if len(learned) == len(runs) else f"{len(learned)} of these records"
    return f". Beats of {who} took part in training: its labels here are no test"


def _has_learned(bundle: Bundle | RhythmBundle, database: str, record: str) -> bool:
    m = bundle.manifest
    if isinstance(m, RhythmManifest):
        return m.learned(database, record)
    same = ONE_PERSON.get((database, record), record)
    return m.dataset == database and (m.split == "random" or bool({record, same} & set(map(str, DS1))))


def _run_name(
    bundle: Bundle | RhythmBundle, records: str, lead: str | None, noise: Noise | None, rules: Rules,
    operating_point: OperatingPoint | None,
) -> str:  # fmt: skip
    """Another for each thing asked: no report replaces one of other records or rules."""
    of = records
    if records not in RECORD_SETS:
        folder = Path(records).expanduser().resolve()
        of = f"{folder.name}-{zlib.crc32(str(folder).encode()):08x}"
    parts = [bundle.manifest.id, *([operating_point] if operating_point else [])]
    parts += [of, *([f"lead-{lead}"] if lead else [])]
    parts += [rules.class_map, f"from{rules.start_s:g}s"] if rules != Rules() else []
    if noise:
        parts += [Path(noise.name).name, f"{noise.snr_db:g}dB"]
    return "-".join("".join(c if c.isalnum() or c in "-_." else "_" for c in part) for part in parts)


def _tell_look(facts: dict[str, Any], outcome: Outcome, stems: Sequence[Path]) -> None:
    people = looked_at(stems)
    if people:
        point = f" ({facts['operating_point']})" if "operating_point" in facts else ""
        what = f"end to end on {facts['records']}, {facts['model']}{point}, noise {facts['noise']}; {facts['rules']}"
        append_look(what, people, outcome.figures(), facts["command"], facts["model_sha256"])


def looked_at(stems: Sequence[Path]) -> list[str]:
    """Which of the records are of people who only test; a folder of links is no other people."""
    files = [stem.with_name(f"{stem.name}.hea").resolve() for stem in stems]
    return [name for file in files for name in only_test_people(file.parent.name, [file.stem])]


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {file}: {error.strerror}", "Name another folder with --out") from None
