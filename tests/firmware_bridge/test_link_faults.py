"""A bad cable: what was lost is told, to the sample; what was not lost comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge import wire
from firmware_bridge.blocks import BoardInfo, RawBlock
from firmware_bridge.faults import FaultInjector, FaultPlan, FaultyBoard
from firmware_bridge.framing import Deframer
from firmware_bridge.protocols.edge import EdgeDecoder
from firmware_bridge.simulator import VirtualBoard

INFO = BoardInfo("Simulated", "1.0", "none", 500.0, ("I", "II"), 5000.0, 1.0, 1)
N = 5000
COUNTS = np.stack([np.arange(N), -np.arange(N)], axis=1)
SHARES = st.floats(0.0, 0.2)

plans = st.builds(
    FaultPlan,
    seed=st.integers(0, 1 << 32),
    drop=SHARES,
    duplicate=SHARES,
    truncate=SHARES,
    flip=st.floats(0.0, 2e-3),
    reorder=SHARES,
    garbage=SHARES,
    burst=st.floats(0.0, 0.02),
    stall=SHARES,
    banner=st.sampled_from(["", "boot v1.2\r\n"]),
    first_sample=st.sampled_from([0, 7, 2**32 - 1000]),
)


def session(plan: FaultPlan) -> tuple[list[RawBlock], int, EdgeDecoder]:
    """A board's session over a bad cable: the blocks, the count of STOPPED, the decoder."""
    board = FaultyBoard(VirtualBoard(INFO, COUNTS, 1.0, first_sample=plan.first_sample), plan)
    decoder = EdgeDecoder(len(INFO.leads))
    out: list[RawBlock | wire.Message] = []
    # The board is told to stop until it says that it has, as `Link.stop` does.
    now_s, sent = 0.0, None
    board.board.receive(wire.encode(wire.Start(), 0), now_s)
    while sent is None and now_s < 200.0:
        now_s += 0.05
        data = board.advance(now_s)
        if now_s > 6.0 and round(20 * now_s) % 5 == 0:
            data += board.receive(wire.encode(wire.Stop(), 1), now_s)
        for item in decoder.feed(data, now_s):
            out.append(item)
            if isinstance(item, wire.Stopped):
                sent = item.samples_sent
    assert sent is not None, "no STOPPED in 100 s"
    return [item for item in out if isinstance(item, RawBlock)], sent, decoder


@settings(max_examples=40, deadline=None)
@given(plans)
def test_delivered_and_lost_is_what_was_sent(plan: FaultPlan) -> None:
    blocks, sent, decoder = session(plan)
    assert sum(len(block.counts) + block.lost_before for block in blocks) == sent
    stats = decoder.stats()
    assert stats.samples_received + stats.samples_lost == sent
    for block in blocks:
        at = block.first_sample - plan.first_sample
        np.testing.assert_array_equal(block.counts, COUNTS[at : at + len(block.counts)])


def test_a_good_cable_changes_nothing() -> None:
    board, same = VirtualBoard(INFO, COUNTS, 1.0), FaultyBoard(VirtualBoard(INFO, COUNTS, 1.0), FaultPlan())
    for each in (board, same):
        each.receive(wire.encode(wire.Start(), 0), 0.0)
    assert b"".join(board.advance(t) for t in range(20)) == b"".join(same.advance(t) for t in range(20))
    assert same.finished


def frames_of(n: int) -> bytes:
    return b"".join(wire.encode(wire.Data(k, 0, COUNTS[k : k + 1]), k) for k in range(n))


@pytest.mark.parametrize("fault", ["drop", "duplicate", "truncate", "reorder", "garbage", "burst", "stall"])
def test_each_fault_does_what_it_says(fault: str) -> None:
    whole = frames_of(400)
    injector = FaultInjector(FaultPlan(seed=3, **{fault: 0.05}))
    got = bytearray()
    for k, frame in enumerate(whole.split(b"\0")[:-1]):
        got += injector.feed(frame + b"\0", 0.02 * k)
    got += injector.feed(b"", 1e9)
    assert not injector.waiting
    parsed = [wire.parse(payload) for payload in Deframer().feed(bytes(got))]
    numbers = [one.message.first_sample for one in parsed if one and isinstance(one.message, wire.Data)]
    n = len(numbers)
    told = {
        "drop": 360 < n < 400 and numbers == sorted(set(numbers)),
        "duplicate": 400 < n < 440 and sorted(set(numbers)) == list(range(400)),
        "truncate": 340 < n < 400 and numbers == sorted(set(numbers)),
        "reorder": n == 400 and numbers != sorted(numbers) and max(abs(a - k) for k, a in enumerate(numbers)) <= 10,
        "garbage": n == 400 - sum(np.diff([-1, *numbers]) - 1) and len(got) > len(whole),
        "burst": n < 350 and max(np.diff(numbers)) > 25,
        "stall": numbers == list(range(400)),
    }
    assert told[fault]


def test_flipped_bits_are_as_many_as_asked_for() -> None:
    whole = frames_of(2000)
    got = FaultInjector(FaultPlan(flip=1e-3)).feed(whole, 0.0)
    n = sum(bin(a ^ b).count("1") for a, b in zip(whole, got, strict=True))
    assert 0.5e-3 * len(whole) < n < 2e-3 * len(whole)


@pytest.mark.parametrize(
    "wrong", [{"drop": 1.5}, {"flip": -0.1}, {"drift_ppm": 900.0}, {"stall_s": -1.0}, {"burst_frames": -1}]
)
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f'"{name}" must be'):
        FaultPlan(**wrong)


def test_a_reset_board_greets() -> None:
    plan = FaultPlan(disconnect_every_s=1.0, disconnect_s=0.5, reset=True)
    board = FaultyBoard(VirtualBoard(INFO, COUNTS), plan)
    heard = b""
    for k in range(20):
        if board.is_plugged(0.1 * k):
            heard += board.advance(0.1 * k)
    (hello,) = [wire.parse(payload) for payload in Deframer().feed(heard)]
    assert hello is not None
    assert isinstance(hello.message, wire.Hello)
    assert hello.sequence == 0, "its counters began anew"
