"""`edge-ecg train`, `evaluate` and `convert` as a user meets them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_ecg.cli.main import run
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.sources.virtual import EXCERPT
from train.cli import _own_recipe, _read_recipe
from train.load import NETWORKS
from train.run import RUN_SCHEMA, WEIGHTS, Recipe, RunInfo, read_run, write_run
from train.run_folder import training_in
from train.splits import Split, split_of
from train.window_set import WindowSet

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*"),
    pytest.mark.usefixtures("timed_briefly"),
]

PARAMS = PreprocessParams()


def one_error(captured: object) -> str:
    err = captured.err  # type: ignore[attr-defined]
    lines = [line for line in err.splitlines() if line.startswith("edge-ecg: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    assert "this is a bug" not in err
    return str(lines[0])


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("learning_rate = nan", '"learning_rate" must be a finite number, found nan'),
        ("learning_rate = inf", '"learning_rate" must be a finite number'),
        ("learning_rate = 0.0", '"learning_rate" must be above 0'),
        ("epochs = 0", '"epochs" must be above 0'),
        ("batch_size = -1", '"batch_size" must be above 0'),
        ("average_decay = 1.0", '"average_decay" must be from 0 to below 1'),
        ("label_smoothing = -0.1", '"label_smoothing" must be'),
        ("warmup_epochs = -1.0", '"warmup_epochs" must not be negative'),
        ("epochs = true", '"epochs" must be a whole number'),
        ("epoch = 3", 'unknown key "epoch". Did you mean "epochs"?'),
        ('schedule = "cosin"', 'Did you mean "cosine"'),
        ("patience = -1", '"patience" must not be negative'),
        ("dropout_scale = 3.0", '"dropout_scale" must be from 0 to 2'),
        ('compute = "bfloat"', 'Did you mean "bfloat16"'),
        ("class_balance = 2.0", '"class_balance" must be from 0 to 1'),
        ("[augment]\nmusle = 0.2", 'unknown key "augment.musle". Did you mean "augment.muscle"?'),
        ("[augment]\nmuscle = 2.0", '"augment.muscle" is a probability'),
        ("epochs = ", "cannot be read"),
    ],
)
def test_a_wrong_recipe_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, recipe: str, told: str
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(recipe)
    assert run(["train", "--network", "baseline", "--data", "mitdb", "--config", str(file)]) == 2
    line = one_error(capsys.readouterr())
    assert told in line
    assert "recipe.toml" in line


def test_mistakes_are_told_before_the_work_begins(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_ECG_DATA", str(tmp_path / "no-data"))
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    start = ["train", "--network", "baseline", "--data", "mitdb"]
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "run.json").touch()
    (tmp_path / "file").touch()
    plain = tmp_path / "plain.toml"
    plain.write_text("epochs = 2\n")
    for code, args, told in (
        (2, [*start, "--out", str(tmp_path / "held")], "holds a run already"),
        (2, [*start, "--out", str(tmp_path / "file")], "cannot write to the run folder"),
        (2, [*start, "--config", str(tmp_path / "absent.toml")], "absent.toml"),
        (2, [*start, "--epochs", "0"], "0 epochs train nothing"),
        (2, ["train", "--network", "vgg", "--data", "mitdb"], "baseline"),
        (2, ["train", "--data", "mitdb"], "Give --network (baseline, deep_residual, residual, tiny) and --data (mitdb"),
        (2, ["train", "--network", "baseline", "--data", "nodb", "--config", str(plain)], "no data set 'nodb'"),
        (2, [*start, "--split", "patient"], "no split 'patient' of mitdb"),
        (2, [*start, "--fold", "1"], "no fold 1"),
        (5, ["train", "--resume", "absent"], "no run 'absent'"),
        (2, ["train", "--resume", "absent", "--seed", "2", "--data", "mitdb"], "--data, --seed means nothing with"),
        (5, start, "edge-ecg data fetch nstdb"),
        (5, [*start, "--config", str(plain)], "edge-ecg data fetch mitdb"),
        (5, ["evaluate", "mitdb-baseline-int8"], "edge-ecg data fetch mitdb"),
        (3, ["evaluate", "nope"], "no model 'nope'"),
        (2, ["convert", "somewhere"], "Give one of --int8"),
        (5, ["convert", "--int8", "absent"], "no run 'absent'"),
    ):
        assert run(args) == code, args
        assert told in one_error(capsys.readouterr())


def info_with(**changes: object) -> RunInfo:
    values: dict[str, object] = {
        "schema_version": RUN_SCHEMA,
        "network": "baseline",
        "dataset": "mitdb",
        "split": "random",
        "patients_on_both_sides": True,
        "seed": 1,
        "recipe": Recipe(),
        "preprocessing": PARAMS,
        "preprocessing_fingerprint": PARAMS.fingerprint(),
        "data_sha256": "0" * 64,
        "command": "edge-ecg train",
        "started_utc": "",
        "versions": {},
        "n_parameters": 254_901,
        **changes,
    }
    return RunInfo(**values)  # type: ignore[arg-type]


def test_a_run_that_cannot_be_converted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    for code, info, told in (
        (5, info_with(schema_version=RUN_SCHEMA - 1), "not a run of this version"),
        (2, info_with(preprocessing_fingerprint="0" * 16), "another preprocessing"),
        (2, info_with(network="os"), "no network 'os'"),
        (2, info_with(segmentation="paper"), "no device can cut them. Train it on causal windows; or give --bench"),
        (2, info_with(dataset="nodb"), "no data set 'nodb'"),
        (5, info_with(), f"{WEIGHTS} cannot be read"),
    ):
        write_run(folder, info)
        (folder / WEIGHTS).write_bytes(b"no weights")
        if info.dataset == "nodb":
            real_weights(folder)
        assert run(["convert", "--int8", str(folder)]) == code, told
        assert told in one_error(capsys.readouterr())


def test_a_run_that_cannot_be_resumed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / WEIGHTS).touch()
    for code, info, told in (
        (5, info_with(schema_version=RUN_SCHEMA - 1), "not a run of this version"),
        (2, info_with(epochs_done=36), "is done, all 36 epochs of it. Convert it: edge-ecg convert --int8"),
        (2, info_with(recipe=Recipe(patience=3), epochs_done=9, best_epoch=6), "is done, nothing better in 3 epochs"),
    ):
        write_run(folder, info)
        assert run(["train", "--resume", str(folder)]) == code
        assert told in one_error(capsys.readouterr())


def test_a_run_that_another_process_trains_is_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with training_in(folder):
        start = ["train", "--network", "baseline", "--data", "mitdb", "--out", str(folder)]
        for args in (start, ["train", "--resume", str(folder)]):
            assert run(args) == 2
            assert "is being trained by another process" in one_error(capsys.readouterr())
            write_run(folder, info_with())
            (folder / WEIGHTS).touch()


class CtrlC(io.StringIO):
    """A terminal on which somebody stops the training when it shows a text."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self._at = at

    def write(self, text: str) -> int:
        if self._at in text:
            raise KeyboardInterrupt
        return super().write(text)


def test_a_training_that_was_stopped_says_so_and_goes_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    mine, recipe, folder = tmp_path / "mine", tmp_path / "plain.toml", tmp_path / "run"
    mine.mkdir()
    patients = ("rec01", "rec02", "rec03")
    for name in patients:
        for suffix in (".dat", ".atr"):
            shutil.copy(EXCERPT.with_suffix(suffix), mine / f"{name}{suffix}")
        header = EXCERPT.with_suffix(".hea").read_text(encoding="utf-8")
        (mine / f"{name}.hea").write_text(header.replace("mitdb_223", name), encoding="utf-8")
    people = "".join(f"{name} = {k}\n" for k, name in enumerate(patients))
    toml = f'label_set = "binary"\nlead = "MLII"\n[class_map]\nN = "normal"\nV = "abnormal"\n[patients]\n{people}'
    (mine / "dataset.toml").write_text(toml)
    recipe.write_text("epochs = 3\n")
    start = ["train", "--network", "baseline", "--data", str(mine), "--config", str(recipe), "--out", str(folder)]
    with monkeypatch.context() as patch:
        terminal = CtrlC(at="epoch 2/3")
        patch.setattr("sys.stdout", terminal)
        assert run(start) == 130
    said = terminal.getvalue()
    assert f"stopped; the best of 1 epochs is kept. To go on: edge-ecg train --resume {folder}\n" in said
    assert "next:" not in said
    assert one_error(capsys.readouterr()) == "edge-ecg: stopped"
    assert read_run(folder).epochs_done == 1

    assert run(["train", "--resume", str(folder)]) == 0
    assert f"next: edge-ecg convert --int8 {folder}" in capsys.readouterr().out
    assert run(["train", "--resume", str(folder)]) == 2
    assert "is done, all 3 epochs of it" in one_error(capsys.readouterr())


def test_a_data_set_may_have_recipes_of_its_own() -> None:
    for network in NETWORKS:
        assert _own_recipe(network, "ptb").name == f"{network}-ptb.toml"
        for dataset in ("mitdb", "ptbdb", "/somewhere/ptb"):
            assert _own_recipe(network, dataset).name == f"{network}.toml"
    own, other = (_read_recipe(_own_recipe("baseline", dataset)) for dataset in ("ptb", "mitdb"))
    assert own != other


def test_too_little_disk_is_told_before_the_work_begins(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    assert run(["train", "--network", "baseline", "--data", "mitdb", "--out", str(tmp_path / "run")]) == 5
    assert "training takes about 150 MB of disk" in one_error(capsys.readouterr())


def real_weights(folder: Path) -> None:
    from train.load import build_of

    build_of("baseline")(5).save_weights(folder / WEIGHTS)


def test_a_place_for_a_bundle_that_holds_something_else_is_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder, home = tmp_path / "run", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    write_run(folder, info_with())
    (folder / WEIGHTS).touch()
    (home / "thesis.tex").write_text("years of work")
    (home / "manifest.json").touch()
    for out in (home, home / "thesis.tex", home / "thesis.tex" / "below"):
        assert run(["convert", "--int8", str(folder), "--out", str(out)]) == 2
        one_error(capsys.readouterr())
    assert (home / "thesis.tex").read_text() == "years of work"


def test_from_a_run_to_a_bundle_on_the_real_beats(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    data_dir: Path,
    mitdb_windows: Callable[[], WindowSet],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from train.fit import fit
    from train.load import build_of

    monkeypatch.setenv("EDGE_ECG_DATA", str(data_dir))
    data = mitdb_windows()
    whole = split_of(data, "random")
    few = Split("random", whole.train[::250], whole.validation[::50], whole.test, patients_on_both_sides=True)
    folder, bundle = tmp_path / "run", tmp_path / "deep" / "bundle"
    fit(build_of("baseline"), data, few, Recipe(epochs=2, batch_size=32, average_decay=0.5), PARAMS, 1, folder)
    capsys.readouterr()

    assert run(["convert", "--int8", str(folder), "--out", str(bundle)]) == 0
    captured = capsys.readouterr()
    assert "18118" not in captured.out
    assert f"bundle: {bundle} (" in captured.out
    assert "21892 test beats; patients stand on both sides" in captured.err
    assert run(["models", "verify", str(bundle)]) == 0
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["metrics"]["n"] == 21_892
    assert manifest["patients_on_both_sides"] is True
    assert manifest["data_sha256"] == data.sha256
    assert manifest["commands"][-1] == "edge-ecg convert --int8 run --calibration-seed 0"
    assert abs(manifest["metrics"]["accuracy"] - manifest["float_metrics"]["accuracy"]) < 0.02
    capsys.readouterr()

    # Test people are looked at: not to be told in the list of the checkout.
    monkeypatch.setenv("EDGE_ECG_LOOKS", str(tmp_path / "looks.jsonl"))
    assert run(["evaluate", str(folder), "--json"]) == 0
    of_run = json.loads(capsys.readouterr().out)
    assert of_run["accuracy"] == pytest.approx(manifest["float_metrics"]["accuracy"], abs=1e-4)
    assert of_run["n"] == int(np.sum(of_run["confusion"])) == 21_892

    # Windows that look ahead are other beats, and a bundle of them runs on no device.
    write_run(folder, info_with(segmentation="paper", data_sha256=data.sha256))
    assert run(["convert", "--int8", str(folder), "--bench-only"]) == 2
    assert "other beats" in one_error(capsys.readouterr())

    write_run(folder, info_with(data_sha256="1" * 64))
    assert run(["convert", "--int8", str(folder)]) == 2
    assert "other beats" in one_error(capsys.readouterr())
