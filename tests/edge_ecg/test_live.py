"""What there is to see of a heart: rates that end with the beats, burden by the hour, bounded for ever; the strip."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.health import Health, OutputHealth
from edge_ecg.live import HourlyBurden, LiveView
from edge_ecg.types import (
    Beat,
    Classified,
    EpisodeEvent,
    LeadOffEvent,
    LinkEvent,
    ModelEvent,
    OutputEvent,
    QualityEvent,
    RhythmEvent,
    SampleBlock,
    StateEvent,
    StreamInfo,
)
from edge_ecg.web.metrics import STATES, checkup, metrics_text
from edge_ecg.web.strip import MISSING, Strip
from firmware_bridge.blocks import LinkStats

FS_HZ = 250.0
NOON_S = 1_000_000_800.0  # a full hour
STREAM = StreamInfo("s1", FS_HZ, ("I", "II"), start_utc_s=NOON_S)
HEALTH = Health("streaming", "", NOON_S, NOON_S, "1.2.3", "/dev/ttyACM0", idle_s=0.1)
LABELS = ("N", "S", "V", "F", "Q")


def beat(t_s: float, label: str = "N", flags: tuple[str, ...] = (), stream: StreamInfo = STREAM) -> Classified:
    sample = round(t_s * stream.fs_hz)
    body = Beat(sample, t_s, 0.8, 0.8, 0.9, flags)
    return Classified(stream, "II", body, label, LABELS, (0.2,) * 5, 0.9, "m1", 1.25, sample + 300)


def view_of(*events: object) -> LiveView:
    view = LiveView()
    for event in events:
        view.emit(event)  # type: ignore[arg-type]
    return view


def told(view: LiveView, health: Health = HEALTH, now_utc_s: float = NOON_S + 60.0) -> dict:
    shown = view.as_dict(health, now_utc_s)
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    return shown


def test_what_is_told_before_anything_came() -> None:
    shown = told(LiveView(), replace(HEALTH, state="waiting", idle_s=None))
    assert shown["state"] == {"name": "waiting", "detail": "", "since_utc": "2001-09-09T02:00:00.000Z"}
    assert (shown["stream"], shown["model"], shown["link"]) == (None, None, None)
    assert shown["heart"] == {"hr_bpm": None, "rr_s": None, "label": None}


def test_all_that_is_told_of_a_stream() -> None:
    view = view_of(
        StateEvent("streaming", "", NOON_S),
        OutputEvent("mqtt", "paused", "gone", NOON_S),
        ModelEvent(STREAM, 0, "II", "m1", "ab", "balanced"),
        LinkEvent("connected", "a board", STREAM),
        RhythmEvent(STREAM, 400, 250, "sinus", 0.91234),
        *[beat(k * 0.8, "V" if k == 3 else "N") for k in range(1, 5)],
        EpisodeEvent(STREAM, 900, 600, "v_run", over=False, n_beats=3, length_s=1.2),
        EpisodeEvent(STREAM, 1000, 600, "v_run", over=True, n_beats=4, length_s=1.6),
    )
    outputs = {"web": OutputHealth(1, 2, 3, None, 1.0, 2.0)}
    shown = told(
        view, replace(HEALTH, n_beats=4, labels={"N": 3, "V": 1}, link=LinkStats(frames_ok=7), outputs=outputs)
    )
    assert shown["heart"] == {"hr_bpm": 75.0, "rr_s": 0.8, "label": "N"}
    assert shown["model"] == {"id": "m1", "operating_point": "balanced"}
    assert shown["stream"]["lead"] == "II"
    assert shown["stream"]["calibrated"] is True
    assert shown["rhythm"] == {"state": "sinus", "score": 0.912, "since_utc": "2001-09-09T02:00:01.000Z"}
    (episode,) = shown["episodes"]
    assert (episode["kind"], episode["over"], episode["beats"]) == ("v_run", True, 4)
    assert view.n_episodes == {"v_run": 1}, "its end is no second one"
    assert shown["burden"]["percent"] == 25.0
    assert shown["delay_s"] == 1.25
    assert shown["beats"]["labels"] == {"N": 3, "V": 1}
    assert shown["link"]["frames_ok"] == 7
    assert shown["outputs"]["web"]["n_dropped"] == 2
    assert shown["board"] == {"port": "/dev/ttyACM0", "link": "connected"}


def test_a_heart_rate_ends_with_the_beats_and_with_the_signal() -> None:
    view = view_of(*[beat(k * 0.8) for k in range(1, 10)])
    assert told(view)["heart"]["hr_bpm"] == 75.0
    assert told(view, replace(HEALTH, idle_s=8.0))["heart"]["hr_bpm"] is None, "nothing comes"
    view.take_samples(STREAM, SampleBlock(np.zeros((1000, 2), np.float32), 2000))
    assert told(view)["heart"]["hr_bpm"] == 75.0
    view.take_samples(STREAM, SampleBlock(np.zeros((1000, 2), np.float32), 3000))
    assert told(view)["heart"]["hr_bpm"] is None, "a pause has no rate"
    view.emit(beat(16.5))
    assert told(view)["heart"]["hr_bpm"] == 75.0
    view.emit(QualityEvent(STREAM, 4200, 4100, noisy=True, quality=0.1, causes=("mains",)))
    assert told(view)["heart"]["hr_bpm"] is None
    assert told(view)["signal"]["causes"] == ["mains"]
    view.emit(QualityEvent(STREAM, 4300, 4250, noisy=False, quality=0.9))
    assert told(view)["heart"]["hr_bpm"] == 75.0
    view.emit(LeadOffEvent(STREAM, 4400, off=True))
    assert (told(view)["heart"]["hr_bpm"], told(view)["signal"]["lead_off"]) == (None, True)


def test_a_new_stream_begins_with_nothing_but_the_hours() -> None:
    view = view_of(
        beat(1.0), beat(2.0, "V"), RhythmEvent(STREAM, 500, 0, "sinus", 0.9), LeadOffEvent(STREAM, 600, off=True)
    )
    later = StreamInfo("s2", FS_HZ, ("I", "II"), calibrated=False, start_utc_s=NOON_S + 7200.0)
    view.emit(ModelEvent(later, 0, "I", "m1", "ab"))
    shown = told(view)
    assert not view.beats
    assert shown["rhythm"]["state"] is None
    assert shown["signal"]["lead_off"] is False
    assert shown["stream"]["calibrated"] is False
    assert shown["burden"]["percent"] == 50.0
    view.emit(beat(1.0, "N", stream=later))
    first, second = told(view)["burden"]["hours"]
    assert (first["begin_utc"], first["ectopic_percent"]) == ("2001-09-09T02:00:00.000Z", 50.0)
    assert (second["begin_utc"], second["beats"]) == ("2001-09-09T04:00:00.000Z", 1)


def test_hours_of_a_clock_that_was_wrong_or_is_none_are_not_mixed() -> None:
    view = view_of(beat(1.0, "V"))
    earlier = StreamInfo("s2", FS_HZ, ("I", "II"), start_utc_s=NOON_S - 86400.0)
    view.emit(beat(1.0, "N", stream=earlier))
    assert [hour["labels"] for hour in told(view)["burden"]["hours"]] == [{"N": 1}]
    unclocked = StreamInfo("s3", FS_HZ, ("I", "II"))
    view.emit(beat(3700.0, "S", stream=unclocked))
    (hour,) = told(view)["burden"]["hours"]
    assert (hour["hour"], hour["begin_utc"], hour["labels"]) == (1, None, {"S": 1})


def test_beats_to_be_rejected_burden_nobody() -> None:
    view = view_of(beat(1.0), beat(2.0, "V", ("reject",)))
    assert told(view)["burden"]["percent"] == 0.0
    assert [b.reject for b in view.beats] == [False, True]


def test_two_days_of_beats_are_five_minutes_and_a_day() -> None:
    view = LiveView()
    for k in range(2 * 86400 // 10):
        view.emit(beat(10.0 * k, "V" if k % 4 == 0 else "N"))
    assert len(view.beats) == 31
    hours = told(view)["burden"]["hours"]
    assert len(hours) == 24
    assert hours[-1]["hour"] - hours[0]["hour"] == 23
    assert {hour["ectopic_percent"] for hour in hours} == {25.0}
    for k in range(10_000):  # a storm of beats in one second
        view.emit(beat(172_800.0 + 1e-4 * k))
    assert len(view.beats) <= 2000


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(-100, 100), st.sampled_from("NSVX")), max_size=60))
def test_the_hours_are_bounded_whatever_the_clock_does(added: list[tuple[int, str]]) -> None:
    burden = HourlyBurden()
    for hour, label in added:
        burden.add(hour, label)
        listed = burden.as_list(clocked=False)
        assert len(listed) <= 24
        assert listed == sorted(listed, key=lambda one: one["hour"])
        assert all(0.0 <= one["ectopic_percent"] <= 100.0 for one in listed)


@pytest.mark.parametrize(
    ("health", "ok"),
    [
        (HEALTH, True),
        (replace(HEALTH, idle_s=11.0), False),
        (replace(HEALTH, state="noisy", idle_s=11.0), False),
        (replace(HEALTH, state="waiting", idle_s=9999.0), True),
        (replace(HEALTH, state="starting", idle_s=None), True),
        (replace(HEALTH, idle_s=None), False),
        (replace(HEALTH, idle_s=None, since_utc_s=NOON_S + 55.0), True),
        (replace(HEALTH, state="stopping"), False),
        (replace(HEALTH, state="dreaming"), False),
    ],
)
def test_it_is_well_when_it_does_what_it_says(health: Health, ok: bool) -> None:
    is_well, shown = checkup(health, NOON_S + 60.0)
    assert is_well is ok is shown["ok"]
    assert (shown["problem"] is None) is ok


LINE = re.compile(r'edge_ecg_\w+(\{(\w+="(\\.|[^"\\\n])*",?)+\})? -?\d+(\.\d+)?$')


def test_the_metrics_are_what_prometheus_reads() -> None:
    outputs = {'od"d\nname': OutputHealth(1, 2, 3, "gone", None, 2.0)}
    health = replace(HEALTH, n_samples=10_000_000_001, labels={"N": 5}, link=LinkStats(samples_lost=4), outputs=outputs)
    text = metrics_text(health, view_of(beat(1.0), beat(2.0)), 3, NOON_S + 60.5)
    lines = text.splitlines()
    assert text.endswith("\n")
    values = [line for line in lines if not line.startswith("#")]
    assert all(LINE.match(line) for line in values), [line for line in values if not LINE.match(line)]
    kinds = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE"))
    helps = [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert helps == list(kinds)
    assert {re.split(r"[{ ]", line)[0] for line in values} <= set(kinds)
    assert all((kind == "counter") == name.endswith("_total") for name, kind in kinds.items())
    for line in (
        'edge_ecg_info{version="1.2.3",model="",lead=""} 1',
        'edge_ecg_state{state="streaming"} 1',
        "edge_ecg_uptime_seconds 60.500000",
        "edge_ecg_samples_total 10000000001",
        'edge_ecg_beats_total{label="N"} 5',
        "edge_ecg_heart_rate_bpm 75",
        'edge_ecg_output_dropped_events_total{output="od\\"d\\nname"} 2',
        "edge_ecg_link_samples_lost_total 4",
        "edge_ecg_viewers 3",
    ):
        assert line in values
    assert sum(line.startswith("edge_ecg_state{") for line in values) == len(STATES)
    assert not any(line.startswith("edge_ecg_link_drift_ppm ") for line in values), "not known is not told"


def test_the_page_of_the_metrics_has_them_all() -> None:
    text = metrics_text(replace(HEALTH, link=LinkStats()), LiveView(), 0, NOON_S)
    page = (Path(__file__).resolve().parents[2] / "docs" / "live-page.md").read_text(encoding="utf-8")
    for name in re.findall(r"^# TYPE (\w+)", text, re.MULTILINE):
        link = re.fullmatch(r"edge_ecg_link_(\w+)_total", name)
        assert f"`{link[1] if link else name}" in page, name


def decoded(pieces: list[dict], n_leads: int = 2) -> dict[int, list[int]]:
    """The samples by number."""
    found = {}
    for piece in pieces:
        rows = np.frombuffer(base64.b64decode(piece["uv"]), "<i4").reshape(-1, n_leads)
        found |= {piece["first"] + k * piece["step"]: row.tolist() for k, row in enumerate(rows)}
    return found


def test_the_strip_tells_microvolts_once_and_what_is_missing() -> None:
    strip = Strip()
    strip.take(STREAM, SampleBlock(np.array([[0.001, -1.0], [np.nan, 1e9]], np.float32), 10))
    strip.take(STREAM, SampleBlock(np.array([[0.5, 0.25]], np.float32), 12))
    strip.take(STREAM, SampleBlock(np.array([[0.75, 0.25]], np.float32), 20))
    (first, second) = strip.new()
    assert (first["first"], second["first"]) == (10, 20), "what follows on each other is one piece"
    samples = decoded([first, second])
    assert {k: v for k, v in samples.items() if k != 11} == {10: [1, -1000], 12: [500, 250], 20: [750, 250]}
    assert samples[11][0] == MISSING
    assert samples[11][1] > 2_000_000_000
    assert strip.new() == []
    assert decoded(strip.kept()) == samples


@settings(max_examples=60)
@given(st.lists(st.integers(1, 400), max_size=30), st.sampled_from([250.0, 1000.0, 1001.0, 4000.0]), st.integers(0, 5))
def test_the_strip_holds_the_same_however_it_is_cut(sizes: list[int], fs_hz: float, gap: int) -> None:
    stream = StreamInfo("s", fs_hz, ("I",))
    cut, whole = Strip(), Strip()
    at = gap
    for size in sizes:
        cut.take(stream, SampleBlock(np.arange(at, at + size, dtype=np.float32)[:, None], at))
        at += size
    whole.take(stream, SampleBlock(np.arange(gap, at, dtype=np.float32)[:, None], gap))
    step = math.ceil(fs_hz / 1000.0)
    shown = decoded(cut.kept(), 1)
    assert all(sample % step == 0 and value == [1000 * sample] for sample, value in shown.items())
    assert max(shown, default=0) - min(shown, default=0) <= 12.0 * fs_hz + 400
    newest = [k for k in decoded(whole.kept(), 1) if k >= at - 6.0 * fs_hz]
    assert set(newest) <= set(shown)


def test_a_strip_of_a_day_in_one_block_is_twelve_seconds() -> None:
    strip = Strip()
    strip.take(STREAM, SampleBlock(np.zeros((100_000, 2), np.float32), 7))
    samples = decoded(strip.kept())
    assert (min(samples), max(samples)) == (100_007 - 3000, 100_006)
    strip.take(replace(STREAM, stream="s2"), SampleBlock(np.zeros((5, 2), np.float32), 0))
    assert sorted(decoded(strip.kept())) == [0, 1, 2, 3, 4]
