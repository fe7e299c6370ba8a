"""The nouns of the runtime: streams, sample blocks, beats and events. Frozen; arrays are read-only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ecg.labels import OperatingPoint

__all__ = [
    "LAST_UTC_S",
    "Beat",
    "Classified",
    "EpisodeEvent",
    "Event",
    "GapEvent",
    "LeadOffEvent",
    "LinkEvent",
    "ModelEvent",
    "OutputEvent",
    "PatientEvent",
    "QualityEvent",
    "RhythmEvent",
    "SampleBlock",
    "StateEvent",
    "StreamInfo",
]

LAST_UTC_S = 6e10
"""What lies beyond, on either side of 1970 (the years 68 and 3871), is a damaged header, and past any calendar."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One uninterrupted numbering of samples. A new one begins when indices start anew.

    Attributes
    ----------
    stream
        Its id, in every event.
    fs_hz
        Sampling rate of the source, Hz.
    leads
        Names of the leads, in the order of the columns.
    calibrated
        False when a count has no known size: amplitudes are then arbitrary units.
    start_utc_s
        Wall time of sample 0, seconds since 1970 UTC; None when the source does not know.
    time_scale
        Stream seconds per host second: 1 for a real board, the speed of a simulated one.
    board_delay_s
        How late the board's own filters hand on a sample, s; times of samples are corrected for it.
    """

    stream: str
    fs_hz: float
    leads: tuple[str, ...]
    calibrated: bool = True
    start_utc_s: float | None = None
    time_scale: float = 1.0
    board_delay_s: float = 0.0

    def utc_s(self, sample: float) -> float | None:
        """Wall time of a sample, by its index (never by its arrival); None when the source does not know."""
        if self.start_utc_s is None or math.isinf(self.time_scale):
            return None
        return self.start_utc_s + sample / self.fs_hz / self.time_scale


@dataclass(frozen=True, slots=True, eq=False)
class SampleBlock:
    """Consecutive samples. A jump of ``first_index`` says how many are missing before it.

    Attributes
    ----------
    samples_mv
        ``(n, n_leads) float32`` in mV (nominal mV when the stream is not calibrated); NaN where invalid.
    first_index
        Index of the first sample in the stream, at the source's own rate.
    lead_off
        Whether an electrode is off; None when the source cannot tell.
    host_s
        The host's monotonic clock when the samples arrived, s; only for measuring delays.
    """

    samples_mv: NDArray[np.float32]
    first_index: int
    lead_off: bool | None = None
    host_s: float | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """One detected beat.

    Attributes
    ----------
    r_index
        Sample of the R peak, at the source's own rate, from the start of the stream.
    t_s
        Its time, s, below the sample.
    rr_prev_s
        R-R interval before it, s; None for the first beat and behind a gap.
    rr_median_s
        Median of the past R-R intervals, s; None before there is one.
    quality
        0..1, the least of: how alike the recent beats are, and the quality of the seconds from one second before R
        on that were complete when the beat was labelled; 0 with an electrode off.
    flags
        Of ``short gap lead_off learning unsure reject``.
    """

    r_index: int
    t_s: float
    rr_prev_s: float | None
    rr_median_s: float | None
    quality: float
    flags: tuple[str, ...]

    @property
    def hr_bpm(self) -> float | None:
        """Heart rate by the median of the past R-R intervals, beats a minute."""
        return None if self.rr_median_s is None else 60.0 / self.rr_median_s


@dataclass(frozen=True, slots=True)
class Classified:
    """A labelled beat.

    Attributes
    ----------
    probs
        One per class, in the order of ``labels``.
    confidence
        0..1, how sure the label is, by the model's own account; halved while ``learning``.
    lag_s
        Stream time from R to the last sample that the label needed, s; a runner adds the processing time.
    at_index
        Index of that sample.
    """

    stream: StreamInfo
    lead: str
    beat: Beat
    label: str
    labels: tuple[str, ...]
    probs: tuple[float, ...]
    confidence: float
    model_id: str
    lag_s: float
    at_index: int


@dataclass(frozen=True, slots=True)
class GapEvent:
    """``n_lost`` samples are missing before sample ``at_index``; ``interpolated`` when they were bridged."""

    stream: StreamInfo
    at_index: int
    n_lost: int
    interpolated: bool


@dataclass(frozen=True, slots=True)
class LeadOffEvent:
    """From sample ``at_index`` on an electrode is off, or on again."""

    stream: StreamInfo
    at_index: int
    off: bool


@dataclass(frozen=True, slots=True)
class QualityEvent:
    """From ``sample`` on the signal is unusable (EC57: shutdown), or good again. Known with sample ``at_index``.

    Beats in between carry the flag ``reject``, from the moment this is known.

    Attributes
    ----------
    noisy
        True at the begin of an unusable interval, False at its end.
    quality
        0..1, what led to the change.
    causes
        At the begin, the worst first, of ``flat rail muscle mains baseline motion`` and ``shape`` (beats too unlike
        each other); empty at the end.
    """

    stream: StreamInfo
    at_index: int
    sample: int
    noisy: bool
    quality: float
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RhythmEvent:
    """From ``sample`` on the rhythm is ``state``; known with sample ``at_index``.

    Attributes
    ----------
    state
        ``sinus``, ``af_suspected``, ``atrial_suspected``, ``fibrillation_suspected`` (flutter or fibrillation of the
        ventricles), ``paced_suspected`` or ``unknown``. With a model that does not follow the patient only the last
        three are told.
    score
        0..1, how much speaks for it; 0 for ``unknown``, but where fibrillation has just gone.
    """

    stream: StreamInfo
    at_index: int
    sample: int
    state: str
    score: float


@dataclass(frozen=True, slots=True)
class EpisodeEvent:
    """A run of ectopic beats or a pause, from ``sample`` on: at its begin, and when it is over.

    Attributes
    ----------
    kind
        ``v_run``, ``s_run`` or ``pause``.
    n_beats
        Ectopic beats so far; 0 for a pause.
    length_s
        From the first to the last R so far, s.
    """

    stream: StreamInfo
    at_index: int
    sample: int
    kind: str
    over: bool
    n_beats: int
    length_s: float


@dataclass(frozen=True, slots=True)
class PatientEvent:
    """With the beat at ``sample`` it was clear whether this is the patient who is remembered; else learnt anew."""

    stream: StreamInfo
    at_index: int
    sample: int
    known: bool


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """The source says: ``connected``, ``ended`` (in order), ``stalled`` (nothing comes), ``lost`` (it went away),
    ``back``, ``rough`` (the times of its samples are poorly known), ``error`` (the board's own).
    """

    state: str
    detail: str
    stream: StreamInfo | None = None


@dataclass(frozen=True, slots=True)
class ModelEvent:
    """Which model labels which lead from here on; with which operating point, if it has one."""

    stream: StreamInfo
    at_index: int
    lead: str
    model_id: str
    sha256: str
    operating_point: OperatingPoint | None = None


@dataclass(frozen=True, slots=True)
class StateEvent:
    """What the daemon as a whole does from here on.

    Attributes
    ----------
    state
        ``starting``, ``waiting`` (for a board), ``streaming``, ``lead_off``, ``noisy``, ``stopping``.
    detail
        Why, in words; may be empty.
    utc_s
        Wall time, seconds since 1970 UTC: a state need not belong to a sample.
    """

    state: str
    detail: str
    utc_s: float


@dataclass(frozen=True, slots=True)
class OutputEvent:
    """One output of the daemon loses what it gets, or takes it again.

    Attributes
    ----------
    output
        Its name: ``recording``, ``mqtt``, ``web``, ``jsonl``, ``hooks``.
    state
        ``paused`` (what comes is lost to it, counted), ``back``.
    detail
        Why, in words.
    """

    output: str
    state: str
    detail: str
    utc_s: float


Event = (
    Classified
    | GapEvent
    | LeadOffEvent
    | QualityEvent
    | RhythmEvent
    | EpisodeEvent
    | PatientEvent
    | LinkEvent
    | ModelEvent
    | StateEvent
    | OutputEvent
)
