"""A board without a clock: a sine that it samples when it likes comes out as a sine."""

from __future__ import annotations

import numpy as np
import pytest
from board_streams import spiker
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from firmware_bridge.blocks import RawBlock
from firmware_bridge.board_stream import BoardStream
from firmware_bridge.boards import BOARDS
from firmware_bridge.freerun import FILTER_DELAY_S, FS_HZ, FreeRunner

TONE_HZ = 3.0


def played(rate_hz: float, seconds: float, poll_s: float, runner: FreeRunner, silent: tuple[float, float] = (0, 0)):
    """Lines as a host reads them: each when it polls next; what comes out, in one."""
    times_s = 50.0 + np.arange(1, int(seconds * rate_hz)) / rate_hz
    times_s = times_s[(times_s < 50 + silent[0]) | (times_s >= 50 + silent[1])]
    arrived_s = np.ceil(times_s / poll_s) * poll_s
    out: list[RawBlock] = []
    for at_s in np.unique(arrived_s):
        counts = 500 + 400 * np.sin(2 * np.pi * TONE_HZ * times_s[arrived_s == at_s])
        out += runner.feed(RawBlock(np.rint(counts)[:, None].astype(np.int32), 0, None, 0, float(at_s)))
    return out


@pytest.mark.parametrize("rate_hz", [160.0, 192.0, 240.0, 487.0])
@pytest.mark.parametrize("poll_s", [0.002, 0.016])
def test_a_tone_comes_out_as_one(rate_hz: float, poll_s: float) -> None:
    runner = FreeRunner()
    out = played(rate_hz, 30.0, poll_s, runner)
    assert runner.fs_estimate_hz == pytest.approx(rate_hz, rel=0.02)
    assert not runner.is_rough
    counts = np.concatenate([block.counts[:, 0] for block in out])
    assert len(counts) / FS_HZ == pytest.approx(30.0, abs=0.5)
    starts = [block.first_sample for block in out]
    assert starts == list(np.cumsum([starts[0], *[len(block.counts) for block in out[:-1]]]))
    # The last twenty seconds against the best sine of that frequency.
    x = counts[-20 * 250 :]
    phase = 2 * np.pi * TONE_HZ * np.arange(len(x)) / FS_HZ
    basis = np.column_stack([np.sin(phase), np.cos(phase), np.ones(len(x))])
    rest = x - basis @ np.linalg.lstsq(basis, x, rcond=None)[0]
    assert np.sqrt(np.mean(rest**2)) < 0.1 * 400


def spiker_plays(codes: NDArray[np.float64], poll_s: float = 0.016) -> NDArray[np.float64]:
    """A SpikerShield of one channel at 10 kHz, from time 0 on: what comes out of its bytes."""
    stream, counts = BoardStream(BOARDS["spiker"]), []
    n = round(10_000 * poll_s)
    for k in range(0, len(codes), n):
        data = b"".join(spiker(0, [[code]]) for code in np.rint(codes[k : k + n]).astype(int).tolist())
        for block in stream.feed(data, (k + n) / 10_000):
            assert stream.info is not None
            assert stream.info.fs_hz == FS_HZ
            counts.append(block.counts[:, 0])
    return np.concatenate(counts)


@pytest.mark.parametrize(
    ("tone_hz", "lowest", "highest"),
    # 4 kHz and 4.03 kHz would fold to 0 and 30 Hz, 190 Hz to 60 Hz.
    [(3.0, 0.99, 1.01), (60.0, 0.97, 1.02), (190.0, 0.0, 0.01), (4000.0, 0.0, 0.005), (4030.0, 0.0, 0.005)],
)
def test_of_a_fast_board_a_tone_passes_and_one_beyond_does_not_fold(
    tone_hz: float, lowest: float, highest: float
) -> None:
    codes = 512 + 400 * np.sin(2 * np.pi * tone_hz * np.arange(100_000) / 10_000 + 1.0)
    settled = spiker_plays(codes)[-5 * 250 :]
    assert lowest <= np.sqrt(2) * settled.std() / 400 <= highest
    assert settled.mean() == pytest.approx(512, abs=1)


def test_the_filter_of_a_fast_board_is_as_late_as_the_board_says() -> None:
    codes = np.full(60_000, 512.0)
    codes[50_000:] = 812
    counts = spiker_plays(codes)
    # The last of them is of the last arrival, or up to 4 ms before.
    at_s = 6.0 - np.arange(len(counts))[::-1] / FS_HZ
    half_way = np.interp(662, counts[-400:], at_s[-400:])
    assert half_way - 5.0 == pytest.approx(FILTER_DELAY_S, abs=0.005)
    assert BOARDS["spiker"].group_delay_ms == 1e3 * FILTER_DELAY_S


def test_a_silence_is_a_loss_of_its_length() -> None:
    out = played(200.0, 20.0, 0.002, FreeRunner(), silent=(8.0, 10.0))
    (lost,) = [block for block in out if block.lost_before]
    assert lost.lost_before / FS_HZ == pytest.approx(2.0, abs=0.1)
    assert sum(len(b.counts) + b.lost_before for b in out) / FS_HZ == pytest.approx(20.0, abs=0.5)


@pytest.mark.parametrize("pieces", [[500], [250, 250], [20, 480], 5 * [100], 10 * [50]], ids=str)
def test_a_backlog_in_pieces_is_late_not_lost(pieces: list[int]) -> None:
    """The operating system hands over what has gathered in a stall of 2 s as chunks of 4 kB."""
    runner, taken, out = FreeRunner(), 0, []
    stalled = [(n, 7.0 + 0.003 * k) for k, n in enumerate(pieces)]
    for n, at_s in [(5, 0.02 * k) for k in range(251)] + stalled + [(5, 7.0 + 0.02 * k) for k in range(2, 200)]:
        counts = np.arange(taken, taken + n, dtype=np.int32)[:, None]
        out += runner.feed(RawBlock(counts, 0, None, 0, at_s))
        taken += n
    assert not any(block.lost_before for block in out)
    counts, numbers = (
        np.concatenate(of)
        for of in zip(*((b.counts[:, 0], b.first_sample + np.arange(len(b.counts))) for b in out), strict=True)
    )
    # Each count is when its sample was taken, in 250ths of a second.
    late_s = (numbers - counts) / FS_HZ
    assert np.ptp(late_s) < 0.03


def test_half_a_backlog_is_half_a_loss() -> None:
    runner, out = FreeRunner(), []
    for n, at_s in [(5, 0.02 * k) for k in range(251)] + [(250, 7.0)] + [(5, 7.0 + 0.02 * k) for k in range(1, 200)]:
        out += runner.feed(RawBlock(np.zeros((n, 1), np.int32), 0, None, 0, at_s))
    assert [block.lost_before for block in out if block.lost_before] == [pytest.approx(250, abs=10)]


def test_what_waits_behind_a_silence_comes_at_the_end() -> None:
    runner = FreeRunner()
    for k in range(100):
        runner.feed(RawBlock(np.zeros((5, 1), np.int32), 0, None, 0, 0.02 * k))
    assert runner.feed(RawBlock(np.zeros((50, 1), np.int32), 0, None, 0, 5.0)) == []
    (last,) = runner.flush()
    assert len(last.counts) == pytest.approx(50, abs=1)
    assert runner.flush() == []


def test_behind_a_silence_nothing_is_left_of_what_was_before() -> None:
    """The low-pass of a fast board would smear the one into the other."""
    runner, out = FreeRunner(), []
    for code, from_s in ((100, 0.0), (900, 5.0)):
        for k in range(200):
            out += runner.feed(RawBlock(np.full((160, 1), code, np.int32), 0, None, 0, from_s + 0.016 * k))
    (behind,) = [k for k, block in enumerate(out) if block.lost_before]
    assert {round(float(count)) for block in out[behind:] for count in block.counts[:, 0]} == {900}


def test_a_pause_while_the_rate_is_learnt_tells_none() -> None:
    """A board that says something while it boots, and streams five seconds later."""
    runner, out = FreeRunner(), []
    for at_s in [0.0, 0.1, 0.2, *(5.0 + 0.02 * k for k in range(100))]:
        out += runner.feed(RawBlock(np.zeros((4, 1), np.int32), 0, None, 0, at_s))
        assert runner.fs_estimate_hz in (None, pytest.approx(200.0, rel=0.05))
    assert sum(len(block.counts) for block in out) == pytest.approx(250 * 99 * 0.02, abs=5)
    assert not any(block.lost_before for block in out)


def test_an_electrode_that_is_off_at_the_start_takes_its_time() -> None:
    runner, none = FreeRunner(), np.zeros((0, 1), np.int32)
    out = runner.feed(RawBlock(none, 0, True, 0, 100.0))
    for k in range(150):
        out += runner.feed(RawBlock(np.full((4, 1), k, np.int32), 0, False, 0, 160.0 + 0.02 * k))
    off, *on = out
    assert (off.first_sample, off.lead_off) == (0, True)
    assert on[0].first_sample / FS_HZ == pytest.approx(60.0, abs=0.05)
    assert on[0].lost_before == on[0].first_sample
    assert not any(block.lost_before for block in on[1:])


def test_an_electrode_that_comes_off_while_the_rate_is_learnt_does_not_tell_another() -> None:
    runner = FreeRunner()
    for first_s in (0.0, 1.5):
        for k in range(20 if not first_s else 100):
            runner.feed(RawBlock(np.zeros((4, 1), np.int32), 0, False, 0, first_s + 0.02 * k))
            assert runner.fs_estimate_hz in (None, pytest.approx(200.0, rel=0.05))
        runner.feed(RawBlock(np.zeros((0, 1), np.int32), 0, True, 0, first_s + 2.0 * bool(first_s) + 0.4))
    assert runner.fs_estimate_hz is not None


def test_a_host_that_comes_late_is_called_rough() -> None:
    runner = FreeRunner()
    rng = np.random.default_rng(0)
    at_s = 0.0
    for _ in range(400):
        at_s += 0.05
        late_s = float(rng.uniform(0, 0.08))
        runner.feed(RawBlock(np.zeros((10, 1), np.int32), 0, None, 0, at_s + late_s))
    assert runner.is_rough


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0.0, 3.0)), max_size=60))
def test_any_arrivals_give_samples_in_order(chunks: list[tuple[int, float]]) -> None:
    runner, at_s, out = FreeRunner(), 0.0, []
    for n, after_s in chunks:
        at_s += after_s
        out += runner.feed(RawBlock(np.arange(n)[:, None].astype(np.int32), 0, not n, 0, at_s))
    out += runner.flush()
    expected = None
    for block in out:
        assert len(block.counts) or block.lead_off
        assert np.isfinite(block.counts).all()
        if expected is not None:
            assert block.first_sample == expected + block.lost_before
        expected = block.first_sample + len(block.counts)
