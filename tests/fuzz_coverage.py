"""Bytes that reach new code, found by atheris, through every decoder: the bytes decide how they arrive, too.

Run by hand: `make fuzz-coverage`. A decoder must not raise, must keep little, and must say the same of the same bytes
however they were cut.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["firmware_bridge"]):
    from firmware_bridge.protocols import Decoder, open_decoder

from board_streams import STREAMS

MAX_PENDING_BYTES = 16_384


def said(decoder: Decoder, data: bytes, sizes: list[int]) -> list[Any]:
    """What came of the bytes, cut into such pieces again and again: first sample, counts and losses of each block."""
    out: list[Any] = []
    at = k = 0
    while at < len(data):
        for block in decoder.feed(data[at : at + sizes[k % len(sizes)]], 0.0):
            if hasattr(block, "counts"):
                first = block.first_sample - block.lost_before
                rows = [(first + block.lost_before + i, tuple(row)) for i, row in enumerate(block.counts.tolist())]
                out += [("lost", first, block.lost_before)] if block.lost_before else []
                out += rows
        assert len(decoder.pending) <= MAX_PENDING_BYTES
        at += sizes[k % len(sizes)]
        k += 1
    return out


def one_input(name: str, options: dict[str, Any]) -> Callable[[bytes], None]:
    """A test of one decoder."""

    def test(data: bytes) -> None:
        sizes = [1 + size for size in data[:4]] or [1]
        body = data[4:]
        whole = said(open_decoder(name, **options), body, [len(body) or 1])
        assert said(open_decoder(name, **options), body, sizes) == whole

    return test


def main() -> None:
    """`python tests/fuzz_coverage.py NAME [libFuzzer options]`."""
    name = sys.argv.pop(1)
    stream = next(one for one in STREAMS if str(one) == name or one.name == name)
    with tempfile.TemporaryDirectory() as corpus:
        # It begins with what the board sends: nobody guesses a checksum.
        for n in (1, 3, 30):
            (Path(corpus) / str(n)).write_bytes(bytes([0, 6, 61, 255]) + b"".join(stream.frames(n)))
        atheris.Setup([*sys.argv, corpus], one_input(stream.name, dict(stream.options)))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
