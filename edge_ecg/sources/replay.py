"""A recording as a source: a WFDB record, or the raw bytes that a board once sent. As fast as it is read."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from itertools import chain
from pathlib import Path

from edge_ecg.errors import DataError
from edge_ecg.io import Record, read_record, record_stem
from edge_ecg.sources import Item
from edge_ecg.sources.boards import BoardScale
from edge_ecg.types import SampleBlock, StreamInfo
from firmware_bridge.blocks import BoardInfo, LinkError, RawBlock
from firmware_bridge.board_stream import BoardStream
from firmware_bridge.boards import BOARDS, Board
from firmware_bridge.capture import About, read_about, read_chunks
from firmware_bridge.outage import away_s, went_on
from firmware_bridge.protocols.edge import EdgeDecoder
from firmware_bridge.wire import Hello, Stopped

__all__ = ["RawCaptureSource", "RecordSource", "open_replay"]

_BLOCK_S = 60.0
_CHUNK_BYTES = 65536


def open_replay(path: str | Path, uv_per_lsb: float | None = None) -> RecordSource | RawCaptureSource:
    """The source for a path: a WFDB record (with or without its suffix), else a raw capture.

    Raises
    ------
    DataError
        When there is nothing of either kind; says what lies there.
    """
    path = Path(os.path.expanduser(path))
    try:
        is_capture = path.is_file() and not (
            path.suffix in {".hea", ".dat", ".atr"} or path.with_suffix(".hea").exists()
        )
    except OSError as error:  # such as a name too long for the file system
        raise _unreadable(path, error) from None
    return RawCaptureSource(path, uv_per_lsb) if is_capture else RecordSource(read_record(record_stem(path)))


class RecordSource:
    """A WFDB record in memory, block by block.

    A record that is not what its header says gives what it holds, then `DataError`.
    """

    def __init__(self, record: Record, block_s: float = _BLOCK_S) -> None:
        self._record = record
        self._block_s = block_s
        self._stopped = False

    @property
    def info(self) -> StreamInfo:
        """What the header says."""
        header = self._record.header
        start = header.base_datetime
        return StreamInfo(
            stream=header.name,
            fs_hz=header.fs_hz,
            leads=header.leads,
            calibrated=all(s.calibrated for s in header.signals),
            start_utc_s=None if start is None else start.replace(tzinfo=UTC).timestamp(),
        )

    def items(self) -> Iterator[Item | None]:
        """The stream and its blocks."""
        yield self.info
        samples_mv = self._record.samples_mv()
        samples_mv.flags.writeable = False
        step = max(1, round(self._block_s * self._record.header.fs_hz))
        for first in range(0, len(samples_mv), step):
            if self._stopped:
                return
            yield SampleBlock(samples_mv[first : first + step], first)
        if self._record.problem:
            raise DataError(self._record.problem, "What it holds was labelled")

    def stop(self) -> None:
        """End at the next block."""
        self._stopped = True

    def close(self) -> None:
        """Nothing to give back."""


class RawCaptureSource:
    """What a board sent, HELLO included: a capture (`firmware_bridge.capture`), or the bytes alone."""

    def __init__(self, path: Path, uv_per_lsb: float | None = None) -> None:
        self._path = path
        self._uv_per_lsb = uv_per_lsb
        self._stopped = False

    def items(self) -> Iterator[Item | None]:
        """A stream and its blocks.

        A board that was lost and came back goes on in the same stream, as in `SerialLinkSource`: what is missing is
        what its sample numbers tell, or what the times of arrival do. Bytes alone have none: each HELLO behind samples
        and each session is another stream.

        Raises
        ------
        DataError
            When the file cannot be read, or holds no HELLO: nothing then says what the samples are.
        """
        about = self._about()
        return self._items_of_ours(about) if about is None or about.board == "edge" else self._items_of(about)

    def _items_of_ours(self, about: About | None) -> Iterator[Item | None]:
        """Of a board of this project; without ``about``, nothing is known of the times at which its bytes came."""
        decoder = EdgeDecoder(awaits_stopped=about is not None)
        info: BoardInfo | None = None
        scale: BoardScale | None = None
        n_streams, next_sample, last_s = 0, 0, 0.0
        may_be_new = False  # since the last sample something came that a reset or another session would send
        for data, host_s in self._chunks():
            for message in decoder.feed(data, host_s):
                if isinstance(message, Hello):
                    info, may_be_new = message.info, True
                elif isinstance(message, Stopped):
                    may_be_new = True
                elif isinstance(message, RawBlock) and info is not None:
                    block = message
                    if scale is None or scale.info != info or (may_be_new and not _is_timed(about, scale)):
                        # How long the pause before it was, nobody knows; or it is another board.
                        n_streams += 1
                        scale = BoardScale(info, self._uv_per_lsb)
                        begin_s = host_s - len(block.counts) / scale.rate_hz
                        start_utc_s = None if about is None else about.start_utc_s + begin_s
                        yield scale.stream(f"{self._path.stem}-{n_streams}", start_utc_s)
                    elif may_be_new:
                        gone_s = away_s(block, last_s, scale.rate_hz)
                        if not went_on(block.first_sample - next_sample, scale.rate_hz, gone_s):
                            scale.begin_anew(gone_s)
                            block = replace(block, lost_before=0)
                    next_sample, last_s, may_be_new = block.first_sample + len(block.counts), host_s, False
                    yield _without_arrival(scale.block(block))
            if self._stopped:
                return
        if info is None:
            raise DataError(
                f"{self._path} is no WFDB record and holds no HELLO of the edge-ecg protocol",
                "Give a record (the path of its .hea), or the raw bytes of a board from its first answer on",
            )
        if scale is None:
            yield BoardScale(info, self._uv_per_lsb).stream(f"{self._path.stem}-1", None)

    def _items_of(self, about: About) -> Iterator[Item | None]:
        """Of another maker's board, by the times at which its bytes came."""
        if about.board not in BOARDS:
            known = "`edge-ecg boards list` shows those known"
            raise DataError(f"{self._path} is of a board {about.board!r}", known)
        board = BoardStream(BOARDS[about.board])
        scale: BoardScale | None = None
        for data, host_s in chain(self._chunks(), [(b"", 0.0)]):
            for block in board.feed(data, host_s) if data else board.flush():
                if scale is None and board.info is not None:
                    scale = BoardScale(board.info, self._uv_per_lsb)
                    yield scale.stream(self._path.stem, about.start_utc_s + self._begin_s(BOARDS[about.board]))
                if scale is not None:
                    yield _without_arrival(scale.block(block))
            if self._stopped:
                return
        if scale is None:
            raise DataError(f"{self._path} holds no samples of a {BOARDS[about.board].title}", "Capture it again")

    def _begin_s(self, board: Board) -> float:
        """When the first sample came, by the least late of the first second: a decoder waits until it is sure."""
        stream = BoardStream(board)
        begin_s, until_s = math.inf, math.inf
        with contextlib.suppress(DataError):
            for data, host_s in self._chunks():
                for block in stream.feed(data, host_s):
                    assert stream.info is not None
                    until_s = min(until_s, host_s + 1.0)
                    end = block.first_sample + len(block.counts)
                    begin_s = min(begin_s, host_s - end / stream.info.fs_hz)
                if host_s > until_s:
                    break
        return begin_s if math.isfinite(begin_s) else 0.0

    def _about(self) -> About | None:
        try:
            with self._path.open("rb") as file:
                return read_about(file)
        except OSError as error:
            raise _unreadable(self._path, error) from None

    def _chunks(self) -> Iterator[tuple[bytes, float]]:
        try:
            with self._path.open("rb") as file:
                if read_about(file) is not None:
                    yield from read_chunks(file)
                    return
                file.seek(0)
                while data := file.read(_CHUNK_BYTES):
                    yield data, 0.0
        except OSError as error:
            raise _unreadable(self._path, error) from None
        except LinkError as error:
            raise DataError(f"{self._path}: {error.message}", "What it holds was labelled") from None

    def stop(self) -> None:
        """End at the next chunk."""
        self._stopped = True

    def close(self) -> None:
        """Nothing to give back."""


def _is_timed(about: About | None, scale: BoardScale) -> bool:
    return about is not None and not math.isinf(scale.rate_hz)


def _without_arrival(block: SampleBlock) -> SampleBlock:
    """When its bytes came tells nothing of how late the labels of a replay are."""
    return replace(block, host_s=None)


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot read {path}: {error.strerror or error}", "Check the path and its permissions")
