"""Message layouts of the project's own serial protocol, version 1: the source of truth for both sides.

``LAYOUTS`` declares every message field by field; encoding, parsing and the C header follow from it.
All numbers are little endian. PROTOCOL.md explains them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from firmware_bridge import framing
from firmware_bridge.messages import (
    BOARD_MESSAGES,
    Command,
    Data,
    Error,
    Hello,
    HelloRequest,
    Message,
    Ping,
    Pong,
    SetRate,
    Start,
    Status,
    StatusRequest,
    Stop,
    Stopped,
)

__all__ = [
    "BOARD_MESSAGES",
    "HELLO_REQUEST",
    "LAYOUTS",
    "MAX_LEADS",
    "VERSION",
    "Command",
    "Data",
    "Error",
    "Frame",
    "Hello",
    "HelloRequest",
    "Layout",
    "Message",
    "Ping",
    "Pong",
    "SetRate",
    "Start",
    "Status",
    "StatusRequest",
    "Stop",
    "Stopped",
    "encode",
    "parse",
    "samples_per_frame",
]

VERSION = 1
HEADER = struct.Struct("<BBH")  # version, type, sequence
HELLO_REQUEST = 0x01  # its type, in every version
MAX_BODY_BYTES = framing.MAX_PAYLOAD_BYTES - HEADER.size
MAX_LEADS = 12
MAX_FRAME_S = 0.040
COUNT_MIN, COUNT_MAX = -(1 << 23), (1 << 23) - 1

LEAD_OFF_KNOWN = 0x80  # in DATA.lead_off; the low bits: one a lead, leads from the seventh on share bit 6
CAN_LEAD_OFF, CAN_SET_RATE, CAN_SUPPLY, SIMULATED = 1, 2, 4, 8  # in HELLO.capabilities
ERROR_UNKNOWN_COMMAND, ERROR_UNSUPPORTED, ERROR_BAD_VALUE, ERROR_ADC = 1, 2, 3, 4  # in ERROR.code

CType = Literal["u8", "u16", "u32", "u64"]
_FORMATS = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q"}


@dataclass(frozen=True, slots=True)
class Layout:
    """One message on the wire: fixed fields in order, then at most one tail of variable length."""

    TAILS: ClassVar[dict[str, str]] = {
        "": "nothing",
        "text": "UTF-8 to the end of the body",
        "strings": "u8 length + UTF-8 each: name, firmware, adc, then every lead",
        "samples": "n_samples x n_leads signed 24-bit numbers, sample-major",
    }
    name: str
    code: int
    message: type[Message] | type[Command]
    fields: tuple[tuple[str, CType], ...] = ()
    tail: str = ""

    @property
    def struct(self) -> struct.Struct:
        """The fixed fields, packed without padding."""
        return struct.Struct("<" + "".join(_FORMATS[ctype] for _, ctype in self.fields))


LAYOUTS: tuple[Layout, ...] = (
    Layout("HELLO_REQUEST", HELLO_REQUEST, HelloRequest),
    Layout("START", 0x02, Start),
    Layout("STOP", 0x03, Stop),
    Layout("STATUS_REQUEST", 0x04, StatusRequest),
    Layout("PING", 0x05, Ping, (("token", "u32"),)),
    Layout("SET_RATE", 0x06, SetRate, (("fs_mhz", "u32"),)),
    Layout(
        "HELLO",
        0x81,
        Hello,
        (
            ("protocol_version", "u8"),
            ("n_leads", "u8"),
            ("fs_mhz", "u32"),
            ("adc_bits", "u8"),
            ("lsb_pv", "u32"),
            ("time_scale_milli", "u32"),
            ("capabilities", "u16"),
        ),
        tail="strings",
    ),
    Layout(
        "DATA",
        0x82,
        Data,
        (("first_sample", "u32"), ("lead_off", "u8"), ("n_leads", "u8"), ("n_samples", "u8")),
        tail="samples",
    ),
    Layout(
        "STATUS",
        0x83,
        Status,
        (("overruns", "u32"), ("queue", "u16"), ("supply_mv", "u16"), ("samples_sent", "u32")),
    ),
    Layout("STOPPED", 0x84, Stopped, (("samples_sent", "u64"),)),
    Layout("PONG", 0x85, Pong, (("token", "u32"), ("board_ticks_us", "u32"))),
    Layout("ERROR", 0x86, Error, (("code", "u8"),), tail="text"),
)

_STRUCTS = {layout.code: (layout, layout.struct) for layout in LAYOUTS}
_LAYOUT_OF = {layout.message: layout for layout in LAYOUTS}


class Frame(NamedTuple):
    """A parsed payload; ``message`` is None when the version, the type or the body is not of version 1."""

    version: int
    code: int
    sequence: int
    message: Message | Command | None


def samples_per_frame(fs_hz: float, n_leads: int) -> int:
    """Return the most samples one DATA frame may carry: 40 ms, what fits in the body, never 0."""
    fits = (MAX_BODY_BYTES - 7) // (3 * n_leads)
    return max(1, min(int(fs_hz * MAX_FRAME_S + 1e-9), fits, 255))


def encode(message: Message | Command, sequence: int) -> bytes:
    """Return the whole frame, delimiter included; `sequence` is taken modulo 65536.

    Raises
    ------
    ValueError
        A field does not fit its place on the wire.
    """
    layout = _LAYOUT_OF[type(message)]
    try:
        fixed = layout.struct.pack(*(getattr(message, name) for name, _ in layout.fields))
    except struct.error as error:
        raise ValueError(f"{layout.name}: {error} in {message}") from None
    header = HEADER.pack(VERSION, layout.code, sequence & 0xFFFF)
    return framing.encode(header + fixed + _encode_tail(message))


def _encode_tail(message: Message | Command) -> bytes:
    if isinstance(message, Error):
        return message.text.encode()
    if isinstance(message, Hello):
        texts = [text.encode() for text in (message.name, message.firmware, message.adc, *message.leads)]
        if max(map(len, texts)) > 255:
            raise ValueError("a string in HELLO has at most 255 bytes of UTF-8")
        return b"".join(bytes([len(text)]) + text for text in texts)
    if isinstance(message, Data):
        counts = message.counts
        if not (0 < counts.shape[0] <= 255 and 0 < counts.shape[1] <= MAX_LEADS):
            raise ValueError(f"DATA carries 1..255 samples of 1..{MAX_LEADS} leads, not {counts.shape}")
        if counts.min() < COUNT_MIN or counts.max() > COUNT_MAX:
            raise ValueError("a count does not fit in 24 bits")
        return np.ascontiguousarray(counts, "<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return b""


def parse(payload: bytes) -> Frame | None:
    """Return what a payload (CRC removed) says; None when it is shorter than a header. Never raises."""
    if len(payload) < HEADER.size:
        return None
    version, code, sequence = HEADER.unpack_from(payload)
    message = _parse_body(code, payload) if version == VERSION else None
    return Frame(version, code, sequence, message)


def _parse_body(code: int, payload: bytes) -> Message | Command | None:
    layout, fixed = _STRUCTS.get(code, (None, HEADER))
    start = HEADER.size + fixed.size
    if layout is None or len(payload) < start or (not layout.tail and len(payload) > start):
        return None
    values = fixed.unpack_from(payload, HEADER.size)
    if layout.tail == "samples":
        return _parse_data(values, payload[start:])
    if layout.tail == "strings":
        return _parse_hello(values, payload[start:])
    if layout.tail == "text":
        return Error(values[0], payload[start:].decode(errors="replace"))
    return layout.message(*values)


def _parse_data(values: tuple[int, ...], packed: bytes) -> Data | None:
    first_sample, lead_off, n_leads, n_samples = values
    if not 0 < n_leads <= MAX_LEADS or not n_samples or len(packed) != 3 * n_samples * n_leads:
        return None
    # The three bytes go to the top of an int32, so the shift back extends the sign.
    wide = np.zeros((n_samples * n_leads, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(packed, np.uint8).reshape(-1, 3)
    counts = (wide.view("<i4") >> 8).astype(np.int32, copy=False).reshape(n_samples, n_leads)
    counts.flags.writeable = False
    return Data(first_sample, lead_off, counts)


def _parse_hello(values: tuple[int, ...], tail: bytes) -> Hello | None:
    protocol_version, n_leads, fs_mhz, adc_bits, lsb_pv, scale_milli, capabilities = values
    texts: list[str] = []
    at = 0
    while at < len(tail):
        end = at + 1 + tail[at]
        texts.append(tail[at + 1 : end].decode(errors="replace"))
        at = end
    if at != len(tail) or len(texts) != 3 + n_leads:
        return None
    name, firmware, adc, *leads = texts
    numbers = (protocol_version, fs_mhz, adc_bits, lsb_pv, scale_milli, capabilities)
    return Hello(*numbers, name, firmware, adc, tuple(leads))
