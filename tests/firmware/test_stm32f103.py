"""The core on a Cortex-M3 with real interrupts, in QEMU, whose ADC gives zeros."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_bridge import framing, wire
from firmware_bridge.blocks import RawBlock

DEBIAN = "Debian: apt install gcc-arm-none-eabi qemu-system-arm; `make ci-deps` does it"
LINE_BYTES = 64  # what the board keeps while it is busy


@pytest.fixture(name="board")
def board_fixture(
    make: Callable[..., Path], boards: Callable[..., Any], missing: Callable[[str], None]
) -> Iterator[Any]:
    if not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")):
        missing(
            "no Arm compiler or no QEMU (Debian: apt install gcc-arm-none-eabi qemu-system-arm; `make ci-deps` does it)"
        )
    firmware = make("stm32") / "stm32f103.elf"
    machine = ["-M", "stm32vldiscovery", "-nodefaults", "-display", "none", "-serial", "stdio"]
    with boards(["qemu-system-arm", *machine, "-kernel", str(firmware)]) as board:
        assert isinstance(board.read(), wire.Hello)  # said after its reset
        yield board


def test_it_says_what_it_is(board: Any) -> None:
    board.send(wire.HelloRequest(), wire.StatusRequest(), wire.Ping(2**32 - 1))
    hello, status, pong = (board.read() for _ in range(3))
    assert (hello.name, hello.adc, hello.leads) == ("STM32 + AD8232", "STM32F103", ("ECG",))
    assert (hello.fs_mhz, hello.adc_bits, hello.lsb_pv) == (250_000, 12, int(3.3e12 / 4096 / 1100))
    assert status == wire.Status(0, 0, 0, 0)
    assert pong.token == 2**32 - 1


@pytest.mark.parametrize("fs_hz", [250, 500, 1000])
def test_sessions_at_its_rates(board: Any, fs_hz: int) -> None:
    board.send(wire.SetRate(fs_hz * 1000))
    assert board.read().fs_mhz == fs_hz * 1000
    n_before = 0
    for _ in range(2):
        board.send(wire.Start())
        out = [board.read() for _ in range(5)]
        board.send(wire.Stop())
        out += board.read_until(wire.Stopped)
        blocks = [item for item in out if isinstance(item, RawBlock)]
        assert blocks[0].first_sample == n_before
        assert {len(block.counts) for block in blocks[:5]} == {fs_hz // 25}
        assert not any(block.lost_before for block in blocks)
        assert set(np.concatenate([block.counts for block in blocks]).ravel()) == {0}
        n_before += out[-1].samples_sent
        assert sum(len(block.counts) for block in blocks) == out[-1].samples_sent


def test_its_microseconds_go_on_over_sessions(board: Any) -> None:
    ticks = []
    for command in [wire.Start(), wire.Stop(), wire.Start(), wire.Ping(0), wire.Stop()]:
        board.send(command, wire.Ping(1))
        ticks.append(board.read_until(wire.Pong)[-1].board_ticks_us)
    assert ticks == sorted(ticks)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=LINE_BYTES - 20),
        st.binary(max_size=9).map(lambda body: framing.encode(b"\1" + body)),
        st.sampled_from([wire.Stop(), wire.SetRate(1), wire.StatusRequest()]).map(lambda c: wire.encode(c, 0)),
    )
)
def test_no_bytes_harm_it(board: Any, data: bytes) -> None:
    board.write(b"\0" + data + b"\0" + wire.encode(wire.Ping(77), 0))
    while not isinstance(message := board.read(), wire.Pong) or message.token != 77:
        assert message is not None
