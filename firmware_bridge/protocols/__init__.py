"""Decoders of what boards send, one file each: bytes in, blocks and messages out, no port, no clock."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from importlib import import_module
from typing import Protocol, cast

from firmware_bridge.blocks import LinkError, LinkStats, RawBlock
from firmware_bridge.wire import Message

__all__ = ["DECODERS", "Decoder", "open_decoder"]

DECODERS = {
    "ad8232": "firmware_bridge.protocols.ad8232:Ad8232Decoder",
    "ads1292r": "firmware_bridge.protocols.ads1292r:Ads1292rDecoder",
    "ads1293": "firmware_bridge.protocols.ads1293:Ads1293Decoder",
    "bitalino": "firmware_bridge.protocols.bitalino:BitalinoDecoder",
    "chords": "firmware_bridge.protocols.chords:ChordsDecoder",
    "cyton": "firmware_bridge.protocols.cyton:CytonDecoder",
    "edge": "firmware_bridge.protocols.edge:EdgeDecoder",
    "eifwd": "firmware_bridge.protocols.eifwd:EifwdDecoder",
    "hpi3": "firmware_bridge.protocols.hpi3:Hpi3Decoder",
    "hpi4": "firmware_bridge.protocols.hpi4:Hpi4Decoder",
    "hpi5": "firmware_bridge.protocols.hpi5:Hpi5Decoder",
    "hpi5b": "firmware_bridge.protocols.hpi5b:Hpi5bDecoder",
    "max30001": "firmware_bridge.protocols.max30001:Max30001Decoder",
    "max30003": "firmware_bridge.protocols.max30003:Max30003Decoder",
    "olimex": "firmware_bridge.protocols.olimex:OlimexDecoder",
    "spiker": "firmware_bridge.protocols.spiker:SpikerDecoder",
}
"""Name of a protocol -> "module:class"; a module is imported when its decoder is opened."""


class Decoder(Protocol):
    """Turns the bytes of one board into blocks.

    It never raises on bad input, takes time proportional to the input, and keeps a bounded number of bytes.
    However the bytes are cut into calls of `feed`, the same samples come out, with the same numbers, losses and
    electrodes; only where one block ends and the next begins may follow the calls.

    It has no clock. What a counter or the bytes tell is lost is in ``lost_before``; what only time could tell is not.
    """

    @property
    def pending(self) -> bytes:
        """The bytes that wait for more."""
        ...

    def feed(self, data: bytes, host_s: float) -> list[RawBlock | Message]:
        """Return what `data`, which arrived at `host_s`, completes, in order."""
        ...

    def flush(self) -> list[RawBlock | Message]:
        """Return what only waited to be confirmed by what follows: the stream has ended."""
        ...

    def stats(self) -> LinkStats:
        """Return the counters since the decoder was made."""
        ...


def open_decoder(name: str, **options: object) -> Decoder:
    """Return a new decoder of the protocol called `name`.

    Parameters
    ----------
    options
        What that decoder takes: ``n_channels`` (bitalino, chords, spiker), ``columns`` (ad8232, eifwd).

    Raises
    ------
    LinkError
        The name is unknown (the error lists the names), or its decoder does not take an option.
    """
    try:
        module, _, attribute = DECODERS[name].partition(":")
    except KeyError:
        known = ", ".join(sorted(DECODERS))
        near = get_close_matches(name, DECODERS, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        raise LinkError(f"no protocol is called {name!r}", f"{guess}There are: {known}") from None
    decoder = getattr(import_module(module), attribute)
    takes = inspect.signature(decoder).parameters
    for option in options:
        if option not in takes:
            raise LinkError(f"the decoder of {name} takes no {option}", f"It takes: {', '.join(takes) or 'nothing'}")
    return cast(Decoder, decoder(**options))
