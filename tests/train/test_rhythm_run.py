"""From records to a rhythm bundle: real records, few of them; what was done once is not done again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_ecg.cli.main import run
from edge_ecg.errors import DataError
from edge_ecg.infer import open_classifier
from edge_ecg.infer.golden import check_golden
from edge_ecg.io import read_record, write_annotations, write_record
from edge_ecg.io.annotations import Annotations, read_annotations
from edge_ecg.manifest import load_any
from train import rhythm_cv, rhythm_features, rhythm_run, rhythm_states_people
from train.rhythm_features import Wish, rows_of
from train.rhythm_fit import RhythmRecipe

RECORDS = [("mitdb", "208"), ("mitdb", "209"), ("svdb", "801"), ("svdb", "804"), ("nsrdb_2h", "16483")]
MINUTES = 5
SMALL = RhythmRecipe(rounds=6, least_rows=5, normal_kept=1.0, healthy_kept=1.0)


@pytest.fixture(scope="module")
def root(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first minutes of some records, and the noise."""
    root = tmp_path_factory.mktemp("data")
    (root / "nstdb").symlink_to(data_dir / "nstdb")
    for database, name in RECORDS:
        record, notes = read_record(data_dir / database / name), read_annotations(data_dir / database / name)
        n = round(60 * MINUTES * record.header.fs_hz)
        (root / database).mkdir(exist_ok=True)
        leads = [s.description for s in record.header.signals]
        write_record(root / database / name, record.counts[:n], record.header.fs_hz, leads)
        kept = notes.sample < n
        symbols = [s for s, k in zip(notes.symbol, kept, strict=True) if k]
        write_annotations(
            root / database / f"{name}.atr",
            Annotations.of(notes.sample[kept].tolist(), symbols, fs_hz=record.header.fs_hz),
        )
    return root


@pytest.fixture
def small(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGE_ECG_DATA", str(root))
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(rhythm_run, "training_records", lambda _: RECORDS)
    monkeypatch.setattr(rhythm_run, "RhythmRecipe", lambda: SMALL)
    for module in (rhythm_run, rhythm_cv):
        monkeypatch.setattr(module, "N_FOLDS", 2)
    return tmp_path


def test_one_command_gives_a_bundle_that_proves_itself(
    small: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["train", "--network", "rhythm", "--threads", "1", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    folder = small / "runs" / "rhythm-seed3" / "rhythm"
    assert f"bundle: {folder}" in said
    assert "balanced" in said
    curves = json.loads((folder.parent / "curves.json").read_text(encoding="utf-8"))
    assert set(curves) == {"mitdb", "svdb"}
    assert (folder.parent / "curves.png").read_bytes().startswith(b"\x89PNG")
    bundle = load_any(folder)
    assert check_golden(bundle) > 50
    m = bundle.manifest
    assert (m.seed, set(m.cross_validation), set(m.cross_validation["balanced"])) == (
        3, {"few-false-alarms", "balanced", "sensitive"}, {"mitdb", "svdb"},
    )  # fmt: skip
    assert "edge-ecg train --network rhythm" in m.commands[0]
    classifier = open_classifier(folder)
    assert classifier.labels == ("N", "S", "V")

    # The same again: nothing is cut or fitted but the last trees, and the bundle is the same, byte for byte.
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr(rhythm_features, "_made", None)
    monkeypatch.setattr(rhythm_run, "fold_probs", None)
    assert run(["train", "--network", "rhythm", "--threads", "1", "--seed", "3"]) == 0
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_the_people_of_a_training_have_labels_of_trees_that_have_not_seen_them(
    small: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rhythm_states_people, "RhythmRecipe", lambda: SMALL)
    people = rhythm_states_people.fitting_people(root, small / "runs" / "rhythm-seed0", 0, 1)
    assert [person.key for person in people] == ["/".join(record) for record in RECORDS]
    assert all(len(person.said) == len(person.labels) > 100 for person in people)
    assert sum((person.said == person.labels).sum() for person in people) > 0.7 * sum(len(p.labels) for p in people)


def test_ctrl_c_between_two_folds_loses_none(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def stopped_at(n: int):
        def fold_probs(records, fold, *args, **kwargs):
            if fold == n:
                raise KeyboardInterrupt
            asked.append(fold)
            return rhythm_cv.fold_probs(records, fold, *args, **kwargs)

        return fold_probs

    monkeypatch.setattr(rhythm_run, "fold_probs", stopped_at(1))
    assert run(["train", "--network", "rhythm", "--threads", "1"]) == 130
    monkeypatch.setattr(rhythm_run, "fold_probs", stopped_at(-1))
    assert run(["train", "--network", "rhythm", "--threads", "1"]) == 0
    assert asked == [0, 1]


def test_rows_are_made_anew_for_another_record_only(small: Path, root: Path) -> None:
    wish = Wish(root, "svdb", "801")
    first = rows_of([wish], 1)[0]
    kept = wish.file()
    stamp = kept.stat().st_mtime_ns
    again = rows_of([wish, replace(wish, is_copy=True)], 1)
    assert kept.stat().st_mtime_ns == stamp
    assert again[0].x.tobytes() == first.x.tobytes()
    assert again[1].x.shape != first.x.shape or not np.array_equal(again[1].x, first.x)
    # A file that was cut short is no hit.
    kept.write_bytes(kept.read_bytes()[:1000])
    assert rows_of([wish], 1)[0].x.tobytes() == first.x.tobytes()


def test_two_processes_give_what_one_gives(small: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wishes = [Wish(root, "svdb", "801", is_copy=True), Wish(root, "mitdb", "208")]
    one = rows_of(wishes, 1)
    monkeypatch.setenv("EDGE_ECG_RUNS", str(small / "others"))
    two = rows_of(wishes, 2)
    assert [r.x.tobytes() for r in one] == [r.x.tobytes() for r in two]


def test_mistakes_are_one_line(small: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--network", "rhythm", "--data", "mitdb"]) == 2
    assert "--data means nothing with --network rhythm" in capsys.readouterr().err
    with pytest.raises(DataError, match="svdb"):
        rows_of([Wish(root, "svdb", "899")], 1)
