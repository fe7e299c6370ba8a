"""The firmware, built once a run into a temporary folder, and its boards as processes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import serial

from firmware_bridge import wire
from firmware_bridge.blocks import RawBlock
from firmware_bridge.protocols.edge import EdgeDecoder

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
DEBIAN = "Debian: apt install gcc-avr avr-libc simavr libsimavr-dev arduino-core-avr; `make ci-deps` does it"


class Process:
    """A board whose line is the standard input and output of a program."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._decoder = EdgeDecoder()
        self._waiting: list[RawBlock | wire.Message] = []
        self._sequence = 0

    def send(self, *commands: wire.Command) -> None:
        """Send all at once."""
        frames = b""
        for command in commands:
            frames += b"\0" + wire.encode(command, self._sequence)
            self._sequence += 1
        self.write(frames)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def read(self) -> RawBlock | wire.Message | None:
        """The next message; None when no other will come."""
        while not self._waiting:
            data = self._process.stdout.read1(65536)
            if not data:
                return None
            self._waiting = self._decoder.feed(data, 0.0)
        return self._waiting.pop(0)

    def read_until(self, wanted: type) -> list[RawBlock | wire.Message]:
        """All messages up to the first of a kind."""
        out = []
        while not out or not isinstance(out[-1], wanted):
            message = self.read()
            assert message is not None, f"the board fell silent after {out}"
            out.append(message)
        return out

    def rest(self) -> list[RawBlock | wire.Message]:
        """Say no more, and hear the board out; it must end well."""
        self._process.stdin.close()
        out = []
        while (message := self.read()) is not None:
            out.append(message)
        complaints = self._process.stderr.read().decode()
        assert (self._process.wait(), complaints) == (0, "")
        stats = self._decoder.stats()
        assert (stats.crc_errors, stats.frame_errors) == (0, 0)
        return out

    def close(self) -> None:
        """End it, however it is."""
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()


@contextmanager
def board_process(command: list[str]) -> Iterator[Process]:
    process = Process(command)
    try:
        yield process
    finally:
        process.close()


@contextmanager
def terminal_process(command: list[str]) -> Iterator[str]:
    """A program that prints the name of its pseudo terminal, once the board behind it has said its first HELLO."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            path = process.stdout.readline().strip()
            with serial.Serial(path, timeout=10.0) as port:
                decoder = EdgeDecoder()
                port.write(b"\0" + wire.encode(wire.Ping(0), 0))
                while not any(isinstance(item, wire.Pong) for item in decoder.feed(port.read(1), 0.0)):
                    pass
            yield path
        finally:
            process.stdin.close()
            process.kill()


def _make(folder: Path, *goals: str) -> Path:
    done = subprocess.run(
        ["make", "-s", "-C", str(FIRMWARE), f"BUILD={folder}", *goals], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(name="make", scope="session")
def make_fixture(tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], None]) -> Callable[..., Path]:
    """Build goals for this machine; gives the folder."""
    if not (shutil.which("cc") and shutil.which("make")):
        missing("no C compiler or no make (Debian: apt install gcc libc6-dev make)")
    folder = tmp_path_factory.mktemp("firmware")

    @cache
    def make(*goals: str, apart: str = "") -> Path:
        return _make(folder / apart, *goals)

    return make


@pytest.fixture(name="make_avr", scope="session")
def make_avr_fixture(make: Callable[..., Path], missing: Callable[[str], None]) -> Callable[..., Path]:
    """Build goals for the ATmega328P; gives the folder."""
    there = [
        shutil.which("avr-gcc"),
        Path("/usr/lib/avr/include/avr/io.h").exists(),
        Path("/usr/include/simavr/sim_avr.h").exists(),
        Path("/usr/share/arduino/hardware/arduino/avr/cores").exists(),
    ]
    if not all(there):
        missing(f"no AVR compiler, simulator or Arduino core ({DEBIAN})")
    return make


@pytest.fixture(name="boards", scope="session")
def boards_fixture() -> Callable[[list[str]], object]:
    """Run a board whose line is stdin and stdout."""
    return board_process


@pytest.fixture(name="terminals", scope="session")
def terminals_fixture() -> Callable[[list[str]], object]:
    """Run a board behind a pseudo terminal."""
    return terminal_process
