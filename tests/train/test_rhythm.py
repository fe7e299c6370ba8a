"""The rhythm model's training: records, disturbed copies, rows and weights, and trees as integer tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.errors import DataError, ModelError
from edge_ecg.infer.trees import pack_trees, unpack_trees
from edge_ecg.sources.virtual import EXCERPT
from train import rhythm_records
from train.people import is_test_person
from train.rhythm_fit import RecordRows, RhythmRecipe, dealt_folds, fit_trees, probs_of, training_rows
from train.rhythm_records import Labelled, disturbed, read_labelled, training_records
from train.rhythm_tables import tables_of

RECIPE = RhythmRecipe(rounds=12, least_rows=5)


def rows(database: str, name: str, labels: list[int], *, is_copy: bool = False) -> RecordRows:
    y = np.array(labels, np.uint8)
    x = np.random.default_rng(len(name)).normal(size=(len(y), 6)).astype(np.float32)
    x[:, 0] += 2.0 * y
    return RecordRows(database, name, is_copy, 0.5, x, y)


@pytest.fixture(scope="module")
def boosters():
    records = [rows("svdb", f"r{'x' * k}", [0] * 200 + [1] * 60 + [2] * 60 + [3] * 40 + [4] * 10) for k in range(4)]
    return fit_trees(records, RECIPE, 0, threads=1)


def test_tables_say_what_the_trees_say(boosters) -> None:
    x = np.random.default_rng(1).normal(2.0, 3.0, (2000, 6)).astype(np.float32)
    tables = unpack_trees(pack_trees(tables_of(boosters, 6)))
    said, meant = tables.probs(x), probs_of(boosters, x)
    assert np.abs(said - meant).max() < 0.02
    assert (said.argmax(axis=1) == meant.argmax(axis=1)).mean() > 0.995
    assert np.allclose(said.sum(axis=1), 1.0, atol=1e-5)
    one_by_one = np.concatenate([tables.probs(row[None]) for row in x[:50]])
    assert one_by_one.tobytes() == said[:50].tobytes()
    assert pack_trees(tables) == pack_trees(tables_of(boosters, 6))


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_damaged_tables_are_refused_or_harmless(boosters, data: st.DataObject) -> None:
    packed = bytearray(pack_trees(tables_of(boosters, 6)))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    damaged = bytes(packed[: data.draw(st.integers(0, len(packed)))])
    try:
        tables = unpack_trees(damaged)
    except ModelError:
        return
    assert tables.probs(np.zeros((1, tables.n_columns), np.float32)).shape == (1, len(tables.bias))


def test_nobodys_thousands_rule() -> None:
    many, few = rows("svdb", "many", [0] * 1000 + [1] * 500), rows("svdb", "few", [0] * 1000 + [1] * 5 + [4] * 7)
    recipe = RhythmRecipe(normal_kept=1.0)
    _, labels, weights = training_rows([many, few], recipe, 0)
    assert len(labels) == 2505
    assert weights.mean() == pytest.approx(1.0)
    total = {c: weights[labels == c].sum() for c in (0, 1)}
    assert total[1] / total[0] == pytest.approx(recipe.class_totals[1] / recipe.class_totals[0])
    s_many, s_few = weights[:1500][labels[:1500] == 1].sum(), weights[1500:][labels[1500:] == 1].sum()
    assert s_many / s_few == pytest.approx((500 / 5) ** recipe.record_exponent)


def test_a_record_and_its_copy_stand_in_one_fold_and_weigh_as_one() -> None:
    keys = {("svdb", str(k)): 10 - k for k in range(9)} | {("mitdb", str(k)): k for k in range(6)}
    fold = dealt_folds(keys, 3)
    assert all(sum(f == k for key, f in fold.items() if key[0] == "svdb") == 3 for k in range(3))
    recipe = RhythmRecipe(normal_kept=1.0, normal_copies_kept=1.0, other_copies_kept=1.0)
    labels = [0] * 50 + [2] * 20
    both = [rows("svdb", "a", labels), rows("svdb", "a", labels, is_copy=True), rows("svdb", "b", labels * 2)]
    _, y, weights = training_rows(both, recipe, 0)
    of_a = weights[: 2 * len(labels)][y[: 2 * len(labels)] == 2].sum()
    assert of_a == pytest.approx(weights[2 * len(labels) :][y[2 * len(labels) :] == 2].sum())


def test_a_disturbed_copy_has_the_beats_of_a_detector_and_the_noise_of_a_cheap_board() -> None:
    record = read_labelled(EXCERPT.parent, "", EXCERPT.name)
    rng = np.random.default_rng(3)
    noise = {name: (rng.normal(size=20_000).cumsum(), 360.0) for name in ("ma", "bw")}
    long = Labelled("svdb", "x", record.fs_hz, np.tile(record.samples_mv, 12),
                    np.concatenate([record.r + k * len(record.samples_mv) for k in range(12)]),
                    np.tile(record.labels, 12))  # fmt: skip
    copy, extra = disturbed(long, noise, rng)
    assert (np.diff(copy.r) > 0).all()
    assert len(copy.r) == len(copy.labels) == len(extra)
    assert 0.002 < extra.mean() < 0.02
    assert (copy.labels[extra] == 0).all()
    kept = copy.r[~extra]
    beside = np.clip(np.searchsorted(long.r, kept)[:, None] + [-1, 0], 0, len(long.r) - 1)
    nearest = np.abs(kept[:, None] - long.r[beside])
    assert nearest.min(axis=1).max() <= 0.016 * record.fs_hz + 1e-9
    assert 0.97 < len(kept) / len(long.r) < 1.0
    again, _ = disturbed(long, noise, np.random.default_rng(3))
    assert again.samples_mv.shape == long.samples_mv.shape


def test_test_people_train_nothing(data_dir: Path) -> None:
    records = training_records(data_dir)
    assert not [r for r in records if is_test_person(*r)]
    assert {database: sum(r[0] == database for r in records) for database in ("mitdb", "svdb", "nsrdb_2h")} == {
        "mitdb": 22, "svdb": 42, "nsrdb_2h": 6,
    }  # fmt: skip
    record = read_labelled(data_dir, "svdb", "801")
    assert len(record.r) == len(record.labels) > 1500


def test_healthy_people_are_the_beginnings_of_whole_records(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece = read_labelled(data_dir, "nsrdb_2h", "16483")
    (tmp_path / "nsrdb").symlink_to(data_dir / "nsrdb_2h")
    monkeypatch.setattr(rhythm_records, "HEALTHY_SAMPLES", 60_000)
    begin = read_labelled(tmp_path, "nsrdb_2h", "16483")
    assert np.array_equal(begin.samples_mv, piece.samples_mv[:60_000])
    assert begin.r.tolist() == [r for r in piece.r if r < 60_000]
    assert len(begin.labels) == len(begin.r) > 500


def test_a_database_that_is_missing_is_told_with_the_command_that_brings_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="edge-ecg data fetch svdb"):
        training_records(tmp_path)
    with pytest.raises(DataError, match="edge-ecg data fetch nsrdb"):
        read_labelled(tmp_path, "nsrdb_2h", "16483")
