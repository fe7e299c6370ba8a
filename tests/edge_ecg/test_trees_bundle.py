"""Bundles of rhythm models: found, verified and refused by the rules of the others; what their trees decide."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rhythm_bundles import ALIKE, EARLY, POINTS, classifier_of, stumps, without_f, write_rhythm

from edge_ecg import bundles
from edge_ecg.cli.main import run
from edge_ecg.context.tracker import COLUMNS, CONTEXT_VERSION
from edge_ecg.doctor import examine
from edge_ecg.errors import ModelError
from edge_ecg.infer import largest, open_classifier
from edge_ecg.infer.golden import check_golden
from edge_ecg.infer.rhythm import RhythmClassifier
from edge_ecg.infer.trees import TreeTables, pack_trees
from edge_ecg.io.arrays import pack_arrays, unpack_arrays
from edge_ecg.labels import OPERATING_POINTS
from edge_ecg.manifest import find_bundle, load_any, load_bundle
from edge_ecg.rhythm_manifest import RhythmBundle, RhythmManifest
from edge_ecg.schema import decode

NETWORK = "mitdb-baseline-int8"
FEATURES = arrays(np.float32, (7, len(COLUMNS)), elements=st.floats(-20, 20, width=32))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_rhythm(tmp_path / "some-rhythm")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> RhythmClassifier:
    return classifier_of(write_rhythm(tmp_path_factory.mktemp("models") / "m"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object], file: str = "manifest.json") -> None:
    table = json.loads((folder / file).read_text("utf-8"))
    change(table)
    (folder / file).write_text(json.dumps(table), "utf-8")


def swap(folder: Path, model: bytes, **more: object) -> None:
    """Other trees, with a manifest that owns them."""
    (folder / "trees.npz").write_bytes(model)
    edit(folder, lambda m: m.update(sha256=hashlib.sha256(model).hexdigest(), **more))


# Found and checked


def test_either_kind_is_loaded_and_told_apart(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (bundle, bundle / "trees.npz", bundle / "manifest.json"):
        loaded = load_any(path)
        assert isinstance(loaded, RhythmBundle)
        assert loaded.folder == find_bundle(path) == bundle
        assert loaded.manifest.labels == ("N", "S", "V")
    assert load_any(NETWORK).manifest == load_bundle(NETWORK).manifest
    with pytest.raises(ModelError, match="tiny-rhythm is a rhythm model; a network is asked for") as caught:
        load_bundle(bundle)
    assert NETWORK in caught.value.hint
    assert check_golden(load_any(bundle)) == 3
    assert run(["models", "verify", str(bundle)]) == 0
    told = f"hash, fingerprint, {len(COLUMNS)} columns, 16 trees, 3 golden beats"
    assert capsys.readouterr().out == f"ok      tiny-rhythm: {told}\n"


def test_it_is_shown(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "show", str(bundle)]) == 0
    assert "Not a medical device" in capsys.readouterr().out
    assert run(["models", "show", str(bundle), "--json"]) == 0
    shown = decode(RhythmManifest, json.loads(capsys.readouterr().out), where="shown", error=ModelError)
    assert shown == load_any(bundle).manifest
    assert shown.learned("mitdb", "101")
    assert not shown.learned("mitdb", "100")


def test_shipped_bundles_may_be_of_both_kinds(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "models"
    shutil.copytree(find_bundle(NETWORK), place / NETWORK)
    write_rhythm(place / "tiny-rhythm")
    monkeypatch.setattr(bundles, "_SHIPPED", place)
    assert bundles.shipped_ids() == (NETWORK, "tiny-rhythm")
    assert (bundles.shipped_ids("network"), bundles.shipped_ids("rhythm")) == ((NETWORK,), ("tiny-rhythm",))
    assert run(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert ["tiny-rhythm", "int8"] in [line.split()[:2] for line in out.splitlines()]
    assert "  new patients, cross-validated (svdb)" in out
    assert "S 80/75, V 80/75" in out
    assert run(["models", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in rows] == ["network", "rhythm"]
    assert rows[1]["operating_points"] == POINTS
    assert rows[1]["healthy"]["balanced"]["false_s_per_hour"] == 1.4
    assert run(["models", "verify"]) == 0
    monkeypatch.setenv("EDGE_ECG__MODEL__ID", "tiny-rhythm")
    monkeypatch.setenv("EDGE_ECG__MODEL__OPERATING_POINT", "sensitive")
    checks = {check.name: check for check in examine()}
    assert (checks["models"].status, checks["model in use"].status) == ("ok", "ok")
    (place / "tiny-rhythm" / "trees.npz").write_bytes(b"")
    assert {c.status for c in examine() if c.name in ("models", "model in use")} == {"fail"}


def flip_a_bit(folder: Path) -> None:
    model = bytearray((folder / "trees.npz").read_bytes())
    model[len(model) // 2] ^= 4
    (folder / "trees.npz").write_bytes(model)


def with_manifest(**changes: object) -> Callable[[Path], None]:
    return lambda folder: edit(folder, lambda m: m.update(changes))


def without_column(folder: Path) -> None:
    edit(folder, lambda m: m["preprocessing"]["columns"].pop())


def renamed_column(folder: Path) -> None:
    edit(folder, lambda m: m["preprocessing"]["columns"].__setitem__(0, "rr"))


def of_the_next_version(folder: Path) -> None:
    edit(folder, lambda m: m["preprocessing"].update(version=CONTEXT_VERSION + 1))


def other_trees(tables: TreeTables) -> Callable[[Path], None]:
    return lambda folder: swap(folder, pack_trees(tables), n_trees=len(tables.leaf))


def with_golden(change: Callable[[dict[str, np.ndarray]], dict[str, Any]]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        file = folder / "golden.npz"
        held = unpack_arrays(file.read_bytes(), what="golden beats", error=ModelError)
        file.write_bytes(pack_arrays(held | change(held)))

    return tamper


def other_probs(beat: int, add: float) -> Callable[[Path], None]:
    def change(held: dict[str, np.ndarray]) -> dict[str, Any]:
        held["probs"][beat, 0] += add
        return {}

    return with_golden(change)


NONE_OF_F = replace(stumps(), leaf=stumps().leaf[:3], column=stumps().column[:3], bin=stumps().bin[:3],
                    mask=stumps().mask[:3], bias=np.zeros(3, np.float32))  # fmt: skip
NOT_A_NUMBER = replace(stumps(), scale=np.array([np.nan], np.float32))
LESS_SURE = replace(stumps(), scale=np.array([0.015], np.float32))

TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit": (flip_a_bit, "SHA-256"),
    "cut": (lambda folder: (folder / "trees.npz").write_bytes(b"PK"), "SHA-256"),
    "no trees": (lambda folder: (folder / "trees.npz").unlink(), "cannot be read"),
    "another kind": (with_manifest(kind="forest"), "unknown kind of bundle 'forest'"),
    "a kind that is none": (with_manifest(kind=["rhythm"]), "unknown kind of bundle"),
    "a network's": (lambda folder: edit(folder, lambda m: m.pop("kind")), "manifest.json"),
    "a newer schema": (with_manifest(schema_version=2), "schema version 2"),
    "an unknown key": (with_manifest(colour="red"), 'unknown key "colour"'),
    "five classes": (with_manifest(label_set="aami5"), '"label_set" must be one of "aami3"'),
    "a column less": (without_column, "was made for preprocessing"),
    "another column": (renamed_column, "was made for preprocessing"),
    "another version": (of_the_next_version, f"(version {CONTEXT_VERSION + 1})"),
    "another fingerprint": (with_manifest(preprocessing_fingerprint="0" * 16), "was made for preprocessing"),
    "a point less": (lambda f: edit(f, lambda m: m["operating_points"].pop("sensitive")), "operating_points"),
    "a point of nothing": (lambda f: edit(f, lambda m: m["operating_points"]["balanced"].update(S=0)), "above 0"),
    "a point for F": (lambda f: edit(f, lambda m: m["operating_points"]["balanced"].update(F=1)), "N, S, V"),
    "fewer trees": (with_manifest(n_trees=12), "and 16 trees, its manifest says"),
    "trees without F": (other_trees(NONE_OF_F), "3 classes"),
    "trees of other columns": (other_trees(stumps(n_columns=len(COLUMNS) + 1)), f"has {len(COLUMNS) + 1} columns"),
    "trees that are none": (lambda folder: swap(folder, b"PK"), "trees.npz: no tables of trees"),
    "trees that say no number": (other_trees(NOT_A_NUMBER), "golden beat 0"),
    "other trees": (other_trees(LESS_SURE), "golden beat"),
    "another answer": (other_probs(1, 0.7), "golden beat 1"),
    "almost the answer": (other_probs(0, 2e-3), "differs by"),
    "a feature less": (with_golden(lambda g: {"features": g["features"][:, 1:]}), "does not fit"),
    "no golden beats": (with_golden(lambda g: {n: g[n][:0] for n in ("reference", "features", "probs")}), "no beat"),
    "a golden beat less": (with_golden(lambda g: {"features": g["features"][1:]}), "holds no golden beats"),
    "golden beats of another kind": (
        with_golden(lambda g: {"probs": g["probs"].astype(float)}),
        "holds no golden beats",
    ),
    "golden beats cut short": (lambda folder: (folder / "golden.npz").write_bytes(b"PK"), "golden.npz"),
    "no golden file": (lambda folder: (folder / "golden.npz").unlink(), "golden.npz"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_tampered_with_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    tamper, told = TAMPERED[what]
    tamper(bundle)
    assert run(["models", "verify", str(bundle)]) == 3
    captured = capsys.readouterr()
    assert captured.out.startswith("broken  ")
    assert told in captured.out
    assert captured.err.startswith("edge-ecg: 1 of 1 models must not be used")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_trees_that_were_damaged_before_they_were_hashed(tmp_path_factory: Any, data: st.DataObject) -> None:
    folder = write_rhythm(tmp_path_factory.getbasetemp() / "damaged")
    packed = bytearray((folder / "trees.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    swap(folder, bytes(packed))
    try:
        probs = classifier_of(folder).classify(np.zeros(len(COLUMNS), np.float32))
    except ModelError:
        return
    assert probs.shape == (3,)


# What it says


@settings(max_examples=30, deadline=None)
@given(x=FEATURES)
def test_probabilities_are_those_of_the_trees_without_f(classifier: RhythmClassifier, x: np.ndarray) -> None:
    probs = classifier.classify_many(x)
    assert probs.dtype == np.float32
    assert np.allclose(probs.sum(axis=1), 1.0, atol=1e-5)
    assert np.allclose(probs, without_f(stumps(), x), atol=1e-5)
    assert probs.tobytes() == np.stack([classifier.classify(row) for row in x]).tobytes()


def test_a_beat_that_is_f_and_nothing_else_gets_an_answer(tmp_path: Path) -> None:
    sure_of_f = classifier_of(write_rhythm(tmp_path / "f", stumps(f_bias=500.0)))
    probs = sure_of_f.classify_many(np.zeros((2, len(COLUMNS)), np.float32))
    assert np.allclose(probs.sum(axis=1), 1.0)
    classes, confidences = sure_of_f.decide(probs)
    assert np.isfinite(confidences).all()
    assert set(classes) <= {0, 1, 2}


@pytest.fixture(scope="module")
def at_points(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RhythmClassifier]:
    folder = write_rhythm(tmp_path_factory.mktemp("points") / "m")
    return {point: classifier_of(folder, operating_point=point) for point in OPERATING_POINTS}


@settings(max_examples=30, deadline=None)
@given(x=FEATURES)
def test_a_point_weights_probabilities_before_the_largest_decides(
    at_points: dict[str, RhythmClassifier], x: np.ndarray, classifier: RhythmClassifier
) -> None:
    probs = classifier.classify_many(x)
    n_ectopic = []
    for point, one in at_points.items():
        classes, confidences = one.decide(probs)
        weighted = probs * np.array([POINTS[point][label] for label in "NSV"])
        weighted /= weighted.sum(axis=1, keepdims=True)
        assert np.array_equal(classes, weighted.argmax(axis=1))
        assert np.allclose(confidences, weighted.max(axis=1))
        assert (confidences >= 1 / 3 - 1e-6).all()
        n_ectopic.append(int((classes > 0).sum()))
    assert n_ectopic == sorted(n_ectopic)
    classes, confidences = classifier.decide(probs)
    assert np.array_equal(classes, largest(probs)[0]), "balanced is the default, and weights nothing here"


def test_early_is_s_and_unlike_is_v(classifier: RhythmClassifier) -> None:
    x = np.zeros((3, len(COLUMNS)), np.float32)
    x[:, ALIKE] = 0.99
    x[1, EARLY], x[2, ALIKE] = -0.4, 0.1
    assert [classifier.labels[k] for k in classifier.decide(classifier.classify_many(x))[0]] == ["N", "S", "V"]
    assert classifier.decide(np.empty((0, 3), np.float32))[0].shape == (0,)


def test_a_model_is_opened_at_a_point(bundle: Path) -> None:
    assert isinstance(open_classifier(bundle), RhythmClassifier)
    opened = open_classifier(bundle, operating_point="sensitive", accelerator="cpu")
    assert isinstance(opened, RhythmClassifier)
    assert (opened.operating_point, opened.runs_on, opened.remark) == ("sensitive", "CPU (numpy)", "")
    with pytest.raises(ModelError, match=f"{NETWORK} is a network and has no operating points"):
        open_classifier(NETWORK, operating_point="balanced")
    with pytest.raises(ModelError, match="no operating point 'bold'"):
        open_classifier(bundle, operating_point="bold")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="on the CPU only"):
        open_classifier(bundle, accelerator="edgetpu")
