"""Ctrl-C as an orderly stop; a second one as the usual interrupt."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["Interrupted", "orderly_stop"]


class Interrupted:
    """Whether Ctrl-C came."""

    def __init__(self) -> None:
        self.happened = False


@contextlib.contextmanager
def orderly_stop(stop: Callable[[], None]) -> Iterator[Interrupted]:
    """While the block runs, the first SIGINT or SIGTERM calls ``stop``; a second SIGINT interrupts."""
    interrupted = Interrupted()

    def handle(number: int, frame: FrameType | None) -> None:
        if interrupted.happened:
            raise KeyboardInterrupt
        interrupted.happened = True
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
