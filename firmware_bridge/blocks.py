"""What this package hands out: blocks of counts, what a board says of itself, link counters, errors."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoardInfo", "Counts", "LinkError", "LinkStats", "PortRefusedError", "RawBlock"]

Counts = NDArray[np.int32 | np.float64]


class LinkError(Exception):
    """The link cannot be opened or was lost: a message and the next step to try.

    Example scenarios: the port does not exist, another program holds it, the user may not open it,
    nothing answers, something answers in another language, the cable was pulled.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class PortRefusedError(LinkError):
    """The port is there, and another program holds it, or this user may not open it: waiting is of no use."""


@dataclass(frozen=True, slots=True, eq=False)
class RawBlock:
    """Consecutive samples of all leads, as the ADC counted them.

    Attributes
    ----------
    counts
        ``(n, n_leads)``, read-only; ``int32``, but ``float64`` of boards that print numbers with fractions. The code
        of the ADC as it is on the wire, its sign extended.
    first_sample
        The board's own number of the first sample, unwrapped to 64 bits; where boards do not number their samples,
        those received and those known to be lost before it.
    lead_off
        Whether the board reports an electrode off; ``None`` when it cannot tell.
    lost_before
        Samples known to be missing immediately before this block.
    host_s
        The host's monotonic clock when the bytes arrived, in seconds (not a sample time).
    """

    counts: Counts
    first_sample: int
    lead_off: bool | None
    lost_before: int
    host_s: float


@dataclass(frozen=True, slots=True)
class BoardInfo:
    """What a board says of itself. ``lsb_nv`` is None when a count has no known size in nanovolts.

    ``time_scale`` is 1 for a real board; a simulated one announces how much faster than life it runs.
    ``group_delay_ms`` is how late the board's own filters make a sample.
    """

    name: str
    firmware: str
    adc: str
    fs_hz: float
    leads: tuple[str, ...]
    lsb_nv: float | None
    time_scale: float
    protocol_version: int
    group_delay_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class LinkStats:
    """Counters of one link since it was opened (a snapshot).

    Attributes
    ----------
    bytes_received, bytes_skipped
        All that came, and what of it belonged to no good frame.
    frames_ok, crc_errors, frame_errors
        Good frames; those with a wrong checksum; those that were too short or long, unusable, or sent twice.
    samples_received, samples_lost
        Samples handed out, and samples known to be missing between them, both at the rate of `BoardInfo.fs_hz`.
        Together they are how far the sample number advanced.
    samples_resampled
        Samples that a board without a steady rate sent, and of which ``samples_received`` at that rate were made (those
        of the time in which the rate is learnt included); 0 of any other board.
    overruns
        Samples that the board had to drop, by its own account; they are among those lost.
    queue_drops
        Bytes that were not decoded in time.
    reconnects
        How often the board was lost and came back.
    fs_estimate_hz, drift_ppm
        The board's rate by the host's clock, and how much faster that is than it says; None while not known.
    """

    bytes_received: int = 0
    frames_ok: int = 0
    crc_errors: int = 0
    frame_errors: int = 0
    bytes_skipped: int = 0
    samples_received: int = 0
    samples_lost: int = 0
    samples_resampled: int = 0
    overruns: int = 0
    queue_drops: int = 0
    reconnects: int = 0
    fs_estimate_hz: float | None = None
    drift_ppm: float | None = None

    def __add__(self, other: LinkStats) -> LinkStats:
        """Counters of two links, one after the other; what is estimated is that of the later."""
        return self._joined(other, 1)

    def __sub__(self, other: LinkStats) -> LinkStats:
        """Counters since ``other`` was taken."""
        return self._joined(other, -1)

    def _joined(self, other: LinkStats, sign: int) -> LinkStats:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        joined = {name: value + sign * getattr(other, name) for name, value in values.items() if isinstance(value, int)}
        later = other if sign > 0 else self
        return replace(later, **joined)
