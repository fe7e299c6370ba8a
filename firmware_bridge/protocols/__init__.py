"""Decoders of what boards send, one file each: bytes in, blocks and messages out, no port, no clock."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Protocol, cast

from firmware_bridge.blocks import LinkError, LinkStats, RawBlock
from firmware_bridge.wire import Message

__all__ = ["DECODERS", "Decoder", "open_decoder"]

DECODERS = {"edge": "firmware_bridge.protocols.edge:EdgeDecoder"}
"""Name of a protocol -> "module:class"; a module is imported when its decoder is opened."""


class Decoder(Protocol):
    """Turns the bytes of one board into blocks.

    It never raises on bad input, takes time proportional to the input, and keeps a bounded number of bytes;
    however the bytes are cut into calls of `feed`, the same blocks come out.
    """

    def feed(self, data: bytes, host_s: float) -> list[RawBlock | Message]:
        """Return what `data`, which arrived at `host_s`, completes, in order."""
        ...

    def stats(self) -> LinkStats:
        """Return the counters since the decoder was made."""
        ...


def open_decoder(name: str) -> Decoder:
    """Return a new decoder of the protocol called `name`; LinkError lists the names when it is unknown."""
    try:
        module, _, attribute = DECODERS[name].partition(":")
    except KeyError:
        known = ", ".join(sorted(DECODERS))
        near = get_close_matches(name, DECODERS, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        raise LinkError(f"no protocol is called {name!r}", f"{guess}There are: {known}") from None
    return cast(Decoder, getattr(import_module(module), attribute)())
