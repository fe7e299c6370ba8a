"""Several workers: two real processes on loopback fit what one fits."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.cli.main import run
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import UsageError
from edge_ecg.sources.virtual import EXCERPT
from train.checkpoint import Checkpoint, read_checkpoint
from train.run import read_run
from train.run_folder import training_in
from train.windows import build_windows
from train.workers import ALONE, Workers, read_tf_config

DEADLINE_S = 500.0
"""Of two processes that start TensorFlow on a busy machine, below that of a test."""

CHILD = '''
import json, os, pickle, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from edge_ecg.cli.main import _report
from edge_ecg.dsp.preprocess import PreprocessParams
from train.beat_augment import Augment
from train.models.baseline import Config, build
from train.run import Recipe
from train.splits import Split
from train.workers import ALONE, join_workers

class Windows:
    """That end this worker in the step given."""
    def __init__(self, windows, how):
        self.windows, self.left, self.how = windows, 4, how
    def __getitem__(self, key):
        self.left -= 1
        if self.left < 0:
            if self.how == "crash":
                os._exit(9)
            raise KeyboardInterrupt
        return self.windows[key]

def fit_told(workers, folder, beats, told):
    from train.fit import fit
    data = pickle.loads(beats.read_bytes())
    if told.get("who") == workers.index:
        data = replace(data, windows=Windows(data.windows, told["ends"]))
    if told.get("other") == workers.index:
        data = replace(data, sha256="0" * 64)
    at = np.arange(90)
    split = Split("random", at[at % 3 == 0], at[at % 3 == 1], at[at % 3 == 2], patients_on_both_sides=True)
    # 30 beats in steps of 29 and 1: the last leaves one of two workers without any.
    recipe = Recipe(epochs=3, batch_size=29, warmup_epochs=0.5, average_decay=0.5, schedule="plateau",
                    plateau_patience=1, weight_decay=1e-3, clip_norm=0.1, label_smoothing=0.05, class_balance=0.5,
                    augment=Augment(hum=0.5, jitter=0.5) if told.get("augment") else Augment())
    dropout = 0.1 if told.get("dropout") else 0.0
    config = Config(pairs=((8, 5, dropout), (16, 3, dropout)), dense=(16,))
    models = []

    def built(n_classes):
        models.append(build(n_classes, config))
        return models[-1]

    with workers.together(folder):
        again = told.get("resume", False)
        fit(built, data, split, recipe, PreprocessParams(), 1, folder, resume=again, workers=workers)
    np.savez(f"{folder}-{workers.index}.npz", *(w for m in models for w in m.get_weights()))

if __name__ == "__main__":
    workers = join_workers(1, lambda line: print(line, flush=True))
    home, fits = Path(sys.argv[1]), json.loads(sys.argv[2])
    code = 0
    for name, told in fits.items():
        try:
            fit_told(workers, home / name, home / "beats", told)
        except Exception as error:
            code = _report(error, False)
    sys.exit(code)
'''


def both(command: list[str], tmp_path: Path, exits: tuple[int, int] = (0, 0)) -> tuple[str, str]:
    """What two workers said, started alike but for their TF_CONFIG. They end by the deadline, or are killed."""
    with socket.socket() as a, socket.socket() as b:
        for held in (a, b):
            held.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{held.getsockname()[1]}" for held in (a, b)]
    started = []
    for index in (0, 1):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        env = {**os.environ, "TF_CONFIG": json.dumps(task), "TF_CPP_MIN_LOG_LEVEL": "3"}
        with (tmp_path / f"said-{index}").open("wb") as said:
            started.append(subprocess.Popen(command, env=env, stdout=said, stderr=subprocess.STDOUT))
    until_s = time.monotonic() + DEADLINE_S
    try:
        for process in started:
            process.wait(max(0.1, until_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
    finally:
        codes = tuple(process.poll() for process in started)
        for process in started:
            process.kill()
            process.wait()
    first, second = ((tmp_path / f"said-{k}").read_text(errors="replace") for k in (0, 1))
    assert codes == exits, f"ended {codes} (None: hung)\n=== chief\n{first}\n=== worker 1\n{second}"
    return first, second


def in_turn(home: Path, fits: dict[str, dict[str, Any]], exits: tuple[int, int]) -> tuple[str, str]:
    """What two workers said that made one fit after the other, each in a folder: starting TensorFlow takes longest."""
    return both([sys.executable, "-c", CHILD, str(home), json.dumps(fits)], home, exits)


def fit_one(folder: Path, **told: Any) -> None:
    """The same fit, in this process."""
    names: dict[str, Any] = {"__name__": "child"}
    exec(CHILD, names)
    names["fit_told"](ALONE, folder, folder.parent / "beats", told)


def arrays(file: Path) -> list[np.ndarray]:
    with np.load(file) as held:
        return [held[name] for name in held.files]


def same(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def state(folder: Path) -> list[np.ndarray]:
    held: Checkpoint = read_checkpoint(folder)
    return [*held.weights, *held.mean, *held.optimizer]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the beats lie, and the runs."""
    home = tmp_path_factory.mktemp("workers")
    data = build_windows([EXCERPT], PreprocessParams())
    first = {name: getattr(data, name)[:90] for name in ("windows", "labels", "records", "patients")}
    (home / "beats").write_bytes(pickle.dumps(replace(data, **first)))
    return home


@pytest.fixture(scope="module")
def said(home: Path) -> tuple[str, str]:
    fits = {
        "two": {"augment": True},
        "straight": {"dropout": True},
        "other": {"other": 1},
        "busy": {},
        "run": {"dropout": True, "ends": "crash", "who": 1},
    }
    with training_in(home / "busy"):
        said = in_turn(home, fits, (4, 9))
    shutil.copytree(home / "run", home / "alone")
    return said


@pytest.fixture(scope="module")
def said_later(home: Path, said: tuple[str, str]) -> tuple[str, str]:
    fits = {"run": {"dropout": True, "resume": True}, "stopped": {"ends": "ctrl-c", "who": 0}}
    return in_turn(home, fits, (0, 4))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")
def test_two_workers_fit_what_one_fits(home: Path, said: tuple[str, str]) -> None:
    fit_one(home / "one", augment=True)
    for a, b in zip(state(home / "two"), state(home / "one"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    of_two, of_one = (read_checkpoint(home / name).progress["history"] for name in ("two", "one"))
    for name in ("loss", "validation_loss", "validation_accuracy", "learning_rate"):
        assert [row[name] for row in of_two] == pytest.approx([row[name] for row in of_one], rel=1e-4), name
    for name in ("two", "straight"):
        assert same(*(arrays(home / f"{name}-{k}.npz") for k in (0, 1))), "both hold the same bits"
    chief, other = said
    assert "epoch 3/3" in chief
    assert "epoch" not in other.replace("epochs done", "")
    assert "worker 1 of 2, working for the chief at 127.0.0.1:" in other


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")
def test_a_run_that_lost_a_worker_is_resumed_bit_for_bit(
    home: Path, said: tuple[str, str], said_later: tuple[str, str]
) -> None:
    loss = [row["loss"] for row in read_checkpoint(home / "straight").progress["history"]]
    assert loss[-1] < loss[0], "it learns"
    chief, _ = said
    assert "edge-ecg: another worker stopped or cannot be reached. The epochs done are kept" in chief
    assert f"edge-ecg train --resume {home / 'run'} --strategy multiworker" in chief
    assert "Traceback" not in chief
    assert read_run(home / "alone").epochs_done == 2, "the third was cut short"
    assert read_run(home / "run").epochs_done == 3
    assert same(state(home / "run"), state(home / "straight"))
    # What several began one may end.
    fit_one(home / "alone", dropout=True, resume=True)
    assert read_run(home / "alone").epochs_done == 3


def test_ctrl_c_on_the_chief_keeps_the_epochs_done_and_ends_the_others(home: Path, said_later: tuple[str, str]) -> None:
    chief, other = said_later
    again = f"edge-ecg train --resume {home / 'stopped'} --strategy multiworker"
    assert f"stopped; the best of 1 epochs is kept. To go on: {again}" in chief
    assert "the chief or another worker stopped or cannot be reached. The chief tells how to go on" in other
    assert "Traceback" not in chief + other
    assert read_run(home / "stopped").epochs_done == 1


def test_what_one_cannot_do_is_told_on_both(home: Path, said: tuple[str, str]) -> None:
    chief, other = said
    assert "edge-ecg: another worker has other data or settings" in chief
    assert "edge-ecg: worker 1 has another data_sha256 (000" in other
    assert not (home / "other" / "run.json").exists()
    for text in said:
        assert f"edge-ecg: {home / 'busy'} is being trained by another process" in text


def test_the_command_line_trains_in_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("rec01", "rec02", "rec03"):
        for suffix in (".dat", ".atr"):
            shutil.copy(EXCERPT.with_suffix(suffix), mine / f"{name}{suffix}")
        header = EXCERPT.with_suffix(".hea").read_text(encoding="utf-8")
        (mine / f"{name}.hea").write_text(header.replace("mitdb_223", name), encoding="utf-8")
    toml = 'label_set = "binary"\nlead = "MLII"\n[class_map]\nN = "normal"\nV = "abnormal"\n'
    toml += "[patients]\nrec01 = 1\nrec02 = 2\nrec03 = 3\n"
    (mine / "dataset.toml").write_text(toml, encoding="utf-8")
    train = [sys.executable, "-c", "from edge_ecg.cli.main import run; raise SystemExit(run())", "train"]
    recipe = tmp_path / "plain.toml"
    recipe.write_text("epochs = 1\n")
    start = [*train, "--network", "baseline", "--data", str(mine), "--config", str(recipe), "--strategy", "multiworker"]
    chief, other = both(start, tmp_path)
    folder = tmp_path / "runs" / "mine-baseline-random-seed1"
    assert f"next: edge-ecg convert --int8 {folder}" in chief
    assert "epoch" not in other
    assert "run:" not in other
    info = read_run(folder)
    assert info.epochs_done == 1
    assert "--strategy multiworker" in info.command


GOOD: dict[str, Any] = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}


def test_tf_config_names_the_workers() -> None:
    assert read_tf_config(json.dumps(GOOD)) == (["a:1", "b:2"], 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "is not set"),
        ("", "is not set"),
        ("{", "is no JSON"),
        ("[]", "must hold cluster.worker"),
        ("7", "must hold cluster.worker"),
        (json.dumps({"cluster": {"worker": ["a:1", "b:2"]}}), "must hold cluster.worker, task.type and task.index"),
        (json.dumps({**GOOD, "cluster": {**GOOD["cluster"], "ps": ["c:3"]}}), "must name workers only"),
        (json.dumps({**GOOD, "task": {"type": "chief", "index": 0}}), "must name workers only"),
        (json.dumps({**GOOD, "cluster": {"worker": ["a:1", "b"]}}), '"host:port" of each worker, found ["a:1", "b"]'),
        (json.dumps({**GOOD, "cluster": {"worker": "a:1"}}), '"host:port" of each worker, found "a:1"'),
        (json.dumps({**GOOD, "cluster": {"worker": ["a:1", 2]}}), '"host:port"'),
        (json.dumps({**GOOD, "cluster": {"worker": ["a:1"]}}), "two workers or more, each once"),
        (json.dumps({**GOOD, "cluster": {"worker": ["a:1", "a:1"]}}), "two workers or more, each once"),
        (json.dumps({**GOOD, "task": {"type": "worker", "index": 2}}), "an index from 0 to 1, found 2"),
        (json.dumps({**GOOD, "task": {"type": "worker", "index": "0"}}), 'an index from 0 to 1, found "0"'),
    ],
)
def test_a_tf_config_that_is_none_tells_the_next_step(text: str | None, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_tf_config(text)
    assert told in str(caught.value)
    assert "On each worker, alike but for the index: TF_CONFIG='{" in str(caught.value)


def test_the_command_line_asks_for_tf_config_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert run(["train", "--network", "baseline", "--data", "mitdb", "--strategy", "multiworker"]) == 2
    assert "TF_CONFIG is not set" in capsys.readouterr().err


@pytest.mark.parametrize("n_beats", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_the_shares_of_a_batch_add_up_to_it(n_beats: int, n_workers: int) -> None:
    x, y, weights = (np.arange(n_beats, dtype=np.float32) + k for k in (0.0, 1.0, 1.0))
    shares = [Workers(index, n_workers).share(x, y, weights) for index in range(n_workers)]
    assert all(len(share[0]) for share in shares), "none is left out of a step"
    # The mean of a share stands for a loss whose gradient is as large as the beat's target.
    total = sum(float(np.mean(of_y * of_weights)) for _, of_y, of_weights in shares)
    assert total == pytest.approx(float(np.mean(y * weights)), rel=1e-6)
    counted = np.concatenate([of_x[of_weights > 0] for of_x, _, of_weights in shares])
    np.testing.assert_array_equal(np.sort(counted), x)


def test_one_alone_asks_nobody() -> None:
    batch = tuple(np.zeros(3, np.float32) for _ in range(3))
    assert all(a is b for a, b in zip(ALONE.share(*batch), batch, strict=True))
    assert ALONE.ask_chief(lambda: "itself") == "itself"
    ALONE.agree(asdict(Workers()))
    assert ALONE.is_chief
