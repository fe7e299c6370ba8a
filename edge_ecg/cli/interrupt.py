"""Ctrl-C, and a terminal that closes, as an orderly stop; a second Ctrl-C as the usual interrupt."""

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
def orderly_stop(stop: Callable[[], None], on_hangup: Callable[[], None] | None = None) -> Iterator[Interrupted]:
    """While the block runs, the first SIGINT, SIGTERM or SIGHUP calls ``stop``; a later SIGINT interrupts.

    With ``on_hangup`` each SIGHUP calls that instead.
    """
    interrupted = Interrupted()

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and on_hangup is not None:
            on_hangup()
            return
        if interrupted.happened:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        interrupted.happened = True
        stop()

    numbers = [signal.SIGINT, signal.SIGTERM]
    # Under nohup it stays ignored.
    if on_hangup is not None or signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
