"""A board on a serial port as a source."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

from edge_ecg.sources import Item
from edge_ecg.sources.boards import BoardScale
from edge_ecg.types import LinkEvent
from firmware_bridge.blocks import BoardInfo, LinkError, LinkStats, RawBlock
from firmware_bridge.link import Link, open_link
from firmware_bridge.wire import Error, Stopped

__all__ = ["SerialLinkSource"]

_POLL_S = 0.1


class SerialLinkSource:
    """Opens the port, shakes hands, and hands out blocks until the board stops or goes away.

    Parameters
    ----------
    port
        Device or pyserial URL.
    baud
        Bits per second.
    handshake_timeout_s
        How long the board may take to answer.
    uv_per_lsb
        Microvolts a count, when the user knows better than the board.

    Raises
    ------
    LinkError
        When the port cannot be opened or no board of this protocol answers.
    """

    def __init__(
        self, port: str, baud: int = 115200, handshake_timeout_s: float = 5.0, uv_per_lsb: float | None = None
    ) -> None:
        self._port = port
        self._link: Link = open_link(port, baud, handshake_timeout_s)
        self._scale = BoardScale(self._link.info, uv_per_lsb)
        self._stopping = False

    @property
    def info(self) -> BoardInfo:
        """What the board says of itself."""
        return self._link.info

    def stats(self) -> LinkStats:
        """Counters of the link so far."""
        return self._link.stats()

    def items(self) -> Iterator[Item | None]:
        """One stream and its blocks.

        Raises
        ------
        LinkError
            When the board went away, after all that came before was handed out.
        """
        info = self.info
        # The wall clock is read once: later steps of it (NTP) do not move samples.
        stream = self._scale.stream(secrets.token_hex(6), time.time())
        yield stream
        yield LinkEvent("connected", f"{info.name}, firmware {info.firmware}, on {self._port}", stream)
        while not self._stopping:
            try:
                received = self._link.read(_POLL_S)
            except LinkError as error:
                yield LinkEvent("lost", str(error), stream)
                raise
            if not received:
                yield None
            for message in received:
                if isinstance(message, RawBlock):
                    yield self._scale.block(message)
                elif isinstance(message, Error):
                    yield LinkEvent("error", message.text, stream)
                elif isinstance(message, Stopped):
                    yield LinkEvent("ended", f"the board stopped after {message.samples_sent} samples", stream)
                    return
        for message in self._link.stop():
            if isinstance(message, RawBlock):
                yield self._scale.block(message)
        yield LinkEvent("ended", "stopped", stream)

    def stop(self) -> None:
        """Stop the board; `items` hands out what was under way and ends."""
        self._stopping = True

    def close(self) -> None:
        """Give the port back."""
        self._link.close()
