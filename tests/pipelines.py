"""A pipeline for tests: a stub model, streams cut anywhere, and events by kind."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.infer import largest
from edge_ecg.pipeline import Pipeline
from edge_ecg.types import Classified, Event, SampleBlock, StreamInfo

FS_HZ = 360.0
STREAM = StreamInfo("test", FS_HZ, ("MLII", "V1"))


class WindowSumClassifier:
    """A model whose answer depends on every sample of the window."""

    model_id = "window-sum"
    sha256 = "0"
    labels = ("N", "V")
    preprocessing = PreprocessParams()
    operating_point = None

    def classify(self, inputs: np.ndarray) -> np.ndarray:
        p = np.float32(np.dot(inputs.astype(np.float64), np.arange(187)) / 20_000.0)
        return np.array([1.0 - p, p], dtype=np.float32)

    def classify_many(self, windows: np.ndarray) -> np.ndarray:
        return np.stack([self.classify(w) for w in windows])

    def decide(self, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return largest(probs)


def cut(samples_mv: np.ndarray, sizes: list[int], first: int = 0, lead_off: bool | None = None) -> list[SampleBlock]:
    blocks, at = [], 0
    for size in [*sizes, len(samples_mv)]:
        piece = samples_mv[at : at + size]
        blocks.append(SampleBlock(piece, first + at, lead_off))
        at += len(piece)
    return blocks


def run(blocks: Iterable[SampleBlock], classifier=None, stream: StreamInfo = STREAM, **options) -> list[Event]:
    pipeline = Pipeline(classifier or WindowSumClassifier(), stream, **options)
    events = [event for block in blocks for event in pipeline.feed(block)]
    return events + pipeline.flush()


def of(kind: type, events: list[Event]) -> list:
    return [e for e in events if isinstance(e, kind)]


def assert_in_order(events: list[Event]) -> None:
    at = [e.at_index for e in events]
    assert at == sorted(at)
    r = [e.beat.r_index for e in of(Classified, events)]
    assert r == sorted(set(r))
