"""How a daemon is doing, as one frozen picture: what the page, the metrics, the health check and `top` show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from firmware_bridge.blocks import LinkStats

__all__ = ["Health", "OutputHealth"]


@dataclass(frozen=True, slots=True)
class OutputHealth:
    """One output.

    Attributes
    ----------
    n_waiting
        Events and blocks in its queue.
    n_dropped, n_blocks_dropped
        Events and blocks of samples lost to it.
    failure
        Why it loses what it gets; None while all is well.
    delay_p50_s, delay_p99_s
        Of beats, from R until it had taken them; None before there is one.
    """

    n_waiting: int
    n_dropped: int
    n_blocks_dropped: int
    failure: str | None
    delay_p50_s: float | None
    delay_p99_s: float | None


@dataclass(frozen=True, slots=True)
class Health:
    """The daemon at one moment.

    Attributes
    ----------
    state, detail, since_utc_s
        As of the last `edge_ecg.types.StateEvent`.
    started_utc_s
        When the daemon began.
    version
        Of edge-ecg.
    model_id
        What labels; None before a stream.
    port
        Of the board, as it was named.
    fs_hz, leads, lead, calibrated
        Of the stream; None and empty before there is one.
    n_samples, n_samples_lost, n_gaps, n_beats, n_rejected
        Since the daemon began.
    labels
        How many beats of each label.
    processing_s
        CPU and waiting of the pipeline, s.
    idle_s
        Since the last sample, s; None before there is one.
    link
        Counters of the link; None while no board was heard yet.
    outputs
        By name.
    """

    state: str
    detail: str
    since_utc_s: float
    started_utc_s: float
    version: str
    port: str
    model_id: str | None = None
    fs_hz: float | None = None
    leads: tuple[str, ...] = ()
    lead: str | None = None
    calibrated: bool = True
    n_samples: int = 0
    n_samples_lost: int = 0
    n_gaps: int = 0
    n_beats: int = 0
    n_rejected: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    processing_s: float = 0.0
    idle_s: float | None = None
    link: LinkStats | None = None
    outputs: Mapping[str, OutputHealth] = field(default_factory=dict)
