"""The model card: what a person must know before using a bundle, generated from its manifest."""

from __future__ import annotations

from edge_ecg.manifest import Metrics, ModelManifest

__all__ = ["card"]


def card(m: ModelManifest) -> str:
    """Markdown text of the card."""
    both = "yes: beats of one patient train and test it, so a new patient gets worse labels" if (
        m.patients_on_both_sides
    ) else "no"
    w = m.preprocessing.window
    commands = "\n".join(m.commands)
    return f"""# {m.id}

**{m.intended_use}**

The `{m.network}` network ({m.n_parameters:,} parameters) on `{m.dataset}`, {m.precision}, {m.bytes:,} bytes,
labels {", ".join(m.labels)} (class map `aami5`), lead {m.lead}.

## Figures: test part of the `{m.split}` split, {m.metrics.n:,} beats, annotated beats, lead {m.lead}
Patients on both sides of the split: {both}.

| | accuracy | macro F1 |
|---|---|---|
| {m.precision} (this file) | {m.metrics.accuracy:.4f} | {m.metrics.macro_f1:.4f} |
| float32 (before conversion) | {m.float_metrics.accuracy:.4f} | {m.float_metrics.macro_f1:.4f} |

{_classes(m.metrics)}
{_other_splits(m)}
Confusion (rows: experts, columns: model, in the order {" ".join(m.labels)}):

```
{_confusion(m.metrics)}
```

## What it sees
One beat: R to R + {w.length_rr:g} T at {w.fs_hz:g} Hz, T the median R-R interval of the past {w.rr_history_s:g} s, causal
{m.preprocessing.highpass_hz:g} Hz high-pass, scaled to [0, 1] by the {w.scale} extremes of the past {w.scale_history_s:g} s, zero-padded to {w.n_samples}
samples. Preprocessing version {m.preprocessing_version}, fingerprint `{m.preprocessing_fingerprint}`. R peaks by the project's own detector.
Scaling each beat to [0, 1] hides how early it came: S beats of a new patient are mostly missed.

## How it was made
Seed {m.seed}{_choice(m)}. Data `{m.data_sha256[:16]}`. Tools: {", ".join(f"{k} {v}" for k, v in sorted(m.tool_versions.items()))}.

```sh
{commands}
```

Data: MIT-BIH Arrhythmia Database 1.0.0, ODC-By 1.0, PhysioNet. Moody GB, Mark RG, IEEE Eng in Med and Biol 20(3):45-50
(2001); Goldberger AL et al., Circulation 101(23):e215-e220 (2000).
"""


def _choice(m: ModelManifest) -> str:
    if len(m.seeds) < 2:
        return ""
    figures = "; ".join(
        f"seed {s}: {f.validation_accuracy:.4f} / {f.validation_macro_f1:.4f}" for s, f in sorted(m.seeds.items())
    )
    return f", the best of {len(m.seeds)} on the validation part (accuracy / macro F1 there: {figures})"


def _other_splits(m: ModelManifest) -> str:
    lines = []
    for name, x in m.metrics_of_other_splits.items():
        lines.append(
            f"""
### The same recipe on the `{name}` split, {x.n:,} beats of people it has not seen (but for 202, the same person as 201): accuracy {x.accuracy:.4f}, macro F1 {x.macro_f1:.4f}

{_classes(x)}
"""
        )
    return "".join(lines)


def _classes(metrics: Metrics) -> str:
    rows = ["| class | beats | Se | +P | F1 |", "|---|---|---|---|---|"]
    rows += [
        f"| {name} | {c.n:,} | {100 * c.se:.2f} % | {100 * c.ppv:.2f} % | {c.f1:.4f} |"
        for name, c in metrics.per_class.items()
    ]
    return "\n".join(rows)


def _confusion(metrics: Metrics) -> str:
    return "\n".join(" ".join(f"{n:6d}" for n in row) for row in metrics.confusion)
