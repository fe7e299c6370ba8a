"""What a service tells systemd: ready, alive, what it does (sd_notify(3)). Without systemd it tells nobody."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping

__all__ = ["Notifier"]


class Notifier:
    """Sends datagrams to the socket that systemd named; what does not get through is no error.

    Parameters
    ----------
    env
        The environment: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC``, ``WATCHDOG_PID``.
    clock
        The host's monotonic clock, s.

    Attributes
    ----------
    alive_every_s
        How often systemd wants a sign of life at least, s, with a margin of four; None: it wants none.
    """

    def __init__(self, env: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = env.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self._clock = clock
        self._alive_s = -1e9
        usec = env.get("WATCHDOG_USEC", "")
        ours = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.alive_every_s = int(usec) / 4e6 if ours and usec.isdecimal() and int(usec) else None

    def ready(self) -> None:
        """The service is up, or done with reading its settings again."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """What `systemctl status` shows."""
        self._send("STATUS=" + " ".join(text.split()))

    def alive(self) -> None:
        """A sign of life, sent as often as is wanted."""
        now_s = self._clock()
        if self.alive_every_s is not None and now_s >= self._alive_s + self.alive_every_s:
            self._alive_s = now_s
            self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """The settings are read again."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)  # a listener that hangs must not stop a label
            sender.connect(self._address)
            sender.send(text.encode())
