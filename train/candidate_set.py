"""Candidates of annotated recordings with what they truly are, and what the detector does with them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.candidates import CandidateFinder, Candidates
from edge_ecg.dsp.nets import N_HIDDEN, QrsNets
from edge_ecg.dsp.qrs import STEP_S, TAIL_S, decide
from edge_ecg.dsp.rhythm import Rhythm
from edge_ecg.scoring.matching import MATCH_WINDOW_S
from train.recordings import Recording

__all__ = ["Decided", "Labelled", "find_candidates", "label_candidates", "run_nets", "run_truth"]

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """All candidates of one recording: are they beats, and how much each counts in the fit.

    Attributes
    ----------
    is_beat, weight
        ``(n,) bool`` and ``(n,) float32``.
    n_unreachable
        Annotated beats that no candidate lies near.
    """

    recording: str
    found: Candidates
    is_beat: NDArray[np.bool_]
    weight: NDArray[np.float32]
    n_unreachable: int


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """What the nets were asked in one recording: which candidates ``(m,)``, in which context ``(m, 22)``."""

    at: NDArray[np.int64]
    context: NDArray[np.float32]
    logit: NDArray[np.float32]
    is_beat: NDArray[np.bool_]


def find_candidates(samples_mv: Samples, fs_hz: float) -> Candidates:
    """All candidates of a recording, its end padded as the detector does."""
    finder, step, blocks = CandidateFinder(fs_hz), round(STEP_S * fs_hz), []
    padded = np.concatenate([samples_mv, np.full(round(TAIL_S * fs_hz), samples_mv[-1])])
    for start in range(0, len(padded), step):
        blocks.append(finder.feed(padded[start : start + step]))
    return Candidates(*(np.concatenate([getattr(b, f.name) for b in blocks]) for f in fields(Candidates)))


def label_candidates(recording: Recording, weight: float) -> Labelled:
    """Label: of those within 150 ms of an annotation the one that is largest and nearest.

    The first second counts 0.3 (an annotation may lack), the last 0.3 s and what is to be ignored 0.
    """
    fs_hz, found = recording.fs_hz, find_candidates(recording.samples_mv, recording.fs_hz)
    at = found.r_pos
    is_beat = np.zeros(len(found), bool)
    n_unreachable = 0
    for r in recording.r:
        lo, hi = np.searchsorted(at, [r - MATCH_WINDOW_S * fs_hz, r + MATCH_WINDOW_S * fs_hz])
        free = [k for k in range(lo, hi) if not is_beat[k]]
        if not free:
            n_unreachable += 1
            continue
        off_s = (at[free] - r) / fs_hz
        is_beat[free[int(np.argmax(found.size[free] * np.exp(-0.5 * (off_s / 0.06) ** 2)))]] = True
    weights = np.full(len(found), weight, np.float32)
    weights[at < fs_hz] *= 0.3
    weights[at > len(recording.samples_mv) - 0.3 * fs_hz] = 0.0
    for begin, end in recording.ignore:
        weights[(at >= begin) & (at <= end)] = 0.0
    compact = replace(found, inputs=found.inputs.astype(np.float32), shape=found.shape.astype(np.float32))
    return Labelled(recording.name, compact, is_beat, weights, n_unreachable)


def run_nets(item: Labelled, nets: QrsNets, threshold: float = 0.0) -> Decided:
    """Let the nets decide; their own decisions make the context of the next candidate."""
    return _run(item, nets, threshold)


def run_truth(item: Labelled) -> Decided:
    """Let the annotations decide: what the context is to a detector that errs nowhere."""
    return _run(item, _Oracle(item.is_beat), 0.0)


def _run(item: Labelled, nets: QrsNets | _Oracle, threshold: float) -> Decided:
    found = item.found
    asked = decide(replace(found, inputs=found.inputs, shape=found.shape.astype(np.float64)),
                   Rhythm(), nets, threshold=threshold, sure=np.inf)  # type: ignore[arg-type]  # fmt: skip
    return Decided(
        np.array([d.at for d in asked], np.int64),
        np.array([d.context for d in asked], np.float32).reshape(len(asked), -1),
        np.array([d.logit for d in asked], np.float32),
        np.array([d.is_beat for d in asked], bool),
    )


class _Oracle:
    """Nets that know."""

    def __init__(self, is_beat: NDArray[np.bool_]) -> None:
        self._logits = np.where(is_beat, 200.0, -200.0)

    def begin(self, inputs: Samples) -> tuple[Samples, Samples]:
        return self._logits, np.zeros((len(inputs), N_HIDDEN))

    def with_memory(self, sums: Samples, context: list[float]) -> float:
        return 0.0
