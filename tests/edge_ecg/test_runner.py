"""The loop between source and sinks: whatever ends it, what was read is labelled and told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from edge_ecg.errors import DataError, UsageError
from edge_ecg.infer.stub import StubClassifier
from edge_ecg.runner import Runner
from edge_ecg.sources import Item
from edge_ecg.sources.synthetic import synthetic_ecg
from edge_ecg.stats import DelayHistogram, RunStats
from edge_ecg.types import Classified, Event, GapEvent, LinkEvent, ModelEvent, SampleBlock, StreamInfo

FS_HZ = 250.0
SIGNAL, R_S, _ = synthetic_ecg(FS_HZ, 30.0, hr_bpm=75.0)


class Scripted:
    """A source that plays a list; an exception in it is raised."""

    def __init__(self, script: Sequence[Item | Exception | None]) -> None:
        self.script = script
        self.n_closed = 0
        self.stopped = False

    def items(self) -> Iterator[Item | None]:
        for item in self.script:
            if self.stopped:
                return
            if isinstance(item, Exception):
                raise item
            yield item

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        self.n_closed += 1


class Kept:
    """Keeps all events."""

    lasting = False

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed = False

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed = True

    @property
    def beats(self) -> list[Classified]:
        return [event for event in self.events if isinstance(event, Classified)]


def stream(name: str = "s", leads: tuple[str, ...] = ("I",)) -> StreamInfo:
    return StreamInfo(name, FS_HZ, leads)


def blocks(n_leads: int = 1, host_s: float | None = None, shift: int = 0) -> list[SampleBlock]:
    columns = np.repeat(SIGNAL[:, None], n_leads, axis=1)
    return [SampleBlock(columns[k : k + 250], k + shift, None, host_s) for k in range(0, len(SIGNAL), 250)]


def n_true(beats: list[Classified]) -> int:
    """How many of the made-up beats are among these; the detector may also take the onset of the signal for one."""
    return sum(any(abs(b.beat.t_s - r_s) < 0.05 for b in beats) for r_s in R_S)


def test_all_beats_come_and_everything_is_closed() -> None:
    source, kept = Scripted([stream(), None, *blocks()]), Kept()
    stats = Runner(source, StubClassifier(), [kept]).run()
    assert n_true(kept.beats) == len(R_S)
    assert stats.n_beats == len(kept.beats)
    assert stats.labels == {"N": len(kept.beats)}
    assert stats.n_samples == len(SIGNAL)
    assert isinstance(kept.events[0], ModelEvent)
    assert kept.closed
    assert source.n_closed == 1


@pytest.mark.parametrize("error", [DataError("cut short"), RuntimeError("bug")])
def test_a_source_that_breaks_is_flushed_first(error: Exception) -> None:
    half = blocks()[:15]
    expected = Kept()
    Runner(Scripted([stream(), *half]), StubClassifier(), [expected]).run()
    source, kept = Scripted([stream(), *half, error]), Kept()
    with pytest.raises(type(error)):
        Runner(source, StubClassifier(), [kept]).run()
    assert [b.beat for b in kept.beats] == [b.beat for b in expected.beats]
    assert n_true(kept.beats) == sum(r_s < 14.9 for r_s in R_S)
    assert kept.closed
    assert source.n_closed == 1


def test_a_board_that_changes_its_rate_in_mid_stream_goes_on_being_labelled() -> None:
    faster = np.interp(np.arange(2 * len(SIGNAL)) / 2.0, np.arange(len(SIGNAL)), SIGNAL).astype(np.float32)
    fast_blocks = [SampleBlock(faster[k : k + 500, None], k) for k in range(0, len(faster), 500)]
    kept = Kept()
    half = blocks()[: len(blocks()) // 2]
    items = [stream("a"), *half, StreamInfo("b", 2.0 * FS_HZ, ("I",)), *fast_blocks]
    Runner(Scripted(items), StubClassifier(), [kept]).run()
    assert n_true([b for b in kept.beats if b.stream.stream == "a"]) >= len(R_S) // 2 - 1
    assert n_true([b for b in kept.beats if b.stream.stream == "b"]) == len(R_S)


def test_a_new_stream_begins_anew_and_the_old_one_is_labelled_to_its_end() -> None:
    kept = Kept()
    Runner(Scripted([stream("a"), *blocks(), stream("b"), *blocks()]), StubClassifier(), [kept]).run()
    of_a = [b.beat for b in kept.beats if b.stream.stream == "a"]
    of_b = [b.beat for b in kept.beats if b.stream.stream == "b"]
    assert of_a == of_b
    assert len(of_a) >= len(R_S)
    names = [event.stream.stream for event in kept.events if not isinstance(event, LinkEvent)]
    assert names == sorted(names), "what belongs to the old stream comes before the new one"


def test_the_end_of_the_link_is_told_after_its_last_beat() -> None:
    kept = Kept()
    script = [stream(), LinkEvent("connected", "x"), *blocks(), LinkEvent("ended", "x")]
    Runner(Scripted(script), StubClassifier(), [kept]).run()
    assert kept.events[0] == LinkEvent("connected", "x")
    assert kept.events[-1] == LinkEvent("ended", "x")
    assert n_true(kept.beats) == len(R_S)


def test_a_board_that_is_lost_and_comes_back_goes_on_in_its_stream() -> None:
    first, *rest = blocks()
    kept = Kept()
    Runner(
        Scripted([stream(), first, LinkEvent("lost", "x"), LinkEvent("back", "x"), *rest]), StubClassifier(), [kept]
    ).run()
    assert sum(isinstance(event, ModelEvent) for event in kept.events) == 1
    assert n_true(kept.beats) == len(R_S)


def test_the_lead_is_chosen_by_name_in_each_stream() -> None:
    kept = Kept()
    script = [stream("a", ("I", "II")), *blocks(2), stream("b", ("II",)), *blocks(1)]
    Runner(Scripted(script), StubClassifier(), [kept], lead="ii").run()
    assert {(b.stream.stream, b.lead) for b in kept.beats} == {("a", "II"), ("b", "II")}
    source, kept = Scripted(script), Kept()
    with pytest.raises(UsageError, match="no lead 'V1'"):
        Runner(source, StubClassifier(), [kept], lead="V1").run()
    assert kept.closed
    assert source.n_closed == 1


def test_a_stop_ends_it_in_order() -> None:
    class StopAtTheFifth(Kept):
        def emit(self, event: Event) -> None:
            super().emit(event)
            if len(self.beats) == 5:
                runner.stop()

    source, kept = Scripted([stream(), *blocks()]), StopAtTheFifth()
    runner = Runner(source, StubClassifier(), [kept])
    runner.run()
    assert 5 <= len(kept.beats) < 15
    assert kept.closed
    assert source.n_closed == 1


def test_the_delay_counts_waiting_and_processing() -> None:
    plain, slow = Kept(), Kept()
    Runner(Scripted([stream(), *blocks()]), StubClassifier(), [plain], clock=lambda: 0.0).run()

    class Clock:
        """A tenth of a second later each time it is read."""

        now_s = 100.0

        def __call__(self) -> float:
            self.now_s += 0.1
            return self.now_s

    arrived_s = 99.0
    script = [stream(), *blocks(host_s=arrived_s)]
    clock = Clock()
    stats = Runner(Scripted(script), StubClassifier(), [slow], clock=clock).run()
    added = [b.lag_s - a.lag_s for a, b in zip(plain.beats, slow.beats, strict=True)]
    # Read at the start of the block and at the beat: 1.2 s behind the arrival of the first block.
    assert added[0] >= 1.2
    assert all(later > 0 for later in added)
    assert stats.processing_s > 0
    assert stats.delays.percentile_s(0) is not None
    assert [b.lag_s for b in plain.beats[:-1]] == pytest.approx(
        [(b.at_index / FS_HZ) - b.beat.t_s for b in plain.beats[:-1]], abs=0.003
    )


def test_a_block_from_nowhere_in_time_adds_only_processing() -> None:
    plain, kept = Kept(), Kept()
    Runner(Scripted([stream(), *blocks()]), StubClassifier(), [plain], clock=lambda: 0.0).run()
    Runner(Scripted([stream(), *blocks()]), StubClassifier(), [kept], clock=lambda: 5000.0).run()
    assert [b.lag_s for b in kept.beats] == [b.lag_s for b in plain.beats]


def test_losses_are_counted() -> None:
    some = [block for k, block in enumerate(blocks()) if k not in (10, 11)]
    kept = Kept()
    stats = Runner(Scripted([stream(), *some]), StubClassifier(), [kept]).run()
    (gap,) = [event for event in kept.events if isinstance(event, GapEvent)]
    assert gap.n_lost == 500
    assert (stats.n_gaps, stats.n_samples_lost, stats.n_samples) == (1, 500, len(SIGNAL) - 500)


def test_percentiles_of_delays() -> None:
    histogram = DelayHistogram()
    assert histogram.percentile_s(50) is None
    for ms in range(1, 101):
        histogram.add(ms / 1e3 - 0.0005)
    assert histogram.percentile_s(50) == pytest.approx(0.050)
    assert histogram.percentile_s(99) == pytest.approx(0.099)
    histogram.add(1e9)
    histogram.add(-1.0)
    assert histogram.percentile_s(100) == pytest.approx(20.0)
    assert RunStats().n_beats == 0


class Gone(Kept):
    """Its reader goes away at the third event."""

    def emit(self, event: Event) -> None:
        super().emit(event)
        if len(self.events) >= 3:
            raise BrokenPipeError


class File(Kept):
    """Keeps its events for good."""

    lasting = True


def test_a_reader_that_went_away_ends_it_unless_a_file_goes_on() -> None:
    whole, file, gone = Kept(), File(), Gone()
    Runner(Scripted([stream(), *blocks()]), StubClassifier(), [whole], clock=lambda: 0.0).run()
    Runner(Scripted([stream(), *blocks()]), StubClassifier(), [gone, file], clock=lambda: 0.0).run()
    assert file.events == whole.events
    assert len(gone.events) == 3
    with pytest.raises(BrokenPipeError):
        Runner(Scripted([stream(), *blocks()]), StubClassifier(), [Kept(), Gone()]).run()
