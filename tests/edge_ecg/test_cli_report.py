"""`edge-ecg report`: what a day's folder or JSON lines give, and one clear line where there is nothing to give."""

from __future__ import annotations

import json
import re
import shutil
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from day_folders import FS_HZ, write_day_record
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.cli.main import run
from edge_ecg.day import lay, window_of_tracks
from edge_ecg.day_lines import tracks_of_lines
from edge_ecg.errors import EdgeEcgError
from edge_ecg.io import read_part, read_record, write_record
from edge_ecg.sources.virtual import EXCERPT
from edge_ecg.summary import summarise

Report = Callable[..., tuple[int, str, str]]
NOON = datetime(2026, 11, 23, 12)
PLAIN = [(1.0 + 0.8 * k, "N") for k in range(140)]
RUN = [(t, "V" if 20 <= k < 24 else "N") for k, (t, _) in enumerate(PLAIN)]


@pytest.fixture(name="zone", autouse=True)
def zone_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine stands in Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(name="report")
def report_fixture(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Report:
    """Run `edge-ecg report` in an empty directory; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str, str]:
        code = run(["report", *map(str, args)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return call


def told(report: Report, *args: object) -> dict[str, Any]:
    code, out, err = report(*args, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


# Days of recordings


def test_a_day_in_lines_in_the_zone_of_the_machine(report: Report, tmp_path: Path) -> None:
    write_day_record(tmp_path, NOON, RUN)
    code, out, err = report("2026-11-23", "--folder", tmp_path)
    assert (code, err) == (0, "")
    for part in (
        "2026-11-23, bed-3, times in CET (UTC+01:00)",
        "beats       140: N 136  S 0  V 4; 0 more are rejected",
        "heart rate  75 on average, lowest minute 75 (13:00)",
        "0 singles, 0 couplets, 0 triplets, 1 run (longest 4 beats at 13:00:17, fastest 75/min",
        "labelled    by rhythm, lead II",
        "Research software, not a medical device.",
    ):
        assert part in out
    assert " 13:00   100.0 %     140" in out
    assert " 12:00 " not in out


def test_marks_of_the_recorder_become_time_that_is_not_read(report: Report, tmp_path: Path) -> None:
    marks = [
        (0.0, "+", 0, "(U"),
        (1.0, "+", 0, "(N"),
        (16.5, "~", 1, "noise: motion"),
        (17.5, "~", 0, "noise end"),
        (40.0, "~", -1, "lead off"),
        (45.0, "~", 0, "lead on"),
        (60.0, '"', 0, f"gap of {round(3 * FS_HZ)} samples"),
        (70.0, '"', 0, "gap of 9 samples, bridged for the labels"),
        (80.0, "+", 0, "(AFIB"),
        (17.0, '"', 0, "v_run begin"),
    ]
    write_day_record(tmp_path, NOON, RUN, marks)
    figures = told(report, "2026-11-23", "--folder", tmp_path)["figures"]
    assert (figures["noise_s"], figures["lead_off_s"], figures["gap_s"]) == (1.0, 5.0, 3.0)
    assert figures["rhythm_s"]["af_suspected"] == 40.0
    assert figures["rhythm_s"]["unknown"] == 1.0
    assert figures["v"]["n_beats"] == 3  # one of the four lies in the noise
    assert figures["v"]["n_runs"] == 1


def test_a_rejected_beat_is_not_counted(report: Report, tmp_path: Path) -> None:
    stem = write_day_record(tmp_path, NOON, PLAIN[:50], [(t, "V", 1, "") for t, _ in PLAIN[50:60]])
    figures = told(report, str(stem.parent))["figures"]
    assert (figures["n_beats"], figures["n_rejected"], figures["v"]["n_beats"]) == (50, 10, 0)


def test_a_local_day_is_put_together_of_two_days_of_utc(report: Report, tmp_path: Path) -> None:
    # Midnight in Berlin is 23:00 UTC: the record of the 22nd lasts over it.
    write_day_record(tmp_path, datetime(2026, 11, 22, 22, 59), PLAIN)
    write_day_record(tmp_path, NOON, PLAIN)
    both = told(report, "2026-11-23", "--folder", tmp_path)
    assert both["figures"]["recorded_s"] == 60.0 + 120.0
    assert both["figures"]["n_beats"] == 140 + sum(t >= 60.0 for t, _ in PLAIN)
    assert told(report, "2026-11-23", "--folder", tmp_path, "--utc")["figures"]["n_beats"] == 140
    assert told(report, "2026-11-22", "--folder", tmp_path)["figures"]["recorded_s"] == 60.0


def test_records_that_continue_each_other_break_no_chain(report: Report, tmp_path: Path) -> None:
    beats = [(t, "V" if 147 <= k < 153 else "N") for k, (t, _) in enumerate((1.0 + 0.8 * k, "") for k in range(290))]
    write_day_record(tmp_path, NOON, [(t, k) for t, k in beats if t < 120.0])
    write_day_record(tmp_path, NOON.replace(minute=2), [(t - 120.0, k) for t, k in beats if t >= 120.0], length_s=115.0)
    whole = told(report, "2026-11-23", "--folder", tmp_path)
    assert whole["figures"]["v"]["longest"]["n_beats"] == 6
    assert whole["figures"]["v"]["n_runs"] == 1
    assert whole["left_out"] == []


def test_the_day_on_which_clocks_are_set_has_25_hours(report: Report, tmp_path: Path) -> None:
    for hour in (0, 1):
        write_day_record(tmp_path, datetime(2026, 10, 25, hour, 30), PLAIN)
    code, out, _ = report("2026-10-25", "--folder", tmp_path)
    assert code == 0
    assert "times in CEST (UTC+02:00), then CET (UTC+01:00)" in out
    assert len(re.findall(r"^ +02:00 +100", out, re.MULTILINE)) == 2


def test_a_record_that_still_grows_counts_and_half_an_annotation_is_told(report: Report, tmp_path: Path) -> None:
    stem = write_day_record(tmp_path, NOON, PLAIN, is_growing=True)
    assert told(report, str(stem.parent))["figures"]["n_beats"] == 140
    notes = stem.with_name(f"{stem.name}.edge")
    notes.write_bytes(notes.read_bytes()[: 2 * 100])
    cut = told(report, str(stem.parent))
    assert cut["figures"]["n_beats"] == 100
    assert "cut short" in cut["left_out"][0]


@pytest.mark.parametrize("what", ["no.hea", "damaged.hea", "no.dat", "no.edge", "garbage.edge", "no clock"])
def test_a_damaged_record_is_left_out_and_told(report: Report, tmp_path: Path, what: str) -> None:
    write_day_record(tmp_path, NOON, PLAIN)
    bad = write_day_record(tmp_path, NOON.replace(hour=14), PLAIN)
    name, _, suffix = what.partition(".")
    file = bad.with_name(f"{bad.name}.{suffix or 'hea'}")
    if name == "no":
        file.unlink()
    elif name == "damaged":
        file.write_text("bed-3_140000 1 x\n")
    elif name == "garbage":
        file.write_bytes(b"\xff\xf7" * 99)
    else:
        file.write_text(re.sub(r" [0-9:.]+ 23/11/2026", "", file.read_text()))
    found = told(report, "2026-11-23", "--folder", tmp_path)
    assert found["figures"]["recorded_s"] == 120.0
    assert ("left out" in " ".join(found["left_out"])) == (what != "no.hea")


def test_records_that_overlap_count_once_and_that_is_told(report: Report, tmp_path: Path) -> None:
    write_day_record(tmp_path, NOON, PLAIN)
    write_day_record(tmp_path, NOON.replace(minute=1), PLAIN)
    write_day_record(tmp_path, NOON.replace(second=10), PLAIN[:30], length_s=30.0)
    code, out, err = report("2026-11-23", "--folder", tmp_path)
    assert (code, err) == (0, "")
    assert out.count("as if the clock had been set") == 2
    figures = told(report, "2026-11-23", "--folder", tmp_path)["figures"]
    assert figures["recorded_s"] == 180.0
    assert figures["n_beats"] == 140 + sum(t >= 60.0 for t, _ in PLAIN)
    assert figures["n_pauses"] == 0


def test_no_chain_goes_from_one_record_into_another_that_overlaps(report: Report, tmp_path: Path) -> None:
    write_day_record(tmp_path, NOON, [(t, "V" if t > 111.0 else "N") for t, _ in PLAIN])
    write_day_record(tmp_path, NOON.replace(minute=1), [(t, "V" if 59.0 < t < 61.5 else "N") for t, _ in PLAIN])
    v = told(report, "2026-11-23", "--folder", tmp_path)["figures"]["v"]
    assert (v["n_beats"], v["n_couplets"], v["n_runs"]) == (4, 2, 0)


def test_what_was_lost_before_a_record_is_no_gap_in_it(report: Report, tmp_path: Path) -> None:
    write_day_record(tmp_path, NOON, PLAIN, [(1 / FS_HZ, '"', 0, "gap of 90000 samples")])
    assert told(report, "2026-11-23", "--folder", tmp_path)["figures"]["readable_s"] == 120.0


# What cannot be reported


def test_no_such_day_says_which_days_there_are(report: Report, tmp_path: Path) -> None:
    for day in (20, 21, 23):
        write_day_record(tmp_path, NOON.replace(day=day), PLAIN)
    code, out, err = report("2026-11-25", "--folder", tmp_path)
    assert (code, out) == (5, "")
    assert "Days there are: 2026-11-20, 2026-11-21, 2026-11-23" in err
    assert err.count("\n") == 1


def test_several_subjects_are_asked_for(report: Report, tmp_path: Path) -> None:
    write_day_record(tmp_path, NOON, PLAIN)
    write_day_record(tmp_path, NOON, RUN, subject="bed_4")
    code, _, err = report("2026-11-23", "--folder", tmp_path)
    assert (code, "bed-3, bed_4" in err, err.count("\n")) == (2, True, 1)
    chosen = told(report, "2026-11-23", "--folder", tmp_path, "--subject", "bed_4")
    assert (chosen["subject"], chosen["figures"]["v"]["n_beats"]) == ("bed_4", 4)
    assert report("2026-11-23", "--folder", tmp_path, "--subject", "bed-5")[0] == 5


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ([], 2, "which day"),
        (["2026-11-23"], 2, "recording.folder"),
        (["monday"], 2, '"monday" is no day'),
        (["2026-13-45", "--folder", "."], 2, "is no day"),
        (["0001-01-01", "--folder", "."], 2, "no clock for"),
        (["today", "--folder", "nowhere"], 5, "That folder holds no day"),
        (["."], 5, "there is no record"),
        (["--jsonl", "nothing.jsonl"], 5, "cannot read"),
        (["--jsonl", "."], 5, "cannot read"),
    ],
)
def test_what_cannot_be_is_one_line(report: Report, args: list[str], code: int, says: str) -> None:
    found, out, err = report(*args)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert says in err


def test_the_settings_say_where_recordings_are(report: Report, tmp_path: Path) -> None:
    write_day_record(tmp_path / "kept", NOON, PLAIN)
    (tmp_path / "edge-ecg.toml").write_text('[recording]\nfolder = "kept"\n')
    assert told(report, "2026-11-23")["figures"]["n_beats"] == 140


# The page


def test_the_page_stands_alone_and_its_drawings_are_whole(report: Report, tmp_path: Path) -> None:
    stem = write_day_record(tmp_path, NOON, RUN, subject="bed-3")
    header = stem.with_name(f"{stem.name}.hea")
    header.write_text(header.read_text().replace("lead II", "lead <script>alert(1)</script>"))
    code, _, err = report("2026-11-23", "--folder", tmp_path, "--html", tmp_path)
    page = tmp_path / "edge-ecg-bed-3-2026-11-23.html"
    assert (code, str(page) in err) == (0, True)
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search(r"(?:src|href)=|url\(|@import|https?:", text)
    for part in (
        "Research software, not a medical device",
        "rhythm",
        "docs/summary.md",
        "CET (UTC+01:00)",
        "edge-ecg 0.",
    ):
        assert part in text
    drawings = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    assert len(drawings) == 2 + text.count('class="strip"')
    assert "the longest V run: 4 beats" in text


def test_a_strip_shows_the_samples_that_were_recorded(report: Report, tmp_path: Path) -> None:
    samples = np.zeros(30000)
    samples[round(17.0 * FS_HZ)] = 1.0  # one spike of 10 mm, with the first V
    write_day_record(tmp_path, NOON, RUN, samples_mv=samples)
    assert report("2026-11-23", "--folder", tmp_path, "--html", "day.html")[0] == 0
    text = Path("day.html").read_text(encoding="utf-8")
    strip = text[text.index("the longest V run") :]
    trace = re.search(r'class="trace"[^>]* d="M(\S+) (\S+)l([^"]*)"', strip)
    assert trace is not None
    steps = np.array(trace[3].split(), int).reshape(-1, 2)
    x, y = int(trace[1]) + np.cumsum(steps[:, 0]), int(trace[2]) + np.cumsum(steps[:, 1])
    assert x[np.argmin(y)] == pytest.approx(1.5 * 2500, abs=12)
    assert int(trace[2]) - y.min() == 1000
    assert x[-1] == pytest.approx(7.0 * 2500, abs=12)


def test_a_page_is_written_over_and_nothing_else_is(report: Report, tmp_path: Path) -> None:
    write_day_record(tmp_path, NOON, PLAIN)
    args = ("2026-11-23", "--folder", tmp_path, "--html")
    assert [report(*args, "a.html")[0] for _ in range(2)] == [0, 0]
    Path("b.html").write_text("a letter")
    code, _, err = report(*args, "b.html")
    assert (code, "no report" in err, Path("b.html").read_text()) == (2, True, "a letter")
    assert report(*args, "nowhere/c.html")[0] == 2


# JSON lines


@pytest.fixture(name="lines", scope="module")
def lines_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lines of the shipped excerpt."""
    path = tmp_path_factory.mktemp("lines") / "beats.jsonl"
    assert run(["replay", str(EXCERPT), "--jsonl", str(path)]) == 0
    return path


def test_lines_without_a_clock_are_told_by_what_has_passed(report: Report, lines: Path) -> None:
    code, out, _ = report("--jsonl", lines)
    beats = [row for row in map(json.loads, lines.read_text().splitlines()) if row["type"] == "beat"]
    assert code == 0
    assert "times since the first sample" in out
    figures = told(report, "--jsonl", lines)["figures"]
    assert figures["n_beats"] + figures["n_rejected"] == len(beats)
    assert figures["v"]["n_beats"] <= sum(row["label"] == "V" for row in beats)
    assert report("2026-11-23", "--jsonl", lines)[0] == 2


def test_marks_in_lines_become_time_that_is_not_read(report: Report, tmp_path: Path) -> None:
    def line(kind: str, t_s: float, **more: object) -> str:
        head = {"schema": 1, "type": kind, "stream": "s", "sample": round(t_s * 250), "t_s": t_s, "utc": None}
        return json.dumps({**head, **more})

    rows = [line("beat", t, label="N", reject=False) for t, _ in PLAIN]
    rows += [line("quality", 20.0, noisy=True), line("quality", 25.0, noisy=False)]
    rows += [line("lead_off", 30.0, off=True), line("lead_off", 37.0, off=False)]
    rows += [line("gap", 44.0, lost_samples=1000, interpolated=False)]
    rows += [line("gap", 50.0, lost_samples=9, interpolated=True)]
    (tmp_path / "l.jsonl").write_text("\n".join(rows))
    figures = told(report, "--jsonl", "l.jsonl")["figures"]
    assert [round(figures[name], 3) for name in ("noise_s", "lead_off_s", "gap_s")] == [5.0, 7.0, 4.0]


def test_a_file_that_begins_hours_into_a_stream_is_recorded_from_its_own_begin(report: Report, tmp_path: Path) -> None:
    model = {"lead": "II", "model": "m1", "calibrated": True}
    rows = [("model", 0.0, model), ("rhythm", 10.0, {"state": "sinus"})]
    rows += [("beat", 7200.0 + t, {"label": "N", "reject": False}) for t, _ in PLAIN]
    path = tmp_path / "l.jsonl"
    head = {"schema": 1, "stream": "s", "utc": None}
    path.write_text("\n".join(json.dumps({**head, "type": kind, "t_s": t_s, **more}) for kind, t_s, more in rows))
    (track,), _ = tracks_of_lines(path)
    assert (track.from_s, track.model) == (7201.0, "m1")
    figures = told(report, "--jsonl", path)["figures"]
    assert figures["recorded_s"] == pytest.approx(139 * 0.8, abs=0.1)


def test_runs_that_lines_tell_are_those_of_the_summary(report: Report, lines: Path) -> None:
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    live = [row for row in rows if row["type"] == "episode" and row["over"] and row["kind"] != "pause"]
    found = [e for e in told(report, "--jsonl", lines)["episodes"] if e["kind"] in ("v_run", "s_run")]
    assert [(e["kind"], e["n_beats"], round(e["length_s"], 1)) for e in found] == [
        (row["kind"], row["beats"], round(row["length_s"], 1)) for row in live
    ]
    assert live


def test_lines_with_a_clock_lie_on_their_day_and_torn_ones_are_told(
    report: Report, lines: Path, tmp_path: Path
) -> None:
    start = datetime.fromisoformat("2026-11-23T12:00:00+00:00").timestamp()
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    for row in rows:
        if "t_s" in row:
            row["utc"] = datetime.fromtimestamp(start + row["t_s"]).astimezone().isoformat()
    timed = tmp_path / "timed.jsonl"
    timed.write_text("\n".join(json.dumps(row) for row in rows) + '\n{"schema":1,"type":"be')
    found = told(report, "--jsonl", timed)
    assert found["begin_utc"] == "2026-11-23T12:00:00.000Z"
    assert "1 line " in found["left_out"][0]
    same = told(report, "2026-11-23", "--jsonl", timed)
    assert same["figures"]["n_beats"] == found["figures"]["n_beats"]
    assert report("2026-11-24", "--jsonl", timed)[0] == 5


LINE = st.fixed_dictionaries(
    {"type": st.sampled_from(["beat", "gap", "lead_off", "quality", "rhythm", "model", "link", 7])},
    optional={
        name: st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9))
        for name in ("stream", "t_s", "utc", "sample", "label", "reject", "off", "noisy", "state", "lost_samples")
    }
    | {"interpolated": st.booleans(), "lead": st.text(max_size=3), "model": st.text(max_size=3)},
)


@given(st.lists(st.one_of(LINE.map(json.dumps), st.text(max_size=40)), max_size=12))
@settings(max_examples=150, deadline=None)
def test_whatever_a_file_of_lines_holds_is_a_day_or_one_clear_error(tmp_path_factory: Any, rows: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text("\n".join(rows), encoding="utf-8", errors="replace")
    try:
        tracks, notes = tracks_of_lines(path)
        window = window_of_tracks("any", tracks, None)
        found = summarise(lay(window, tracks, None, notes).labels)
    except EdgeEcgError:
        return
    assert found.day.readable_s <= found.day.recorded_s + 1e-6


# Reading a part of a record


@pytest.mark.parametrize(("begin", "end"), [(0, 10), (7, 1001), (115_000, 10**9), (10**9, 10**9 + 5), (33, 33)])
def test_a_part_of_a_record_is_what_the_whole_has_there(begin: int, end: int, tmp_path: Path) -> None:
    whole = read_record(EXCERPT)
    assert np.array_equal(read_part(EXCERPT, begin, end).counts, whole.counts[begin:end])
    for file in EXCERPT.parent.glob(f"{EXCERPT.name}.*"):
        shutil.copy(file, tmp_path)
    data = tmp_path / f"{EXCERPT.name}.dat"
    data.write_bytes(data.read_bytes()[:3000])
    assert np.array_equal(read_part(tmp_path / EXCERPT.name, 990, 2000).counts, whole.counts[990:1000])


@pytest.mark.parametrize("begin", [0, 1, 2, 101])
def test_a_part_of_one_lead_may_begin_within_a_byte(begin: int, tmp_path: Path) -> None:
    counts = np.arange(-150, 150)[:, None]
    write_record(tmp_path / "one", counts, 250.0, ["II"])
    assert read_part(tmp_path / "one", begin, begin + 7).counts.tolist() == counts[begin : begin + 7].tolist()
