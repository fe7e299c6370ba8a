"""Write a model bundle: model.tflite, manifest.json, golden.json, card.md; all or nothing."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edge_ecg import __version__
from edge_ecg.dsp.preprocess import PREPROCESSING_VERSION
from edge_ecg.errors import UsageError
from edge_ecg.infer.golden import GoldenBeat, GoldenBeats, check_golden
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.manifest import (
    SCHEMA_VERSION,
    Bundle,
    Metrics,
    ModelManifest,
    SeedFigures,
    TensorSpec,
    load_bundle,
)
from edge_ecg.schema import encode
from quantize.card import card, data_credit
from quantize.figures import split_metrics, sturdiness_metrics
from quantize.source import Source
from train.run import RunInfo
from train.splits import Split
from train.sturdiness import sturdiness_of
from train.window_set import WindowSet

__all__ = ["bundle_id", "check_target", "write_bundle"]

INTENDED_USE = (
    "Research and teaching: labels of single heartbeats of one ECG lead. Not a medical device; not for diagnosis, "
    "monitoring or treatment of patients."
)
FILES = frozenset({"model.tflite", "manifest.json", "golden.json", "card.md"})
_GOLDEN_PER_CLASS = 4


def bundle_id(run: RunInfo, precision: str) -> str:
    """What a bundle of the run is called: data set, network, precision; segmentation and split where not the usual."""
    # A folder of own data may be called anything; the id becomes the name of files.
    title = re.sub(r"[^\w.-]+", "-", Path(run.dataset).name).strip(".-") or "data"
    segmentation = () if run.segmentation == "causal" else (run.segmentation,)
    split = () if run.split == "random" else (run.split,)
    fold = () if run.fold is None else (f"fold{run.fold}",)
    return "-".join([title, *segmentation, run.network, *split, *fold, precision])


def check_target(folder: Path) -> None:
    """Refuse a place for a bundle that holds something else, which writing the bundle would remove.

    Raises
    ------
    UsageError
        When ``folder`` is a file, or holds more than an older bundle, or cannot be written beside.
    """
    hint = "Name another folder with --out"
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is there and is no folder", hint)
    foreign = sorted({p.name for p in folder.iterdir()} - FILES) if folder.exists() else []
    if foreign:
        raise UsageError(f"{folder} holds what is no part of a bundle: {', '.join(foreign[:3])}", hint)
    try:
        folder.resolve().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder of {folder}: {error.strerror}", hint) from None


def write_bundle(
    model: bytes,
    precision: str,
    source: Source,
    folder: Path,
    *,
    commands: Sequence[str] = (),
    other_splits: Mapping[str, Metrics] | None = None,
    seeds: Mapping[str, SeedFigures] | None = None,
    sturdy: bool = False,
    bench_only: bool = False,
) -> Bundle:
    """Score a converted model on the test part, write its bundle to ``folder`` and check it.

    Parameters
    ----------
    model, precision
        The .tflite file, and which of `quantize.precision.PRECISIONS` it has.
    source
        The run it was converted from.
    folder
        Where the bundle goes; an older bundle there is replaced (see `check_target`).
    commands
        The exact commands that made it; of paths that lead elsewhere the last name is kept.
    other_splits
        Figures of the same recipe on other splits.
    seeds
        Validation figures of the seeds that this one was chosen from.
    sturdy
        Whether to score it on disturbed records too (`train.sturdiness`).
    bench_only
        Whether devices shall refuse it.
    """
    from train.fit import predict

    check_target(folder)
    run, data, split = source.info, source.data, source.split
    windows = data.windows[split.test]
    float_metrics = split_metrics(predict(source.network, windows), data, split)
    spec_in, spec_out = _tensors(model)
    # The name is part of the golden check, so it is known before the figures are.
    manifest = ModelManifest(
        schema_version=SCHEMA_VERSION,
        id=bundle_id(run, precision),
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
        n_parameters=run.n_parameters,
        commands=tuple(_without_paths(command, data.title) for command in commands),
        tool_versions={**run.versions, "edge-ecg": __version__, "python": platform.python_version()},
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        intended_use=INTENDED_USE,
        metrics_of_other_splits=dict(other_splits or {}),
        seeds=dict(seeds or {}),
        segmentation=run.segmentation,
        fold=run.fold,
        n_folds=run.n_folds,
        bench_only=bench_only,
    )
    classifier = TfliteClassifier(Bundle(folder, manifest, model))
    say = classifier.classify_many
    manifest = replace(
        manifest,
        metrics=split_metrics(say(windows), data, split),
        sturdiness=sturdiness_metrics(sturdiness_of(say, data, split, run.preprocessing)) if sturdy else None,
    )
    with tempfile.TemporaryDirectory(dir=folder.resolve().parent) as scratch:
        new = Path(scratch) / "bundle"
        new.mkdir()
        (new / "model.tflite").write_bytes(model)
        (new / "manifest.json").write_text(json.dumps(encode(manifest), indent=2) + "\n")
        golden = encode(_golden(classifier, data, split, manifest.labels))
        (new / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
        (new / "card.md").write_text(card(manifest))
        check_golden(load_bundle(new))
        if folder.exists():
            folder.replace(Path(scratch) / "old")
        try:
            new.replace(folder)
        except OSError:
            if (Path(scratch) / "old").exists():
                (Path(scratch) / "old").replace(folder)
            raise
    return load_bundle(folder)


def _without_paths(command: str, title: str) -> str:
    """A command without the folders of this machine and the place of own data: a card goes to other people."""

    def short(arg: str) -> str:
        option, equals, value = arg.partition("=") if arg.startswith("--") else ("", "", arg)
        path = Path(value)
        leads_out = path.is_absolute() or ".." in path.parts or value.startswith("~")
        return f"{option}{equals}{path.name}" if leads_out or path.name == title else arg

    return shlex.join(short(arg) for arg in shlex.split(command))


def _tensors(model: bytes) -> tuple[TensorSpec, TensorSpec]:
    from edge_ecg.infer.tflite import interpreter_class

    _, make = interpreter_class()
    interpreter = make(model_content=model)
    interpreter.allocate_tensors()
    specs = []
    for details in (interpreter.get_input_details()[0], interpreter.get_output_details()[0]):
        scale, zero_point = details["quantization"]
        shape = tuple(int(n) for n in details["shape"])
        specs.append(TensorSpec(np.dtype(details["dtype"]).name, shape, float(scale), int(zero_point)))
    return specs[0], specs[1]


def _golden(classifier: TfliteClassifier, data: WindowSet, split: Split, labels: tuple[str, ...]) -> GoldenBeats:
    """Some test beats of each class as 8-bit windows, with what the model says of just those."""
    beats = []
    for code, name in enumerate(labels):
        of_class = split.test[data.labels[split.test] == code]
        for index in of_class[:: max(1, len(of_class) // _GOLDEN_PER_CLASS)][:_GOLDEN_PER_CLASS]:
            window = np.rint(data.windows[index] * 255.0).astype(np.uint8)
            probs = classifier.classify(window.astype(np.float32) / np.float32(255.0))
            beats.append(
                GoldenBeat(name, tuple(int(v) for v in window), tuple(round(float(p), 5) for p in probs))
            )
    return GoldenBeats(1, f"Windows of {data_credit(data.title)}", tuple(beats))
