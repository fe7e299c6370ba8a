"""`edge-ecg models`: what can label beats."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import click

from edge_ecg.bundles import GOLDEN_FILES
from edge_ecg.errors import ModelError
from edge_ecg.infer.edgetpu import compiled_model
from edge_ecg.infer.golden import check_golden
from edge_ecg.infer.operators import operators_of
from edge_ecg.manifest import Bundle, ModelManifest, load_any, shipped_ids
from edge_ecg.rhythm_manifest import RhythmBundle, RhythmManifest
from edge_ecg.schema import encode

_TO_FIGURES = 14
"""From the end of the id's column to the figures, less the two of an indent."""


@click.group()
def models() -> None:
    """List, show and verify models.

    \b
    Example:
      edge-ecg models list
      edge-ecg models verify
    """


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object a model.")
def list_models(as_json: bool) -> None:
    """List the shipped models with their test figures.

    \b
    Example:
      edge-ecg models list --json
    """
    manifests, broken = [], []
    for name in shipped_ids():
        try:
            manifests.append(load_any(name).manifest)
        except ModelError as error:
            broken.append(str(error))
    if as_json:
        rows = [_row(m) if isinstance(m, ModelManifest) else _rhythm_row(m) for m in manifests]
        click.echo(json.dumps(rows, indent=2))
        return
    wide = max((len(m.id) for m in manifests), default=0)
    click.echo(f"{'id':<{wide}} {'precision':<9} {'KB':>5} {'accuracy':>9} {'macro F1':>9}  split")
    for m in manifests:
        for line in _lines(m, wide) if isinstance(m, ModelManifest) else _rhythm_lines(m, wide):
            click.echo(line)
    for problem in broken:
        click.echo(f"broken: {problem}", err=True)


@models.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="The manifest as JSON.")
def show(model: str, as_json: bool) -> None:
    """Show a model: a shipped id, or the folder of a bundle.

    \b
    Example:
      edge-ecg models show mitdb-baseline-int8
    """
    bundle = load_any(model)
    if as_json:
        click.echo(json.dumps(encode(bundle.manifest), indent=2))
        return
    card = bundle.folder / "card.md"
    click.echo(card.read_text(encoding="utf-8") if card.exists() else json.dumps(encode(bundle.manifest), indent=2))


@models.command()
@click.argument("names", metavar="[MODEL]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object a model.")
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Check hash, fingerprint, tensors, operators (or columns and trees) and golden beats; without MODEL, all shipped.

    \b
    Example:
      edge-ecg models verify
      edge-ecg models verify ./my-bundle
    """
    rows: list[dict[str, Any]] = []
    for name in names or shipped_ids():
        try:
            bundle = load_any(name)
            n_beats = _golden_beats(bundle)
            of_kind = _of_network(bundle) if isinstance(bundle, Bundle) else _of_trees(bundle)
            checked = ["hash", "fingerprint", *of_kind]
            rows.append(
                {"id": bundle.manifest.id, "ok": True, "checked": checked, "golden_beats": n_beats, "problem": None}
            )
        except ModelError as error:
            rows.append({"id": name, "ok": False, "checked": [], "golden_beats": 0, "problem": str(error)})
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        for row in rows:
            good = f"{', '.join(row['checked'])}, {row['golden_beats']} golden beats"
            click.echo(f"ok      {row['id']}: {good}" if row["ok"] else f"broken  {row['id']}: {row['problem']}")
    n_broken = sum(not row["ok"] for row in rows)
    if n_broken:
        raise ModelError(f"{n_broken} of {len(rows)} models must not be used", "Fetch or convert them again")


def _of_network(bundle: Bundle) -> list[str]:
    """What else was checked: its tensors by the golden beats."""
    return ["tensors", *_operators(bundle), *_edgetpu_file(bundle)]


def _of_trees(bundle: RhythmBundle) -> list[str]:
    """What else was checked, by the golden beats."""
    return [f"{len(bundle.manifest.preprocessing.columns)} columns", f"{bundle.manifest.n_trees} trees"]


def _golden_beats(bundle: Bundle | RhythmBundle) -> int:
    """Run the golden beats; none at all, or beats of another shape, prove nothing."""
    file = bundle.folder / GOLDEN_FILES["rhythm" if isinstance(bundle, RhythmBundle) else "network"]
    try:
        n_beats = check_golden(bundle)
    except ValueError as error:
        raise ModelError(f"{file} does not fit its model: {error}") from None
    if not n_beats:
        raise ModelError(f"{file} holds no beat")
    return n_beats


def _operators(bundle: Bundle) -> list[str]:
    """What was checked: nothing in a bundle of before manifests told the operators."""
    told = bundle.manifest.operators
    if not told:
        return []
    found = Counter(operator.name for operator in operators_of(bundle.model))
    for name in sorted(told.keys() | found.keys()):
        if found[name] != told.get(name, 0):
            raise ModelError(
                f"{bundle.manifest.id} has {found[name]} operators {name}, its manifest says {told.get(name, 0)}",
                "The model and the manifest do not belong together: get the bundle again",
            )
    return [f"{sum(told.values())} operators"]


def _edgetpu_file(bundle: Bundle) -> list[str]:
    return [] if compiled_model(bundle) is None else ["the Edge TPU file"]


def _lines(m: ModelManifest, wide: int) -> list[str]:
    both = ", patients on both sides" if m.patients_on_both_sides else ""
    lines = [
        f"{m.id:<{wide}} {m.precision:<9} {m.bytes / 1000:5.0f} {m.metrics.accuracy:9.4f} "
        f"{m.metrics.macro_f1:9.4f}  {m.split}{both}"
    ]
    for split, figures in m.metrics_of_other_splits.items():
        name = f"on new patients ({split} split)" if split in ("inter", "patient") else f"on the {split} split"
        lines.append(f"  {name:<{wide + _TO_FIGURES}} {figures.accuracy:9.4f} {figures.macro_f1:9.4f}")
    return lines


def _rhythm_lines(m: RhythmManifest, wide: int) -> list[str]:
    """Without one figure for all: what it is worth depends on whose hearts they are."""
    lines = [f"{m.id:<{wide}} {'int8':<9} {m.bytes / 1000:5.0f} {'':>9} {'':>9}  trees of the patient's own past"]
    for database, figures in m.cross_validation.get("balanced", {}).items():
        rates = ", ".join(f"{name} {100 * x.se:.0f}/{100 * x.ppv:.0f}" for name, x in figures.per_class.items())
        name = f"new patients, cross-validated ({database})"
        lines.append(f"  {name:<{wide + _TO_FIGURES}} {figures.accuracy:9.4f} {'':>9}  Se/+P in %: {rates}")
    return lines


def _rhythm_row(m: RhythmManifest) -> dict[str, Any]:
    return {
        "id": m.id,
        "kind": m.kind,
        "precision": "int8",
        "bytes": m.bytes,
        "lead": m.lead,
        "labels": list(m.labels),
        "operating_points": m.operating_points,
        "n_records": len(m.records),
        "n_trees": m.n_trees,
        "seed": m.seed,
        "sha256": m.sha256,
        "cross_validation": encode(m.cross_validation),
        "healthy": encode(m.healthy),
    }


def _row(m: ModelManifest) -> dict[str, Any]:
    return {
        "id": m.id,
        "kind": "network",
        "network": m.network,
        "dataset": m.dataset,
        "precision": m.precision,
        "bytes": m.bytes,
        "accuracy": m.metrics.accuracy,
        "macro_f1": m.metrics.macro_f1,
        "split": m.split,
        "patients_on_both_sides": m.patients_on_both_sides,
        "lead": m.lead,
        "labels": list(m.labels),
        "n_test": m.metrics.n,
        "n_parameters": m.n_parameters,
        "seed": m.seed,
        "sha256": m.sha256,
        "other_splits": {
            name: {"accuracy": x.accuracy, "macro_f1": x.macro_f1} for name, x in m.metrics_of_other_splits.items()
        },
    }
