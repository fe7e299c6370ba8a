"""The model card: what a person must know before using a bundle, generated from its manifest."""

from __future__ import annotations

from collections.abc import Mapping

from edge_ecg.datasets import CATALOGUE
from edge_ecg.manifest import Metrics, ModelManifest
from quantize.parity import MaxDrop, parity_rows, parity_sentence

__all__ = ["card", "data_credit"]

_DATABASES = {"mitdb": ("mitdb",), "ptb": ("ecgdb_lead1", "ptbdb"), "ptbdb": ("ptbdb",)}
"""What a data set is made of; own data of nothing public."""

_INFARCTION = (
    "\nnormal: a healthy person's beat; abnormal: a beat of a person with a myocardial infarction. The diagnosis is the person's, not the beat's."
)
_MEANING = {"ptb": _INFARCTION, "ptbdb": _INFARCTION}
"""What the classes of a binary data set say."""

_WHOSE = {
    "inter": "people it has not seen (but for 202, the same person as 201)",
    "patient": "people it has not seen: each fold by the model of the other folds",
    "random": "people whose other beats trained it",
}
"""The beats of another split, of whom; `inter` is a split of mitdb only."""


def card(m: ModelManifest) -> str:
    """Markdown text of the card."""
    both = "yes: beats of one patient train and test it, so a new patient gets worse labels" if (
        m.patients_on_both_sides
    ) else "no"
    fold = "" if m.fold is None else f" (fold {m.fold} of 0 to {(m.n_folds or 1) - 1})"
    commands = "\n".join(m.commands)
    return f"""# {m.id}

**{m.intended_use}**
{_bench_only(m)}{_foreign(m)}
The `{m.network}` network ({m.n_parameters:,} parameters) on `{m.dataset}`, {m.precision}, {m.bytes:,} bytes,
labels {", ".join(m.labels)} (class map `{m.label_set}`), lead {m.lead}.{_MEANING.get(m.dataset, "")}{_starts(m)}{_changes(m)}{_runtimes(m)}

## Figures: test part of the `{m.split}` split{fold}, {m.metrics.n:,} beats, {_positions(m)} beats, lead {m.lead}
Patients on both sides of the split: {both}.

{_figures(_own_figures(m))}

{_classes(m.metrics)}
{_per_patient(m.metrics)}
Confusion (rows: experts, columns: model, in the order {" ".join(m.labels)}):

```
{_confusion(m.metrics)}
```
{_parity(m)}{_other_splits(m)}{_sturdiness(m)}
## What it sees
{_windows(m)}

## How it was made
{_seed(m)}Data `{m.data_sha256[:16]}`. Tools: {", ".join(f"{k} {v}" for k, v in sorted(m.tool_versions.items()))}.{_calibration(m)}
How the project's recipes were set, and which test figures were known by then: docs/training.md of the project.

```sh
{commands}
```

Data: {_credits(m)}
"""


def data_credit(dataset: str) -> str:
    """Whose records they are: title, licence and citation of the databases; for own data its name."""
    entries = [CATALOGUE[name] for name in _DATABASES.get(dataset, ())]
    if not entries:
        return f"{dataset}, own records."
    return " ".join(f"{e.title}. {e.licence}. {e.citation}." for e in entries)


def _bench_only(m: ModelManifest) -> str:
    if not m.bench_only:
        return ""
    return "\n**For benchmarks only.** `edge-ecg evaluate` scores it; whatever labels beats refuses it.\n"


def _foreign(m: ModelManifest) -> str:
    if not m.is_foreign:
        return ""
    return """
**The network came as a Keras file.** How it was trained and on which beats is not known: beats of the test part may be
among them, and then the figures below are better than those of new beats.
"""


def _starts(m: ModelManifest) -> str:
    if not m.starts:
        return ""
    told = ", which began with ".join(f"`{s.title}` (`{s.dataset}`, `{s.split}` split)" for s in m.starts)
    return f"\nIts training began with the weights of {told}."


def _credits(m: ModelManifest) -> str:
    return " ".join(data_credit(name) for name in dict.fromkeys([m.dataset, *(s.dataset for s in m.starts)]))


def _changes(m: ModelManifest) -> str:
    return f"\nChanged after its training: {', then '.join(m.changes)}." if m.changes else ""


def _runtimes(m: ModelManifest) -> str:
    if m.precision != "dynamic":
        return ""
    return "\ntflite-runtime 2.14 (32-bit Arm) cannot load it: its FULLY_CONNECTED is younger. ai-edge-litert can."


def _seed(m: ModelManifest) -> str:
    return "" if m.is_foreign else f"Seed {m.seed}{_choice(m)}. "


def _calibration(m: ModelManifest) -> str:
    c = m.calibration
    if c is None:
        return ""
    shares = ", ".join(f"{n} {name}" for name, n in c.per_class.items())
    return f"\nRanges from {c.n} beats of the training part ({shares}), drawn with seed {c.seed}."


def _own_figures(m: ModelManifest) -> dict[str, Metrics]:
    rows = {f"{m.precision} (this file)": m.metrics}
    if m.changed_metrics is not None:
        rows["float32 (changed, before conversion)"] = m.changed_metrics
    return rows | {"float32 (as it was trained)": m.float_metrics}


def _parity(m: ModelManifest) -> str:
    if m.parity is None:
        return ""
    lost = "" if m.parity.is_within else (
        f" **It loses more than the {MaxDrop(*m.parity.max_drop)} points of accuracy and macro F1 that were allowed.**"
    )
    rows = "\n".join(
        f"| {row.name} | {_percent(row.before)} | {_percent(row.after)} | {_percent(row.points, '+')} |"
        for row in parity_rows(m)
    )
    return f"""
## What the conversion cost
{parity_sentence(m)}{lost}

| % | float32, as trained | {m.precision}, this file | points |
|---|---|---|---|
{rows}
"""


def _percent(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.2f}"


def _positions(m: ModelManifest) -> str:
    # The raw PTB records have no annotated beats.
    return "detected" if m.dataset == "ptbdb" else "annotated"


def _windows(m: ModelManifest) -> str:
    w = m.preprocessing.window
    if m.segmentation == "paper":
        return f"""The published windows (Kachuee et al., arXiv 1805.00794, III-A), which look ahead: 10 s stretches at {w.fs_hz:g} Hz scaled by their
extremes, from each annotated R {w.length_rr:g} times the median R-R interval of the stretch, zero-padded to {w.n_samples} samples. No device can cut them."""
    early = "\nScaling each beat to [0, 1] hides how early it came: S beats of a new patient are mostly missed." if (
        m.label_set == "aami5"
    ) else ""
    return f"""One beat: R to R + {w.length_rr:g} T at {w.fs_hz:g} Hz, T the median R-R interval of the past {w.rr_history_s:g} s, causal
{m.preprocessing.highpass_hz:g} Hz high-pass, scaled to [0, 1] by the {w.scale} extremes of the past {w.scale_history_s:g} s, zero-padded to {w.n_samples}
samples. Preprocessing version {m.preprocessing_version}, fingerprint `{m.preprocessing_fingerprint}`. R peaks by the project's own detector.{early}"""


def _choice(m: ModelManifest) -> str:
    if len(m.seeds) < 2:
        return ""
    of_two = all(f.validation_auc is not None for f in m.seeds.values())
    figures = "; ".join(
        f"seed {s}: {f.validation_accuracy:.4f} / {f.validation_auc if of_two else f.validation_macro_f1:.4f}"
        for s, f in sorted(m.seeds.items(), key=lambda item: int(item[0]))
    )
    what = "AUC" if of_two else "macro F1"
    return f", the best of {len(m.seeds)} on the validation part (accuracy / {what} there: {figures})"


def _other_splits(m: ModelManifest) -> str:
    lines = []
    for name, x in m.metrics_of_other_splits.items():
        lines.append(
            f"""
### The same recipe on the `{name}` split, {x.n:,} beats of {_WHOSE.get(name, "that split")}

{_figures({m.precision: x})}

{_classes(x)}
{_per_patient(x)}"""
        )
    return "".join(lines)


def _figures(rows: Mapping[str, Metrics]) -> str:
    of_two = any(x.roc_auc is not None for x in rows.values())
    lines = [f"| | accuracy | macro F1 |{' ROC AUC |' if of_two else ''}", f"|---|---|---|{'---|' if of_two else ''}"]
    for name, x in rows.items():
        area = f" {_area(x.roc_auc)} |" if of_two else ""
        lines.append(f"| {name} | {x.accuracy:.4f} | {x.macro_f1:.4f} |{area}")
    return "\n".join(lines)


def _per_patient(x: Metrics) -> str:
    p = x.per_patient
    if p is None:
        return ""
    return (
        f"\nPer patient, by the mean probability of their beats: {p.n} patients, accuracy {p.accuracy:.4f}, "
        f"ROC AUC {_area(p.roc_auc)}.\n"
    )


def _area(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _sturdiness(m: ModelManifest) -> str:
    x = m.sturdiness
    if x is None:
        return ""
    rows = "\n".join(
        f"| `{name}` | {c.what} | {c.accuracy:.4f} | {c.macro_f1:.4f} | {c.loss_points:.2f} |"
        for name, c in x.conditions.items()
    )
    return f"""
## Sturdiness: the {x.n:,} test beats of the `{x.split}` split again, lead {x.lead}
Each record was disturbed as a whole before the device's preprocessing cut its beats. Rules: {x.rules}.

| condition | what was done | accuracy | macro F1 | points lost |
|---|---|---|---|---|
{rows}
"""


def _classes(metrics: Metrics) -> str:
    rows = ["| class | beats | Se | +P | F1 |", "|---|---|---|---|---|"]
    rows += [
        f"| {name} | {c.n:,} | {100 * c.se:.2f} % | {100 * c.ppv:.2f} % | {c.f1:.4f} |"
        for name, c in metrics.per_class.items()
    ]
    return "\n".join(rows)


def _confusion(metrics: Metrics) -> str:
    return "\n".join(" ".join(f"{n:6d}" for n in row) for row in metrics.confusion)
