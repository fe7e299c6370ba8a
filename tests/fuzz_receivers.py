"""Random, mutated and spliced bytes by the megabyte through every receiver, in Python and in C. `make fuzz`."""

from __future__ import annotations

import re
import subprocess
import time
from binascii import crc_hqx
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from board_streams import STREAMS, BoardStream

from firmware_bridge.framing import Deframer
from firmware_bridge.protocols import Decoder, open_decoder
from firmware_bridge.wire import HEADER

ROOT = Path(__file__).parent.parent
MEGABYTE = 1_000_000
PIECE_BYTES = 50_000
MAX_PENDING_BYTES = 16_384
MAX_GROWTH_MB = 8.0
FRAMES_TO_RECOVER = {"edge": 3}
"""Good frames behind garbage by which one must have been decoded: the first may be taken for the end of the garbage."""
USUAL_FRAMES_TO_RECOVER = 40
KEPT_BYTES = HEADER.size + 4


class Garbage:
    """Pieces of bytes that no board would send, but nearly: by a seed."""

    def __init__(self, stream: BoardStream, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._good = np.frombuffer(b"".join(stream.frames(400)), np.uint8)
        others = [np.frombuffer(b"".join(one.frames(30)), np.uint8) for one in STREAMS]
        self._others = np.concatenate(others)

    def piece(self) -> bytes:
        """About `PIECE_BYTES` of one kind."""
        rng = self._rng
        cut = rng.integers(len(self._good))
        good = np.resize(np.roll(self._good, -cut), PIECE_BYTES).copy()
        match rng.integers(6):
            case 0:
                return rng.bytes(PIECE_BYTES)
            case 1:  # bits flipped
                at = rng.integers(PIECE_BYTES, size=int(PIECE_BYTES * rng.uniform(0.001, 0.2)))
                good[at] ^= (1 << rng.integers(8, size=len(at))).astype(np.uint8)
            case 2:  # bytes dropped
                good = good[rng.random(PIECE_BYTES) > rng.uniform(0.001, 0.3)]
            case 3:  # spliced with what others send, and with noise
                n = int(rng.integers(2, 400))
                for at in rng.integers(PIECE_BYTES - n, size=200):
                    source = self._others if rng.random() < 0.5 else np.frombuffer(rng.bytes(2 * n), np.uint8)
                    begin = int(rng.integers(max(1, len(source) - n)))
                    good[at : at + n] = np.resize(source[begin : begin + n], n)
            case 4:  # one short pattern over and over
                good = np.resize(good[: int(rng.integers(1, 40))], PIECE_BYTES)
            case 5:  # two streams, a byte in turn
                good[::2] = np.resize(self._others[int(rng.integers(1000)) :], len(good[::2]))
        return good.tobytes()

    def chunks(self, data: bytes) -> Iterator[bytes]:
        """The same bytes in pieces as they may arrive: often as from a port, sometimes one by one."""
        at = 0
        while at < len(data):
            n = int(self._rng.choice([1, 7, 62, 512, 4096, PIECE_BYTES], p=[0.02, 0.03, 0.1, 0.25, 0.4, 0.2]))
            yield data[at : at + n]
            at += n


def fuzz_decoder(stream: BoardStream, n_bytes: int, seed: int) -> str:
    """Feed a decoder, see that it stays small and finds good frames again; figures in words."""
    decoder, garbage = open_decoder(stream.name, **stream.options), Garbage(stream, seed)
    fed = longest = n_pieces = 0
    begin_s, begin_mb = time.process_time(), 0.0
    while fed < n_bytes:
        piece = garbage.piece()
        for chunk in garbage.chunks(piece):
            decoder.feed(chunk, begin_s)
            longest = max(longest, len(decoder.pending))
        fed += len(piece)
        n_pieces += 1
        _recover(decoder, stream, n_pieces)
        begin_mb = begin_mb or _resident_mb()
    took_s, grown_mb = time.process_time() - begin_s, _resident_mb() - begin_mb
    stats = decoder.stats()
    assert longest <= MAX_PENDING_BYTES, f"{stream}: {longest} bytes were kept"
    assert grown_mb <= MAX_GROWTH_MB, f"{stream}: grew by {grown_mb:.1f} MB"
    assert stats.bytes_received >= fed
    return (
        f"{stream!s:14} {fed / 1e6:6.0f} MB  {fed / 1e6 / took_s:5.1f} MB/s  {longest:6} bytes kept at most  "
        f"{grown_mb:+5.1f} MB  {n_pieces} times found again"
    )


def _recover(decoder: Decoder, stream: BoardStream, n_pieces: int) -> None:
    n = FRAMES_TO_RECOVER.get(stream.name, USUAL_FRAMES_TO_RECOVER)
    before = decoder.stats().frames_ok
    for frame in stream.frames(n, first=1000 * n_pieces):
        decoder.feed(frame, 0.0)
    assert decoder.stats().frames_ok > before, f"{stream}: {n} good frames behind garbage, and none was decoded"


def fuzz_c(program: Path, n_bytes: int, seed: int) -> str:
    """The same kinds of bytes through the receiver of the firmware, which must find the frames that Python finds."""
    stream = next(one for one in STREAMS if one.name == "edge")
    garbage, deframer = Garbage(stream, seed), Deframer()
    fed = n_frames = 0
    kept = 0xFFFF
    begin_s = time.monotonic()
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        while fed < n_bytes:
            piece = b"\0" + garbage.piece() + b"\0"
            process.stdin.write(piece)
            fed += len(piece)
            for payload in deframer.feed(piece):
                n_frames += 1
                kept = crc_hqx(len(payload).to_bytes(2, "little") + payload[:KEPT_BYTES], kept)
        answer, _ = process.communicate()
    assert process.returncode == 0, "the sanitizers say why above"
    assert answer.split() == [b"%d" % n_frames, b"%d" % kept], f"{answer!r}, but Python: {n_frames} {kept}"
    rate = fed / 1e6 / (time.monotonic() - begin_s)
    return f"{'C receiver':14} {fed / 1e6:6.0f} MB  {rate:5.1f} MB/s  {n_frames} frames, as in Python"


def _resident_mb() -> float:
    found = re.search(r"VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


@click.command()
@click.option("--megabytes", type=click.FloatRange(0.05), default=100.0, show_default=True, help="Through each.")
@click.option("--only", metavar="NAME", help="One receiver: a protocol, or c.")
@click.option("--seed", default=0, show_default=True)
def main(megabytes: float, only: str | None, seed: int) -> None:
    """Fail where a receiver raises, keeps much, grows, or finds no good frame again."""
    n_bytes = round(megabytes * MEGABYTE)
    for stream in STREAMS:
        if only in (None, stream.name):
            click.echo(fuzz_decoder(stream, n_bytes, seed))
    if only in (None, "c"):
        subprocess.run(["make", "-s", "-C", ROOT / "firmware", "build/count"], check=True)
        click.echo(fuzz_c(ROOT / "firmware/build/count", n_bytes, seed))


if __name__ == "__main__":
    main()
