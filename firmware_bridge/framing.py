"""Frames on a byte stream: COBS, a zero byte as delimiter, CRC-16. Knows no message.

COBS: Cheshire and Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Trans. Networking 7(2), 1999.
"""

from __future__ import annotations

from binascii import crc_hqx

__all__ = [
    "MAX_ENCODED_BYTES",
    "MAX_PAYLOAD_BYTES",
    "Deframer",
    "cobs_decode",
    "cobs_encode",
    "crc16",
    "encode",
]

DELIMITER = b"\0"
CRC_BYTES = 2
MAX_PAYLOAD_BYTES = 2052
"""The largest payload of a frame: a header of 4 bytes and a body of 2048, without the CRC."""

MAX_ENCODED_BYTES = MAX_PAYLOAD_BYTES + CRC_BYTES + (MAX_PAYLOAD_BYTES + CRC_BYTES) // 254 + 1
"""The longest run of bytes between two delimiters that can be a frame."""


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF, no reflection, no final XOR."""
    return crc_hqx(data, 0xFFFF)


def cobs_encode(data: bytes) -> bytes:
    """Return `data` without zero bytes; the delimiter is not included."""
    out = bytearray()
    for part in data.split(DELIMITER):
        while len(part) >= 254:
            out.append(255)
            out += part[:254]
            part = part[254:]
        out.append(len(part) + 1)
        out += part
    tail = data[data.rfind(DELIMITER) + 1 :]
    if tail and len(tail) % 254 == 0:
        out.pop()  # a full block at the very end needs no empty block after it
    return bytes(out)


def cobs_decode(encoded: bytes) -> bytes | None:
    """Undo :func:`cobs_encode`; None when `encoded` is empty, holds a zero or ends inside a block."""
    if not encoded or DELIMITER in encoded:
        return None
    # Each code byte stands where a zero was, so decoding is writing zeros along the chain of codes;
    # only the code after a full block of 254 bytes stands for nothing and is cut out.
    buffer = bytearray(encoded)
    end = len(buffer)
    at = 0
    cuts = [0]
    while at < end:
        code = buffer[at]
        buffer[at] = 0
        at += code
        if code == 255 and at < end:
            cuts.append(at)
    if at != end:
        return None
    for cut in reversed(cuts):
        del buffer[cut]
    return bytes(buffer)


def encode(payload: bytes) -> bytes:
    """Return the frame of a payload: COBS(payload, CRC-16 little endian) and the delimiter.

    Raises
    ------
    ValueError
        The payload is longer than ``MAX_PAYLOAD_BYTES``.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a payload has at most {MAX_PAYLOAD_BYTES} bytes, this one has {len(payload)}")
    return cobs_encode(payload + crc16(payload).to_bytes(CRC_BYTES, "little")) + DELIMITER


class Deframer:
    """Payloads out of bytes that arrive in pieces. Keeps at most ``MAX_ENCODED_BYTES``; never raises.

    Attributes
    ----------
    bytes_received, bytes_skipped
        All bytes fed, and those of them that belonged to no good frame.
    crc_errors, frame_errors
        Frames with a wrong checksum; frames that are too short, too long or no COBS.
    """

    __slots__ = ("_overlong", "_rest", "bytes_received", "bytes_skipped", "crc_errors", "frame_errors")

    def __init__(self) -> None:
        self.bytes_received = 0
        self.bytes_skipped = 0
        self.crc_errors = 0
        self.frame_errors = 0
        self._rest = b""
        self._overlong = False

    @property
    def pending(self) -> bytes:
        """The bytes of a frame whose delimiter has not come yet."""
        return self._rest

    def feed(self, data: bytes) -> list[bytes]:
        """Return the payloads (without CRC) of the good frames that `data` completes."""
        self.bytes_received += len(data)
        *frames, rest = (self._rest + data).split(DELIMITER)
        payloads = []
        for frame in frames:
            if self._overlong:
                self._overlong = False
                self._reject(frame)
            elif frame:  # two delimiters in a row are no error
                payload = self._open(frame)
                if payload is not None:
                    payloads.append(payload)
        if self._overlong or len(rest) > MAX_ENCODED_BYTES:
            self._overlong = True
            self.bytes_skipped += len(rest)
            rest = b""
        self._rest = rest
        return payloads

    def _open(self, frame: bytes) -> bytes | None:
        content = cobs_decode(frame) if len(frame) <= MAX_ENCODED_BYTES else None
        if content is None or len(content) <= CRC_BYTES:
            self._reject(frame)
            return None
        payload = content[:-CRC_BYTES]
        if crc_hqx(payload, 0xFFFF) != content[-2] | content[-1] << 8:
            self.crc_errors += 1
            self.bytes_skipped += len(frame) + 1
            return None
        return payload

    def _reject(self, frame: bytes) -> None:
        self.frame_errors += 1
        self.bytes_skipped += len(frame) + 1
