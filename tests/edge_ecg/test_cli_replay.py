"""`edge-ecg replay`: a recording becomes labels, and whatever is wrong with it is one clear line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from excerpts import copy_excerpt
from fake_boards import capture_of

from edge_ecg.cli.main import run
from edge_ecg.io import read_annotations, read_record, write_record
from edge_ecg.manifest import find_bundle
from edge_ecg.sources.virtual import EXCERPT, board_of_record

Run = Callable[..., tuple[int, str, str]]

MODEL = "mitdb-baseline-int8"
BEAT_FIELDS = [
    *("schema", "type", "stream", "sample", "t_s", "utc", "lead", "label", "probs"),
    *("confidence", "model", "rr_s", "hr_bpm", "quality", "flags", "reject", "lag_ms"),
]
MODEL_FIELDS = ["schema", "type", "stream", "sample", "t_s", "utc", "lead", "model", "sha256"]
MODEL_FIELDS += ["operating_point", "fs_hz", "leads", "calibrated"]


@pytest.fixture(name="replay")
def replay_fixture(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `edge-ecg replay` in an empty directory; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str, str]:
        code = run(["replay", *map(str, args)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def excerpt_beats() -> list[dict[str, Any]]:
    """The beats of the shipped excerpt, by a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "edge_ecg.cli.main", "replay", str(EXCERPT), "--jsonl", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [row for row in map(json.loads, done.stdout.splitlines()) if row["type"] == "beat"]


def beats_of(text: str) -> list[dict[str, Any]]:
    return [row for row in map(json.loads, text.splitlines()) if row["type"] == "beat"]


def sample_and_label(rows: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(row["sample"], row["label"]) for row in rows]


def beat_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()[:1].isdigit() and " ms" in line]


def one_error(err: str) -> str:
    """The one error line; there is no other and no traceback."""
    lines = [line for line in err.splitlines() if line.startswith("edge-ecg: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    assert "bug" not in lines[0]
    return lines[0]


# What a user gets


def test_text_has_one_line_a_beat(replay: Run) -> None:
    code, out, err = replay(EXCERPT)
    assert code == 0
    lines = beat_lines(out)
    assert 490 <= len(lines) <= 510
    assert {line.split()[1] for line in lines} >= {"N", "V"}
    assert f"labelled  {len(lines)} beats" in err
    assert "Research software, not a medical device." in err
    assert "edge-ecg: " not in err


def test_json_lines_have_exactly_the_promised_fields_and_stdout_has_nothing_else(replay: Run) -> None:
    code, out, err = replay(EXCERPT, "--model", MODEL, "--jsonl", "-")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [list(row) for row in rows if row["type"] == "model"] == [MODEL_FIELDS]
    beats = [row for row in rows if row["type"] == "beat"]
    assert all(list(row) == BEAT_FIELDS for row in beats)
    assert {row["type"] for row in rows} <= {"model", "beat", "quality"}
    assert rows[0]["type"] == "model"
    assert rows[0]["leads"] == ["MLII", "V1"]
    for row in beats:
        assert row["schema"] == 1
        assert row["stream"] == "mitdb_223"
        assert row["lead"] == "MLII"
        assert row["model"] == MODEL
        assert row["t_s"] == pytest.approx(row["sample"] / 360.0, abs=0.002)
        assert row["utc"] is None
        assert list(row["probs"]) == ["N", "S", "V", "F", "Q"]
        assert row["label"] == max(row["probs"], key=row["probs"].get)
        while_learning = 0.5 if "learning" in row["flags"] else 1.0
        assert row["confidence"] == pytest.approx(max(row["probs"].values()) * while_learning, abs=1e-4)
        assert row["reject"] == ("reject" in row["flags"])
        assert 0 <= row["quality"] <= 1
        assert row["lag_ms"] > 0
    assert [row["sample"] for row in beats] == sorted(row["sample"] for row in beats)
    assert beats[0]["rr_s"] is None
    assert beats[5]["rr_s"] == pytest.approx(beats[5]["t_s"] - beats[4]["t_s"], abs=0.002)
    assert "labelled" in err


def test_what_labels_by_default_follows_the_patient_and_tells_the_rhythm(replay: Run) -> None:
    code, out, _ = replay(EXCERPT, "--jsonl", "-")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert (rows[0]["model"], rows[0]["operating_point"]) == ("rhythm", "balanced")
    assert {row["type"] for row in rows} == {"model", "beat", "rhythm", "episode"}
    beats = [row for row in rows if row["type"] == "beat"]
    assert {tuple(row["probs"]) for row in beats} == {("N", "S", "V")}
    learning = ["learning" in row["flags"] for row in beats]
    assert learning == [True] * sum(learning) + [False] * (len(beats) - sum(learning))
    assert 60 < sum(learning) < 90
    assert "sinus" in [row["state"] for row in rows if row["type"] == "rhythm"]


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_a_record_may_be_named_with_or_without_its_suffix(
    replay: Run, suffix: str, excerpt_beats: list[dict[str, Any]]
) -> None:
    code, out, _ = replay(f"{EXCERPT}{suffix}", "--jsonl", "-")
    assert code == 0
    assert sample_and_label(beats_of(out)) == sample_and_label(excerpt_beats)


def test_a_json_file_is_appended_to_and_stdout_keeps_the_text(replay: Run, tmp_path: Path) -> None:
    file = tmp_path / "beats.jsonl"
    file.write_text('{"schema":1,"type":"link"}\n{"torn')
    for _ in range(2):
        code, out, _ = replay(EXCERPT, "--jsonl", file)
        assert code == 0
    n_beats = len(beat_lines(out))
    lines = file.read_text().splitlines()
    assert lines[:2] == ['{"schema":1,"type":"link"}', '{"torn']
    assert len(beats_of("\n".join(lines[2:]))) == 2 * n_beats


def test_another_lead_upside_down_or_by_number(replay: Run, excerpt_beats: list[dict[str, Any]]) -> None:
    by_name = beats_of(replay(EXCERPT, "--jsonl", "-", "--lead", "v1")[1])
    by_number = beats_of(replay(EXCERPT, "--jsonl", "-", "--lead", 1)[1])
    assert sample_and_label(by_name) == sample_and_label(by_number) != sample_and_label(excerpt_beats)
    assert {row["lead"] for row in by_name} == {"V1"}
    inverted = beats_of(replay(EXCERPT, "--jsonl", "-", "--invert")[1])
    assert sample_and_label(inverted) != sample_and_label(excerpt_beats)


def test_the_reference_tells_how_well_it_went(replay: Run) -> None:
    code, out, err = replay(EXCERPT, "--reference", EXCERPT.with_suffix(".atr"))
    assert code == 0
    assert "500 annotated: 500 found, 0 missed, 0 extra" in err
    assert "of 500 agree" in err
    assert "agree" not in out
    agreed = float(err.split("agree (")[1].split(" ")[0])
    assert agreed > 90.0


def test_a_record_without_beats_is_compared_too(replay: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    write_record(tmp_path / "flat", rng.integers(-1, 2, (3600, 1)), 360.0, ["MLII"])
    code, out, err = replay(tmp_path / "flat", "--reference", EXCERPT.with_suffix(".atr"))
    assert code == 0
    assert f"500 annotated: 0 found, 500 missed, {len(beat_lines(out))} extra" in err


def test_raw_bytes_of_a_board_give_the_labels_of_the_record(
    replay: Run, tmp_path: Path, excerpt_beats: list[dict[str, Any]]
) -> None:
    file = tmp_path / "capture.bin"
    file.write_bytes(capture_of(board_of_record(EXCERPT, None)))
    code, out, _ = replay(file, "--jsonl", "-")
    assert code == 0
    beats = beats_of(out)
    assert sample_and_label(beats) == sample_and_label(excerpt_beats)
    # The delay is the signal's and the processing's; when the bytes once came is not known.
    assert max(row["lag_ms"] for row in beats) < max(row["lag_ms"] for row in excerpt_beats) + 60_000


def test_a_board_that_restarted_in_a_capture_begins_a_new_stream(
    replay: Run, tmp_path: Path, excerpt_beats: list[dict[str, Any]]
) -> None:
    file = tmp_path / "capture.bin"
    file.write_bytes(2 * capture_of(board_of_record(EXCERPT, None)))
    code, out, _ = replay(file, "--jsonl", "-")
    assert code == 0
    for stream in ("capture-1", "capture-2"):
        of_stream = [row for row in beats_of(out) if row["stream"] == stream]
        assert sample_and_label(of_stream) == sample_and_label(excerpt_beats)


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m edge_ecg.cli.main replay {EXCERPT} | head -n 3"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr == ""


# What may be wrong


def test_a_record_cut_short_is_labelled_as_far_as_it_goes(
    replay: Run, tmp_path: Path, excerpt_beats: list[dict[str, Any]]
) -> None:
    stem = copy_excerpt(tmp_path)
    data = stem.with_suffix(".dat").read_bytes()
    stem.with_suffix(".dat").write_bytes(data[: len(data) // 3])
    code, out, err = replay(stem, "--jsonl", "-", "--reference", EXCERPT.with_suffix(".atr"))
    assert code == 5
    assert "cut short" in one_error(err)
    kept = sample_and_label(beats_of(out))
    assert len(kept) > 150
    # All but the last, whose window the end of the file cut.
    assert kept[:-2] == sample_and_label(excerpt_beats)[: len(kept) - 2]
    assert ", 0 missed, 0 extra" in err, "beats behind the end of the file were counted as missed"


def test_text_before_an_error_is_kept(replay: Run, tmp_path: Path) -> None:
    stem = copy_excerpt(tmp_path)
    data = stem.with_suffix(".dat").read_bytes()
    stem.with_suffix(".dat").write_bytes(data[: len(data) // 3])
    code, out, err = replay(stem)
    assert code == 5
    assert f"labelled  {len(beat_lines(out))} beats" in err


@pytest.mark.parametrize(("claimed", "text"), [(200_000, "cut short"), (100_000, "longer than its header says")])
def test_a_header_that_claims_another_length(replay: Run, tmp_path: Path, claimed: int, text: str) -> None:
    stem = copy_excerpt(tmp_path)
    header = stem.with_suffix(".hea")
    header.write_text(header.read_text().replace("118800", str(claimed)))
    code, out, err = replay(stem)
    assert code == 5
    assert text in one_error(err)
    assert len(beat_lines(out)) > 350


def test_a_record_without_gain_works_and_says_it_is_not_calibrated(replay: Run, tmp_path: Path) -> None:
    stem = copy_excerpt(tmp_path)
    header = stem.with_suffix(".hea")
    header.write_text(header.read_text().replace("200(1024)/mV", "0"))
    code, out, _ = replay(stem, "--jsonl", "-")
    assert code == 0
    assert json.loads(out.splitlines()[0])["calibrated"] is False
    assert len(beats_of(out)) > 490
    assert "amplitudes not calibrated" in replay(stem)[1]


def make_random_header(folder: Path) -> Path:
    (folder / "noise.hea").write_bytes(np.random.default_rng(0).bytes(5000))
    return folder / "noise"


def make_random_bytes(folder: Path) -> Path:
    (folder / "noise.bin").write_bytes(np.random.default_rng(0).bytes(5000))
    return folder / "noise.bin"


def make_empty(folder: Path) -> Path:
    (folder / "empty").touch()
    return folder / "empty"


def make_empty_header(folder: Path) -> Path:
    (folder / "empty.hea").touch()
    return folder / "empty.hea"


def make_directory_as_header(folder: Path) -> Path:
    (folder / "odd.hea").mkdir()
    return folder / "odd.hea"


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: folder / "absent",
        lambda folder: folder / "absent.hea",
        lambda folder: folder / ("x" * 300),
        lambda folder: Path("~nosuchuser/record"),
        lambda folder: folder,
        make_random_header,
        make_random_bytes,
        make_empty,
        make_empty_header,
        make_directory_as_header,
    ],
)
def test_what_is_no_recording_is_one_line(replay: Run, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    code, out, err = replay(make(tmp_path))
    assert code == 5
    line = one_error(err)
    assert ". " in line, "no next step"
    assert err.strip() == line, "nothing was labelled, so there is nothing to sum up"
    assert out == ""


def test_an_unknown_lead_lists_those_there_are(replay: Run) -> None:
    code, out, err = replay(EXCERPT, "--lead", "aVF")
    assert code == 2
    assert one_error(err).endswith("Its leads are: 0 MLII, 1 V1")
    assert out == ""


def test_an_unknown_model_lists_the_shipped_ones(replay: Run) -> None:
    code, _, err = replay(EXCERPT, "--model", "resnet9000")
    assert code == 3
    assert MODEL in one_error(err)


def test_a_foreign_tflite_file_is_refused(replay: Run, tmp_path: Path) -> None:
    file = tmp_path / "theirs.tflite"
    shutil.copy(find_bundle(MODEL) / "model.tflite", file)
    code, _, err = replay(EXCERPT, "--model", file)
    assert code == 3
    assert "manifest.json" in one_error(err)


def test_a_changed_model_is_refused(replay: Run, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(find_bundle(MODEL), bundle)
    model = bytearray((bundle / "model.tflite").read_bytes())
    model[len(model) // 2] ^= 1
    (bundle / "model.tflite").write_bytes(model)
    code, _, err = replay(EXCERPT, "--model", bundle)
    assert code == 3
    assert "SHA-256" in one_error(err)


def test_bytes_that_are_no_model_are_refused_even_with_their_hash(replay: Run, tmp_path: Path) -> None:
    import hashlib

    bundle = tmp_path / "bundle"
    shutil.copytree(find_bundle(MODEL), bundle)
    (bundle / "model.tflite").write_bytes(b"no model at all")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["sha256"] = hashlib.sha256(b"no model at all").hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    code, _, err = replay(EXCERPT, "--model", bundle)
    assert code == 3
    assert "no model" in one_error(err)


def test_a_bad_reference_is_told_before_anything_is_labelled(replay: Run, tmp_path: Path) -> None:
    cut = tmp_path / "rec.atr"
    cut.write_bytes(EXCERPT.with_suffix(".atr").read_bytes()[:501])
    for reference in (tmp_path / "absent.atr", cut, tmp_path):
        code, out, err = replay(EXCERPT, "--reference", reference)
        assert code == 5
        one_error(err)
        assert out == ""


def test_a_json_file_that_cannot_be_opened(replay: Run, tmp_path: Path) -> None:
    for file in ("/nonexistent/x", tmp_path, "nul\0byte"):
        code, out, err = replay(EXCERPT, "--jsonl", file)
        assert code == 2
        assert "cannot write" in one_error(err)
        assert out == ""


def test_a_full_disk_does_not_stop_the_labels(replay: Run) -> None:
    code, out, err = replay(EXCERPT, "--jsonl", "/dev/full")
    assert code == 5
    n_beats = len(beat_lines(out))
    assert n_beats > 490
    n_told = len(re.findall(r"^ *[\d:.]+  -- ", out, re.MULTILINE))
    first, last = [line for line in err.splitlines() if line.startswith("edge-ecg: ")]
    assert first.endswith("No space left on device. The labels go on.")
    assert f"No space left on device, {n_beats + n_told + 1} events were not written" in last


def test_a_full_console_costs_the_file_nothing(replay: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for code, flags in ((0, ("--jsonl", "beats.jsonl")), (5, ()), (5, ("--jsonl", "-"))):
        with open("/dev/full", "w") as full, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", full)
            assert run(["replay", str(EXCERPT), *flags]) == code
    assert len(beats_of((tmp_path / "beats.jsonl").read_text())) > 490


def test_a_reader_that_goes_away_costs_the_file_nothing(tmp_path: Path) -> None:
    file = tmp_path / "beats.jsonl"
    command = f"{sys.executable} -m edge_ecg.cli.main replay {EXCERPT} --jsonl {file} | head -n 2"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2
    assert "edge-ecg: " not in done.stderr
    n_beats = len(beats_of(file.read_text()))
    assert f"labelled  {n_beats} beats" in done.stderr
    assert n_beats > 490


def test_json_lines_do_not_go_into_a_recording(replay: Run, tmp_path: Path) -> None:
    stem = copy_excerpt(tmp_path)
    before = stem.with_suffix(".dat").read_bytes()
    for name, text in ((stem.with_suffix(".dat"), "rec.dat is not empty"), ("", "must not be empty")):
        code, out, err = replay(stem, "--jsonl", name)
        assert code == 2
        assert text in one_error(err)
        assert out == ""
    assert stem.with_suffix(".dat").read_bytes() == before


def test_a_record_that_was_learned_from_is_called_so(replay: Run, tmp_path: Path) -> None:
    note = "beats of this record may have trained the model: no test"
    assert note in replay(copy_excerpt(tmp_path, "223"))[2]
    assert note not in replay(copy_excerpt(tmp_path, "rec"))[2]
    beats = np.zeros((1280, 1), np.int32)
    for name, is_training in (("873", True), ("891", False), ("16272", True), ("16273", False)):
        write_record(tmp_path / name, beats, 128.0, ["ECG1"])
        err = replay(tmp_path / name)[2]
        assert (note in err) == is_training, name
        assert "no beat was found" in err


def test_a_record_without_a_beat_says_what_to_look_at(replay: Run, tmp_path: Path) -> None:
    assert "no beat was found" not in replay(EXCERPT)[2]
    write_record(tmp_path / "flat", np.zeros((3600, 1), np.int32), 360.0, ["MLII"])
    code, _, err = replay(tmp_path / "flat")
    assert code == 0
    assert "note      no beat was found: is this the right lead (--lead), and does it hold a signal?" in err


def test_a_rate_at_which_no_beats_are_found(replay: Run, tmp_path: Path) -> None:
    write_record(tmp_path / "slow", np.zeros((500, 1), np.int32), 50.0, ["MLII"])
    code, _, err = replay(tmp_path / "slow")
    assert code == 4
    assert "50 Hz" in one_error(err)


def test_the_excerpt_is_what_the_header_says() -> None:
    assert read_record(EXCERPT).problem is None
    assert read_annotations(EXCERPT).problem is None
