"""The whole device in memory: a simulated board, its bytes, the decoder, the pipeline. No port, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edge_ecg.infer import Classifier
from edge_ecg.pipeline import Pipeline
from edge_ecg.sources.boards import BoardScale
from edge_ecg.types import Event, GapEvent, LeadOffEvent, QualityEvent, SampleBlock, StreamInfo
from firmware_bridge import wire
from firmware_bridge.blocks import RawBlock
from firmware_bridge.protocols import open_decoder
from firmware_bridge.simulator import VirtualBoard

__all__ = ["hear", "label", "shutdowns"]

_BLOCK_S = 10.0


def label(classifier: Classifier, stream: StreamInfo, blocks: Sequence[SampleBlock], lead: int) -> list[Event]:
    """All events of one lead of a stream."""
    pipeline = Pipeline(classifier, stream, lead=lead)
    events = [event for block in blocks for event in pipeline.feed(block)]
    return events + pipeline.flush()


def hear(board: VirtualBoard) -> tuple[StreamInfo, list[SampleBlock]]:
    """What a host makes of the bytes of a board that plays its record once.

    Its frames are joined to longer blocks: the labels are the same, and come sooner.
    """
    decoder = open_decoder("edge")
    start = wire.encode(wire.HelloRequest(), 0) + wire.encode(wire.Start(), 1)
    info = next(m.info for m in decoder.feed(board.receive(start, 0.0), 0.0) if isinstance(m, wire.Hello))
    raw: list[RawBlock] = []
    while not board.finished:
        raw += [m for m in decoder.feed(board.advance(0.0), 0.0) if isinstance(m, RawBlock)]
    scale = BoardScale(info)
    blocks = [scale.block(r) for r in _joined(raw, round(_BLOCK_S * info.fs_hz))]
    return scale.stream(info.name, None), blocks


def _joined(raw: Sequence[RawBlock], n_most: int) -> Iterator[RawBlock]:
    begin = 0
    for k in range(1, len(raw) + 1):
        first = raw[begin]
        if k < len(raw):
            n = raw[k].first_sample - first.first_sample
            if not raw[k].lost_before and raw[k].lead_off == first.lead_off and n < n_most:
                continue
        counts = np.concatenate([r.counts for r in raw[begin:k]])
        yield RawBlock(counts, first.first_sample, first.lead_off, first.lost_before, first.host_s)
        begin = k


def shutdowns(events: Sequence[Event], n_samples: int) -> list[tuple[int, int]]:
    """Half-open intervals in which the device says that it cannot analyse, merged, ascending."""
    found: list[tuple[int, int]] = []
    since: dict[str, int] = {}

    def change(what: str, on: bool, at: int) -> None:
        if on:
            since.setdefault(what, at)
        elif what in since:
            found.append((since.pop(what), at))

    for event in events:
        match event:
            case QualityEvent():
                change("noise", event.noisy, event.sample)
            case LeadOffEvent():
                change("electrode", event.off, event.at_index)
            case GapEvent(interpolated=False):
                found.append((event.at_index - event.n_lost, event.at_index))
            case _:
                pass
    found += [(at, n_samples) for at in since.values()]
    merged: list[tuple[int, int]] = []
    for a, b in sorted(found):
        if merged and a <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], b))
        elif a < b:
            merged.append((a, b))
    return merged
