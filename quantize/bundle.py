"""Write a model bundle: model.tflite, manifest.json, golden.json, card.md and what was measured; all or nothing."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg import __version__
from edge_ecg.bench.labels import labels_of
from edge_ecg.dsp.preprocess import PREPROCESSING_VERSION
from edge_ecg.infer.golden import GoldenBeats, check_golden
from edge_ecg.infer.operators import operators_of
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.manifest import (
    SCHEMA_VERSION,
    Bundle,
    Calibration,
    EdgeTpuFile,
    Metrics,
    ModelManifest,
    SeedFigures,
    load_bundle,
)
from edge_ecg.schema import encode
from quantize.card import card
from quantize.changes import Kept
from quantize.converting import converting
from quantize.figures import split_metrics, sturdiness_metrics
from quantize.folder import check_target, replace_folder
from quantize.golden import golden_beats, golden_text
from quantize.int8 import check_int8
from quantize.measure import N_RUNS, measure
from quantize.parity import DEFAULT_DROP, MaxDrop, check_parity, parity_of
from quantize.precision import to_float32
from quantize.report import report_page
from quantize.signature import signature_of
from quantize.source import Source
from quantize.tune import Tuned
from train.run import RunInfo
from train.sturdiness import sturdiness_of

__all__ = ["Extras", "ExtrasMaker", "Told", "bundle_id", "write_bundle"]

INTENDED_USE = (
    "Research and teaching: labels of single heartbeats of one ECG lead. Not a medical device; not for diagnosis, "
    "monitoring or treatment of patients."
)


@dataclass(frozen=True, slots=True)
class Extras:
    """What else belongs into a bundle.

    Attributes
    ----------
    files
        Contents by path in the bundle: `model_edgetpu.tflite`, `edgetpu.md`, and what lies in `mcu/`.
    edgetpu
        What the manifest says of `model_edgetpu.tflite`.
    arena_bytes
        Memory that TensorFlow Lite Micro takes.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    edgetpu: EdgeTpuFile | None = None
    arena_bytes: int | None = None


ExtrasMaker = Callable[[ModelManifest, bytes, GoldenBeats], Extras]
"""Makes them of the manifest, the model file and its golden beats."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a bundle tells of its making that its network does not.

    Attributes
    ----------
    commands
        The exact commands that made it; of paths that lead elsewhere the last name is kept.
    other_splits
        Figures of the same recipe on other splits.
    seeds
        Validation figures of the seeds that this one was chosen from.
    calibration
        The beats that set the ranges of an int8 model.
    kept, tuned
        What pruning left, and how it was fine-tuned.
    """

    commands: Sequence[str] = ()
    other_splits: Mapping[str, Metrics] = field(default_factory=dict)
    seeds: Mapping[str, SeedFigures] = field(default_factory=dict)
    calibration: Calibration | None = None
    kept: Sequence[Kept] = ()
    tuned: Sequence[Tuned] = ()


def bundle_id(run: RunInfo, precision: str, changes: Sequence[str] = ()) -> str:
    """What a bundle of the run is called: data set, network, what was changed, precision; segmentation and split
    where not the usual.
    """
    # A folder of own data may be called anything; the id becomes the name of files.
    title = re.sub(r"[^\w.-]+", "-", Path(run.dataset).name).strip(".-") or "data"
    segmentation = () if run.segmentation == "causal" else (run.segmentation,)
    split = () if run.split == "random" else (run.split,)
    fold = () if run.fold is None else (f"fold{run.fold}",)
    changed = (re.sub(r"[^\w.]+", "-", change).strip("-") for change in changes)
    return "-".join([title, *segmentation, run.network, *split, *fold, *changed, precision])


def write_bundle(
    model: bytes,
    precision: str,
    source: Source,
    folder: Path,
    told: Told | None = None,
    *,
    max_drop: MaxDrop = DEFAULT_DROP,
    force: bool = False,
    sturdy: bool = False,
    bench_only: bool = False,
    extras: ExtrasMaker | None = None,
    measured: bool = True,
) -> Bundle:
    """Score a converted model on the test part, compare it with the float network, write its bundle and check it.

    All but `measurements.json` and `report.html` is the same to the byte each time.

    Parameters
    ----------
    model, precision
        The .tflite file, and which of `quantize.precision.PRECISIONS` it has.
    source
        The run it was converted from.
    folder
        Where the bundle goes; an older bundle there is replaced (see `quantize.folder.check_target`).
    told
        What the manifest and the report say of its making.
    max_drop, force
        How much it may lose; ``force`` writes it however much it loses.
    sturdy
        Whether to score it on disturbed records too (`train.sturdiness`).
    bench_only
        Whether devices shall refuse it.
    extras
        Makes further files, for other hardware.
    measured
        Whether to time it, which takes some seconds, and to write `measurements.json` and `report.html`.

    Raises
    ------
    ModelError
        It loses more than ``max_drop``, or an int8 model is not int8 throughout.
    DataError
        The bundle cannot be written.
    """
    told = told or Told()
    check_target(folder)
    if precision == "int8":
        check_int8(model)
    data, split = source.data, source.split
    windows = data.windows[split.test]
    trained, changed = _float_probs(source, windows)
    float_metrics = split_metrics(trained, data, split)
    # The name is part of the golden check, so it is known before the figures are.
    manifest = replace(
        _manifest(model, precision, source, float_metrics, bench_only=bench_only),
        commands=tuple(_without_paths(command, data.title) for command in told.commands if command),
        metrics_of_other_splits=dict(told.other_splits),
        seeds=dict(told.seeds),
        calibration=told.calibration,
        changed_metrics=None if changed is None else split_metrics(changed, data, split),
    )
    classifier = TfliteClassifier(Bundle(folder, manifest, model))
    converted = classifier.classify_many(windows)
    metrics = split_metrics(converted, data, split)
    parity = parity_of(trained, converted, float_metrics, metrics, max_drop)
    manifest = replace(manifest, metrics=metrics, parity=parity)
    if not force:
        check_parity(manifest)
    if sturdy:
        found = sturdiness_of(classifier.classify_many, data, split, source.info.preprocessing)
        manifest = replace(manifest, sturdiness=sturdiness_metrics(found))
    golden = golden_beats(classifier, data, split)
    more = extras(manifest, model, golden) if extras else Extras()
    manifest = replace(manifest, edgetpu=more.edgetpu, golden_labels=labels_of(classifier, manifest.label_set))
    files = {
        "model.tflite": model,
        "manifest.json": (json.dumps(encode(manifest), indent=2) + "\n").encode(),
        "golden.json": golden_text(golden).encode(),
        "card.md": card(manifest).encode(),
        **more.files,
    }
    if measured:
        is_same = precision == "float32" and not source.changes
        with converting(source.trained):
            float32 = model if is_same else to_float32(source.trained, windows)
        found_here = measure(manifest, model, float32, windows[:N_RUNS], arena_bytes=more.arena_bytes)
        files["measurements.json"] = (json.dumps(encode(found_here), indent=2) + "\n").encode()
        files["report.html"] = report_page(manifest, operators_of(model), found_here, told.kept, told.tuned).encode()
    replace_folder(folder, files, lambda new: check_golden(load_bundle(new)))
    return load_bundle(folder)


def _manifest(
    model: bytes, precision: str, source: Source, float_metrics: Metrics, *, bench_only: bool
) -> ModelManifest:
    """The manifest of a model that was not scored yet."""
    run, data = source.info, source.data
    spec_in, spec_out = signature_of(model)
    return ModelManifest(
        schema_version=SCHEMA_VERSION,
        id=bundle_id(run, precision, source.changes),
        network=run.network,
        dataset=data.title,
        precision=precision,
        label_set=run.label_set,
        lead=run.lead,
        bytes=len(model),
        sha256=hashlib.sha256(model).hexdigest(),
        input=spec_in,
        output=spec_out,
        preprocessing=run.preprocessing,
        preprocessing_version=PREPROCESSING_VERSION,
        preprocessing_fingerprint=run.preprocessing.fingerprint(),
        split=run.split,
        patients_on_both_sides=run.patients_on_both_sides,
        seed=run.seed,
        metrics=float_metrics,
        float_metrics=float_metrics,
        data_sha256=run.data_sha256,
        n_parameters=_n_parameters(source),
        commands=(),
        tool_versions={
            **run.versions,
            "edge-ecg": __version__,
            "python": platform.python_version(),
            "converter": f"tensorflow {importlib.metadata.version('tensorflow')}",
        },
        intended_use=INTENDED_USE,
        metrics_of_other_splits={},
        seeds={},
        segmentation=run.segmentation,
        fold=run.fold,
        n_folds=run.n_folds,
        bench_only=bench_only,
        changes=source.changes,
        operators=dict(sorted(Counter(operator.name for operator in operators_of(model)).items())),
        is_foreign=source.is_foreign,
        starts=tuple(start.without_paths() for start in run.starts),
    )


def _float_probs(source: Source, windows: NDArray[np.float32]) -> tuple[Any, Any]:
    """Of the network as it was trained, and as it was changed; None when nothing was."""
    from train.fit import predict

    return predict(source.trained, windows), predict(source.network, windows) if source.changes else None


def _n_parameters(source: Source) -> int:
    if not source.changes:
        return source.info.n_parameters
    # Whole filters may be gone; ranges that quantisation-aware training keeps are no parameters.
    return sum(int(np.prod(weight.shape)) for weight in source.network.trainable_weights)


def _without_paths(command: str, title: str) -> str:
    """A command without the folders of this machine and the place of own data: a card goes to other people."""

    def short(arg: str) -> str:
        option, equals, value = arg.partition("=") if arg.startswith("--") else ("", "", arg)
        path = Path(value)
        leads_out = path.is_absolute() or ".." in path.parts or value.startswith("~")
        return f"{option}{equals}{path.name}" if leads_out or path.name == title else arg

    return shlex.join(short(arg) for arg in shlex.split(command))
