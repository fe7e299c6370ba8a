"""One model under measurement: its bundle, how to open it, and real inputs for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.bench.beats import BEAT_SETS, load_beats, set_of
from edge_ecg.bench.labels import EXCERPT_SET, excerpt_sha256
from edge_ecg.detector import shipped_nets
from edge_ecg.dsp.qrs import QrsDetector
from edge_ecg.front import inputs_of_record
from edge_ecg.infer.rhythm import RhythmClassifier
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.io import read_record
from edge_ecg.manifest import Bundle, ModelManifest, load_any
from edge_ecg.rhythm_manifest import RhythmBundle, RhythmManifest
from edge_ecg.sources.virtual import EXCERPT

__all__ = ["Subject", "open_bundle", "open_subject"]

Model = TfliteClassifier | RhythmClassifier


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A bundle with the beats that it is measured on.

    Attributes
    ----------
    name
        Id or path, to open it with.
    inputs
        ``(n, ...) float32``, one row a beat.
    beats, sha256
        The set that the inputs are from, and its hash.
    """

    name: str
    manifest: ModelManifest | RhythmManifest
    inputs: NDArray[np.float32]
    beats: str
    sha256: str

    @property
    def is_network(self) -> bool:
        """Whether it runs on an interpreter, which can have threads."""
        return isinstance(self.manifest, ModelManifest)


def open_subject(name: str) -> Subject:
    """Find a model and its beats. Raises `ModelError` for a bundle that is none, `DataError` for a damaged beat set."""
    bundle = load_any(name)
    if isinstance(bundle, RhythmBundle):
        return Subject(name, bundle.manifest, _features(bundle.manifest), EXCERPT_SET, excerpt_sha256())
    # A network of classes that no set has gets beats all the same: its time does not depend on them.
    beats = load_beats(set_of(bundle.manifest.label_set) or next(iter(BEAT_SETS)))
    return Subject(name, bundle.manifest, beats.windows, beats.name, beats.sha256)


def open_bundle(bundle: Bundle | RhythmBundle, threads: int = 1) -> Model:
    """Its classifier; unlike `edge_ecg.infer.open_classifier` also of one that is for benchmarks only."""
    return TfliteClassifier(bundle, n_threads=threads) if isinstance(bundle, Bundle) else RhythmClassifier(bundle)


def _features(manifest: RhythmManifest) -> NDArray[np.float32]:
    """Of the beats of the excerpt, by the code the device runs."""
    record = read_record(EXCERPT)
    samples_mv = record.samples_mv([record.lead_index(None)])[:, 0].astype(np.float64)
    fs_hz = record.header.fs_hz
    detector = QrsDetector(fs_hz, shipped_nets())
    r_pos = np.array([found.r_pos for found in [*detector.feed(samples_mv), *detector.flush()]])
    return np.stack([beat.inputs for beat in inputs_of_record(samples_mv, fs_hz, r_pos, manifest.preprocessing)])
