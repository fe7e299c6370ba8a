"""A causal streaming beat detector: any rate from 100 to 1000 Hz, either polarity, a stated delay bound.

Every local maximum of a 13.5 Hz energy envelope is a candidate; it is decided once, 225 ms of envelope later, by
two small nets: one that sees the signal alone and so cannot lock into a wrong idea of the patient, and one that also
knows the patient's beats so far. There is no search-back and no learning time: what was decided stays decided, and a
beat is known at most `MAX_DECISION_S` after its R peak, from the first beat on.

R is the largest excursion of the signal from its own 200 ms mean within 45 ms of the envelope's maximum, refined
below the sample by a parabola: the published convention of `Detection.r_pos`.

Sources: levels of signal and noise and the refractory rules follow Pan & Tompkins (IEEE Trans Biomed Eng 32:230,
1985) and Hamilton & Tompkins (33:1157, 1986). Departures: complex Gabor envelopes instead of derivative, squaring
and integration (no polarity, three bands); levels from the past 3 s until there are beats, instead of a learning
period; no search-back, but levels that fall in a pause and a watchdog that forgets them; fitted nets instead of
a chain of thresholds. docs/detector.md says more; `python -m train.detector` fits the nets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_ecg.dsp.candidates import MAX_DECISION_S, CandidateFinder, Candidates
from edge_ecg.dsp.filters import hold_last
from edge_ecg.dsp.nets import QrsNets
from edge_ecg.dsp.rhythm import Rhythm, Sight

__all__ = ["MAX_DECISION_S", "Decision", "Detection", "QrsDetector", "decide"]

Samples = NDArray[np.float64]

THRESHOLD = -0.15
ALONE_SHARE = 0.3
"""Of the net without memory in the mean of the two: it cannot lock, the other one knows noise from beats."""
SURE = 6.0
"""Of the logit of the net without memory: where it is this sure either way the other one never changed a decision, on
the validation sets with noise and without, and is not asked. It saves most of the work."""
REFRACTORY_S = 0.19
STEP_S = 60.0
"""Longer blocks are worked on piece by piece: a day at once takes no more memory than a minute."""
TAIL_S = 0.45
"""What is appended at the end of a stretch so that its last candidates can be decided."""
MEMORY_S = 30.0
"""After a longer gap the electrodes may lie elsewhere: the detector starts anew."""
WATCHDOG_S = 4.0
REJECT_BELOW = 0.70


@dataclass(frozen=True, slots=True)
class Detection:
    """One decided beat, in samples of the input.

    Attributes
    ----------
    r_pos
        The R peak, in input samples since the start of the stream (a fraction of a sample is meant).
    decided_at
        Index of the input sample that decided it.
    likeness
        Best correlation with the shapes of this patient's beats so far, 0..1.
    gate
        Running mean of ``likeness`` over the beats, 0..1; below `REJECT_BELOW` the interval is noise.
    """

    r_pos: float
    decided_at: int
    likeness: float
    gate: float

    @property
    def reject(self) -> bool:
        """Whether the beats around this one are too unlike each other to be trusted."""
        return self.gate < REJECT_BELOW


class Decision(NamedTuple):
    """What was decided on one candidate that the nets saw. A tuple, for speed.

    Attributes
    ----------
    at
        Its place in the block of candidates.
    context
        The inputs of the net with memory; empty where it was not asked.
    logit
        Weighted mean of the nets' logits, with what a silence adds.
    likeness, gate
        See `Detection`.
    is_beat
        The decision.
    """

    at: int
    context: list[float]
    logit: float
    likeness: float
    gate: float
    is_beat: bool


def decide(
    found: Candidates,
    rhythm: Rhythm,
    nets: QrsNets,
    clock_s: float = 0.0,
    *,
    threshold: float = THRESHOLD,
    sure: float = SURE,
) -> list[Decision]:
    """Decide on candidates in their order; the rhythm learns of each.

    Parameters
    ----------
    clock_s
        The rhythm's time at the start of the stretch that the candidates count from.
    threshold
        Of the logit: above it is a beat.
    sure
        Where the net without memory is this sure, the other one is not asked; infinite: it always is.
    """
    alone, sums = nets.begin(found.inputs)
    columns = (
        found.t_s + clock_s,
        found.size,
        np.log(found.size),
        np.log(np.maximum(found.high, 1e-9)),
        np.log(found.low / found.size),
        found.max_3s,
        found.high_max_3s,
        np.log(found.norm),
    )
    logits_alone, decisions = alone.tolist(), []
    for k, scalars in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        sight = Sight._make(scalars)
        levels = rhythm.levels(sight)
        rhythm.watch(sight.t_s, WATCHDOG_S)
        dt_s = sight.t_s - rhythm.last_beat_s
        if dt_s < REFRACTORY_S:
            continue
        if sight.size < max(0.08 * levels.size, 0.06 * sight.max_3s):
            rhythm.rival(sight.size)
            continue
        logit = logits_alone[k]
        if logit < -sure:
            rhythm.refuse(sight, levels)
            continue
        shape = found.shape[k]
        likeness, which = rhythm.likeness(shape)
        context: list[float] = []
        if logit < sure:
            context = rhythm.context(sight, levels, likeness, which)
            logit = ALONE_SHARE * logit + (1.0 - ALONE_SHARE) * nets.with_memory(sums[k], context)
        if dt_s > 1.5 and sight.size > 0.6 * levels.usual:
            logit += 1.5 * min(2.0, dt_s - 1.5)  # in a silence, what is as large as a beat is rather one
        is_beat = logit > threshold
        if is_beat:
            rhythm.accept(sight, levels, shape, likeness, which)
        else:
            rhythm.refuse(sight, levels)
        decisions.append(Decision(k, context, logit, likeness if which >= 0 else 1.0, rhythm.gate, is_beat))
    return decisions


class QrsDetector:
    """Beats of one lead, streaming. Cut the stream as you like: the detections are the same, bit for bit.

    Parameters
    ----------
    fs_hz
        Sampling rate, 100 to 1000 Hz.
    nets
        What decides: the shipped ones are `edge_ecg.detector.shipped_nets`.
    """

    def __init__(self, fs_hz: float, nets: QrsNets) -> None:
        if not 100.0 <= fs_hz <= 1000.0:
            raise ValueError(f"the beat detector works from 100 to 1000 Hz; {fs_hz:g} Hz is outside")
        self._fs_hz = fs_hz
        self._nets = nets
        self._rhythm = Rhythm()
        self._clock_s = 0.0
        self._begin(0)

    def _begin(self, first_index: int) -> None:
        self._finder = CandidateFinder(self._fs_hz)
        self._first_index, self._n_fed, self._last_mv = first_index, 0, 0.0

    def feed(self, x_mv: Samples) -> list[Detection]:
        """Take the next samples in mV, ``(n,) float64``; return the beats that are now decided.

        Raises
        ------
        ValueError
            When it is no array of one lead.
        """
        x_mv = np.asarray(x_mv, dtype=np.float64)
        if x_mv.ndim != 1:
            raise ValueError(f"the beat detector takes one lead, an array (n,), not {x_mv.shape}: choose a column")
        if len(x_mv) == 0:
            return []
        x_mv = hold_last(x_mv, self._last_mv)
        self._n_fed += len(x_mv)
        self._last_mv = float(x_mv[-1])
        step = round(STEP_S * self._fs_hz)
        return [d for start in range(0, len(x_mv), step) for d in self._decide(x_mv[start : start + step])]

    def flush(self) -> list[Detection]:
        """Decide what is pending at the end of a stretch; R peaks lie within what was fed."""
        if self._n_fed == 0:
            return []
        end = self._first_index + self._n_fed
        found = self._decide(np.full(round(TAIL_S * self._fs_hz), self._last_mv))
        return [
            Detection(d.r_pos, min(d.decided_at, end - 1), d.likeness, d.gate)
            for d in found
            if d.r_pos <= end - 1
        ]

    def resume(self, first_index: int, gap_s: float) -> None:
        """Start again behind a gap (after `flush`): levels and shapes survive `MEMORY_S` of it."""
        self._clock_s += self._n_fed / self._fs_hz
        self._begin(first_index)
        if gap_s > MEMORY_S:
            self._rhythm = Rhythm()
        self._rhythm.resume(self._clock_s)

    def _decide(self, x_mv: Samples) -> list[Detection]:
        found = self._finder.feed(x_mv)
        if len(found) == 0:
            return []
        return [
            Detection(
                self._first_index + float(found.r_pos[d.at]),
                self._first_index + int(found.decided_at[d.at]),
                d.likeness,
                d.gate,
            )
            for d in decide(found, self._rhythm, self._nets, self._clock_s)
            if d.is_beat
        ]
