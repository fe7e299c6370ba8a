"""How sure a label is: the model's own account, less while it is learning, and what becomes of beats below a limit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import cut, of, run
from rhythm_bundles import classifier_of, write_rhythm

from edge_ecg.cli.main import run as edge_ecg
from edge_ecg.context.memory import PatientMemory
from edge_ecg.infer.rhythm import RhythmClassifier
from edge_ecg.io import read_record
from edge_ecg.sources.virtual import EXCERPT
from edge_ecg.types import Classified, Event


@pytest.fixture(scope="module")
def ecg_mv() -> np.ndarray:
    return read_record(EXCERPT).samples_mv()[:60_000]


@pytest.fixture(scope="module")
def rhythm(tmp_path_factory: pytest.TempPathFactory) -> RhythmClassifier:
    return classifier_of(write_rhythm(tmp_path_factory.mktemp("models") / "m"))


def beats(events: list[Event]) -> list[Classified]:
    return of(Classified, events)


def test_confidence_is_the_models_own_and_half_of_it_while_learning(
    ecg_mv: np.ndarray, rhythm: RhythmClassifier
) -> None:
    found = beats(run(cut(ecg_mv, []), rhythm))
    assert {"learning" in e.beat.flags for e in found} == {True, False}
    assert {e.label for e in found} >= {"N", "V"}
    for e in found:
        assert e.label == e.labels[int(np.argmax(e.probs))]
        assert e.confidence == pytest.approx(max(e.probs) * (0.5 if "learning" in e.beat.flags else 1.0), abs=1e-6)
        assert "unsure" not in e.beat.flags


def test_beats_below_the_limit_are_unsure_and_rejected_and_no_others(
    ecg_mv: np.ndarray, rhythm: RhythmClassifier
) -> None:
    plain = beats(run(cut(ecg_mv, []), rhythm))
    strict = beats(run(cut(ecg_mv, []), rhythm, min_confidence=0.7))
    assert [(e.label, e.probs, e.confidence) for e in strict] == [(e.label, e.probs, e.confidence) for e in plain]
    n_unsure = 0
    for one, other in zip(plain, strict, strict=True):
        unsure = one.confidence < 0.7
        n_unsure += unsure
        more = {"unsure", "reject"} if unsure else set()
        assert set(other.beat.flags) == {*one.beat.flags, *more}
    assert 0 < n_unsure < len(plain)
    assert all("unsure" in e.beat.flags for e in beats(run(cut(ecg_mv[:9000], []), rhythm, min_confidence=1.0)))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 3000), max_size=12))
def test_the_same_labels_and_the_same_doubts_however_the_stream_is_cut(
    ecg_mv: np.ndarray, rhythm: RhythmClassifier, sizes: list[int]
) -> None:
    told = [
        run(cut(ecg_mv[:30_000], pieces), rhythm, min_confidence=0.7, memory=PatientMemory()) for pieces in ([], sizes)
    ]
    assert told[0] == told[1]


def test_replay_takes_point_and_limit_and_says_how_sure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rhythm(tmp_path / "tiny")

    def replay(*flags: str) -> list[dict]:
        assert edge_ecg(["replay", str(EXCERPT), "--model", "tiny", "--jsonl", "-", *flags]) == 0
        rows = map(json.loads, capsys.readouterr().out.splitlines())
        return [row for row in rows if row["type"] == "beat"]

    many, few = (replay("--operating-point", point) for point in ("sensitive", "few-false-alarms"))
    assert [row["probs"] for row in many] == [row["probs"] for row in few]
    n_ectopic = [sum(row["label"] != "N" for row in rows) for rows in (many, few)]
    assert n_ectopic[0] > n_ectopic[1] > 0
    assert all(0.0 < row["confidence"] <= 1.0 for row in many)
    (tmp_path / "edge-ecg.toml").write_text('[model]\noperating_point = "few-false-alarms"\nmin_confidence = 0.7\n')
    strict = replay()
    assert [row["label"] for row in strict] == [row["label"] for row in few]
    unsure = [row for row in strict if "unsure" in row["flags"]]
    assert unsure == [row for row in strict if row["confidence"] < 0.7]
    assert len(unsure) > 60
    assert all(row["reject"] for row in unsure)


@pytest.mark.parametrize("limit", ["-0.1", "1.01", "nan", "much"])
def test_a_limit_that_is_none(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert edge_ecg(["replay", str(EXCERPT), "--min-confidence", limit]) == 2
    assert "--min-confidence" in capsys.readouterr().err


def test_a_limit_of_the_settings_names_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGE_ECG__MODEL__MIN_CONFIDENCE", "1.5")
    assert edge_ecg(["replay", str(EXCERPT)]) == 2
    assert '"model.min_confidence" must be from 0 to 1, found 1.5' in capsys.readouterr().err
