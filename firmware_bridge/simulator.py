"""A board that is not there: in memory (`VirtualBoard`) and behind a pseudo terminal (`PtyBoard`)."""

from __future__ import annotations

import array
import contextlib
import dataclasses
import fcntl
import math
import os
import secrets
import select
import termios
import threading
import time
import tty
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from firmware_bridge import wire
from firmware_bridge.blocks import BoardInfo, LinkError
from firmware_bridge.framing import Deframer

__all__ = ["Board", "PtyBoard", "VirtualBoard"]

FRAMES_AT_ONCE = 64
POLL_S = 0.01
PTS = "/dev/pts/"  # where pseudo terminals live


class Board(Protocol):
    """What a `PtyBoard` runs: commands in, frames out; the caller brings the time."""

    @property
    def finished(self) -> bool:
        """Whether nothing will come any more."""

    def receive(self, data: bytes, now_s: float) -> bytes:
        """The answers to the commands that ``data`` completes."""

    def advance(self, now_s: float) -> bytes:
        """What is due by ``now_s``."""

    def is_plugged(self, now_s: float) -> bool:
        """Whether the cable is in."""


class VirtualBoard:
    """A model of a board without port, thread or clock: commands in, frames out; the caller brings the time.

    Each START plays the record from its beginning, while the sample number goes on as on a real board.

    Parameters
    ----------
    info
        What the board says of itself; its ``time_scale`` is replaced by `speed`.
    counts
        ``(n, n_leads)``: the record, clipped to 24 bits.
    speed
        How much faster than life; None or infinity: as fast as `advance` is called.
    loop
        Begin again at the end of the record rather than stop.
    lead_off
        What the board reports of its electrodes; None: it cannot tell.
    drift_ppm
        How much faster than it says it samples.
    first_sample
        Number of the first sample.
    """

    def __init__(
        self,
        info: BoardInfo,
        counts: ArrayLike,
        speed: float | None = 1.0,
        *,
        loop: bool = False,
        adc_bits: int = 24,
        lead_off: bool | None = None,
        drift_ppm: float = 0.0,
        first_sample: int = 0,
    ) -> None:
        speed = math.inf if speed is None else speed
        record = np.asarray(counts)
        if record.ndim != 2 or record.shape[1] != len(info.leads) or not len(record):
            raise ValueError(f"counts must be (n, {len(info.leads)}) with n > 0, not {record.shape}")
        if not speed > 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self.info = dataclasses.replace(info, time_scale=speed)
        self.lead_off = lead_off
        self._counts = np.clip(record, wire.COUNT_MIN, wire.COUNT_MAX).astype(np.int32)
        self._rate = info.fs_hz * speed * (1.0 + 1e-6 * drift_ppm)
        self._loop = loop
        self._per_frame = wire.samples_per_frame(info.fs_hz, len(info.leads))
        capabilities = wire.SIMULATED | (wire.CAN_LEAD_OFF if lead_off is not None else 0)
        self._hello = wire.Hello.of(self.info, adc_bits, capabilities)
        wire.encode(self._hello, 0)  # a board that cannot be described must fail here, not in a thread
        self._first_sample = first_sample
        self.reset()

    def reset(self) -> None:
        """Lose the supply and get it back: counters begin anew, what was on its way is gone."""
        self._deframer = Deframer()
        self._sequence = 0
        self._next_sample = self._first_sample
        self._sent = 0  # in this session, or in the last one
        self._started_s = 0.0
        self.streaming = False
        self.finished = False

    def greet(self) -> bytes:
        """The HELLO that a board sends unasked after a reset."""
        return self._frame(self._hello)

    def is_plugged(self, now_s: float) -> bool:
        """Always: a good cable."""
        return True

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Return the answers to the commands that `data` completes."""
        out = bytearray()
        for payload in self._deframer.feed(data):
            frame = wire.parse(payload)
            if frame is not None:
                out += self._answer(frame, now_s)
        return bytes(out)

    def advance(self, now_s: float) -> bytes:
        """Return the frames due by `now_s`, but no more than 64 in one call; the last ones with STOPPED."""
        out = bytearray()
        for _ in range(FRAMES_AT_ONCE):
            left = len(self._counts) - self._sent if not self._loop else self._per_frame
            n = min(self._per_frame, left)
            if not self.streaming or self._samples_due(now_s) < self._sent + n:
                break
            out += self._data(n)
            if left == n and not self._loop:
                self.finished = True
                out += self._stop()
        return bytes(out)

    def _samples_due(self, now_s: float) -> float:
        return math.inf if math.isinf(self._rate) else (now_s - self._started_s) * self._rate

    def _data(self, n: int) -> bytes:
        at = np.arange(self._sent, self._sent + n) % len(self._counts)
        flags = 0 if self.lead_off is None else wire.LEAD_OFF_KNOWN | int(self.lead_off)
        frame = self._frame(wire.Data(self._next_sample & 0xFFFFFFFF, flags, self._counts[at]))
        self._sent += n
        self._next_sample += n
        return frame

    def _stop(self) -> bytes:
        self.streaming = False
        return self._frame(wire.Stopped(self._sent))

    def _answer(self, frame: wire.Frame, now_s: float) -> bytes:
        if frame.version != wire.VERSION:
            # Whoever asks in another version learns which one is spoken here.
            return self._frame(self._hello) if frame.code == wire.HELLO_REQUEST else b""
        match frame.message:
            case wire.HelloRequest():
                return self._frame(self._hello)
            case wire.Start():
                self.streaming, self.finished = True, False
                self._sent, self._started_s = 0, now_s
                return b""
            case wire.Stop():
                return self._stop()
            case wire.StatusRequest():
                return self._frame(wire.Status(0, 0, 0, self._sent & 0xFFFFFFFF))
            case wire.Ping(token):
                return self._frame(wire.Pong(token, int(now_s * 1e6) & 0xFFFFFFFF))
            case wire.SetRate():
                return self._frame(wire.Error(wire.ERROR_UNSUPPORTED, "a record has one rate"))
        if frame.message is None:
            return self._frame(wire.Error(wire.ERROR_UNKNOWN_COMMAND, f"unknown command {frame.code:#04x}"))
        return b""

    def _frame(self, message: wire.Message) -> bytes:
        encoded = wire.encode(message, self._sequence)
        self._sequence = self._sequence + 1 & 0xFFFF
        # What comes once only starts behind a delimiter: a damaged frame before it must not swallow it.
        return encoded if isinstance(message, wire.Data) else b"\0" + encoded


class PtyBoard:
    """Runs a `VirtualBoard` behind a pseudo terminal. When the reader is slow, the board waits.

    Parameters
    ----------
    board
        The board; it belongs to this object's thread from now on. Where it says that it is not plugged in
        (`firmware_bridge.faults`), the terminal goes away; another comes with the cable.
    pty_link
        A symbolic link to make to the terminal; removed by `close`.

    Attributes
    ----------
    path
        The device to open; another one after the cable was pulled.
    finished
        Set when the record has come to its end and the reader has taken all of it.

    Raises
    ------
    LinkError
        `pty_link` cannot be made, or exists and is not what an earlier board left behind.
    """

    def __init__(self, board: Board, pty_link: str | os.PathLike[str] | None = None) -> None:
        self.finished = threading.Event()
        self._board = board
        self._link = Path(pty_link) if pty_link is not None else None
        self._closing = threading.Event()
        self._plug_in()
        self._thread = threading.Thread(target=self._run, name="edge-ecg pty board", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, as if the cable were pulled: what the reader has not taken is gone. May be called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join(timeout=2.0)
        self._pull()

    def __enter__(self) -> PtyBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _plug_in(self) -> None:
        # The slave stays open here, so that a client may leave and come back.
        self._master, self._slave = os.openpty()
        self._plugged = True
        try:
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            self.path = os.ttyname(self._slave)
            if self._link is not None:
                _make_link(self._link, self.path)
        except BaseException:
            os.close(self._master)
            os.close(self._slave)
            raise

    def _pull(self) -> None:
        if not self._plugged:
            return
        self._plugged = False
        if self._link is not None:
            with contextlib.suppress(OSError):
                if os.readlink(self._link) == self.path:
                    self._link.unlink()
        os.close(self._master)
        os.close(self._slave)

    def _run(self) -> None:
        waiting = b""
        n_empty = 0
        while not self._closing.is_set():
            if not self._board.is_plugged(time.monotonic()):
                self._pull()
                # A board that keeps its supply goes on sampling; nobody hears it.
                waiting = self._board.advance(time.monotonic())
                self._closing.wait(POLL_S)
                continue
            if not self._plugged:
                self._plug_in()
                waiting = b""
            if not waiting:
                waiting = self._board.advance(time.monotonic())
            readable, _, _ = select.select([self._master], [self._master] if waiting else [], [], POLL_S)
            if readable:
                waiting += self._board.receive(os.read(self._master, 4096), time.monotonic())
            if waiting:
                try:
                    waiting = waiting[os.write(self._master, waiting) :]
                except BlockingIOError:  # the reader is slow
                    self._closing.wait(POLL_S)
            elif self._board.finished and not self.finished.is_set():
                # Twice empty, since the kernel moves bytes to the reader's side in the background.
                n_empty = n_empty + 1 if not self._unread_bytes() else 0
                if n_empty >= 2:
                    self.finished.set()

    def _unread_bytes(self) -> int:
        unread = array.array("i", [0])
        fcntl.ioctl(self._slave, termios.FIONREAD, unread)
        return unread[0]


def _make_link(link: Path, target: str) -> None:
    if link.is_symlink():
        old = os.readlink(link)
        # Only what an ended board left behind is replaced: a link to a terminal that is no more.
        if link.exists() or not old.startswith(PTS):
            raise LinkError(
                f"{link} is a link to {old} already, perhaps of another board that runs",
                f"Choose another name, or remove the link (`rm {link}`) if nobody uses it",
            )
    elif link.exists():
        raise LinkError(f"{link} exists and is not a symbolic link", "Choose another name for the link")
    temporary = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    try:
        os.symlink(target, temporary)
        os.replace(temporary, link)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise LinkError(f"cannot make the link {link}: {error.strerror}", "Does its directory exist?") from None
