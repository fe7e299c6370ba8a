"""A rhythm model's bundle as training writes it: calibration in the tables, golden beats of DS1, all or nothing."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from rhythm_bundles import POINTS

from edge_ecg.cli.main import run
from edge_ecg.context.tracker import COLUMNS
from edge_ecg.errors import DataError, UsageError
from edge_ecg.figures import ClassMetrics
from edge_ecg.infer.golden import check_golden
from edge_ecg.infer.trees import TreeTables
from edge_ecg.io.arrays import unpack_arrays
from edge_ecg.manifest import load_any
from edge_ecg.rhythm_manifest import HealthyFigures, PeopleFigures, RecordMedian
from train.rhythm_bundle import N_GOLDEN, RhythmFacts, write_rhythm_bundle
from train.rhythm_fit import RecordRows, RhythmRecipe, fit_trees
from train.rhythm_tables import calibrated, tables_of

RECIPE = RhythmRecipe(rounds=6, least_rows=5)
TEMPERATURE, BIASES = 1.4, (0.0, 0.3, -0.2, 0.1)
OF = ClassMetrics(40, 0.8, 0.7, 0.75)
PEOPLE = PeopleFigures(2, 900, 0.97, {"S": OF, "V": OF}, {"S": RecordMedian(0.9, None), "V": RecordMedian(1.0, 0.5)})
FACTS = RhythmFacts(
    id="try-rhythm", temperature=TEMPERATURE, biases=BIASES,
    operating_points={point: tuple(factors.values()) for point, factors in POINTS.items()},
    seed=3, recipe=asdict(RECIPE), data_sha256="cd" * 32,
    cross_validation={name: {"mitdb": PEOPLE, "svdb": PEOPLE} for name in POINTS},
    healthy={name: HealthyFigures(6, 12.0, 1.4, 0.08) for name in POINTS},
    commands=("edge-ecg train --network rhythm",),
)  # fmt: skip


def rows(database: str, name: str, *, is_copy: bool = False) -> RecordRows:
    y = np.repeat(np.arange(5, dtype=np.uint8), (300, 60, 60, 30, 4))
    x = np.random.default_rng([len(name), int(name)]).normal(size=(len(y), len(COLUMNS))).astype(np.float32)
    x[:, 0] += 2.0 * y
    return RecordRows(database, name, is_copy, 0.5, x, y)


RECORDS = [
    rows("mitdb", "101"), rows("mitdb", "101", is_copy=True), rows("mitdb", "106"), rows("svdb", "801"),
    rows("svdb", "826"), rows("nsrdb_2h", "16265"),
]  # fmt: skip


@pytest.fixture(scope="module")
def tables() -> TreeTables:
    return tables_of(fit_trees(RECORDS, RECIPE, 0, threads=1), len(COLUMNS))


def test_calibration_costs_nothing_on_the_device(tables: TreeTables) -> None:
    x = rows("svdb", "9").x
    plain = np.log(tables.probs(x).astype(np.float64)) / TEMPERATURE + np.array(BIASES)
    expected = np.exp(plain) / np.exp(plain).sum(axis=1, keepdims=True)
    assert np.allclose(calibrated(tables, TEMPERATURE, BIASES).probs(x), expected, atol=1e-5)
    same = calibrated(tables, 1.0, (0.0,) * 4)
    assert same.probs(x).tobytes() == tables.probs(x).tobytes()
    for temperature, biases in ((0.0, BIASES), (float("nan"), BIASES), (1.0, (0.0,) * 3)):
        with pytest.raises(ValueError, match="no calibration of 4 classes"):
            calibrated(tables, temperature, biases)


def test_a_bundle_tells_all_and_is_the_same_each_time(
    tables: TreeTables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_rhythm_bundle(tables, FACTS, RECORDS, tmp_path / "a")
    assert sorted(f.name for f in bundle.folder.iterdir()) == ["card.md", "golden.npz", "manifest.json", "trees.npz"]
    m = bundle.manifest
    assert m == load_any(bundle.folder).manifest
    assert m.bytes == len(bundle.model)
    # 826 trained nothing, and chose.
    assert m.records == ("mitdb/101", "mitdb/106", "nsrdb_2h/16265", "svdb/801", "svdb/826")
    assert m.operating_points == POINTS
    assert m.calibration.biases == {"N": 0.0, "S": 0.3, "V": -0.2, "F": 0.1}
    assert (m.n_trees, m.seed, m.recipe["rounds"]) == (48, 3, 6)
    assert {"edge-ecg", "numpy", "lightgbm", "python"} <= set(m.tool_versions)
    again = write_rhythm_bundle(tables, FACTS, RECORDS, tmp_path / "b")
    for file in bundle.folder.iterdir():
        assert file.read_bytes() == (again.folder / file.name).read_bytes(), file.name
    assert run(["models", "verify", str(bundle.folder)]) == 0
    assert f"{N_GOLDEN} golden beats" in capsys.readouterr().out
    assert run(["models", "show", str(bundle.folder)]) == 0
    card = capsys.readouterr().out
    for told in (
        "# try-rhythm", "Not a medical device", "fusion beats (F) are not classified", "temperature 1.400",
        "| balanced | svdb | 2 | 900 | 97.00 | 80.0 / 70.0 | 90.0 / - |", "| sensitive | 6 | 12.0 | 1.40 | 0.08 |",
        "2 of mitdb, 1 of nsrdb_2h, 2 of svdb", "edge-ecg train --network rhythm", "MIT-BIH Noise Stress",
    ):  # fmt: skip
        assert told in card, told


def test_golden_beats_are_those_of_ds1_and_of_all_classes(tables: TreeTables, tmp_path: Path) -> None:
    folder = write_rhythm_bundle(tables, FACTS, RECORDS, tmp_path / "a").folder
    golden = unpack_arrays((folder / "golden.npz").read_bytes(), what="golden beats", error=DataError)
    assert golden["reference"].tolist() == [c for c in "NSVF" for _ in range(25)]
    of_ds1 = np.concatenate([r.x for r in RECORDS if r.database == "mitdb" and not r.is_copy])
    there = {tuple(row) for row in np.rint(100.0 * of_ds1).astype(int).tolist()}
    assert all(tuple(row) in there for row in golden["features"].tolist())
    assert (folder / "golden.npz").stat().st_size < 20_000
    assert check_golden(load_any(folder)) == N_GOLDEN
    for others in (RECORDS[3:], [replace(RECORDS[0], name="100")], [replace(RECORDS[0], is_copy=True)]):
        with pytest.raises(DataError, match="no record of DS1"):
            write_rhythm_bundle(tables, FACTS, others, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_an_older_bundle_is_replaced_and_nothing_else_is(tables: TreeTables, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    write_rhythm_bundle(tables, FACTS, RECORDS, folder)
    warmer = write_rhythm_bundle(calibrated(tables, 2.0, (0.0,) * 4), FACTS, RECORDS, folder)
    assert load_any(folder).manifest.sha256 == warmer.manifest.sha256
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    with pytest.raises(ValueError, match="operating_points"):
        write_rhythm_bundle(tables, replace(FACTS, operating_points={}), RECORDS, folder)
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before
    (folder / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"no part of a bundle: thesis.tex"):
        write_rhythm_bundle(tables, FACTS, RECORDS, folder)
    assert (folder / "thesis.tex").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
