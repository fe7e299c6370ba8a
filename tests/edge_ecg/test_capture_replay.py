"""Captures of a board's bytes, played again: with and without the times of their arrival."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from excerpts import short_record
from fake_boards import Cable, capture_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_ecg.errors import DataError
from edge_ecg.sources.replay import RawCaptureSource, open_replay
from edge_ecg.sources.virtual import board_of_record
from edge_ecg.types import SampleBlock, StreamInfo
from firmware_bridge import wire
from firmware_bridge.blocks import BoardInfo, RawBlock
from firmware_bridge.capture import About, CaptureWriter
from firmware_bridge.lasting import LastingLink, LinkChange, opener_of
from firmware_bridge.simulator import PtyBoard, VirtualBoard

N = 7_200  # samples of the short record


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds of the excerpt."""
    return short_record(tmp_path_factory.mktemp("records"), N)


# Bytes alone


def test_a_capture_does_not_pretend_to_know_when_its_bytes_came(record: Path, tmp_path: Path) -> None:
    file = tmp_path / "capture.bin"
    file.write_bytes(capture_of(board_of_record(record, None)))
    blocks = [item for item in open_replay(file).items() if isinstance(item, SampleBlock)]
    assert {block.host_s for block in blocks} == {None}


def test_a_restart_and_a_repeated_hello(record: Path, tmp_path: Path) -> None:
    board = board_of_record(record, None)
    hello = board.receive(wire.encode(wire.HelloRequest(), 0), 0.0)
    file = tmp_path / "capture.bin"
    file.write_bytes(2 * hello + capture_of(board) + capture_of(board_of_record(record, None)))
    items = list(open_replay(file).items())
    streams = [item.stream for item in items if isinstance(item, StreamInfo)]
    assert streams == ["capture-1", "capture-2"], "a HELLO that came twice before the samples is one stream"
    firsts = [item.first_index for item in items if isinstance(item, SampleBlock)]
    assert firsts.count(0) == 2


def test_another_session_of_the_same_board_is_another_stream(record: Path, tmp_path: Path) -> None:
    board = board_of_record(record, None)
    file = tmp_path / "capture.bin"
    sessions = capture_of(board)
    sessions += board.receive(wire.encode(wire.Start(), 2), 0.0)
    while not board.finished:
        sessions += board.advance(0.0)
    file.write_bytes(sessions)
    items = list(open_replay(file).items())
    assert [item.stream for item in items if isinstance(item, StreamInfo)] == ["capture-1", "capture-2"]
    assert sum(len(item.samples_mv) for item in items if isinstance(item, SampleBlock)) == 2 * N


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_damaged_capture_never_raises_anything_but_a_data_error(tmp_path: Path, data: st.DataObject) -> None:
    counts = np.arange(720)[:, None]
    info = BoardInfo("b", "1", "adc", 360.0, ("I",), 5000.0, 1.0, 1)
    capture = bytearray(capture_of(VirtualBoard(info, counts, None)))
    for _ in range(data.draw(st.integers(0, 20))):
        capture[data.draw(st.integers(0, len(capture) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.integers(0, len(capture)))
    file = tmp_path / "capture.bin"
    file.write_bytes(capture[cut:] if data.draw(st.booleans()) else capture[:cut])
    items = []
    with contextlib.suppress(DataError):
        items.extend(RawCaptureSource(file, None).items())
    next_index = 0
    for item in items:
        if isinstance(item, StreamInfo):
            next_index = 0
        elif isinstance(item, SampleBlock):
            assert item.first_index >= next_index
            next_index = item.first_index + len(item.samples_mv)


# Bytes and when they came


def captured(file: Path, place: Path, board: Cable, resets: tuple[bool, ...]) -> tuple[list[RawBlock], list[float]]:
    """A capture of a board whose cable is pulled; gives what was heard, and how long the board was away each time."""
    about = About("edge", str(place), 115200, 1e9)
    heard: list[RawBlock] = []
    away_s: list[float] = []
    lost: list[LinkChange] = []
    with file.open("wb") as out, PtyBoard(board, place):
        tap = CaptureWriter(out, about, time.monotonic()).write
        with LastingLink(str(place), opener_of(tap=tap)) as link:

            def read_until(done: Callable[[], bool]) -> None:
                while not done():
                    for item in link.read(0.05):
                        if isinstance(item, RawBlock):
                            heard.append(item)
                        elif isinstance(item, LinkChange) and item.state == "lost":
                            lost.append(item)
                        elif isinstance(item, LinkChange) and item.state == "back":
                            away_s.append(item.away_s)

            for is_reset in resets:
                read_until(lambda: bool(heard))
                n_before = len(lost), len(away_s), len(heard)
                board.plugged = False
                read_until(lambda n=n_before: len(lost) > n[0])
                if is_reset:
                    board.reset()
                board.plugged = True
                read_until(lambda n=n_before: len(away_s) > n[1] and len(heard) > n[2] + 3)
            heard += [item for item in link.stop() if isinstance(item, RawBlock)]
    return heard, away_s


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_capture_of_a_board_that_was_lost_is_one_stream_with_a_gap(tmp_path: Path, is_reset: bool) -> None:
    counts = np.arange(100_000)[:, None]
    board = Cable(BoardInfo("b", "1", "adc", 500.0, ("I",), 1e6, 1.0, 1), counts, 1.0)
    heard, away_s = captured(tmp_path / "a.ecgcap", tmp_path / "board", board, (is_reset, is_reset))
    items = list(open_replay(tmp_path / "a.ecgcap").items())
    (stream,) = [item for item in items if isinstance(item, StreamInfo)]
    assert stream.start_utc_s == pytest.approx(1e9, abs=2.0)
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    assert sum(len(b.samples_mv) for b in blocks) == sum(len(b.counts) for b in heard)
    ends = [0, *(b.first_index + len(b.samples_mv) for b in blocks)]
    gaps = [b.first_index - end for b, end in zip(blocks, ends, strict=False) if b.first_index > end]
    if is_reset:
        assert np.array(gaps) / 500.0 == pytest.approx(np.array(away_s), abs=0.1)
    else:
        assert gaps == [b.lost_before for b in heard if b.lost_before]
        for b in blocks:
            np.testing.assert_array_equal(b.samples_mv[:, 0], b.first_index + np.arange(len(b.samples_mv)))


def test_a_session_that_begins_after_a_pause_is_placed_by_the_time_of_its_arrival(tmp_path: Path) -> None:
    """A board greets, answers STOP with the count of a session before, streams for a second, and again after ten."""
    board = VirtualBoard(BoardInfo("b", "1", "adc", 500.0, ("I",), 1e6, 1.0, 1), np.arange(100_000)[:, None])
    held = io.BytesIO()
    writer = CaptureWriter(held, About("edge", "/dev/ttyUSB0", 115200, 1e9), 0.0)
    board.receive(wire.encode(wire.Start(), 0), -2.0)
    board.advance(-1.0)
    board.receive(wire.encode(wire.Stop(), 1), -1.0)
    writer.write(board.greet(), 0.0)
    told = {2: (wire.Stop(), wire.HelloRequest(), wire.Start()), 12: (wire.Stop(),), 112: (wire.Start(),)}
    for k in range(125):
        at_s = 0.1 * k
        said = board.advance(at_s)
        said += b"".join(board.receive(wire.encode(command, 0), at_s) for command in told.get(k, ()))
        if said:
            writer.write(said, at_s)
    (tmp_path / "a.ecgcap").write_bytes(held.getvalue())
    items = list(open_replay(tmp_path / "a.ecgcap").items())
    (stream,) = [item for item in items if isinstance(item, StreamInfo)]
    assert stream.start_utc_s == pytest.approx(1e9 + 0.2, abs=0.1)
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    ends = [0, *(b.first_index + len(b.samples_mv) for b in blocks)]
    (gap,) = [b.first_index - end for b, end in zip(blocks, ends, strict=False) if b.first_index > end]
    assert gap / 500.0 == pytest.approx(10.0, abs=0.2)


def starts_s(tmp_path: Path, said: Iterator[tuple[bytes, float]] | list[tuple[bytes, float]]) -> list[float]:
    """When the sample of value 0 of each session is placed, s since the first."""
    held = io.BytesIO()
    writer = CaptureWriter(held, About("edge", "/dev/ttyUSB0", 115200, 1e9), 0.0)
    for data, at_s in said:
        writer.write(data, at_s)
    (tmp_path / "a.ecgcap").write_bytes(held.getvalue())
    blocks = [item for item in open_replay(tmp_path / "a.ecgcap").items() if isinstance(item, SampleBlock)]
    return [block.first_index / 500.0 for block in blocks if block.samples_mv[0, 0] == 0.0]


def test_resets_do_not_add_up_to_a_time_that_is_off(tmp_path: Path) -> None:
    board = VirtualBoard(BoardInfo("b", "1", "adc", 500.0, ("I",), 1e6, 1.0, 1), np.arange(100_000)[:, None])

    def said() -> Iterator[tuple[bytes, float]]:
        for n in range(10):
            board.reset()
            yield board.greet() + board.receive(wire.encode(wire.Start(), 0), 5.0 * n), 5.0 * n
            for k in range(1, 26):
                at_s = 5.0 * n + 0.04 * k + 1e-6
                yield board.advance(at_s), at_s

    assert starts_s(tmp_path, said()) == pytest.approx([5.0 * n for n in range(10)], abs=0.01)


def test_what_the_numbers_of_a_reset_board_seem_to_tell_as_lost_is_none(tmp_path: Path) -> None:
    """It was reset after 100 samples; of its new session the first 200 do not come."""
    hello = wire.Hello.of(BoardInfo("b", "1", "adc", 500.0, ("I",), 1e6, 1.0, 1), 24, 0)

    def data(first_sample: int, n: int) -> bytes:
        counts = (np.arange(n) + 500 * (first_sample == 0))[:, None].astype(np.int32)
        return wire.encode(wire.Data(first_sample, 0, counts), 1 + first_sample // 100)

    said = [(b"\0" + wire.encode(hello, 0) + data(0, 100), 0.2), (b"\0" + wire.encode(hello, 0) + data(300, 100), 10.2)]
    assert starts_s(tmp_path, said) == [pytest.approx(10.0, abs=0.01)]
