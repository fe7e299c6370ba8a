"""What bytes look like: a board that is known, our own protocol in another version, a console, another speed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from firmware_bridge import wire
from firmware_bridge.boards import BOARDS, Board
from firmware_bridge.protocols import open_decoder
from firmware_bridge.protocols.edge import EdgeDecoder

__all__ = ["KEPT_BYTES", "Seen", "recognise", "version_words"]

KEPT_BYTES = 4096
"""So many of the first that come are enough to tell."""
FEWEST_FRAMES = 8
UNDERSTOOD = 0.9
"""Share of the bytes that a decoder must make sense of."""
PRINTABLE = 0.9
SHOWN_CHARACTERS = 60
_CONSOLE = re.compile(r"(?i)\b(login|password): ?|\w@[\w.-]+:\S*[#$] ")
"""A question of getty, a prompt of a shell."""

Kind = Literal["nothing", "board", "version", "echo", "console", "text", "noise"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What some bytes look like.

    Attributes
    ----------
    kind
        What it is; ``noise`` is what nobody knows.
    what, hint
        In words, and the next step.
    boards
        Names of the boards that would send this; several where bytes cannot tell them apart.
    """

    kind: Kind
    what: str
    hint: str
    boards: tuple[str, ...] = ()

    @property
    def is_sure(self) -> bool:
        """Whether another speed would tell no more."""
        return self.kind in ("board", "version", "echo", "console")


def recognise(data: bytes, baud: int, candidates: Iterable[Board] = BOARDS.values()) -> Seen:
    """Tell what sent ``data`` at ``baud``, and whether it may be one of some boards."""
    if not data:
        return Seen(
            "nothing", "nothing",
            "Is it the right port (`edge-ecg ports`), is the board powered and its firmware flashed?",
        )  # fmt: skip
    candidates = tuple(candidates)
    ours = _ours(data)
    if ours is not None:
        return ours
    text = _printable(data)
    if text and _CONSOLE.search(text):
        return Seen(
            "console", f"a login console, which says {_shown(text)}",
            "Is the board on another port? On the header of a Raspberry Pi, switch the serial console off: "
            "`sudo raspi-config`, Interface Options, Serial Port",
        )  # fmt: skip
    boards = tuple(board for board in candidates if board.decoder != "edge" and _share(board, data) >= UNDERSTOOD)
    if boards:
        titles = " or ".join(f"{board.title} ({board.name})" for board in boards)
        names = tuple(board.name for board in boards)
        return Seen("board", f"looks like {titles}", "Try " + " or ".join(f"--board {name}" for name in names), names)
    return _unknown(data, baud, candidates)


def version_words(version: int) -> tuple[str, str]:
    """What to say of a board of another protocol version, and the next step."""
    older = "the firmware of the board" if version < wire.VERSION else "edge-ecg"
    return f"speaks version {version} of the protocol, this program speaks {wire.VERSION}", f"Update {older}"


def _ours(data: bytes) -> Seen | None:
    """What talks our protocol; None when nobody does."""
    decoder = EdgeDecoder()
    hellos = [item for item in decoder.feed(data, 0.0) if isinstance(item, wire.Hello)]
    version = decoder.foreign_version
    if hellos and hellos[-1].protocol_version != wire.VERSION:
        version = hellos[-1].protocol_version
    if version is not None:
        what, hint = version_words(version)
        return Seen("version", f"a board with our firmware {what}", hint)
    if decoder.echoed:
        return Seen("echo", "what was sent came back", "Is it a loopback plug, or are TX and RX connected?")
    if decoder.stats().frames_ok:
        return Seen("board", f"looks like {BOARDS['edge'].title.lower()} (edge)", "Try --board edge", ("edge",))
    return None


def _share(board: Board, data: bytes) -> float:
    """How much of ``data`` a board's decoder makes sense of, 0 to 1."""
    decoder = open_decoder(board.decoder)
    decoder.feed(data, 0.0)
    decoder.flush()
    stats = decoder.stats()
    if stats.frames_ok < FEWEST_FRAMES:
        return 0.0
    return (1.0 - stats.bytes_skipped / len(data)) * (1.0 - stats.crc_errors / (stats.crc_errors + stats.frames_ok))


def _unknown(data: bytes, baud: int, candidates: tuple[Board, ...]) -> Seen:
    text = _printable(data)
    if text:
        hint = f"Is it the right port, the right firmware, and is {baud} the right baud rate?"
        return Seen("text", f"text that begins {_shown(text)}", hint)
    packets = data.split(b"\x0a\xfa")[1:-1]
    if len(packets) >= 2 and sum(packet.endswith(b"\x0b") for packet in packets) >= len(packets) / 2:
        hint = "`edge-ecg boards list` shows those that are known"
        return Seen("text", "looks like a ProtoCentral board (OpenView packets) of an unknown kind", hint)
    others = dict.fromkeys(speed for board in candidates for speed in board.bauds if speed != baud)
    tried = f"try --baud {' or '.join(map(str, others))}" if others else "`edge-ecg ports --probe` tries the usual ones"
    return Seen(
        "noise", f"{len(data)} bytes that make no sense at {baud} baud",
        f"Is {baud} the right baud rate? If not, {tried}. Is it the right port (`edge-ecg ports`)?",
    )  # fmt: skip


def _printable(data: bytes) -> str:
    """``data`` as text; "" when it is none."""
    text = data.decode("ascii", errors="replace")
    n = sum((char.isprintable() and char != "\ufffd") or char in "\r\n\t" for char in text)
    return text if n >= PRINTABLE * len(text) else ""


def _shown(text: str) -> str:
    return repr(" ".join(text.replace("\ufffd", "?").split())[:SHOWN_CHARACTERS])
