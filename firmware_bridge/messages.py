"""The messages of the project's own serial protocol, as values; `wire` says how they look on the line."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.blocks import BoardInfo

__all__ = [
    "BOARD_MESSAGES",
    "Command",
    "Data",
    "Error",
    "Hello",
    "HelloRequest",
    "Message",
    "Ping",
    "Pong",
    "SetRate",
    "Start",
    "Status",
    "StatusRequest",
    "Stop",
    "Stopped",
]


@dataclass(frozen=True, slots=True)
class HelloRequest:
    """Asks the board to say what it is."""


@dataclass(frozen=True, slots=True)
class Start:
    """Begins a session. The sample number goes on; it is never reset but by a reset of the board."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Ends the session; the board answers STOPPED after its last DATA."""


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """Asks for STATUS."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a PONG with the same token."""

    token: int


@dataclass(frozen=True, slots=True)
class SetRate:
    """Asks for another sampling rate (mHz = 0.001 Hz); answered by HELLO or ERROR, only between sessions."""

    fs_mhz: int


@dataclass(frozen=True, slots=True)
class Hello:
    """What the board is.

    ``fs_mhz`` is in 0.001 Hz; ``lsb_pv`` (picovolts a count) 0 = unknown; ``time_scale_milli`` 0 = unpaced.
    """

    protocol_version: int
    fs_mhz: int
    adc_bits: int
    lsb_pv: int
    time_scale_milli: int
    capabilities: int
    name: str
    firmware: str
    adc: str
    leads: tuple[str, ...]

    @property
    def n_leads(self) -> int:
        """How many leads a sample has."""
        return len(self.leads)

    @property
    def info(self) -> BoardInfo:
        """The same in the units of the rest of the program (a time scale of 0 becomes infinity)."""
        return BoardInfo(
            name=self.name,
            firmware=self.firmware,
            adc=self.adc,
            fs_hz=self.fs_mhz / 1000,
            leads=self.leads,
            lsb_nv=self.lsb_pv / 1000 if self.lsb_pv else None,
            time_scale=self.time_scale_milli / 1000 if self.time_scale_milli else math.inf,
            protocol_version=self.protocol_version,
        )

    @classmethod
    def of(cls, info: BoardInfo, adc_bits: int = 24, capabilities: int = 0) -> Hello:
        """Return the message a board described by `info` sends."""
        scale = info.time_scale
        return cls(
            protocol_version=info.protocol_version,
            fs_mhz=round(info.fs_hz * 1000),
            adc_bits=adc_bits,
            lsb_pv=round(info.lsb_nv * 1000) if info.lsb_nv else 0,
            time_scale_milli=0 if math.isinf(scale) else max(1, round(scale * 1000)),
            capabilities=capabilities,
            name=info.name,
            firmware=info.firmware,
            adc=info.adc,
            leads=info.leads,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Consecutive samples: ``counts (n_samples, n_leads) int32``, each in 24 bits."""

    first_sample: int
    lead_off: int
    counts: NDArray[np.int32]

    @property
    def n_leads(self) -> int:
        """How many leads a sample has."""
        return int(self.counts.shape[1])

    @property
    def n_samples(self) -> int:
        """How many samples the frame carries."""
        return int(self.counts.shape[0])


@dataclass(frozen=True, slots=True)
class Status:
    """How the board is doing. ``supply_mv`` 0 = it cannot tell."""

    overruns: int
    queue: int
    supply_mv: int
    samples_sent: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The session is over; how far the sample number advanced in it (sent, or dropped by the board)."""

    samples_sent: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer to PING with the board's microsecond counter."""

    token: int
    board_ticks_us: int


@dataclass(frozen=True, slots=True)
class Error:
    """The board could not do something; ``text`` is for people."""

    code: int
    text: str


Message = Hello | Data | Status | Stopped | Pong | Error
Command = HelloRequest | Start | Stop | StatusRequest | Ping | SetRate
BOARD_MESSAGES = (Hello, Data, Status, Stopped, Pong, Error)
