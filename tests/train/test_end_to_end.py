"""`edge-ecg evaluate --end-to-end`: bytes in, labels out, against the annotations."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from edge_ecg.cli.main import run
from edge_ecg.infer import open_classifier
from edge_ecg.io import Annotations, read_record, write_annotations, write_record
from edge_ecg.runner import Runner
from edge_ecg.scoring.rules import Rules
from edge_ecg.sinks.beats import BeatList
from edge_ecg.sources.replay import open_replay
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from edge_ecg.types import GapEvent, LeadOffEvent, QualityEvent, StreamInfo
from train.device import hear, shutdowns
from train.end_to_end import lead_as_heard, run_all, run_record
from train.end_to_end_report import misses_of, strip_svg, worst_strips
from train.end_to_end_score import outcome_of
from train.record_run import Noise, RecordRun, Task

MODEL = "mitdb-baseline-int8"
NOISY_FROM = 300 * 360
"""The excerpt lasts 330 s, and noise begins at 300."""


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_LOOKS", str(tmp_path / "looks.jsonl"))
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))


def records(folder: Path, *names: str) -> Path:
    """The excerpt under other names."""
    folder.mkdir(parents=True)
    for name in names:
        for suffix in (".dat", ".atr"):
            shutil.copy(EXCERPT.with_suffix(suffix), folder / f"{name}{suffix}")
        header = EXCERPT.with_suffix(".hea").read_text(encoding="utf-8")
        (folder / f"{name}.hea").write_text(header.replace("mitdb_223", name), encoding="utf-8")
    return folder


def noise_record(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    steps = np.cumsum(rng.normal(0, 4, (36_000, 2)), axis=0) + rng.normal(0, 60, (36_000, 2))
    write_record(tmp_path / "shaking", np.rint(np.clip(steps, -2000, 2000)).astype(int), 360.0, ["a", "b"])
    return tmp_path / "shaking"


def read_by_wfdb(stem: str, annotator: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, of the pandas it uses
        import wfdb

        return wfdb.rdann(stem, annotator)


def evaluate(folder: Path, out: Path, *more: str) -> int:
    args = ["evaluate", "--end-to-end", MODEL, "--records", str(folder), "--out", str(out), "--jobs", "1", *more]
    return run(args)


def json_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out))


def test_bytes_give_the_beats_and_labels_of_the_record_itself(tmp_path: Path) -> None:
    task = Task(EXCERPT, MODEL, tmp_path / "out")
    got = run_record(task)
    beats = BeatList()
    Runner(open_replay(EXCERPT), open_classifier(MODEL), [beats]).run()
    assert [round(r) for r in got.r_pos] == beats.samples
    assert list(got.labels) == beats.labels
    assert (got.lead, got.fs_hz, got.n_samples) == ("MLII", 360.0, 118_800)
    assert len(got.annotated) == len(got.annotated_labels) > 400


def test_what_is_heard_is_the_record_to_a_count() -> None:
    stream, blocks = hear(board_of_record(EXCERPT, None))
    heard_mv = np.concatenate([b.samples_mv for b in blocks])
    assert np.abs(heard_mv - read_record(EXCERPT).samples_mv()).max() < 1e-4
    assert stream.leads == ("MLII", "V1")
    assert [b.first_index for b in blocks] == list(np.cumsum([0, *(len(b.samples_mv) for b in blocks)])[:-1])


def test_the_annotation_file_is_read_by_wfdb_and_the_reports_agree(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder, out = records(tmp_path / "db", "a1"), tmp_path / "out"
    assert evaluate(folder, out, "--start", "0", "--json") == 0
    table = json_of(capsys)
    assert table == json.loads((out / "report.json").read_text(encoding="utf-8"))
    kept = json.loads((out / "records" / "a1.json").read_text(encoding="utf-8"))
    notes = read_by_wfdb(str(out / "a1"), "edge")
    assert notes.sample.tolist() == [round(r) for r in kept["r_pos"]]
    assert notes.symbol == kept["labels"]
    gross = table["detection"]["gross"]
    assert gross["q_se"] > 0.99
    assert gross["q_ppv"] > 0.99
    agreement = table["label_agreement"]
    assert agreement["end_to_end"]["n"] == agreement["annotated_r"]["n"] == gross["matched"]
    assert abs(agreement["difference_points"]) < 2.0
    assert agreement["difference_points"] == pytest.approx(
        100 * (agreement["end_to_end"]["accuracy"] - agreement["annotated_r"]["accuracy"])
    )
    assert "BOTH sides" in table["trained_on"]
    assert 0.3 < table["lag_r_to_label_s"]["median"] <= table["lag_r_to_label_s"]["max"] < 3.0
    page = (out / "report.html").read_text(encoding="utf-8")
    for told in ("class map ec57, whole record", table["model_sha256"], "MLII", "Average", "<svg"):
        assert told in page
    assert not re.search(r"""(src|href)=["']""", page), "the page needs nothing else"
    assert evaluate(folder, out, "--start", "0") == 0
    text = capsys.readouterr().out
    assert "same beats, annotated R" in text
    assert f"{100 * gross['q_se']:.2f}" in text


def test_a_second_call_runs_only_what_is_new(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder, out = records(tmp_path / "db", "a1", "a2"), tmp_path / "out"
    assert evaluate(folder, out) == 0
    capsys.readouterr()
    results = {name: out / "records" / f"{name}.json" for name in ("a1", "a2")}
    before = {name: file.stat().st_mtime_ns for name, file in results.items()}
    assert evaluate(folder, out) == 0
    assert "2 of 2 records were there" in capsys.readouterr().err
    assert {name: file.stat().st_mtime_ns for name, file in results.items()} == before
    record = read_record(folder / "a2")
    write_record(folder / "a2", np.roll(record.counts, 5, axis=0), 360.0, ["MLII", "V1"], baseline=1024)
    results["a1"].write_text(results["a1"].read_text()[:1000])
    assert evaluate(folder, out) == 0
    assert "were there" not in capsys.readouterr().err, "another record, and a result cut short"
    assert evaluate(folder, out, "--lead", "V1") == 0
    assert "were there" not in capsys.readouterr().err, "another lead"
    assert json.loads(results["a1"].read_text())["lead"] == "V1"


def test_a_run_that_is_broken_off_goes_on(tmp_path: Path) -> None:
    folder = records(tmp_path / "db", "a1", "a2")
    tasks = [Task(folder / name, MODEL, tmp_path / "out") for name in ("a1", "a2")]

    def stop(done: RecordRun, held: bool) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(tasks, 1, stop)
    assert tasks[0].result_file.exists()
    assert not tasks[1].result_file.exists()
    told: list[tuple[str, bool]] = []
    runs = run_all(tasks, 1, lambda done, held: told.append((done.record, held)))
    assert told == [("a1", True), ("a2", False)]
    assert [r.record for r in runs] == ["a1", "a2"]
    assert not list((tmp_path / "out").rglob("*.part"))


def test_two_processes_find_what_one_does(tmp_path: Path) -> None:
    folder = records(tmp_path / "db", "a1", "a2")
    two = run_all([Task(folder / name, MODEL, tmp_path / "two") for name in ("a1", "a2")], 2)
    one = run_all([Task(folder / "a1", MODEL, tmp_path / "one")], 1)
    assert [r.record for r in two] == ["a1", "a2"]
    assert two[0].r_pos == two[1].r_pos == one[0].r_pos
    assert two[0].labels == one[0].labels


def test_noise_is_added_before_the_board_counts(tmp_path: Path) -> None:
    noise = Noise(str(noise_record(tmp_path)), -6.0)
    clean = run_record(Task(EXCERPT, MODEL, tmp_path / "clean"))
    task = Task(EXCERPT, MODEL, tmp_path / "noisy", noise=noise)
    noisy = run_record(task)
    heard_mv, fs_hz = lead_as_heard(task)
    clean_mv = read_record(EXCERPT).samples_mv()[:, 0]
    assert fs_hz == 360.0
    assert np.abs(heard_mv - clean_mv)[:NOISY_FROM].max() < 1e-4
    assert (heard_mv - clean_mv)[NOISY_FROM:].std() > 0.1
    assert np.abs(heard_mv / 0.005 - np.rint(heard_mv / 0.005)).max() < 0.01, "whole counts of 5 uV"
    quiet = [r for r in clean.r_pos if r < NOISY_FROM - 720]
    assert quiet == [r for r in noisy.r_pos if r < NOISY_FROM - 720]
    assert clean.r_pos != noisy.r_pos
    assert noisy.shutdown
    assert not clean.shutdown
    notes = read_by_wfdb(str(tmp_path / "noisy" / EXCERPT.name), "edge")
    marks = [(s, k) for s, k, n in zip(notes.sample, notes.subtype, notes.symbol, strict=True) if n == "~"]
    assert marks == [(at, subtype) for a, b in noisy.shutdown for at, subtype in ((a, -1), (b, 0))]


def test_noise_is_told_in_the_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder, noise = records(tmp_path / "db", "a1"), noise_record(tmp_path)
    assert evaluate(folder, tmp_path / "out", "--noise", str(noise), "--snr", "6", "--json") == 0
    assert json_of(capsys)["noise"] == f"{noise}, 6 dB, nst protocol"


def test_looks_at_test_people_are_kept_and_no_others(tmp_path: Path) -> None:
    looks = tmp_path / "looks.jsonl"
    assert evaluate(records(tmp_path / "db1" / "mitdb", "101", "223"), tmp_path / "out1") == 0
    assert evaluate(records(tmp_path / "db2" / "svdb", "100"), tmp_path / "out2") == 0
    assert not looks.exists()
    assert evaluate(records(tmp_path / "db3" / "mitdb", "100", "101"), tmp_path / "out3") == 0
    (line,) = map(json.loads, looks.read_text().splitlines())
    assert line["people"] == ["100"]
    assert line["figures"]["q_se"] > 0.9


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (["--records", "DS3"], 2, "DS1, DS2, all"),
        (["--noise", "ma"], 2, "--noise is given without --snr"),
        (["--snr", "6"], 2, "--snr is given without --noise"),
        (["--noise", "muscle", "--snr", "6"], 2, "bw, ma, em"),
        (["--noise", "ma", "--snr", "6"], 5, "data fetch nstdb"),
        (["--noise", "ma", "--snr", "30"], 2, "from -6 to 24 dB"),
        (["--noise", "ma", "--snr", "nan"], 2, "from -6 to 24 dB"),
        (["--lead", "V6"], 2, "no lead 'V6'"),
        (["--split", "inter"], 2, "--split means nothing with --end-to-end"),
        (["--start", "400"], 5, "--start 0"),
    ],
)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    code: int,
    told: str,
) -> None:
    monkeypatch.setenv("EDGE_ECG_DATA", str(tmp_path / "none"))
    folder = records(tmp_path / "db", "a1")
    assert evaluate(folder, tmp_path / "out", *args) == code
    assert told in only_line(capsys)
    assert not (tmp_path / "out" / "report.json").exists()


def only_line(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    (line,) = [said for said in err.splitlines() if said.startswith("edge-ecg: ")]
    assert "Traceback" not in err
    assert "this is a bug" not in err
    return line


def test_records_that_cannot_be_scored(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    assert evaluate(tmp_path / "empty", out) == 5
    assert "no WFDB record" in only_line(capsys)
    folder = records(tmp_path / "db", "a1")
    (folder / "a1.dat").write_bytes(EXCERPT.with_suffix(".dat").read_bytes()[:5000])
    assert evaluate(folder, out) == 5
    assert "a1" in only_line(capsys)
    (folder / "a1.atr").unlink()
    assert evaluate(folder, out) == 5
    assert "no annotations" in only_line(capsys)
    (folder / "RECORDS").write_text("b1\n")
    assert evaluate(folder, out) == 5
    assert "no header" in only_line(capsys)
    assert run(["evaluate", MODEL, "--lead", "V1"]) == 2
    assert "--lead means nothing without --end-to-end" in only_line(capsys)


def test_a_record_without_beats_has_only_false_detections(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    beatless = records(tmp_path / "beatless", "a2")
    write_annotations(beatless / "a2.atr", Annotations.of([50], ["+"], fs_hz=360.0))
    assert evaluate(beatless, tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert "+P" in printed
    assert "0 matched beats" in printed
    assert "0.00 %" not in printed
    detection = json.loads((tmp_path / "out" / "report.json").read_text())["detection"]["gross"]
    assert detection["q_ppv"] == 0.0
    assert detection["q_se"] is None


def test_what_the_device_declares_unusable() -> None:
    stream = StreamInfo("s", 360.0, ("MLII",))
    events = [
        LeadOffEvent(stream, 100, True),
        LeadOffEvent(stream, 200, False),
        QualityEvent(stream, 260, 150, True, 0.4),
        GapEvent(stream, 250, 5, interpolated=True),
        QualityEvent(stream, 410, 300, False, 0.9),
        GapEvent(stream, 500, 60, interpolated=False),
        QualityEvent(stream, 910, 900, True, 0.4),
    ]
    assert shutdowns(events, 1000) == [(100, 300), (440, 500), (900, 1000)]


def made_run(**changes: Any) -> RecordRun:
    at = tuple(range(500, 9500, 500))
    values: dict[str, Any] = {
        "record": "made", "inputs_sha256": "", "fs_hz": 360.0, "n_samples": 10_000, "lead": "II",
        "r_pos": tuple(float(a) for a in at), "labels": ("N",) * len(at), "flags": ((),) * len(at),
        "quality": (1.0,) * len(at), "lag_s": (0.9,) * len(at), "shutdown": (), "reference": at,
        "symbols": ("N",) * len(at), "annotated": at, "annotated_labels": ("N",) * len(at), "cpu_s": 1.0,
    }  # fmt: skip
    return RecordRun(**{**values, **changes})


def test_each_kind_of_error_is_found_and_drawn_once() -> None:
    good = made_run()
    labels = ["N"] * 18
    labels[4], labels[9] = "V", "S"
    r_pos = list(good.r_pos)
    r_pos[14] += 100.0  # 278 ms late: a missed beat, and an extra one
    bad = made_run(record="bad", labels=tuple(labels), r_pos=tuple(r_pos))
    rules = Rules(start_s=0.0)
    assert misses_of(good, rules) == []
    kinds = [(m.kind, m.sample) for m in misses_of(bad, rules)]
    assert kinds == [("N as V", 2500), ("N as S", 5000), ("missed", 7500), ("extra", 7600)]
    strips = worst_strips([good, bad], rules)
    assert [s.miss.kind for s in strips] == ["missed", "N as S", "N as V"], "the extra one is seen with the missed"
    assert worst_strips([good, bad], rules, n_most=1)[0].miss.kind == "missed"
    assert worst_strips([good], rules) == []
    svg = strip_svg(bad, np.sin(np.arange(10_000) / 50.0), strips[0].miss, rules)
    root = ElementTree.fromstring(svg)
    assert root.get("width") == "150mm"
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text") if t.get("class") == "wrong"]
    assert texts == ["N", "N"]


def test_labels_are_compared_on_the_same_beats_and_without_paced_records() -> None:
    labels = ("V", *("N",) * 17)
    run_ = made_run(labels=labels, r_pos=(500.0, *(float(r) for r in range(1000, 9000, 500)), 9400.0))
    paced = made_run(record="paced", symbols=("/",) * 18)
    outcome = outcome_of([run_, paced], Rules(start_s=0.0))
    assert [row.record for row in outcome.detection.rows] == ["made", "paced"]
    assert [row.record for row in outcome.classification.rows] == ["made"]
    assert int(outcome.device.counts.sum()) == int(outcome.annotated.counts.sum()) == 17
    assert int(outcome.annotated_all.counts.sum()) == 18
    assert outcome.difference_points == pytest.approx(-100 / 17)
    assert "without the paced records paced" in "\n".join(outcome.lines())


def test_two_whole_records(capsys: pytest.CaptureFixture[str], tmp_path: Path, data_dir: Path) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("118", "207"):
        for suffix in (".hea", ".dat", ".atr"):
            (folder / f"{name}{suffix}").symlink_to(data_dir / "mitdb" / f"{name}{suffix}")
    assert evaluate(folder, tmp_path / "out", "--json") == 0
    table = json_of(capsys)
    rows = {row["record"]: row for row in table["detection"]["records"]}
    assert rows["118"]["q_se"] > 0.998
    assert rows["118"]["evaluated_s"] == pytest.approx(1505.6, abs=0.1)
    assert rows["207"]["evaluated_s"] < 1505, "flutter is left out"
    assert abs(table["label_agreement"]["difference_points"]) < 1.0
