"""Blocks of a board that follow each other become one: the same samples, in fewer pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_ecg.sources.boards import joined
from edge_ecg.types import SampleBlock

PIECES = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0, 0, 0, 3]), st.sampled_from([None, False, True])))


def blocks_of(pieces: list[tuple[int, int, bool | None]]) -> list[SampleBlock]:
    blocks, at = [], 0
    for n, n_lost, lead_off in pieces:
        at += n_lost
        samples_mv = np.arange(at, at + n, dtype=np.float32)[:, None]
        blocks.append(SampleBlock(samples_mv, at, lead_off, host_s=float(len(blocks))))
        at += n
    return blocks


def told(blocks: list[SampleBlock]) -> list[tuple[int, float, bool | None]]:
    return [(b.first_index + i, float(v), b.lead_off) for b in blocks for i, v in enumerate(b.samples_mv[:, 0])]


@given(PIECES)
def test_each_sample_keeps_its_number_and_its_electrodes(pieces: list[tuple[int, int, bool | None]]) -> None:
    blocks = blocks_of(pieces)
    assert told(joined(blocks)) == told(blocks)


@given(PIECES)
def test_no_two_could_still_be_one_and_a_gap_stays(pieces: list[tuple[int, int, bool | None]]) -> None:
    one = joined(blocks_of(pieces))
    for a, b in pairwise(one):
        assert b.first_index > a.first_index + len(a.samples_mv) or a.lead_off != b.lead_off
    assert {b.first_index for b in one} <= {b.first_index for b in blocks_of(pieces)}


def test_a_block_came_when_its_first_part_did() -> None:
    (one,) = joined(blocks_of([(3, 0, None), (2, 0, None)]))
    assert one.host_s == 0.0
    assert not one.samples_mv.flags.writeable
