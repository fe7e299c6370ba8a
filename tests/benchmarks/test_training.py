"""The figures of the networks: measured by `evaluate`, kept in files, shown in tables."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from training_files import evaluated, write

from benchmarks.training import bundle_job, is_fresh, main, run_jobs
from benchmarks.training_results import Group, best_of, file_text, read_results, seeds_of
from benchmarks.training_tables import PAPER, sections
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import UsageError
from edge_ecg.io import read_annotations, read_record, write_annotations, write_record
from edge_ecg.manifest import load_bundle, shipped_ids
from edge_ecg.sources.virtual import EXCERPT
from train.evaluation_model import open_model
from train.run import RUN_SCHEMA, WEIGHTS, Recipe, RunInfo, write_run

PARAMS = PreprocessParams()
HOME = Group("mitdb", "baseline")


def rows_of(text: str, heading: str) -> list[list[str]]:
    """Cells of the tables under a heading, without their heads."""
    part = re.split(r"^##+ ", text.partition(f"# {heading}")[2], flags=re.MULTILINE)[0]
    tables = re.findall(r"^\|-.*\n((?:\|.*\n)+)", part, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for table in tables for line in table.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three seeds, of which the second ships."""
    for seed in (1, 2, 3):
        write(
            tmp_path, f"mitdb-baseline-random-seed{seed}", evaluated("random", seed=seed, validation=0.9 + 0.01 * seed)
        )
    bundle = evaluated("random", seed=2, n_bytes=282_800, precision="int8", right=0.7, sturdy=True)
    return write(tmp_path, "mitdb-baseline-int8", bundle)


def page(folder: Path) -> str:
    return "\n".join(sections(read_results(folder)))


def test_nothing_measured_is_no_table_and_no_error(tmp_path: Path) -> None:
    assert sections(read_results(tmp_path / "none")) == []


def test_a_network_stands_beside_the_paper_with_its_seeds_and_its_new_patients(folder: Path) -> None:
    inter = evaluated("inter", right=0.5)
    write(folder, "mitdb-baseline-inter-seed1", inter)
    (row,) = rows_of(page(folder), "The three networks beside the paper")
    tables = [json.loads((folder / f"mitdb-baseline-random-seed{k}.json").read_text()) for k in (1, 2, 3)]
    accuracies = [t["accuracy"] for t in tables]
    assert row[:2] == ["baseline", "0.9850 / 0.9173"]
    assert row[2] == f"{tables[1]['accuracy']:.4f} / {tables[1]['macro_f1']:.4f}", "the seed that ships"
    assert row[3].startswith(f"{np.mean(accuracies):.4f} ± {np.std(accuracies, ddof=1):.4f} / ")
    assert row[3].endswith("(3)")
    assert row[5:7] == ["283", ""]
    assert row[7] == f"{inter['accuracy']:.4f}"
    # EC57: what is F or Q and called V does not count against V.
    counts = np.array(inter["confusion"])
    v_ppv, s_ppv = counts[2, 2] / counts[:3, 2].sum(), counts[1, 1] / counts[:4, 1].sum()
    assert row[8].split(" / ")[1] == f"{100 * s_ppv:.2f}"
    assert row[9] == f"{100 * counts[2, 2] / counts[2].sum():.2f} / {100 * v_ppv:.2f}"
    # A pruned one of the same network and seed, before it by name, is not what the row is about.
    pruned = evaluated("random", seed=2, n_bytes=90_000, precision="int8", right=0.6)
    pruned["models"][0]["changes"] = ["filters removed 0.48"]
    write(folder, "mitdb-baseline-filters-removed-0.48-int8", pruned)
    assert rows_of(page(folder), "The three networks beside the paper") == [row]
    shown = rows_of(page(folder), "Shipped bundles, class by class")
    assert [[cells[0], cells[2]] for cells in shown] == [
        ["`mitdb-baseline-filters-removed-0.48-int8`", "90"], ["`mitdb-baseline-int8`", "283"],
    ]  # fmt: skip
    text = page(folder)
    for told in (
        "202 (test) is the same person as 201",
        "DS1",
        "lead MLII",
        "causal windows",
        "device-independent",
        "Naidu",
    ):
        assert told in text.partition("| network |")[0]


def test_published_windows_stand_apart_and_another_recipe_is_told(folder: Path) -> None:
    write(folder, "mitdb-paper-baseline-random-seed1", evaluated("random", segmentation="paper", recipe="other"))
    (row,) = rows_of(page(folder), "The three networks beside the paper")
    assert row[6].endswith("(another recipe)")
    assert row[3].endswith("(3)")


def test_seeds_of_another_recipe_are_not_in_the_mean(folder: Path) -> None:
    write(folder, "mitdb-baseline-tried-seed1", evaluated("random", seed=4, recipe="other", validation=0.99))
    results = read_results(folder)
    assert [r.seed for r in seeds_of(results, HOME)] == [1, 2, 3]
    shipped = [row for row in rows_of(page(folder), "Seeds") if row[-1] == "ships"]
    assert [row[4] for row in shipped] == ["2"]


def test_without_a_bundle_validation_chooses_and_not_the_test(tmp_path: Path) -> None:
    write(tmp_path, "a", evaluated("random", seed=1, right=0.9, validation=0.8))
    write(tmp_path, "b", evaluated("random", seed=2, right=0.5, validation=0.9))
    best = best_of(read_results(tmp_path), HOME)
    assert best is not None
    assert best.name == "b"
    assert not [row for row in rows_of(page(tmp_path), "Seeds") if row[-1] == "ships"]


def test_folds_are_told_by_beat_and_by_patient_beside_the_larger_class(tmp_path: Path) -> None:
    write(tmp_path, "ptb-residual-patient-seed1", evaluated("patient", "residual", dataset="ptb", n_folds=5))
    write(tmp_path, "ptb-residual-random-seed1", evaluated("random", "residual", dataset="ptb"))
    mixed, whole = rows_of(page(tmp_path), "Infarction or healthy (ptb, lead I)")
    assert mixed[:2] == ["residual", f"{PAPER['ptbdb']['residual'][0]:.4f}"]
    assert whole[:2] == ["residual", "1"]
    assert [whole[4], whole[7]] == ["0.6667", "0.6667"]
    assert all(re.fullmatch(r"[\d.]+ \[[\d.]+, [\d.]+\]", whole[k]) for k in (2, 3, 5, 6))
    assert "**not comparable** with our lead I" in page(tmp_path)
    assert "`patient`, 5 folds" in page(tmp_path)


def test_every_record_of_new_patients_has_its_row(tmp_path: Path) -> None:
    table = evaluated("inter", "deep_residual", right=0.5)
    write(tmp_path, "mitdb-deep_residual-inter-seed1", table)
    classes, records = rows_of(page(tmp_path), "Deep residual")[:5], rows_of(page(tmp_path), "Deep residual")[5:]
    assert [row[0] for row in classes] == ["N", "S", "V", "F", "Q"]
    assert [row[0] for row in records] == ["200", "201", "202", "203", "204", "205", "**gross**", "**average**"]
    assert sum(int(row[2]) for row in records[:6]) == int(records[6][2]) == 300 - np.trace(table["confusion"])
    assert re.fullmatch(r"[NSVFQ] as [NSVFQ] \(\d+\)", records[0][-1])
    assert "201 (DS1) and 202 (DS2) are one person" in page(tmp_path)


def test_what_noise_costs_a_bundle_is_told_and_explained(folder: Path) -> None:
    text = page(folder)
    (row,) = rows_of(text, "Sturdiness")
    assert row == ["`mitdb-baseline-int8`", "0.9000", *(f"{k:.2f}" for k in range(1, 7))]
    assert "- `inverted`: lead inverted" in text
    bundle = text.partition("### `mitdb-baseline-int8`")[2]
    assert "282,800 bytes, seed 2" in bundle
    assert "6 patients drawn whole" in bundle


def test_a_file_has_a_row_in_a_line_and_comes_back(tmp_path: Path) -> None:
    table = evaluated("random", sturdy=True)
    text = file_text(table)
    assert [line for line in text.splitlines() if line.lstrip().startswith('{"record": 203')]
    assert max(map(len, text.splitlines())) < 400
    back = json.loads(text)
    assert back["confusion"] == table["confusion"]
    assert back["accuracy"] == pytest.approx(table["accuracy"], abs=1e-6)


TOML = 'label_set = "binary"\nlead = "V1"\n\n[class_map]\nN = "normal"\nV = "abnormal"\n\n[patients]\n'


@pytest.fixture
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped excerpt as the records of six people, in a place that is nobody's business."""
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("EDGE_ECG_LOOKS", str(tmp_path / "looks.jsonl"))
    folder = tmp_path / "st-marys" / "mine"
    folder.mkdir(parents=True)
    record, notes = read_record(EXCERPT), read_annotations(EXCERPT)
    n = len(record.counts) // 6
    for k in range(6):
        here = (notes.sample >= k * n) & (notes.sample < (k + 1) * n)
        symbols, aux = (
            tuple(s for s, h in zip(getattr(notes, name), here, strict=True) if h) for name in ("symbol", "aux")
        )
        part = replace(
            notes, sample=notes.sample[here] - k * n, symbol=symbols, aux=aux, subtype=notes.subtype[here],
            chan=notes.chan[here], num=notes.num[here],
        )  # fmt: skip
        write_record(folder / f"rec{k}", record.counts[k * n : (k + 1) * n], 360.0, ["MLII", "V1"], baseline=1024)
        write_annotations(folder / f"rec{k}", part)
    (folder / "dataset.toml").write_text(TOML + "".join(f"rec{k} = {k}\n" for k in range(6)))
    return folder


def run_of(runs: Path, dataset: str, fold: int | None = None, name: str = "", **changes: Any) -> str:
    """A run that was never fitted; its name."""
    split = "random" if fold is None else "patient"
    name = name or f"mine-baseline-{split}-{'' if fold is None else f'fold{fold}-'}seed1"
    info = RunInfo(
        schema_version=RUN_SCHEMA, network="baseline", dataset=dataset, split=split,
        patients_on_both_sides=fold is None, seed=1, recipe=Recipe(epochs=3), preprocessing=PARAMS,
        preprocessing_fingerprint=PARAMS.fingerprint(), data_sha256="", command="", started_utc="", versions={},
        n_parameters=254_641, label_set="binary", lead="V1", fold=fold, n_folds=None if fold is None else 5,
        epochs_done=3, best_epoch=2, validation_accuracy=0.8, validation_macro_f1=0.7, validation_auc=0.9,
    )  # fmt: skip
    (runs / name).mkdir(parents=True)
    (runs / name / WEIGHTS).write_bytes(b"weights")
    write_run(runs / name, replace(info, **changes))
    return name


def measure(out: Path, *args: str) -> Result:
    return CliRunner().invoke(main, [*args, "--no-bundles", "--out", str(out)])


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")
def test_runs_are_measured_once_and_folds_together(tmp_path: Path, own_data: Path) -> None:
    from train.load import build_of

    runs, out = tmp_path / "runs", tmp_path / "out"
    names = [run_of(runs, str(own_data), fold) for fold in range(5)]
    network = build_of("baseline")(1)
    for name in names:
        network.save_weights(runs / name / WEIGHTS)
    said = measure(out, *reversed(names))
    assert said.exit_code == 0, said.output
    assert "measured 1 of 1" in said.output
    (file,) = out.iterdir()
    assert file.name == "mine-baseline-patient-seed1.json"
    text = file.read_text(encoding="utf-8")
    assert "st-marys" not in text
    assert str(tmp_path) not in text
    (result,) = read_results(out)
    told = [result.table[k] for k in ("network", "seed", "bytes", "dataset", "split", "folds", "lead")]
    assert told == ["baseline", 1, None, "mine", "patient", [0, 1, 2, 3, 4], "V1"]
    assert [m["name"] for m in result.table["models"]] == names
    assert result.validation == (0.8, 0.9)
    assert "| mine, V1 | causal | `patient`, 5 folds | baseline | 1 |" in page(out)

    # What was measured of the same weights and beats is left alone.
    assert "measured 0 of 1" in measure(out, *names).output
    assert file.read_text(encoding="utf-8") == text
    (job,) = run_jobs(names)
    for changed in (
        text.replace(result.table["data_sha256"], "0" * 64),
        text.replace(result.table["models"][3]["weights_sha256"], "0" * 64),
        text.replace('"schema": 1', '"schema": 0'),
        text[:100],
    ):
        assert changed != text
        file.write_text(changed, encoding="utf-8")
        assert not is_fresh(job, file)
    assert not is_fresh(replace(job, args=(*job.args, "--sturdy")), file)


def test_runs_that_cannot_be_one_figure_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "runs"
    monkeypatch.setenv("EDGE_ECG_RUNS", str(runs))
    folds = [run_of(runs, "ptb", fold) for fold in range(5)]
    (job,) = run_jobs([*folds, folds[0]])
    assert (job.name, job.args) == ("mine-baseline-patient-seed1", tuple(folds))
    with pytest.raises(UsageError, match=r"folds 0, 1, 2, 3, 4, named are 0, 1, 3, 4"):
        run_jobs([f for f in folds if "fold2" not in f])
    other = run_of(tmp_path / "more", "ptb", 2, recipe=Recipe(epochs=2))
    with pytest.raises(UsageError, match="differ in more: recipe"):
        run_jobs([*folds[:2], str(tmp_path / "more" / other), *folds[3:]])
    trains = run_of(runs, "mitdb", name="still", epochs_done=1)
    with pytest.raises(UsageError, match=r"still is not done: 1 of 3 epochs.*--resume still"):
        run_jobs([trains])
    early = run_of(runs, "mitdb", name="early", epochs_done=1, recipe=Recipe(epochs=3, patience=2))
    assert [job.name for job in run_jobs([early])] == ["early"]


def test_a_bundle_says_what_it_is_and_disturbed_records_are_part_of_its_figures() -> None:
    for name in shipped_ids("network"):
        manifest = load_bundle(name).manifest
        model, job = open_model(name), bundle_job(name)
        assert (model.network, model.seed, model.n_bytes) == (manifest.network, manifest.seed, manifest.bytes)
        assert job.is_sturdy == (manifest.dataset == "mitdb" and manifest.split == "random" and not manifest.bench_only)
        assert [m["weights_sha256"] for m in job.models] == [manifest.sha256]
        assert [m.get("changes", []) for m in job.models] == [list(manifest.changes)]


def test_the_help_shows_an_example() -> None:
    assert "python -m benchmarks.training mitdb-" in CliRunner().invoke(main, ["--help"]).output
