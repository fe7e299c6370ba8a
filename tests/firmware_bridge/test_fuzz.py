"""A megabyte of garbage through every decoder; `make fuzz` does it with a hundred."""

from __future__ import annotations

import pytest
from board_streams import STREAMS, BoardStream
from fuzz_receivers import fuzz_decoder


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_garbage_does_no_harm(stream: BoardStream) -> None:
    assert "found again" in fuzz_decoder(stream, 1_000_000, seed=7)
