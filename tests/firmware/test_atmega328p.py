"""The firmware of an Arduino with an AD8232, in a simulator: from the voltage at the electrodes to labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from edge_ecg.infer import open_classifier
from edge_ecg.io import read_record
from edge_ecg.runner import Runner
from edge_ecg.sinks.beats import BeatList
from edge_ecg.sources import Item
from edge_ecg.sources.replay import RecordSource
from edge_ecg.sources.serial_link import SerialLinkSource
from edge_ecg.sources.virtual import EXCERPT
from edge_ecg.types import SampleBlock
from firmware_bridge import wire
from firmware_bridge.blocks import RawBlock

GAIN = 1100
FRONT_END_MV = 3300
"""Supply of the AD8232, so what its output can reach; it rests at half of that."""
LSB_UV = 5e6 / 1024 / GAIN

Open = Callable[..., Any]


def signal_file(path: Path, fs_hz: float, pin_mv: NDArray[np.floating], lead_off: dict[int, str] | None = None) -> Path:
    """Millivolts at A0, and from some rows on the levels of LO+ and LO- ("1 0")."""
    rows = [f"{mv} {(lead_off or {}).get(at, '')}" for at, mv in enumerate(np.rint(pin_mv).astype(int))]
    path.write_text(f"fs_hz {fs_hz:g}\n" + "\n".join(rows) + "\n", encoding="ascii")
    return path


def front_end(electrode_mv: NDArray[np.floating], fs_hz: float) -> NDArray[np.floating]:
    """What SparkFun's board puts out: two poles at 0.5 Hz, amplified about half of its supply, cut off at both ends."""
    steady_mv = electrode_mv - electrode_mv[: round(fs_hz)].mean()
    passed_mv = sosfilt(butter(2, 0.5, "high", fs=fs_hz, output="sos"), steady_mv)
    return np.clip(FRONT_END_MV / 2 + GAIN * passed_mv, 0, FRONT_END_MV)


@pytest.fixture(name="simulate", scope="module")
def simulate_fixture(make_avr: Callable[..., Path], boards: Open) -> Open:
    """Run a firmware on a signal; its line is stdin and stdout."""
    folder = make_avr("sim")

    def simulate(signal: Path, firmware: Path = folder / "atmega328p.elf") -> Any:
        return boards([str(folder / "edge_sim"), str(firmware), str(signal)])

    return simulate


def streamed(board: Any, n_samples: int) -> list[RawBlock]:
    """Start, and stop after so many samples; none may be lost."""
    board.send(wire.Start())
    out: list[RawBlock] = []
    while sum(len(block.counts) for block in out) < n_samples:
        item = board.read()
        if isinstance(item, RawBlock):
            out.append(item)
    board.send(wire.Stop())
    *last, stopped = board.read_until(wire.Stopped)
    out += [item for item in last if isinstance(item, RawBlock)]
    assert stopped.samples_sent == sum(len(block.counts) for block in out)
    assert not any(block.lost_before for block in out)
    return out


def test_it_says_what_it_is(simulate: Open, tmp_path: Path) -> None:
    with simulate(signal_file(tmp_path / "flat", 1, np.array([FRONT_END_MV // 2]))) as board:
        board.send(wire.StatusRequest(), wire.Ping(5))
        hello, status, pong = board.rest()
    assert (hello.name, hello.adc, hello.leads) == ("Arduino + AD8232", "ATmega328P", ("ECG",))
    assert (hello.fs_mhz, hello.adc_bits, hello.time_scale_milli) == (250_000, 10, 1000)
    assert hello.lsb_pv == int(LSB_UV * 1e6)
    assert hello.capabilities == wire.CAN_LEAD_OFF | wire.CAN_SET_RATE | wire.CAN_SUPPLY
    assert abs(status.supply_mv - 5000) < 25  # the band gap of the simulator has no tolerance
    assert pong.token == 5


@pytest.mark.parametrize("fs_hz", [250, 500])
def test_counts_follow_the_pin_at_the_rate_asked_for(simulate: Open, tmp_path: Path, fs_hz: int) -> None:
    pin_mv = 100 + np.arange(4000)  # a ramp of 1 mV each ms, 4 s long
    with simulate(signal_file(tmp_path / "ramp", 1000, pin_mv)) as board:
        board.send(wire.SetRate(fs_hz * 1000))
        counts = np.concatenate([block.counts[:, 0] for block in streamed(board, 3 * fs_hz)])[: 3 * fs_hz]
    at_mv = 100 + 1000 / fs_hz * np.arange(len(counts))
    assert np.abs(counts * 5000 / 1023 - at_mv).max() < 10.0  # two counts


def test_its_microseconds_and_its_samples_agree(simulate: Open, tmp_path: Path) -> None:
    with simulate(signal_file(tmp_path / "flat", 1, np.array([FRONT_END_MV // 2]))) as board:
        board.send(wire.Start(), wire.Ping(0))
        n_samples = 0
        seen: list[tuple[float, float]] = []
        while len(seen) < 20:
            item = board.read()
            if isinstance(item, RawBlock):
                n_samples += len(item.counts)
            elif isinstance(item, wire.Pong):
                seen.append((n_samples / 250, item.board_ticks_us / 1e6))
                board.send(wire.Ping(0))
    sampled_s, ticks_s = np.array(seen).T
    # A frame may wait to be full for 40 ms, and an answer for a frame.
    assert np.ptp(ticks_s - sampled_s) < 0.1
    assert (np.diff(ticks_s) > 0).all()


def test_lead_off_pins_reach_the_host(simulate: Open, tmp_path: Path) -> None:
    pins = {25: "1 0", 50: "0 0", 75: "0 1", 100: "1 1", 125: "0 0"}
    with simulate(signal_file(tmp_path / "pins", 100, np.full(200, FRONT_END_MV // 2), pins)) as board:
        blocks = streamed(board, 400)
    at_s = np.array([block.first_sample for block in blocks]) / 250
    off = np.array([block.lead_off for block in blocks])
    expected = ((at_s >= 0.25) & (at_s < 0.5)) | ((at_s >= 0.75) & (at_s < 1.25))
    near_a_change = np.abs(at_s[:, None] - np.array([0.25, 0.5, 0.75, 1.25])).min(axis=1) <= 0.04
    assert np.array_equal(off[~near_a_change], expected[~near_a_change])
    assert {False, True} == set(off)


def test_a_flood_of_commands_costs_no_sample(simulate: Open, tmp_path: Path) -> None:
    with simulate(signal_file(tmp_path / "flat", 1, np.array([FRONT_END_MV // 2]))) as board:
        board.send(wire.SetRate(500_000))
        board.send(wire.Start(), *[wire.HelloRequest()] * 500)  # far more answers than the line takes
        blocks = streamed(board, 5000)
        assert sum(block.lost_before for block in blocks) == 0


def test_the_arduino_library_is_the_same_board(make_avr: Callable[..., Path], simulate: Open, tmp_path: Path) -> None:
    folder = make_avr("arduino") / "arduino"
    sources = {path.name for path in (folder / "EdgeEcg" / "src").iterdir()}
    assert {"EdgeEcg.h", "edge_board.c", "edge_avr.c", "edge_port_config.h"} <= sources
    with simulate(signal_file(tmp_path / "level", 1, np.array([1000])), folder / "Board.elf") as board:
        counts = np.concatenate([block.counts[:, 0] for block in streamed(board, 100)])
        assert set(counts) == {1000 * 1023 // 5000}
        board.send(wire.HelloRequest())
        assert board.read_until(wire.Hello)[-1].name == "Arduino + AD8232"


class FirstMinute(SerialLinkSource):
    """Stops the board when a minute, and what the last labels wait for, has come."""

    def items(self) -> Iterator[Item | None]:
        for item in super().items():
            yield item
            if isinstance(item, SampleBlock) and item.first_index > 70 * self.info.fs_hz:
                self.stop()


def labelled(source: Any) -> tuple[NDArray[np.floating], list[str]]:
    """When beats are, s, and how they are labelled."""
    beats = BeatList()
    Runner(source, open_classifier("rhythm"), [beats]).run()
    return np.array(beats.samples) / beats.fs_hz, [str(label) for label in beats.labels]


def test_from_the_electrodes_to_the_labels(make_avr: Callable[..., Path], terminals: Open, tmp_path: Path) -> None:
    record = read_record(EXCERPT)
    electrode_mv = record.samples_mv()[: round(75 * record.header.fs_hz), 0]
    signal = signal_file(tmp_path / "heart", record.header.fs_hz, front_end(electrode_mv, record.header.fs_hz))
    folder = make_avr("sim")
    with terminals([str(folder / "edge_sim"), "--pty", str(folder / "atmega328p.elf"), str(signal)]) as path:
        source = FirstMinute(path)
        at_s, labels = labelled(source)
        assert source.stats().samples_lost == 0
    true_s, true_labels = labelled(RecordSource(record))
    in_minute = true_s < 60
    nearest = np.abs(true_s[in_minute, None] - at_s).argmin(axis=1)
    assert in_minute.sum() > 70
    assert np.abs(true_s[in_minute] - at_s[nearest]).max() < 0.05
    assert (at_s < 60 + 0.05).sum() <= in_minute.sum() + 1
    same = [true_labels[k] == labels[found] for k, found in zip(np.flatnonzero(in_minute), nearest, strict=True)]
    # Ten bits behind an analogue band-pass: a beat on the border between two classes may fall to the other side.
    assert same.count(False) <= 1, f"{same.count(False)} of {len(same)} beats are labelled otherwise"
    assert {true_labels[k] for k in np.flatnonzero(in_minute)} == {"N", "S"}
