"""What stands before a model: samples and R peaks in, one input a beat out. Which one, the model's parameters say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.memory import PatientMemory
from edge_ecg.context.told import TOLD_S
from edge_ecg.context.tracker import ContextParams, ContextTracker
from edge_ecg.dsp.preprocess import Preprocessor, PreprocessParams

__all__ = ["BeatInput", "FrontEnd", "front_end_of", "inputs_of_record"]


class BeatInput(Protocol):
    """One beat as a model sees it."""

    @property
    def r_pos(self) -> float:
        """The R peak as it was pushed, in input samples since the start of the stream."""

    @property
    def rr_s(self) -> float | None:
        """The R-R interval before it, s; None for the first beat and behind a gap."""

    @property
    def rr_median_s(self) -> float | None:
        """The median of the past R-R intervals, s; None while there is none."""

    @property
    def inputs(self) -> NDArray[np.float32]:
        """What the model is fed, one row."""

    @property
    def needed_index(self) -> int:
        """Index of the last input sample that it needed."""

    @property
    def short(self) -> bool:
        """The stretch ended before all of it was seen."""

    @property
    def learning(self) -> bool:
        """Too little of the signal or of the patient was known yet."""

    @property
    def recognised(self) -> bool | None:
        """With this beat it was clear that the patient is the one who is remembered, or another; else None."""


class FrontEnd(Protocol):
    """Turns one lead into the inputs of a model, stretch by stretch."""

    @property
    def longest_s(self) -> float:
        """How long behind R its input may come, s."""

    def feed(self, samples_mv: NDArray[np.float64]) -> None:
        """Take the next samples of the lead, ``(n,)`` mV, all finite."""

    def push_r(self, r_pos: float, known_index: int) -> None:
        """Take an R peak, in samples since the start of the stream, and the sample with which it was known."""

    def ready(self) -> Sequence[BeatInput]:
        """The inputs that are complete by now, in the order of their R peaks."""

    def flush(self) -> Sequence[BeatInput]:
        """At the end of a stretch: those that will never be complete."""

    def resume(self, first_index: int) -> None:
        """Start again behind a gap (after `flush`)."""


def front_end_of(
    params: PreprocessParams | ContextParams, fs_hz: float, memory: PatientMemory | None = None
) -> FrontEnd:
    """The front end of a model.

    Parameters
    ----------
    params
        What the model says that it sees.
    fs_hz
        Rate of the samples that will be fed, Hz.
    memory
        What is known of the patient already, for models that follow one; None: nothing.
    """
    if isinstance(params, ContextParams):
        return ContextTracker(fs_hz, memory)
    return Preprocessor(fs_hz, params)


def inputs_of_record(
    samples_mv: NDArray[np.float64], fs_hz: float, r_pos: NDArray[np.float64], params: PreprocessParams | ContextParams
) -> list[BeatInput]:
    """The inputs of all beats of a whole record, by the code the device runs.

    Parameters
    ----------
    samples_mv
        ``(n,)`` one lead, mV.
    fs_hz
        Its rate, Hz.
    r_pos
        ``(n_beats,)`` R peaks in samples, ascending.
    params
        What the model says that it sees.
    """
    front = front_end_of(params, fs_hz)
    inputs: list[BeatInput] = []
    step, told = max(1, round(fs_hz)), 0
    late = TOLD_S * fs_hz
    for start in range(0, len(samples_mv), step):
        piece = samples_mv[start : start + step]
        front.feed(piece)
        known = int(np.searchsorted(r_pos, start + len(piece) - late))
        for r in r_pos[told:known].tolist():
            front.push_r(r, -1)
        told = max(told, known)
        inputs += front.ready()
    for r in r_pos[told:].tolist():
        front.push_r(r, -1)
    return [*inputs, *front.ready(), *front.flush()]
