"""Where samples come from: one set of rules, run on every source."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_ecg.errors import DataError
from edge_ecg.io import read_record, write_record
from edge_ecg.sources import Source
from edge_ecg.sources.boards import BoardScale
from edge_ecg.sources.replay import RawCaptureSource, RecordSource, open_replay
from edge_ecg.sources.serial_link import SerialLinkSource
from edge_ecg.sources.synthetic import SyntheticSource, synthetic_ecg
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from edge_ecg.types import LinkEvent, SampleBlock, StreamInfo
from firmware_bridge import wire
from firmware_bridge.blocks import BoardInfo, LinkError, RawBlock
from firmware_bridge.capture import About, CaptureWriter
from firmware_bridge.lasting import LastingLink, LinkChange, opener_of
from firmware_bridge.simulator import PtyBoard, VirtualBoard

Make = Callable[[], Source]
N = 7_200  # samples of the short record


def capture_of(board: VirtualBoard) -> bytes:
    out = board.receive(wire.encode(wire.HelloRequest(), 0), 0.0) + board.receive(wire.encode(wire.Start(), 1), 0.0)
    while not board.finished:
        out += board.advance(0.0)
    return out


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds of the excerpt."""
    stem = tmp_path_factory.mktemp("records") / "short"
    write_record(stem, read_record(EXCERPT).counts[:N], 360.0, ["MLII", "V1"], baseline=1024)
    return stem


class TestConformance:
    """What a runner relies on."""

    @pytest.fixture(params=["record", "capture", "synthetic", "serial"])
    def make(self, request: pytest.FixtureRequest, record: Path, tmp_path: Path) -> Iterator[Make]:
        with ExitStack() as stack:

            def capture() -> Source:
                (tmp_path / "capture.bin").write_bytes(capture_of(board_of_record(record, None)))
                return open_replay(tmp_path / "capture.bin")

            def serial() -> Source:
                board = stack.enter_context(PtyBoard(board_of_record(record, 1e6)))
                source = SerialLinkSource(board.path)
                stack.callback(source.close)
                return source

            yield {
                "record": lambda: RecordSource(read_record(record), block_s=1.0),
                "capture": capture,
                "synthetic": lambda: SyntheticSource(360.0, N / 360.0),
                "serial": serial,
            }[request.param]

    def test_the_stream_comes_first_then_contiguous_blocks(self, make: Make) -> None:
        source = make()
        items = [item for item in source.items() if item is not None]
        source.close()
        stream, *rest = items
        assert isinstance(stream, StreamInfo)
        assert stream.fs_hz == 360.0
        blocks = [item for item in rest if isinstance(item, SampleBlock)]
        assert all(isinstance(item, (SampleBlock, LinkEvent)) for item in rest)
        assert blocks[0].first_index == 0
        next_index = 0
        for block in blocks:
            assert block.first_index == next_index
            assert block.samples_mv.dtype == np.float32
            assert block.samples_mv.ndim == 2
            assert block.samples_mv.shape[1] == len(stream.leads)
            assert not block.samples_mv.flags.writeable
            next_index += len(block.samples_mv)
        assert next_index == N

    def test_a_stop_ends_it_soon(self, make: Make) -> None:
        source = make()
        items = source.items()
        n_samples = 0
        for item in items:
            if isinstance(item, SampleBlock):
                n_samples += len(item.samples_mv)
                source.stop()
        source.close()
        assert 0 < n_samples <= N

    def test_a_stop_before_the_first_item_gives_few_or_no_samples(self, make: Make) -> None:
        source = make()
        source.stop()
        rest = list(source.items())
        source.close()
        assert all(isinstance(item, StreamInfo) for item in rest[:1])

    def test_it_may_be_closed_twice_and_early(self, make: Make) -> None:
        source = make()
        items = source.items()
        assert isinstance(next(items), StreamInfo)
        items.close()  # type: ignore[attr-defined]
        source.close()
        source.close()


def samples_of(source: Source) -> np.ndarray:
    blocks = [item.samples_mv for item in source.items() if isinstance(item, SampleBlock)]
    source.close()
    return np.concatenate(blocks)


def test_a_record_a_capture_and_a_board_give_the_same_millivolts(record: Path, tmp_path: Path) -> None:
    (tmp_path / "capture.bin").write_bytes(capture_of(board_of_record(record, None)))
    expected = read_record(record).samples_mv()
    assert np.array_equal(samples_of(open_replay(record)), expected)
    assert np.allclose(samples_of(open_replay(tmp_path / "capture.bin")), expected, atol=1e-6)
    with PtyBoard(board_of_record(record, 1e6)) as board:
        assert np.allclose(samples_of(SerialLinkSource(board.path)), expected, atol=1e-6)


def test_a_broken_record_gives_what_it_holds_then_says_so(record: Path, tmp_path: Path) -> None:
    for suffix in (".hea", ".dat"):
        (tmp_path / f"short{suffix}").write_bytes(record.with_suffix(suffix).read_bytes()[: 3 * 4000])
    items = []
    with pytest.raises(DataError, match="cut short"):
        items.extend(open_replay(tmp_path / "short").items())
    assert sum(len(item.samples_mv) for item in items if isinstance(item, SampleBlock)) == 4000


def test_a_header_date_becomes_the_wall_clock(record: Path, tmp_path: Path) -> None:
    for suffix in (".hea", ".dat"):
        (tmp_path / f"short{suffix}").write_bytes(record.with_suffix(suffix).read_bytes())
    header = tmp_path / "short.hea"
    first, rest = header.read_text().split("\n", 1)
    header.write_text(f"{first} 12:00:00 09/09/2001\n{rest}")
    stream = next(open_replay(tmp_path / "short").items())
    assert isinstance(stream, StreamInfo)
    assert stream.start_utc_s == 1_000_036_800.0
    assert stream.utc_s(360) == 1_000_036_801.0


# Raw captures


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


# Boards


def test_a_board_counts_from_its_first_sample_and_a_loss_before_it() -> None:
    info = BoardInfo("b", "1", "adc", 250.0, ("I",), 2000.0, 1.0, 1)
    scale = BoardScale(info)
    counts = np.array([[0], [500]], np.int32)
    first = scale.block(RawBlock(counts, 1_000_003, None, 3, 7.0))
    assert (first.first_index, first.host_s) == (3, 7.0)
    assert first.samples_mv[:, 0].tolist() == [0.0, 1.0]
    assert scale.block(RawBlock(counts, 1_000_010, True, 0, 7.0)).first_index == 10


@pytest.mark.parametrize(
    ("lsb_nv", "uv_per_lsb", "mv", "calibrated"),
    [(2000.0, None, 0.2, True), (None, None, 0.5, False), (None, 3.0, 0.3, True), (2000.0, 3.0, 0.3, True)],
)
def test_the_size_of_a_count(lsb_nv: float | None, uv_per_lsb: float | None, mv: float, calibrated: bool) -> None:
    scale = BoardScale(BoardInfo("b", "1", "adc", 250.0, ("I",), lsb_nv, 1.0, 1), uv_per_lsb)
    block = scale.block(RawBlock(np.array([[100]], np.int32), 0, None, 0, 0.0))
    assert block.samples_mv[0, 0] == pytest.approx(mv)
    assert scale.stream("s", None).calibrated is calibrated


def test_a_made_up_heart_beats_as_told() -> None:
    samples_mv, r_s, symbols = synthetic_ecg(250.0, 60.0, hr_bpm=60.0, pvc_every=10)
    assert len(samples_mv) == 15_000
    assert 55 <= len(r_s) <= 61
    assert symbols.count("V") == len(symbols) // 10
    assert np.array_equal(samples_mv, synthetic_ecg(250.0, 60.0, hr_bpm=60.0, pvc_every=10)[0])
    at_r = samples_mv[np.round(r_s * 250).astype(int)]
    assert at_r.min() > 0.8


class Cable(VirtualBoard):
    """A board whose cable the test pulls and plugs."""

    plugged = True

    def is_plugged(self, now_s: float) -> bool:
        return self.plugged


def test_a_board_that_comes_back_goes_on_in_the_same_stream(record: Path, tmp_path: Path) -> None:
    """Kept numbers place its samples exactly; the host's clock, those of a board that was reset."""
    known = board_of_record(record, None)
    place = tmp_path / "board"

    def cable(name: str, speed: float) -> Cable:
        return Cable(replace(known.info, name=name), np.tile(read_record(record).counts - 1024, (20, 1)), speed)

    board = cable("one", 20.0)
    with PtyBoard(board, place) as pty:
        source = SerialLinkSource(str(place))
        rest = source.items()
        items: list[Any] = []

        def read_on(done: Callable[[Any], bool]) -> None:
            until_s = time.monotonic() + 20.0
            while not (items and done(items[-1])):
                assert time.monotonic() < until_s, [i for i in items if isinstance(i, LinkEvent)]
                item = next(rest)
                items.extend([] if item is None else [item])

        def is_block(item: Any) -> bool:
            return isinstance(item, SampleBlock)

        def is_event(state: str) -> Callable[[Any], bool]:
            return lambda item: isinstance(item, LinkEvent) and item.state == state

        for resets in (False, True):
            read_on(is_block)
            board.plugged = False
            read_on(is_event("lost"))
            if resets:
                board.reset()
            board.plugged = True
            read_on(is_event("back"))
            before = [i for i in items if is_block(i)][-1]
            read_on(is_block)
            gap = items[-1].first_index - before.first_index - len(before.samples_mv)
            assert 20 * 360 * 0.05 < gap < 20 * 360 * 5
            if not resets:
                at, n = items[-1].first_index % N, len(items[-1].samples_mv)
                expected = read_record(record).samples_mv()[at : at + n]
                assert np.allclose(items[-1].samples_mv[: len(expected)], expected, atol=1e-6)
        assert sum(isinstance(i, StreamInfo) for i in items) == 1
        board.plugged = False
        read_on(is_event("lost"))
        pty._board = cable("two", 20.0)
        read_on(lambda item: isinstance(item, StreamInfo))
        read_on(is_block)
        assert items[-1].first_index < 20 * 360
        source.close()


def test_a_board_is_waited_for_only_so_long(record: Path, tmp_path: Path) -> None:
    board = Cable(board_of_record(record, None).info, read_record(record).counts, 1.0)
    place = tmp_path / "board"
    with PtyBoard(board, place):
        source = SerialLinkSource(str(place), wait_s=0.3)
        items = source.items()
        while not isinstance(next(items), SampleBlock):
            pass
        board.plugged = False
        with pytest.raises(LinkError, match="went away"):
            for _ in items:
                pass
        source.close()


class Mute(Cable):
    """Says what it is, and sends no sample."""

    mute = False

    def advance(self, now_s: float) -> bytes:
        said = super().advance(now_s)
        return b"" if self.mute else said


def test_a_board_that_answers_and_sends_no_sample_is_waited_for_only_so_long(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware_bridge.lasting.STALLED_S", 0.2)
    monkeypatch.setattr("firmware_bridge.lasting.SILENT_S", 0.4)
    board = Mute(board_of_record(record, None).info, read_record(record).counts, 1.0)
    with PtyBoard(board, tmp_path / "board"):
        source = SerialLinkSource(str(tmp_path / "board"), wait_s=3.0)
        items = source.items()
        while not isinstance(next(items), SampleBlock):
            pass
        board.plugged, board.mute = False, True
        states: list[str] = []

        def wait_for_it() -> None:
            for item in items:
                states.extend([item.state] if isinstance(item, LinkEvent) else [])
                board.plugged = bool(states)
                assert len(states) < 20

        with pytest.raises(LinkError, match="no sample for"):
            wait_for_it()
        source.close()
    assert states.count("lost") > 1


def test_what_comes_between_a_reconnect_and_a_stop_has_its_place(tmp_path: Path) -> None:
    class Counting(Cable):
        n_said = 0

        def advance(self, now_s: float) -> bytes:
            said = super().advance(now_s)
            self.n_said += len(said)
            return said

    info = BoardInfo("b", "1", "adc", 500.0, ("I",), 1e6, 1.0, 1)
    board = Counting(info, np.arange(100_000)[:, None])
    with PtyBoard(board, tmp_path / "board"):
        source = SerialLinkSource(str(tmp_path / "board"))
        items = source.items()
        heard: list[SampleBlock] = []
        while len(heard) < 3:
            heard += [item for item in [next(items)] if isinstance(item, SampleBlock)]
        board.plugged = False
        while not (isinstance(item := next(items), LinkEvent) and item.state == "lost"):
            heard += [item] if isinstance(item, SampleBlock) else []
        board.reset()
        n_before, board.plugged = board.n_said, True
        while not source.stats().reconnects:
            next(items)
        while board.n_said == n_before:
            time.sleep(0.01)
        source.stop()
        rest = list(items)
        source.close()
    assert [item.state for item in rest if isinstance(item, LinkEvent)] == ["back", "ended"]
    behind = [item for item in rest if isinstance(item, SampleBlock)]
    assert behind[0].samples_mv[0, 0] == 0.0
    assert behind[0].first_index > heard[-1].first_index + len(heard[-1].samples_mv) + 0.05 * 500


class Clocked(Cable):
    """An AD8232 that prints when it took each sample, in ms, 200 times a second."""

    finished = False

    def __init__(self) -> None:
        self._begun_s = time.monotonic()
        self._n = 0

    def receive(self, data: bytes, now_s: float) -> bytes:
        return b""

    def advance(self, now_s: float) -> bytes:
        first, self._n = self._n, int((now_s - self._begun_s) * 200.0)
        return b"".join(b"%d\r\n" % (5 * k) for k in range(first, self._n))


def test_a_board_without_numbers_that_comes_back_goes_on_at_its_time(tmp_path: Path) -> None:
    board, late_s = Clocked(), ([], [])
    with PtyBoard(board, tmp_path / "board"):
        source = SerialLinkSource(str(tmp_path / "board"), board="ad8232", uv_per_lsb=1000.0)
        for item in source.items():
            if isinstance(item, LinkEvent) and item.state == "lost":
                board.plugged = True
            if isinstance(item, SampleBlock):
                is_back = source.stats().reconnects
                taken_s = 1e-3 * item.samples_mv[:, 0]
                late_s[is_back].extend(taken_s - (item.first_index + np.arange(len(taken_s))) / 250.0)
                board.plugged = board.plugged and (is_back or len(late_s[0]) < 250)
                if len(late_s[1]) > 250:
                    source.stop()
        source.close()
    assert np.median(late_s[1]) == pytest.approx(np.median(late_s[0]), abs=0.2)


def test_a_simulated_board_without_time_that_is_reset_is_another_stream(record: Path, tmp_path: Path) -> None:
    """How much is missing nobody can say: of a board that keeps no time, not even the clock."""
    known = board_of_record(record, None)
    board = Cable(known.info, read_record(record).counts - 1024, None, loop=True)
    place = tmp_path / "board"
    with PtyBoard(board, place):
        source = SerialLinkSource(str(place))
        streams, resets = [], 0
        for item in source.items():
            if isinstance(item, StreamInfo):
                streams.append(item.stream)
            elif isinstance(item, LinkEvent) and item.state == "lost":
                board.reset()
                board.plugged = True
            elif isinstance(item, SampleBlock) and len(streams) == 2:
                assert item.first_index < N
                break
            elif isinstance(item, SampleBlock) and not resets:
                resets, board.plugged = 1, False
        source.close()


def test_the_log_says_how_fast_the_board_samples(record: Path) -> None:
    with PtyBoard(board_of_record(record, 1e6)) as board:
        source = SerialLinkSource(board.path)
        (connected,) = [i for i in source.items() if isinstance(i, LinkEvent) and i.state == "connected"]
        source.close()
    assert connected.detail.endswith("360 Hz, 2 leads")


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
