"""Where events go: the fields of each line, and what a failing destination loses."""

from __future__ import annotations

import io
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ecg.errors import UsageError
from edge_ecg.sinks import GuardedSink
from edge_ecg.sinks.beats import BeatList
from edge_ecg.sinks.console import ConsoleSink
from edge_ecg.sinks.jsonl import JsonlFileSink, JsonlSink, as_json
from edge_ecg.types import (
    Beat,
    Classified,
    Event,
    GapEvent,
    LeadOffEvent,
    LinkEvent,
    ModelEvent,
    QualityEvent,
    StreamInfo,
)

STREAM = StreamInfo("s1", 250.0, ("I", "II"), start_utc_s=1_000_000_000.0)
LABELS = ("N", "S", "V", "F", "Q")


def beat(sample: int = 500, label: str = "V", flags: tuple[str, ...] = (), stream: StreamInfo = STREAM) -> Classified:
    probs = tuple(0.92 if name == label else 0.02 for name in LABELS)
    body = Beat(sample, sample / 250.0, 0.81234, 0.8, 0.98765, flags)
    return Classified(stream, "II", body, label, LABELS, probs, 0.91234, "m1", 0.86119, sample + 215)


EVENTS: dict[str, Event] = {
    "beat": beat(),
    "gap": GapEvent(STREAM, 250, 7, interpolated=True),
    "lead_off": LeadOffEvent(STREAM, 250, off=True),
    "quality": QualityEvent(STREAM, 300, 250, noisy=True, quality=0.12345, causes=("mains", "motion")),
    "model": ModelEvent(STREAM, 0, "II", "m1", "ab" * 32, "sensitive"),
    "link": LinkEvent("connected", "a board", STREAM),
}
HEAD = {"schema": 1, "stream": "s1", "sample": 250, "t_s": 1.0, "utc": "2001-09-09T01:46:41.000Z"}
LINES = {
    "beat": {
        **HEAD,
        "sample": 500,
        "t_s": 2.0,
        "utc": "2001-09-09T01:46:42.000Z",
        "lead": "II",
        "label": "V",
        "probs": {"N": 0.02, "S": 0.02, "V": 0.92, "F": 0.02, "Q": 0.02},
        "confidence": 0.9123,
        "model": "m1",
        "rr_s": 0.8123,
        "hr_bpm": 75.0,
        "quality": 0.988,
        "flags": [],
        "reject": False,
        "lag_ms": 861.2,
    },
    "gap": {**HEAD, "lost_samples": 7, "interpolated": True},
    "lead_off": {**HEAD, "off": True},
    "quality": {**HEAD, "noisy": True, "quality": 0.123, "causes": ["mains", "motion"]},
    "model": {
        **HEAD,
        "sample": 0,
        "t_s": 0.0,
        "utc": "2001-09-09T01:46:40.000Z",
        "lead": "II",
        "model": "m1",
        "sha256": "ab" * 32,
        "operating_point": "sensitive",
        "fs_hz": 250.0,
        "leads": ["I", "II"],
        "calibrated": True,
    },
    "link": {"schema": 1, "stream": "s1", "state": "connected", "detail": "a board"},
}


class Failing:
    """A destination that fails as long as it is told to."""

    lasting = False

    def __init__(self, error: OSError | None) -> None:
        self.error = error
        self.got: list[Event] = []

    def emit(self, event: Event) -> None:
        if self.error:
            raise self.error
        self.got.append(event)

    def close(self) -> None:
        if self.error:
            raise self.error


@pytest.mark.parametrize("kind", EVENTS)
def test_the_line_of_each_event(kind: str) -> None:
    line = as_json(EVENTS[kind])
    assert line == {"type": kind, **LINES[kind]}
    assert list(line)[:3] == ["schema", "type", "stream"]
    assert json.loads(json.dumps(line, allow_nan=False)) == line


def test_what_is_not_known_is_null() -> None:
    unknown = StreamInfo("s1", 250.0, ("I",))
    first = Classified(unknown, "I", Beat(5, 0.02, None, None, 0.5, ()), "N", ("N",), (1.0,), 1.0, "m", 0.5, 9)
    line = as_json(first)
    assert (line["utc"], line["rr_s"], line["hr_bpm"]) == (None, None, None)
    assert as_json(LinkEvent("connected", "x"))["stream"] is None
    assert as_json(beat(flags=("short", "reject")))["reject"] is True


@pytest.mark.parametrize("start_utc_s", [1e300, -1e300, 2.6e11, float("inf")])
def test_a_date_that_no_calendar_holds_is_null(start_utc_s: float) -> None:
    assert as_json(beat(stream=StreamInfo("s", 250.0, ("I",), start_utc_s=start_utc_s)))["utc"] is None


def test_a_number_that_is_none_is_refused_rather_than_written() -> None:
    text = io.StringIO()
    with pytest.raises(ValueError, match="JSON"):
        JsonlSink(text).emit(QualityEvent(STREAM, 1, 1, noisy=True, quality=float("nan")))
    assert text.getvalue() == ""


# Files


def test_a_file_is_appended_to_and_complete_at_each_event(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"schema":1,"type":"gap"}\n')
    sink = JsonlFileSink(file)
    for n, event in enumerate(EVENTS.values(), start=2):
        sink.emit(event)
        assert len(file.read_text().splitlines()) == n
        assert file.read_text().endswith("}\n")
    sink.close()
    sink.close()
    assert [json.loads(line)["type"] for line in file.read_text().splitlines()[1:]] == list(EVENTS)


def test_what_was_torn_before_stays_a_line_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"schema":1,"ty')
    sink = JsonlFileSink(file)
    sink.emit(EVENTS["gap"])
    sink.emit(EVENTS["gap"])
    sink.close()
    torn, *whole = file.read_text().splitlines()
    assert torn == '{"schema":1,"ty'
    assert [json.loads(line)["type"] for line in whole] == ["gap", "gap"]


@contextmanager
def files_no_larger_than(n_bytes: int) -> Iterator[None]:
    """As on a disk that is nearly full: a write takes what still fits, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_and_gets_room_again(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    sink = JsonlFileSink(file)
    guarded = GuardedSink(sink)
    size = len(json.dumps(as_json(EVENTS["gap"]), separators=(",", ":"))) + 1
    with files_no_larger_than(2 * size + size // 2):
        for _ in range(5):
            guarded.emit(EVENTS["gap"])
    assert guarded.failure
    for _ in range(10):
        guarded.emit(EVENTS["gap"])
    guarded.close()
    lines = file.read_text().splitlines()
    torn = [line for line in lines if not line.endswith("}")]
    assert len(torn) == 1, "half a line, and no whole one glued to it"
    assert len(lines) - len(torn) == 15 - guarded.n_dropped
    for line in lines:
        if line not in torn:
            assert json.loads(line)["type"] == "gap"


@pytest.mark.parametrize("name", ["absent/x", "."])
def test_a_file_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        JsonlFileSink(tmp_path / name)


# The guard


def test_the_guard_backs_off_and_recovers_and_counts_exactly() -> None:
    inner = Failing(OSError(28, "No space left on device"))
    sink = GuardedSink(inner)
    n_tried = []
    for n in range(20):
        skipping = sink.n_dropped
        sink.emit(beat(n))
        assert sink.n_dropped == skipping + 1
        n_tried.append(n)
    assert sink.failure == "No space left on device"
    inner.error = None
    for n in range(20, 60):
        sink.emit(beat(n))
    assert len(inner.got) + sink.n_dropped == 60
    # Tried at 0, 2, 5, 10, 19, and again 16 later.
    assert [e.beat.r_index for e in inner.got if isinstance(e, Classified)] == list(range(36, 60))
    # Well again, the next failure starts with the shortest wait.
    inner.error = OSError("x")
    sink.emit(beat())
    sink.emit(beat())
    inner.error = None
    sink.emit(beat(99))
    assert len(inner.got) == 25
    assert sink.failure == "No space left on device", "the first failure is what is told"
    sink.close()


@given(st.lists(st.booleans(), max_size=300))
def test_no_event_is_lost_uncounted(fails: list[bool]) -> None:
    inner = Failing(None)
    sink = GuardedSink(inner)
    for fail in fails:
        inner.error = OSError("full") if fail else None
        sink.emit(beat())
    assert len(inner.got) + sink.n_dropped == len(fails)
    assert (sink.failure is None) == (sink.n_dropped == 0)


def test_the_wait_between_two_tries_is_bounded() -> None:
    inner = Failing(OSError("full"))
    sink = GuardedSink(inner)
    for _ in range(10_000):
        sink.emit(beat())
    inner.error = None
    for _ in range(1025):
        sink.emit(beat())
    assert inner.got


def test_a_reader_that_went_away_is_passed_on() -> None:
    sink = GuardedSink(Failing(BrokenPipeError()))
    with pytest.raises(BrokenPipeError):
        sink.emit(beat())
    assert sink.gone
    sink.emit(beat())
    sink.close()


def test_the_first_failure_is_told_at_once_and_no_other() -> None:
    told: list[GuardedSink] = []
    sink = GuardedSink(Failing(OSError(28, "full")), told.append)
    assert not told
    for n in range(1, 6):
        sink.emit(beat(n))
        assert told == [sink]


@pytest.mark.parametrize(
    "held", [b"", b'{"sch', b'{"schema":1,"type":"beat","stream":"x"}\n', b'{"schema":1,"type":"be']
)
def test_only_what_we_began_is_appended_to(tmp_path: Path, held: bytes) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(held)
    sink = JsonlFileSink(file)
    sink.emit(EVENTS["gap"])
    sink.close()
    assert file.read_bytes().startswith(held)
    assert json.loads(file.read_text().splitlines()[-1])["type"] == "gap"


@pytest.mark.parametrize("held", [b"\x00\x01" * 500, b'{"mine":1}\n', b"\n", b"record 1 360\n"])
def test_what_is_not_ours_is_left_alone(tmp_path: Path, held: bytes) -> None:
    file = tmp_path / "100.dat"
    file.write_bytes(held)
    with pytest.raises(UsageError, match=r"100\.dat is not empty.*Choose another name"):
        JsonlFileSink(file)
    assert file.read_bytes() == held


def test_a_failure_at_the_close_is_kept() -> None:
    sink = GuardedSink(Failing(OSError(5, "Input/output error")))
    sink.close()
    assert sink.failure == "Input/output error"


class Ticking(Failing):
    """A destination that is in trouble behind its events, and says so when it is looked after."""

    trouble: OSError | None = None

    def tick(self) -> None:
        if self.trouble:
            raise self.trouble


def test_trouble_that_a_tick_tells_is_over_with_a_tick_not_with_an_event() -> None:
    inner = Ticking(None)
    sink = GuardedSink(inner)
    inner.trouble = OSError("the broker is away")
    sink.tick()
    sink.emit(beat())
    assert sink.failing
    assert (sink.failure, sink.n_dropped, len(inner.got)) == ("the broker is away", 0, 1), "nothing is lost meanwhile"
    inner.trouble = None
    sink.tick()
    assert not sink.failing


def test_lost_events_are_over_with_an_event_not_with_a_tick() -> None:
    inner = Ticking(OSError("full"))
    sink = GuardedSink(inner)
    sink.emit(beat())
    sink.tick()
    assert sink.failing
    inner.error = None
    sink.emit(beat())
    assert sink.failing, "this one is left out"
    sink.emit(beat())
    assert not sink.failing


# Lines for a person


def console(*events: Event, colour: bool = False) -> list[str]:
    text = io.StringIO()
    sink = ConsoleSink(text, colour=colour)
    for event in events:
        sink.emit(event)
    sink.close()
    return text.getvalue().splitlines()


def test_a_beat_is_a_line() -> None:
    (line,) = console(beat(flags=("learning", "reject")))
    assert line.split() == ["0:02.00", "V", "0.91", "812", "ms", "75", "/min", "861", "ms", "learning", "reject"]
    first = Classified(STREAM, "I", Beat(5, 0.02, None, None, 0.5, ()), "normal", ("normal",), (1.0,), 1.0, "m", 0.5, 9)
    assert console(first)[0].split() == ["0:00.02", "normal", "1.00", "--", "--", "500", "ms"]
    heading, second = console(EVENTS["model"], beat())[1:]
    assert heading.index("label") == second.index("V")
    (coloured,) = console(beat(), colour=True)
    assert "\x1b[31mV" in coloured


@pytest.mark.parametrize(
    ("t_s", "text"),
    [
        (0.0, "0:00.00"),
        (59.994, "0:59.99"),
        (59.996, "1:00.00"),
        (3599.999, "1:00:00.00"),
        (86_400.5, "24:00:00.50"),
    ],
)
def test_times_as_a_clock(t_s: float, text: str) -> None:
    event = Classified(STREAM, "I", Beat(0, t_s, None, None, 0.5, ()), "N", ("N",), (1.0,), 1.0, "m", 0.5, 9)
    assert console(event)[0].split()[0] == text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (EVENTS["gap"], "0:01.00  -- 7 samples lost (bridged)"),
        (GapEvent(STREAM, 250, 700, interpolated=False), "700 samples lost (a gap)"),
        (EVENTS["lead_off"], "electrode off"),
        (LeadOffEvent(STREAM, 250, off=False), "electrode on"),
        (EVENTS["quality"], "signal noisy (mains, motion): beats are marked reject"),
        (QualityEvent(STREAM, 250, 250, noisy=True, quality=0.1), "signal noisy: beats"),
        (QualityEvent(STREAM, 250, 250, noisy=False, quality=0.9), "good again"),
        (EVENTS["model"], "stream s1: 250 Hz, lead II; labelled by m1 (sensitive)"),
        (
            ModelEvent(StreamInfo("s", 125.0, ("I",), calibrated=False), 0, "I", "m", ""),
            "lead I, amplitudes not calibrated",
        ),
        (EVENTS["link"], "link connected: a board"),
    ],
)
def test_other_events_are_remarks(event: Event, text: str) -> None:
    assert text in console(event)[0]


def test_the_list_of_beats_is_that_of_the_newest_stream() -> None:
    beats = BeatList()
    for event in (EVENTS["model"], beat(5), EVENTS["gap"], beat(9)):
        beats.emit(event)
    assert (beats.samples, beats.labels, beats.fs_hz) == ([5, 9], ["V", "V"], 250.0)
    beats.emit(EVENTS["model"])
    beats.emit(beat(2))
    beats.close()
    assert beats.samples == [2]
