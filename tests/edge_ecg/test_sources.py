"""Where samples come from: one set of rules, run on every source."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from excerpts import short_record
from fake_boards import Cable, capture_of, impatient

from edge_ecg.errors import DataError
from edge_ecg.io import read_record
from edge_ecg.sources import Source
from edge_ecg.sources.boards import BoardScale
from edge_ecg.sources.replay import RecordSource, open_replay
from edge_ecg.sources.serial_link import SerialLinkSource
from edge_ecg.sources.synthetic import SyntheticSource, synthetic_ecg
from edge_ecg.sources.virtual import board_of_record
from edge_ecg.types import LinkEvent, SampleBlock, StreamInfo
from firmware_bridge.blocks import BoardInfo, LinkError, RawBlock
from firmware_bridge.simulator import PtyBoard

Make = Callable[[], Source]
N = 7_200  # samples of the short record


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds of the excerpt."""
    return short_record(tmp_path_factory.mktemp("records"), N)


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
    impatient(monkeypatch, stalled_s=0.2, silent_s=0.4)
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
