from __future__ import annotations

import math
import os
import time

import numpy as np
import pytest
import serial

from firmware_bridge import wire
from firmware_bridge.blocks import BoardInfo, LinkError, RawBlock
from firmware_bridge.link import open_link
from firmware_bridge.protocols.edge import EdgeDecoder
from firmware_bridge.simulator import PtyBoard, VirtualBoard

INFO = BoardInfo("Simulated", "1.0", "none", 360.0, ("MLII", "V1"), 5000.0, 1.0, 1)
COUNTS = np.stack([np.arange(1000), -np.arange(1000)], axis=1)


class Bench:
    """A virtual board and a decoder face to face."""

    def __init__(self, board):
        self.board = board
        self.decoder = EdgeDecoder()

    def command(self, message, now_s=0.0):
        return self.decoder.feed(self.board.receive(wire.encode(message, 0), now_s), now_s)

    def advance(self, now_s):
        return self.decoder.feed(self.board.advance(now_s), now_s)


def joined(out):
    return np.concatenate([item.counts for item in out if isinstance(item, RawBlock)])


def test_it_says_what_it_is_and_how_fast_it_runs():
    (hello,) = Bench(VirtualBoard(INFO, COUNTS, 60.0)).command(wire.HelloRequest())
    assert (hello.info.name, hello.info.leads, hello.info.lsb_nv) == ("Simulated", ("MLII", "V1"), 5000.0)
    assert hello.info.time_scale == 60.0
    assert hello.capabilities == wire.SIMULATED
    (hello,) = Bench(VirtualBoard(INFO, COUNTS, None)).command(wire.HelloRequest())
    assert math.isinf(hello.info.time_scale)


def test_nothing_comes_before_start_and_frames_come_when_due():
    bench = Bench(VirtualBoard(INFO, COUNTS, 2.0))
    assert bench.advance(100.0) == []
    assert bench.command(wire.Start(), 100.0) == []
    assert bench.advance(100.019) == []
    (block,) = bench.advance(100.0195)  # 14 samples at twice 360 Hz take 19.4 ms
    assert len(block.counts) == 14
    assert len(joined(bench.advance(101.0))) == 720 // 14 * 14 - 14


def test_the_end_of_the_record_ends_the_session():
    bench = Bench(VirtualBoard(INFO, COUNTS, None))
    bench.command(wire.Start())
    out = []
    while not bench.board.finished:
        out += bench.advance(0.0)
    assert np.array_equal(joined(out), COUNTS)
    assert out[-1] == wire.Stopped(1000)
    assert bench.advance(1e9) == []
    assert bench.command(wire.Stop()) == [wire.Stopped(1000)], "again: the first may have been lost"
    assert bench.decoder.stats().samples_lost == 0


def test_a_second_session_plays_again_and_the_numbers_go_on():
    bench = Bench(VirtualBoard(INFO, COUNTS, 1.0))
    bench.command(wire.Start(), 0.0)
    first = bench.advance(0.5)
    assert bench.command(wire.Stop(), 0.5) == [wire.Stopped(len(joined(first)))]
    assert bench.advance(9.0) == []
    bench.command(wire.Start(), 10.0)
    second = bench.advance(10.5)
    assert np.array_equal(joined(first), joined(second))
    assert second[0].first_sample == len(joined(first))
    assert bench.decoder.stats().samples_lost == 0


def test_a_loop_has_no_seam():
    bench = Bench(VirtualBoard(INFO, COUNTS[:100], 1.0, loop=True))
    bench.command(wire.Start())
    counts = joined(bench.advance(1.0))
    assert len(counts) > 300
    assert np.array_equal(counts, np.resize(COUNTS[:100], counts.shape))
    assert not bench.board.finished


def test_counts_are_clipped_to_24_bits():
    bench = Bench(VirtualBoard(INFO, [[2**30, -(2**30)]] * 14, None))
    bench.command(wire.Start())
    block, _ = bench.advance(0.0)
    assert block.counts[0].tolist() == [2**23 - 1, -(2**23)]


def test_answers():
    bench = Bench(VirtualBoard(INFO, COUNTS, 1.0))
    assert bench.command(wire.Ping(77), 2.5) == [wire.Pong(77, 2_500_000)]
    assert bench.command(wire.StatusRequest()) == [wire.Status(0, 0, 0, 0)]
    assert bench.command(wire.Stop()) == [wire.Stopped(0)]
    (refused,) = bench.command(wire.SetRate(250_000))
    assert refused.code == wire.ERROR_UNSUPPORTED
    assert bench.board.receive(b"\xff\x00garbage\x00" * 50, 0.0) == b""


@pytest.mark.parametrize(
    ("counts", "speed"),
    [(COUNTS, 0.0), (COUNTS, -1.0), (COUNTS[:, :1], 1.0), (COUNTS[:0], 1.0), (COUNTS[:, 0], 1.0)],
)
def test_nonsense_is_a_value_error(counts, speed):
    with pytest.raises(ValueError, match="must be"):
        VirtualBoard(INFO, counts, speed)


def read_all(link):
    out = []
    while not any(isinstance(item, wire.Stopped) for item in out):
        new = link.read(5.0)
        assert new, "the board fell silent"
        out += new
    return out


def test_pty_plays_a_record_to_the_end(tmp_path):
    name = tmp_path / "board"
    with PtyBoard(VirtualBoard(INFO, COUNTS, None), pty_link=name) as board:
        assert os.path.realpath(name) == board.path
        with open_link(str(name)) as link:
            out = read_all(link)
            assert np.array_equal(joined(out), COUNTS)
            assert board.finished.wait(5.0)
    assert not os.path.lexists(name)


def test_nothing_is_lost_when_the_reader_is_slow():
    counts = np.stack([np.arange(40_000), -np.arange(40_000)], axis=1)
    with PtyBoard(VirtualBoard(INFO, counts, None)) as board:
        port = serial.Serial(board.path, timeout=1.0)
        decoder = EdgeDecoder()
        port.write(wire.encode(wire.Start(), 0))
        time.sleep(0.1)  # what is not read fills the terminal, and the board has to wait
        assert not board.finished.is_set()
        out = []
        while not out or not isinstance(out[-1], wire.Stopped):
            data = port.read(max(1, port.in_waiting))
            assert data
            out += decoder.feed(data, 0.0)
        port.close()
    assert np.array_equal(joined(out), counts)
    assert decoder.stats().crc_errors == decoder.stats().frame_errors == 0


def test_a_client_that_crashed_and_one_that_comes_later():
    with PtyBoard(VirtualBoard(INFO, COUNTS, 20.0, loop=True)) as board:
        crashed = serial.Serial(board.path, timeout=1.0)
        crashed.write(wire.encode(wire.Start(), 0))
        assert crashed.read(500)
        crashed.close()
        for _ in range(2):
            with open_link(board.path) as link:
                assert link.info.name == "Simulated"
                out = link.read(5.0) + link.read(5.0) + link.stop()
                assert np.array_equal(joined(out)[:28], COUNTS[:28])
                assert link.stats().samples_lost == 0


def test_a_link_of_an_earlier_run_is_replaced_but_nothing_else(tmp_path):
    old = tmp_path / "old"
    old.symlink_to("/dev/pts/nothing")
    with PtyBoard(VirtualBoard(INFO, COUNTS), pty_link=old) as board:
        assert os.readlink(old) == board.path
    for target in ("/dev/pts/ptmx", "/nowhere/at/all"):
        mine = tmp_path / "mine"
        mine.symlink_to(target)
        with pytest.raises(LinkError, match=rf"mine is a link to {target} already.*Choose another name"):
            PtyBoard(VirtualBoard(INFO, COUNTS), pty_link=mine)
        assert os.readlink(mine) == target
        mine.unlink()
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    with pytest.raises(LinkError, match="precious exists and is not a symbolic link"):
        PtyBoard(VirtualBoard(INFO, COUNTS), pty_link=precious)
    assert precious.read_text() == "keep me"
    with pytest.raises(LinkError, match=r"cannot make .*no/where"):
        PtyBoard(VirtualBoard(INFO, COUNTS), pty_link=tmp_path / "no" / "where")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious"]


def test_a_link_that_now_belongs_to_another_board_is_left_alone(tmp_path):
    name = tmp_path / "board"
    with PtyBoard(VirtualBoard(INFO, COUNTS), pty_link=name) as first:
        with pytest.raises(LinkError, match=f"board is a link to {first.path} already"):
            PtyBoard(VirtualBoard(INFO, COUNTS), pty_link=name)
        assert os.readlink(name) == first.path
        name.unlink()
        with PtyBoard(VirtualBoard(INFO, COUNTS), pty_link=name) as second:
            first.close()
            assert os.readlink(name) == second.path
        assert not os.path.lexists(name)
