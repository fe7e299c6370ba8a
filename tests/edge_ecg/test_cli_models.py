"""`edge-ecg models`: what is shipped says what it is, and what was tampered with is found out."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_ecg.bundles import GOLDEN_FILES, kind_of, read_manifest
from edge_ecg.cli.main import run
from edge_ecg.errors import ModelError
from edge_ecg.manifest import ModelManifest, find_bundle, load_bundle, shipped_ids
from edge_ecg.schema import decode

MODEL = "mitdb-baseline-int8"
ROW_FIELDS = [
    *("id", "kind", "network", "dataset", "precision", "bytes", "accuracy", "macro_f1", "split"),
    *("patients_on_both_sides", "lead", "labels", "n_test", "n_parameters", "seed", "sha256", "other_splits"),
]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(find_bundle(MODEL), folder)
    return folder


def test_the_list_has_size_figures_and_split(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list"]) == 0
    out = capsys.readouterr().out
    for name in shipped_ids("network"):
        (line,) = [line for line in out.splitlines() if line.startswith(name)]
        assert "patients on both sides" in line
    assert "  on new patients (inter split)" in out
    heads, *lines = out.splitlines()
    at = heads.index("accuracy") + len("accuracy")
    figures = [line[at - 9 : at].strip() for line in lines if not line.startswith("rhythm")]
    assert all(re.fullmatch(r"0\.\d{4}", figure) for figure in figures), "one column, whatever the ids"
    assert run(["models", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == list(shipped_ids())
    for row in rows:
        if row["kind"] != "network":
            continue
        assert list(row) == ROW_FIELDS
        assert row["bytes"] == (find_bundle(row["id"]) / "model.tflite").stat().st_size
        assert row["labels"] == (["N", "S", "V", "F", "Q"] if row["dataset"] == "mitdb" else ["normal", "abnormal"])
        assert 0.9 < row["accuracy"] <= 1
        assert row["split"] in {"random", "inter"}


def test_a_card_and_a_manifest_are_shown(capsys: pytest.CaptureFixture[str], bundle: Path) -> None:
    assert run(["models", "show", MODEL]) == 0
    card = capsys.readouterr().out
    assert card.startswith(f"# {MODEL}")
    assert "Not a medical device" in card
    assert run(["models", "show", str(bundle), "--json"]) == 0
    shown = decode(ModelManifest, json.loads(capsys.readouterr().out), where="shown", error=ModelError)
    assert shown == load_bundle(bundle).manifest
    (bundle / "card.md").unlink()
    assert run(["models", "show", str(bundle)]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == MODEL
    assert run(["models", "show", "nope"]) == 3
    assert MODEL in capsys.readouterr().err


def test_what_is_shipped_verifies(capsys: pytest.CaptureFixture[str], bundle: Path) -> None:
    assert run(["models", "verify"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == ["ok"] * len(shipped_ids())
    for name in (MODEL, bundle, bundle / "model.tflite", bundle / "manifest.json"):
        assert run(["models", "verify", str(name), "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert row["ok"] is True
        assert row["golden_beats"] == 100
        assert row["checked"][:3] == ["hash", "fingerprint", "tensors"]


def test_the_line_tells_what_was_checked(capsys: pytest.CaptureFixture[str], bundle: Path) -> None:
    compiled = b"for the Edge TPU"
    (bundle / "model_edgetpu.tflite").write_bytes(compiled)
    facts = {"bytes": len(compiled), "sha256": hashlib.sha256(compiled).hexdigest(), "compiler": "16.0"}
    manifest_with("edgetpu", facts)(bundle)
    n = sum(load_bundle(bundle).manifest.operators.values())
    assert n > 10
    assert run(["models", "verify", str(bundle)]) == 0
    told = f"hash, fingerprint, tensors, {n} operators, the Edge TPU file, 100 golden beats"
    assert capsys.readouterr().out == f"ok      {MODEL}: {told}\n"
    # Bundles of before tell neither.
    manifest_with("edgetpu", None)(bundle)
    manifest_with("operators", {})(bundle)
    assert run(["models", "verify", str(bundle)]) == 0
    assert "hash, fingerprint, tensors, 100 golden beats" in capsys.readouterr().out
    manifest_with("edgetpu", facts | {"sha256": "0" * 64})(bundle)
    assert run(["models", "verify", str(bundle)]) == 3
    assert "model_edgetpu.tflite is not the one of its manifest" in capsys.readouterr().out


def test_golden_beats_take_little_room() -> None:
    for name in shipped_ids():
        folder = find_bundle(name)
        assert (folder / GOLDEN_FILES[kind_of(read_manifest(folder), name)]).stat().st_size < 60_000


def flip_a_bit(folder: Path) -> None:
    model = bytearray((folder / "model.tflite").read_bytes())
    model[-100] ^= 4
    (folder / "model.tflite").write_bytes(model)


def cut_model(folder: Path) -> None:
    model = folder / "model.tflite"
    model.write_bytes(model.read_bytes()[:1000])


def no_model(folder: Path) -> None:
    (folder / "model.tflite").unlink()


def manifest_with(key: str, value: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "manifest.json"
        manifest = json.loads(file.read_text())
        at = manifest
        *path, last = key.split(".")
        for name in path:
            at = at[name]
        at[last] = value
        file.write_text(json.dumps(manifest))

    return change


def manifest_text(text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "manifest.json").write_text(text)

    return change


def golden_with(change_beats: Callable[[list[dict[str, list[float]]]], None]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "golden.json"
        golden = json.loads(file.read_text())
        change_beats(golden["beats"])
        file.write_text(json.dumps(golden))

    return change


def no_golden(folder: Path) -> None:
    (folder / "golden.json").unlink()


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (flip_a_bit, "SHA-256"),
        (cut_model, "SHA-256"),
        (no_model, "cannot be read"),
        (manifest_text("{"), "cannot be read"),
        (manifest_text("[]"), "no JSON object"),
        (manifest_text("{}"), "schema version"),
        (manifest_with("schema_version", 99), "schema version 99"),
        (manifest_with("label_set", "aami3"), "3 classes"),
        (manifest_with("kind", "forest"), "unknown kind of bundle 'forest'"),
        (manifest_with("extra", 1), 'unknown key "extra"'),
        (manifest_with("label_set", "aami6"), "unknown label_set"),
        (manifest_with("preprocessing.highpass_hz", 0.05), "preprocessing"),
        (manifest_with("preprocessing_fingerprint", "0" * 16), "preprocessing"),
        (manifest_with("preprocessing_version", 99), "version 99"),
        (manifest_with("input.scale", 0.5), "the input of"),
        (manifest_with("input.zero_point", 0), "do not belong together"),
        (manifest_with("output.shape", [1, 2]), "fit"),
        (manifest_with("operators.CONV_2D", 3), "operators CONV_2D, its manifest says 3"),
        (manifest_with("operators.RESIZE_BILINEAR", 1), "has 0 operators RESIZE_BILINEAR, its manifest says 1"),
        (no_golden, "golden.json"),
        (golden_with(lambda beats: beats[0]["probs"].reverse()), "golden beat 0"),
        (golden_with(lambda beats: beats.clear()), "no beat"),
        (golden_with(lambda beats: beats[0]["window"].pop()), "does not fit"),
        (golden_with(lambda beats: beats[0]["probs"].pop()), "does not fit"),
    ],
)
def test_what_was_tampered_with_is_found_out(
    capsys: pytest.CaptureFixture[str], bundle: Path, tamper: Callable[[Path], None], told: str
) -> None:
    tamper(bundle)
    assert run(["models", "verify", str(bundle), MODEL]) == 3
    captured = capsys.readouterr()
    broken, good = captured.out.splitlines()
    assert broken.startswith("broken  ")
    assert told in broken
    assert good.startswith(f"ok      {MODEL}")
    (line,) = captured.err.splitlines()
    assert line.startswith("edge-ecg: 1 of 2 models must not be used")
    assert run(["models", "verify", str(bundle), "--json"]) == 3
    (row,) = json.loads(capsys.readouterr().out)
    assert row["ok"] is False
    assert told in row["problem"]
