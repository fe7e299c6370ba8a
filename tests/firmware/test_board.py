"""The board in C, on this machine: what PROTOCOL.md asks of a board, and that no bytes can harm it."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge_ecg
from edge_ecg.cli.main import run
from firmware_bridge import framing, wire
from firmware_bridge.blocks import BoardInfo, RawBlock
from firmware_bridge.link import open_link
from firmware_bridge.simulator import VirtualBoard

FIRMWARE = f"edge-ecg {edge_ecg.__version__}"
SOURCES = Path(__file__).resolve().parents[2] / "firmware"
RING_SAMPLES = 64
COUNTS = np.stack([np.arange(5000) - 2500, 1000 - np.arange(5000)], axis=1).astype(np.int32)
COUNTS[7] = wire.COUNT_MIN, wire.COUNT_MAX

Board = Any
Open = Callable[..., Any]


@pytest.fixture(name="play", scope="module")
def play_fixture(make: Callable[..., Path], boards: Open, tmp_path_factory: pytest.TempPathFactory) -> Open:
    """Run the board on counts, with lead-off bits; `apart` with other preprocessor flags."""
    folder = tmp_path_factory.mktemp("counts")

    def play(
        counts: np.ndarray = COUNTS, lead_off: object = 0x80, *options: str, apart: str = "", flags: str = ""
    ) -> Any:
        program = make("host", *([f"CPPFLAGS={flags}"] if flags else []), apart=apart) / "host_board"
        return boards([str(program), *options, str(counts_file(folder, counts, lead_off))])

    return play


def counts_file(folder: Path, counts: np.ndarray, lead_off: object) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}.i32"
    rows = np.column_stack([np.broadcast_to(lead_off, len(counts)), counts])
    rows.astype(np.int32).tofile(path)
    return path


def blocks(out: list[Any]) -> list[RawBlock]:
    return [item for item in out if isinstance(item, RawBlock)]


def counts_of(out: list[Any]) -> np.ndarray:
    return np.concatenate([block.counts for block in blocks(out)])


def test_after_a_reset_it_says_hello_once_and_waits(play: Open) -> None:
    with play() as board:
        (hello,) = board.rest()
    assert hello == wire.Hello(
        protocol_version=1,
        fs_mhz=360_000,
        adc_bits=24,
        lsb_pv=5_000_000,
        time_scale_milli=0,
        capabilities=wire.CAN_LEAD_OFF | wire.CAN_SET_RATE | wire.SIMULATED,
        name="Host board",
        firmware=FIRMWARE,
        adc="file",
        leads=("MLII", "V1"),
    )


def test_a_session_brings_every_sample_in_frames_of_40_ms_and_ends_with_the_record(play: Open) -> None:
    with play() as board:
        board.send(wire.Start())
        _, *out = board.read_until(wire.Stopped)
        assert np.array_equal(counts_of(out), COUNTS)
        assert out[-1] == wire.Stopped(5000)
        numbers = [block.first_sample for block in blocks(out)]
        assert numbers == list(range(0, 5000, 14))
        assert {block.lead_off for block in blocks(out)} == {False}
        assert board.rest() == []


def test_stop_sends_what_is_sampled_then_how_much_that_was(play: Open) -> None:
    with play(np.zeros((10**6, 2), np.int32)) as board:
        board.send(wire.Start())
        out = board.read_until(RawBlock)
        board.send(wire.Ping(1), wire.Stop(), wire.Ping(2))
        out += board.read_until(wire.Stopped)
        assert sum(len(block.counts) for block in blocks(out)) == out[-1].samples_sent < 10**6
        assert [item.token for item in out if isinstance(item, wire.Pong)] == [1]
        (pong,) = board.rest()
        assert pong.token == 2


def test_sample_numbers_go_on_and_the_count_of_stopped_begins_anew(play: Open) -> None:
    with play(COUNTS[:30]) as board:
        board.send(wire.Stop(), wire.Start())
        out = board.read_until(wire.Stopped) + board.read_until(wire.Stopped)
        board.send(wire.StatusRequest(), wire.Start())
        out += board.read_until(wire.Stopped)
        assert [item.samples_sent for item in out if isinstance(item, wire.Stopped)] == [0, 30, 30]
        assert [block.first_sample for block in blocks(out)] == [0, 14, 28, 30, 44, 58]
        assert [item.samples_sent for item in out if isinstance(item, wire.Status)] == [30], "of the last session"


def test_set_rate_is_answered_by_hello_or_error_and_changes_the_frames(play: Open) -> None:
    with play(COUNTS[:30]) as board:
        board.send(wire.SetRate(250_000), wire.SetRate(251_000), wire.HelloRequest(), wire.Start())
        first, changed, error, again, *out = board.read_until(wire.Stopped)
        assert [hello.fs_mhz for hello in (first, changed, again)] == [360_000, 250_000, 250_000]
        assert error == wire.Error(wire.ERROR_BAD_VALUE, "no such rate")
        assert [len(block.counts) for block in blocks(out)] == [10, 10, 10]


def test_set_rate_is_refused_in_a_session(play: Open) -> None:
    with play(np.zeros((10**6, 2), np.int32)) as board:
        board.send(wire.Start(), wire.SetRate(250_000), wire.Stop())
        out = board.rest()
    assert wire.Error(wire.ERROR_UNSUPPORTED, "only between sessions") in out
    assert isinstance(out[-1], wire.Stopped)


def test_a_board_of_one_rate_does_not_offer_others(play: Open) -> None:
    with play(apart="one-rate", flags="-DEDGE_RATES_MHZ={100000000ul}") as board:
        board.send(wire.SetRate(100_000_000), wire.Start())
        hello, error, *out = board.rest()
    assert not hello.capabilities & wire.CAN_SET_RATE
    assert error.code == wire.ERROR_UNSUPPORTED
    # 40 ms would be 4000 samples: what the ring holds is less.
    assert np.array_equal(counts_of(out), COUNTS)
    assert max(len(block.counts) for block in blocks(out)) == RING_SAMPLES


def test_an_adc_that_does_not_answer_is_told(play: Open) -> None:
    with play(COUNTS[:0]) as board:
        board.send(wire.Start(), wire.StatusRequest())
        _, error, status = board.rest()
    assert error == wire.Error(wire.ERROR_ADC, "ADC fault")
    assert status == wire.Status(0, 0, 0, 0)


def test_an_electrode_that_is_off_for_one_sample_marks_its_frame(play: Open) -> None:
    lead_off = np.full(70, 0x80)
    lead_off[20] = 0x82
    lead_off[50:] = 0
    with play(COUNTS[:70], lead_off) as board:
        board.send(wire.Start())
        flags = [block.lead_off for block in blocks(board.read_until(wire.Stopped))]
    assert flags == [False, True, False, False, None]


@pytest.mark.parametrize("burst", [RING_SAMPLES + 1, 100, 1234])
def test_dropped_samples_advance_the_number_and_are_counted(play: Open, burst: int) -> None:
    with play(COUNTS, 0x80, "--burst", str(burst)) as board:
        board.send(wire.Start())
        out = board.read_until(wire.Stopped)
        board.send(wire.StatusRequest())
        (status,) = board.read_until(wire.Status)
    for block in blocks(out):
        kept = slice(block.first_sample, block.first_sample + len(block.counts))
        assert np.array_equal(block.counts, COUNTS[kept])
    n_kept = len(counts_of(out))
    assert 5000 // burst * (RING_SAMPLES - 13) <= n_kept < 5000  # up to 13 may wait for their frame to fill
    assert status.overruns == 5000 - n_kept
    assert out[-1] == wire.Stopped(5000)
    # All of it is heard as lost: before later blocks, and behind the last one by the count of STOPPED.
    assert sum(block.lost_before for block in blocks(out)) == 5000 - n_kept


def test_what_it_cannot_do_and_what_is_none_of_its_business(play: Open) -> None:
    unknown = [b"\1\7\0\0", b"\1\0\0\0", b"\1\x7f\0\0" + bytes(2000), b"\1\5\0\0\1\2\3", b"\1\2\0\0\0"]
    ignored = [b"\2\2\0\0", b"\0\5\0\0\1\2\3\4", b"\1\1\0", b"\1", b"\1\x81\0\0", b"\1\x86\0\0\1echo", b"\1\xff\0\0"]
    damaged = framing.encode(b"\1\1\0\0")[:-2] + b"\x55\0"
    with play() as board:
        board.write(damaged + b"".join(framing.encode(payload) for payload in unknown + ignored))
        _, *errors = board.rest()
    assert errors == [wire.Error(wire.ERROR_UNKNOWN_COMMAND, "unknown command")] * len(unknown)


def test_who_asks_in_another_version_learns_this_one(play: Open) -> None:
    with play() as board:
        board.write(framing.encode(b"\2\1\0\0") + framing.encode(b"\0\1\0\0one more field"))
        hellos = board.rest()
    assert [hello.protocol_version for hello in hellos] == [1, 1, 1]


def test_a_board_of_another_version_is_told_in_words(
    make: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make("host")  # there is a compiler
    newer = shutil.copytree(SOURCES, tmp_path / "firmware", ignore=shutil.ignore_patterns("build"))
    header = newer / "core" / "edge_wire.h"
    header.write_text(header.read_text().replace("EDGE_PROTOCOL_VERSION 1u", "EDGE_PROTOCOL_VERSION 2u"))
    subprocess.run(["make", "-s", "-C", str(newer), "host"], check=True)
    program = [str(newer / "build" / "host_board"), "--pty", str(counts_file(tmp_path, COUNTS, 0x80))]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as board:
        assert board.stdout is not None
        port = board.stdout.readline().strip()
        assert run(["run", "--port", port]) == 4
        board.kill()
    told = f"edge-ecg: the board on {port} speaks version 2 of the protocol, this program speaks 1. Update edge-ecg\n"
    assert told in capsys.readouterr().err


COMMANDS = st.one_of(
    st.sampled_from([wire.HelloRequest(), wire.Stop(), wire.StatusRequest()]),
    st.integers(0, 2**32 - 1).map(wire.Ping),
).map(lambda command: wire.encode(command, 0))
FOREIGN = st.builds(
    lambda version, code, body: framing.encode(bytes([version, code, 0, 0]) + body),
    st.sampled_from([0, 2, 255]),
    st.sampled_from([0, 1, 2, 5, 7, 99, 129]),
    st.binary(max_size=5),
)
UNKNOWN = st.builds(
    lambda code, body: framing.encode(bytes([1, code, 0, 0]) + body),
    st.sampled_from([0, 1, 5, 7, 99]),
    st.binary(max_size=5),
).filter(lambda frame: wire.parse(framing.Deframer().feed(frame)[0]).message is None)


@settings(max_examples=30, deadline=None)  # a process each
@given(st.lists(st.one_of(COMMANDS, UNKNOWN, FOREIGN, st.just(b"\0"), st.just(b"\5\1\2\0")), max_size=12))
def test_it_answers_as_the_virtual_board_does(play: Open, frames: list[bytes]) -> None:
    virtual = VirtualBoard(BoardInfo("v", "", "", 360.0, ("I",), None, 1.0, 1), [[0]])
    payloads = framing.Deframer().feed(virtual.receive(b"".join(frames), 0.0))
    with play() as board:
        board.write(b"".join(frames) or b"\0")
        _, *answers = board.rest()
    expected = [wire.parse(payload).message for payload in payloads]
    assert [(type(x), *told(x)) for x in answers] == [(type(x), *told(x)) for x in expected]


def told(message: wire.Message) -> tuple[object, ...]:
    """What two boards must agree on."""
    match message:
        case wire.Pong(token):
            return (token,)
        case wire.Error(code):
            return (code,)
        case wire.Hello():
            return (message.protocol_version,)
        case _:
            return (message,)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=64),
            COMMANDS,
            st.just(wire.encode(wire.Start(), 0)),
            st.binary(max_size=9).map(lambda body: framing.encode(b"\1" + body)),
        ),
        max_size=20,
    ).map(b"".join)
)
def test_no_bytes_harm_it(play: Open, data: bytes) -> None:
    with play(COUNTS[:100]) as board:
        board.write(data + b"\0" + wire.encode(wire.Ping(77), 0))
        out = board.rest()
    assert any(isinstance(item, wire.Pong) and item.token == 77 for item in out)


def test_the_python_link_reads_it(make: Callable[..., Path], terminals: Open, tmp_path: Path) -> None:
    program = make("host") / "host_board"
    with terminals([str(program), "--pty", str(counts_file(tmp_path, COUNTS, 0x80))]) as path:
        for session in range(2):
            with open_link(path) as link:
                assert link.info == BoardInfo(
                    "Host board", FIRMWARE, "file", 360.0, ("MLII", "V1"), 5000.0, math.inf, 1
                )
                out: list[Any] = []
                while not any(isinstance(item, wire.Stopped) for item in out):
                    out += link.read(5.0)
                assert np.array_equal(counts_of(out), COUNTS)
                assert blocks(out)[0].first_sample == 5000 * session
                stats = link.stats()
                assert (stats.samples_received, stats.samples_lost) == (5000, 0)
                assert (stats.crc_errors, stats.frame_errors) == (0, 0)
