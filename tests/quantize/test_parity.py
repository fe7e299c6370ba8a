"""What a conversion costs is measured on all test beats, told, and limited."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.cli.main import run
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import UsageError
from edge_ecg.manifest import load_bundle
from quantize.convert import convert_source
from quantize.figures import split_metrics
from quantize.parity import LostTooMuchError, MaxDrop, check_parity, parity_lines, parity_of
from quantize.source import Source
from train.run import RUN_SCHEMA, Recipe, RunInfo
from train.splits import Split
from train.window_set import WindowSet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")

PARAMS = PreprocessParams()
NOBODY = np.array([], np.int64)


def beats_of(labels: list[int]) -> tuple[WindowSet, Split]:
    n, one = len(labels), np.ones(len(labels), np.int32)
    data = WindowSet.of(np.zeros((n, 187), np.float32), np.array(labels, np.uint8), one, one, dataset="mitdb")
    return data, Split("random", NOBODY, NOBODY, np.arange(n), patients_on_both_sides=True)


def sure_of(said: list[int], p: float = 0.8) -> np.ndarray:
    probs = np.full((len(said), 5), (1 - p) / 4, np.float32)
    probs[np.arange(len(said)), said] = p
    return probs


def test_parity_by_hand() -> None:
    # N N V V S; before all right but S as N; after one V as S, too.
    data, split = beats_of([0, 0, 2, 2, 1])
    before, after = sure_of([0, 0, 2, 2, 0]), sure_of([0, 0, 2, 1, 0])
    trained, converted = (split_metrics(probs, data, split) for probs in (before, after))
    p = parity_of(before, after, trained, converted, MaxDrop())
    assert (p.n, p.argmax_agreement, p.accuracy_points) == (5, 0.8, pytest.approx(-20))
    assert (p.largest_difference, p.mean_difference) == (pytest.approx(0.75), pytest.approx(2 * 0.75 / 25))
    assert (p.per_class["V"].se_points, p.per_class["V"].ppv_points) == (pytest.approx(-50), 0.0)
    assert p.per_class["N"].se_points == p.per_class["F"].se_points == 0.0
    assert (p.ec57_points["v_se"], p.ec57_points["v_ppv"]) == (pytest.approx(-50), 0.0)
    # Before, nothing was called S: no +P to compare with.
    assert (p.ec57_points["s_se"], p.ec57_points["s_ppv"]) == (0.0, None)
    assert p.macro_f1_points == pytest.approx(100 * (converted.macro_f1 - trained.macro_f1), abs=1e-6)


@pytest.mark.parametrize(
    ("accuracy", "macro_f1", "is_within"),
    [(-0.2, -1.0, True), (-0.21, 0.0, False), (0.0, -1.01, False), (5.0, 5.0, True), (1.0, -1.5, False)],
)
def test_more_than_was_allowed_of_either_is_too_much(accuracy: float, macro_f1: float, is_within: bool) -> None:
    m = load_bundle("mitdb-baseline-int8").manifest
    data, split = beats_of([0, 1])
    probs = sure_of([0, 1])
    metrics = split_metrics(probs, data, split)
    p = replace(
        parity_of(probs, probs, metrics, metrics, MaxDrop()), accuracy_points=accuracy, macro_f1_points=macro_f1
    )
    m = replace(m, parity=p)
    if is_within:
        check_parity(m)
        return
    with pytest.raises(LostTooMuchError, match=r"allowed are 0\.2 and 1; nothing is written") as caught:
        check_parity(m)
    assert caught.value.exit_code == 3
    assert "--force" in caught.value.hint
    assert caught.value.lines == parity_lines(m)


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b", "-1,0", "nan,1", "1,101", "0.2;1"])
def test_a_limit_that_is_none(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="as A,F"):
        MaxDrop.parse(text)
    assert run(["convert", "--int8", "no-such-run", "--max-drop", text]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert repr(text) in line
    assert "The default is 0.2,1" in line


def test_a_limit_is_read_and_told() -> None:
    assert MaxDrop.parse("0.5, 2") == MaxDrop(0.5, 2.0)
    assert str(MaxDrop.parse(" 0,1.25")) == "0,1.25"


def network() -> Any:
    """The class is the fifth of the window that is high."""
    import tf_keras as keras

    inputs = keras.Input((187, 1))
    x = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(5, "softmax")(x))
    kernel = np.zeros((187, 5), np.float32)
    for k in range(5):
        kernel[k * 37 : k * 37 + 37, k] = 1.0
    model.set_weights([kernel, np.zeros(5, np.float32)])
    return model


@pytest.fixture(scope="module")
def source() -> Source:
    rng = np.random.default_rng(0)
    at = np.arange(600)
    labels = (at % 5).astype(np.uint8)
    windows = rng.random((600, 187)).astype(np.float32) * 0.2
    for k in at:
        windows[k, labels[k] * 37 : labels[k] * 37 + 37] += 0.7
    one = np.ones(600, np.int32)
    data = WindowSet.of(windows, labels, one, one, dataset="mitdb")
    split = Split("random", at[::3], at[1::3], at[2::3], patients_on_both_sides=True)
    info = RunInfo(
        RUN_SCHEMA, "baseline", "mitdb", "random", True, 1, Recipe(), PARAMS, PARAMS.fingerprint(), data.sha256,
        "edge-ecg train", "", {}, 940, label_set="aami5", lead="MLII",
    )  # fmt: skip
    return Source(info, data, split, network())


def spoiled(source: Source, share: float) -> Source:
    """As if it had been pruned badly: a share of the V weights are gone."""
    model = network()
    kernel, bias = model.get_weights()
    kernel[74 : 74 + round(37 * share), 2] = 0.0
    model.set_weights([kernel, bias])
    return replace(source, network=model, changes=("pruned 0.2",))


def test_a_good_conversion_tells_its_parity(source: Source, tmp_path: Path) -> None:
    bundle = convert_source(source, "int8", tmp_path / "bundle", measured=False)
    m = bundle.manifest
    assert m.parity is not None
    assert (m.parity.n, m.parity.argmax_agreement, m.parity.max_drop) == (200, 1.0, (0.2, 1.0))
    assert 0 < m.parity.mean_difference < m.parity.largest_difference < 0.05
    assert (m.float_metrics.accuracy, m.changed_metrics, m.changes) == (1.0, None, ())
    assert m.calibration is not None
    assert (m.calibration.n, m.calibration.seed) == (200, 0)
    assert m.calibration.per_class == dict.fromkeys("NSVFQ", 40)
    card = (bundle.folder / "card.md").read_text()
    assert "Of 200 test beats 100.00 % get the same label" in card
    assert "Ranges from 200 beats of the training part (40 N, 40 S, 40 V, 40 F, 40 Q), drawn with seed 0." in card
    assert "It loses more" not in card


def test_what_loses_too_much_writes_nothing_unless_it_is_forced(source: Source, tmp_path: Path) -> None:
    bad, folder = spoiled(source, 1.0), tmp_path / "bundle"
    with pytest.raises(LostTooMuchError, match="points of accuracy") as caught:
        convert_source(bad, "int8", folder, measured=False)
    rows = [line.split() for line in caught.value.lines]
    assert ["V", "Se", "100.00", "0.00", "-100.00"] in rows
    assert not list(tmp_path.iterdir())

    m = convert_source(bad, "int8", folder, force=True, measured=False).manifest
    # Against the network as it was trained, not the spoiled one.
    assert (m.id, m.changes) == ("mitdb-baseline-pruned-0.2-int8", ("pruned 0.2",))
    assert m.float_metrics.accuracy == 1.0
    assert m.changed_metrics is not None
    assert m.changed_metrics.accuracy == pytest.approx(0.8)
    assert m.parity is not None
    assert (m.parity.accuracy_points, m.parity.is_within) == (pytest.approx(-20), False)
    card = (folder / "card.md").read_text()
    assert "**It loses more than the 0.2,1 points" in card
    assert "Changed after its training: pruned 0.2." in card

    allowed = MaxDrop(25, 30)
    assert convert_source(bad, "int8", tmp_path / "b", max_drop=allowed, measured=False).manifest.parity is not None


@pytest.mark.parametrize("precision", ["float16", "dynamic", "float32"])
def test_the_other_precisions_say_what_the_network_says(source: Source, tmp_path: Path, precision: str) -> None:
    bundle = convert_source(source, precision, tmp_path / "bundle", measured=False)
    m = bundle.manifest
    assert (m.id, m.precision, m.calibration) == (f"mitdb-baseline-{precision}", precision, None)
    assert (m.input.dtype, m.output.dtype) == ("float32", "float32")
    assert m.parity is not None
    assert m.parity.argmax_agreement == 1.0
    assert m.parity.largest_difference < (0.02 if precision == "dynamic" else 1e-3)
    assert m.operators["FULLY_CONNECTED"] == 1
    card = (bundle.folder / "card.md").read_text()
    assert ("tflite-runtime 2.14 (32-bit Arm) cannot load it" in card) == (precision == "dynamic")
    assert run(["models", "verify", str(bundle.folder)]) == 0
