"""A teacher: what it says is a part of the loss, and it has not seen what tests its pupil."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.cli.main import run
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError, ModelError, UsageError
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.manifest import load_bundle
from edge_ecg.schema import encode
from train.models import build_of
from train.run import RUN_SCHEMA, WEIGHTS, Recipe, RunInfo, read_run, write_run
from train.splits import Split
from train.teacher import Teacher, divergence
from train.trained import _Interpreted
from train.window_set import WindowSet
from train.workers import ALONE, Workers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")

PARAMS = PreprocessParams()
SHIPPED = "mitdb-baseline-int8"
QUICK = Recipe(epochs=1, batch_size=64, warmup_epochs=0.0, average_decay=0.5)
INFO = RunInfo(
    RUN_SCHEMA, "tiny", "mitdb", "random", True, 1, Recipe(), PARAMS, PARAMS.fingerprint(), "d" * 64, "c", "t", {}, 1
)


@pytest.fixture(scope="module")
def beats() -> WindowSet:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), [30, 12, 9, 6, 3]).astype(np.uint8)
    one = np.zeros(60, np.int32)
    return WindowSet.of(rng.random((60, 187), np.float32), labels, one, one, dataset="mitdb")


def in_three(name: str = "random") -> Split:
    at = np.arange(60)
    return Split(name, at[at % 3 == 0], at[at % 3 == 1], at[at % 3 == 2], patients_on_both_sides=name == "random")


def train(
    beats: WindowSet, folder: Path, recipe: Recipe = QUICK, *, build: Any = None, split: str = "random", **more: Any
) -> RunInfo:
    from train.fit import fit

    return fit(build or build_of("tiny"), beats, in_three(split), recipe, PARAMS, 1, folder, **more)


@pytest.fixture(scope="module")
def teacher(beats: WindowSet, tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    """One whose answers differ: a few steps at a high rate."""
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    train(beats, folder, replace(QUICK, epochs=5, learning_rate=0.02))
    return Teacher.open(folder)


def pupil(n_classes: int) -> Any:
    """Says the same of every window at first."""
    import tf_keras as keras

    bias = keras.initializers.Constant(BIAS[:n_classes])
    layers = [
        keras.layers.Input((187, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(n_classes, "softmax", kernel_initializer="zeros", bias_initializer=bias),
    ]
    return keras.Sequential(layers, name="pupil")


BIAS = np.array([1.0, 0.0, -0.5, 0.3, -1.0])


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def apart(taught: np.ndarray, own: np.ndarray, temperature: float) -> np.ndarray:
    """T² KL(teacher || pupil) of softened probabilities, by hand in double precision."""
    p, q = (softmax(np.log(x.astype(np.float64)) / temperature) for x in (taught, own))
    return temperature**2 * (p * np.log(p / q)).sum(axis=-1)


def loss_of(folder: Path) -> float:
    return float(json.loads((folder / "history.json").read_text())[0]["loss"])


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_divergence_is_that_of_the_softened_answers(temperature: float) -> None:
    import tensorflow as tf

    rng = np.random.default_rng(1)
    taught, own = softmax(3 * rng.normal(size=(7, 5))), softmax(3 * rng.normal(size=(7, 5)))
    said = divergence(tf, *(tf.constant(x, tf.float32) for x in (taught, own)), temperature)
    np.testing.assert_allclose(said, apart(taught, own, temperature), rtol=1e-4)
    # One sigmoid is two classes.
    one = divergence(tf, *(tf.constant(x[:, :1], tf.float32) for x in (taught, own)), temperature)
    two = (np.stack([x[:, 0], 1 - x[:, 0]], axis=1) for x in (taught, own))
    np.testing.assert_allclose(one, apart(*two, temperature), rtol=1e-4)
    # A class that one of them rules out is far, not infinite.
    sure = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    assert np.isfinite(divergence(tf, sure, sure[::-1], temperature)).all()
    np.testing.assert_allclose(divergence(tf, sure, sure, temperature), 0.0, atol=1e-6)


def test_its_share_of_the_loss_is_that_of_the_recipe(beats: WindowSet, teacher: Teacher, tmp_path: Path) -> None:
    from train.fit import predict

    rows = in_three().train
    own = softmax(BIAS)[None]
    labels = float(-np.log(own[0, beats.labels[rows]]).mean())
    taught = predict(teacher.network(), beats.windows[rows])
    assert np.ptp(taught, axis=0).max() > 0.01, "it says not the same of all beats"
    for share, temperature in ((1.0, 1.0), (0.6, 2.0)):
        folder = tmp_path / str(share)
        recipe = replace(QUICK, teacher_share=share, teacher_temperature=temperature)
        info = train(beats, folder, recipe, build=pupil, teachers=[teacher])
        by_hand = (1 - share) * labels + share * apart(taught, own, temperature).mean()
        assert loss_of(folder) == pytest.approx(by_hand, rel=1e-4)
        assert (info.teachers, info.teachers_sha256) == ((str(teacher.folder),), (teacher.sha256,))
    train(beats, tmp_path / "untaught", recipe, build=pupil)
    assert loss_of(tmp_path / "untaught") == pytest.approx(labels, rel=1e-4)


def test_a_bundle_teaches_what_its_interpreter_says(beats: WindowSet, tmp_path: Path) -> None:
    of_bundle = Teacher.open(SHIPPED)
    said = TfliteClassifier(load_bundle(SHIPPED)).classify_many(beats.windows[in_three().train])
    recipe = replace(QUICK, teacher_share=1.0)
    info = train(beats, tmp_path / "run", recipe, build=pupil, teachers=[of_bundle])
    by_hand = apart(np.maximum(said, 1e-7), softmax(BIAS)[None], recipe.teacher_temperature).mean()
    assert loss_of(tmp_path / "run") == pytest.approx(by_hand, rel=1e-4)
    assert (info.teachers, info.teachers_sha256) == ((SHIPPED,), (load_bundle(SHIPPED).manifest.sha256,))
    assert Teacher.open(*info.teachers, *info.teachers_sha256) == of_bundle
    with pytest.raises(UsageError, match=r"the teacher .* has changed: its model\.tflite were"):
        Teacher.open(SHIPPED, "0" * 64)


def test_a_bundle_of_two_classes_teaches_its_one_output() -> None:
    class Classifier:
        def classify_many(self, windows: np.ndarray) -> np.ndarray:
            return np.stack([1.0 - windows[:, 0], windows[:, 0]], axis=1)

    x = np.linspace(0.0, 1.0, 7, dtype=np.float32)[:, None, None] * np.ones((1, 187, 1), np.float32)
    said = _Interpreted(Classifier(), 1)(x)  # type: ignore[arg-type]
    np.testing.assert_allclose(said, x[:, 0])


def test_a_bundle_that_may_have_seen_the_test_beats_is_refused(tmp_path: Path) -> None:
    of_bundle, facts = Teacher.open(SHIPPED), {"dataset": "mitdb", "split": "random", "fold": None}
    of_bundle.check({**facts, "data_sha256": "0" * 64})  # mitdb is mitdb, whatever the last bits of its windows.
    clinic = replace(of_bundle, info=replace(of_bundle.info, dataset="clinic"))  # type: ignore[arg-type]
    clinic.check({**facts, "dataset": "/somewhere/clinic", "data_sha256": clinic.info.data_sha256})
    for which, changes in ((of_bundle, {"split": "inter"}), (of_bundle, {"dataset": "ptb"}),
                           (clinic, {"dataset": "clinic", "data_sha256": "0" * 64})):  # fmt: skip
        with pytest.raises(UsageError, match="cannot teach this run"):
            which.check({**facts, **changes})
    bundle = load_bundle(SHIPPED)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "model.tflite").write_bytes(bundle.model)
    manifest = encode(replace(bundle.manifest, is_foreign=True))
    (tmp_path / "foreign" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="came as a Keras file: nobody here knows which beats it learnt from"):
        Teacher.open(tmp_path / "foreign")
    with pytest.raises(ModelError, match="the teacher: rhythm is a rhythm model"):
        Teacher.open("rhythm")


def test_of_several_the_average_teaches(teacher: Teacher) -> None:
    import tensorflow as tf
    import tf_keras as keras

    from train.step import optimizer_of, step_of

    rng = np.random.default_rng(3)
    x, y = rng.random((7, 187, 1), np.float32), np.eye(5, dtype=np.float32)[rng.integers(5, size=7)]
    wise, dull = teacher.network(), pupil(5)
    recipe = replace(QUICK, teacher_share=1.0)
    step = step_of(tf, keras, pupil(5), pupil(5), optimizer_of(keras, recipe), recipe, teachers=[wise, dull])
    average = (wise(x).numpy() + dull(x).numpy()) / 2
    by_hand = apart(average, softmax(BIAS)[None], recipe.teacher_temperature).mean()
    assert float(step(x, y, np.ones(7, np.float32), np.float32(0.5))) == pytest.approx(by_hand, rel=1e-4)


def test_two_workers_make_the_step_of_one(teacher: Teacher) -> None:
    import tensorflow as tf
    import tf_keras as keras

    from train.step import optimizer_of, step_of

    rng = np.random.default_rng(2)
    x, y = rng.random((7, 187, 1), np.float32), np.eye(5, dtype=np.float32)[rng.integers(5, size=7)]
    weights = rng.uniform(0.5, 2.0, 7).astype(np.float32)

    def loss(workers: Workers) -> float:
        model, optimizer = pupil(5), optimizer_of(keras, QUICK)
        step = step_of(tf, keras, model, pupil(5), optimizer, QUICK, workers, [teacher.network()])
        return float(step(x, y, weights, np.float32(0.5)))

    assert loss(Workers(0, 2)) + loss(Workers(1, 2)) == pytest.approx(loss(ALONE), rel=1e-5)


def test_a_resumed_pupil_is_the_straight_one_and_wants_its_teacher(
    beats: WindowSet, teacher: Teacher, tmp_path: Path
) -> None:
    def weights_of(folder: Path) -> list[np.ndarray]:
        from train.checkpoint import read_checkpoint

        return read_checkpoint(folder).weights

    recipe = replace(QUICK, epochs=2)
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    train(beats, straight, recipe, build=pupil, teachers=[teacher])

    def stop(x: Any, *_: Any) -> Any:
        raise KeyboardInterrupt

    class Stopped:
        """Windows that Ctrl-C comes over in the second epoch, after a batch and the validation of the first."""

        left = 2

        def __getitem__(self, key: Any) -> Any:
            self.left -= 1
            return stop(key) if self.left < 0 else beats.windows[key]

    halted = replace(beats, windows=Stopped())  # type: ignore[arg-type]
    assert train(halted, resumed, recipe, build=pupil, teachers=[teacher]).epochs_done == 1
    for others in ([], [replace(teacher, sha256="0" * 64)], [teacher, teacher]):
        with pytest.raises(UsageError, match="it began with another teachers_sha256"):
            train(beats, resumed, recipe, build=pupil, teachers=others, resume=True)
    train(beats, resumed, recipe, build=pupil, teachers=[teacher], resume=True)
    assert all(map(np.array_equal, weights_of(straight), weights_of(resumed)))


def test_a_teacher_that_may_have_seen_the_test_beats_is_refused(
    beats: WindowSet, teacher: Teacher, tmp_path: Path
) -> None:
    """`random` trains on beats of DS2, which `inter` tests on."""
    for told, go in (
        ("another split (random, here inter)", lambda: train(beats, tmp_path / "a", split="inter", teachers=[teacher])),
        ("another data_sha256", lambda: train(replace(beats, sha256="0" * 64), tmp_path / "b", teachers=[teacher])),
        ("another lead (MLII, here V1)", lambda: train(replace(beats, lead="V1"), tmp_path / "c", teachers=[teacher])),
    ):
        with pytest.raises(UsageError) as caught:
            go()
        assert told in str(caught.value)
        assert "teacher cannot teach this run" in str(caught.value)
        assert "Name a teacher of the same data, split and fold" in str(caught.value)
    facts = {"split": "patient", "fold": 1, "n_folds": 5}
    of_fold = replace(teacher, info=replace(INFO, **facts))  # type: ignore[arg-type]
    of_fold.check(facts)
    with pytest.raises(UsageError, match="another fold"):
        of_fold.check({**facts, "fold": 2})
    for key, value in (("segmentation", "paper"), ("label_set", "binary"), ("preprocessing_fingerprint", "")):
        with pytest.raises(UsageError, match=f"another {key}"):
            of_fold.check({key: value})


def test_a_teacher_is_known_by_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path))
    folder = tmp_path / "wise"
    folder.mkdir()
    with pytest.raises(DataError, match="the teacher: no run 'wise'"):
        Teacher.open("wise")
    write_run(folder, INFO)
    with pytest.raises(DataError, match=rf"the teacher: .*holds no {WEIGHTS}"):
        Teacher.open("wise")
    (folder / WEIGHTS).write_bytes(b"old")
    known = Teacher.open(folder)
    assert known.name == "wise", "by its name, wherever the runs are moved to"
    assert Teacher.open(known.name, known.sha256) == known
    (folder / WEIGHTS).write_bytes(b"new")
    with pytest.raises(UsageError, match=r"the teacher .* has changed: .* Put the old ones back"):
        Teacher.open(known.name, known.sha256)


def test_what_is_wrong_with_a_teacher_is_told_before_the_work_begins(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path))
    monkeypatch.setenv("EDGE_ECG_DATA", str(tmp_path / "no-data"))
    for name in ("wise", "begun"):
        (tmp_path / name).mkdir()
        (tmp_path / name / WEIGHTS).write_bytes(name.encode())
    write_run(tmp_path / "wise", INFO)
    write_run(tmp_path / "begun", replace(INFO, teachers=("wise",), teachers_sha256=("0" * 64,)))
    start = ["train", "--network", "tiny", "--data", "mitdb"]
    share = tmp_path / "share.toml"
    share.write_text("teacher_share = 1.5\n")
    for code, args, told in (
        (5, [*start, "--teacher", "absent"], "the teacher: no run 'absent'"),
        (2, [*start, "--teacher", "wise", "--split", "inter"], "wise cannot teach this run"),
        (2, [*start, "--teacher", "wise", "--config", str(share)], '"teacher_share" must be above 0, up to 1'),
        (2, ["train", "--resume", "begun", "--teacher", "wise"], "--teacher means nothing with --resume"),
        (2, ["train", "--resume", "begun"], "has changed"),
    ):
        assert run(args) == code, args
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edge-ecg: ")]
        assert len(errors) == 1
        assert told in errors[0]
    assert read_run(tmp_path / "begun").teachers == ("wise",)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["begun", "share.toml", "wise"]
