"""Where samples come from: a serial link, a recording, a synthetic heart. One interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from edge_ecg.types import LinkEvent, SampleBlock, StreamInfo

__all__ = ["Item", "Source"]

Item = StreamInfo | SampleBlock | LinkEvent


class Source(Protocol):
    """What a runner reads."""

    def items(self) -> Iterator[Item | None]:
        """A `StreamInfo`, then its blocks; a new `StreamInfo` where indices start anew.

        None when nothing came for a tenth of a second, so that the reader can look up. Ends when the source
        ends. Raises `SourceError` or `DataError` for a source that broke, after all that it gave was handed out.
        """

    def stop(self) -> None:
        """Ask the source to end soon: `items` then hands out what is under way and ends."""

    def close(self) -> None:
        """Give everything back. May be called twice."""
