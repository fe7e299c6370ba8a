"""The card of a rhythm model: what a person must know before using it, generated from its manifest."""

from __future__ import annotations

from collections.abc import Iterable

from edge_ecg.datasets import CATALOGUE
from edge_ecg.rhythm_manifest import RecordMedian, RhythmManifest

__all__ = ["card", "data_credit", "people_section", "summary"]

_PART_OF = {"nsrdb_2h": "nsrdb"}
"""Databases that are pieces of another."""


def card(m: RhythmManifest) -> str:
    """Markdown text of the card."""
    databases = sorted({record.partition("/")[0] for record in m.records})
    n_of = ", ".join(f"{sum(r.startswith(f'{d}/') for r in m.records)} of {d}" for d in databases)
    recipe = ", ".join(f"{name} {_plain(value)}" for name, value in m.recipe.items())
    tools = ", ".join(f"{name} {version}" for name, version in sorted(m.tool_versions.items()))
    biases = ", ".join(f"{name} {bias:+.3f}" for name, bias in m.calibration.biases.items())
    seen = f"version {m.preprocessing.version}, fingerprint `{m.preprocessing_fingerprint}`"
    commands = "".join(f"{command}\n" for command in m.commands)
    return f"""# {m.id}

**{m.intended_use}**

{m.n_trees:,} boosted trees as int8 tables, {m.bytes:,} bytes, run with numpy alone. Labels {", ".join(m.labels)}
(class map `{m.label_set}`): fusion beats (F) are not classified, and get one of the others. Learned from {m.lead}.

A beat is compared with the patient's own past, so the first minute of a patient is worth less: labels carry
`learning` and half the confidence. An ectopic rhythm that lasts becomes the patient's usual one after some minutes: its
beats are then called N.

{people_section(m)}

## Operating points
Before the largest probability decides, each is multiplied by:

{_points(m)}

Probabilities were calibrated on the same cross-validation: temperature {m.calibration.temperature:.3f}, biases
{biases}.

## What it sees
{len(m.preprocessing.columns)} features of each beat: R-R intervals, shape and P wave against the patient's past,
{seen}. R peaks by the project's own detector.

## How it was made
{len(m.records)} records ({n_of}), each with a disturbed copy. Seed {m.seed}. Data `{m.data_sha256[:16]}`.
Tools: {tools}.
Recipe: {recipe}.

```sh
{commands}```

Data: {data_credit([*databases, "nstdb"])}
"""


def people_section(m: RhythmManifest) -> str:
    """Figures of people whom the trees had not seen."""
    return f"""## Figures: people whom the trees had not seen, annotated R peaks
Cross-validation by whole patients, who chose neither trees nor calibration nor operating point; counted as EC57 does,
from the first beat on; sensitivity and positive predictivity in %. The figures over all beats are ruled by the few
records with most ectopic beats; the median record says what to expect of one patient.

{_people(m)}

Healthy people, each labelled by trees of others; false calls an hour:

{_healthy(m)}"""


def summary(m: RhythmManifest) -> list[str]:
    """What the cross-validation found, for a terminal."""
    lines = ["cross-validated by whole patients, sensitivity / positive predictivity in %:"]
    for point, by_database in m.cross_validation.items():
        told = []
        for database, x in by_database.items():
            of = (f"{label} {100 * c.se:.1f}/{100 * c.ppv:.1f}" for label, c in x.per_class.items())
            told.append(f"{database} {', '.join(of)}")
        healthy = m.healthy[point]
        told.append(f"healthy {healthy.false_s_per_hour:.2f} S and {healthy.false_v_per_hour:.2f} V an hour, false")
        lines.append(f"{point:<17} {'; '.join(told)}")
    return lines


def data_credit(databases: Iterable[str]) -> str:
    """Whose records they are: title, licence and citation of each database."""
    entries = [CATALOGUE[_PART_OF.get(name, name)] for name in databases]
    return " ".join(f"{e.title}. {e.licence}. {e.citation}." for e in entries)


def _people(m: RhythmManifest) -> str:
    labels = m.labels[1:]
    names = "".join(f" {label} Se / +P | {label} median record |" for label in labels)
    rows = [f"| operating point | database | records | beats | accuracy |{names}", "|---" * (5 + 2 * len(labels)) + "|"]
    for point, by_database in m.cross_validation.items():
        for database, x in by_database.items():
            cells = [point, database, str(x.n_records), f"{x.n_beats:,}", f"{100 * x.accuracy:.2f}"]
            for label in labels:
                of = x.per_class.get(label)
                cells.append("-" if of is None else f"{100 * of.se:.1f} / {100 * of.ppv:.1f}")
                cells.append(_median(x.record_median.get(label)))
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _median(of: RecordMedian | None) -> str:
    if of is None:
        return "-"
    return " / ".join("-" if value is None else f"{100 * value:.1f}" for value in (of.se, of.ppv))


def _healthy(m: RhythmManifest) -> str:
    rows = ["| operating point | people | hours | false S | false V |", "|---|---|---|---|---|"]
    rows += [
        f"| {point} | {x.n_people} | {x.hours:.1f} | {x.false_s_per_hour:.2f} | {x.false_v_per_hour:.2f} |"
        for point, x in m.healthy.items()
    ]
    return "\n".join(rows)


def _points(m: RhythmManifest) -> str:
    rows = [f"| | {' | '.join(m.labels)} |", "|---" * (1 + len(m.labels)) + "|"]
    rows += [
        f"| {name} | {' | '.join(f'{factors[label]:.3g}' for label in m.labels)} |"
        for name, factors in m.operating_points.items()
    ]
    return "\n".join(rows)


def _plain(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
