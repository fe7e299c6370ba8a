"""A cable that loses 1 % of the frames and flips a bit in one byte of ten thousand: what it costs in beats."""

from __future__ import annotations

import numpy as np
import pytest

from edge_ecg.infer import open_classifier
from edge_ecg.leads import pick_lead
from edge_ecg.pipeline import Pipeline
from edge_ecg.sources.boards import BoardScale
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from edge_ecg.types import Classified, Event
from firmware_bridge import wire
from firmware_bridge.blocks import RawBlock
from firmware_bridge.faults import FaultPlan, FaultyBoard
from firmware_bridge.protocols.edge import EdgeDecoder

SAME_BEAT = 54
"""Samples: 150 ms, the match window of EC57."""
NEAR = 4
"""Samples at most from a lost interval: an R peak is no single sample."""


def heard(plan: FaultPlan) -> tuple[list[int], list[tuple[int, int]]]:
    """R peaks of the labelled beats of the excerpt, and the intervals of samples that were reported lost."""
    board = FaultyBoard(board_of_record(EXCERPT, None), plan)
    decoder, scale = EdgeDecoder(2), BoardScale(board.board.info)
    stream = scale.stream("bad cable", None)
    pipeline = Pipeline(open_classifier("rhythm"), stream, lead=pick_lead(stream.leads, None))
    board.receive(wire.encode(wire.Start(), 0), 0.0)
    events: list[Event] = []
    lost = []
    now_s = 0.0
    while not board.finished:
        now_s += 1.0
        for item in decoder.feed(board.advance(now_s), now_s):
            if isinstance(item, RawBlock):
                block = scale.block(item)
                lost += [(block.first_index - item.lost_before, block.first_index)] if item.lost_before else []
                events += pipeline.feed(block)
    events += pipeline.flush()
    return [event.beat.r_index for event in events if isinstance(event, Classified)], lost


@pytest.fixture(scope="module")
def clean() -> list[int]:
    beats, lost = heard(FaultPlan())
    assert len(beats) > 490
    assert not lost
    return beats


@pytest.mark.parametrize("seed", [1, 3])
def test_beats_are_missed_only_where_samples_were(clean: list[int], seed: int) -> None:
    beats, lost = heard(FaultPlan(seed=seed, drop=0.01, flip=1e-4))
    assert len(lost) > 100, "the cable was bad"
    missed = [r for r in clean if np.abs(np.array(beats) - r).min() > SAME_BEAT]
    extra = [r for r in beats if np.abs(np.array(clean) - r).min() > SAME_BEAT]
    assert missed, "and cost beats, or this shows nothing"
    assert not extra
    for r in missed:
        assert any(first - NEAR <= r < behind + NEAR for first, behind in lost), r
