"""The Edge TPU: a library that works, refuses, crashes or hangs is tried in a child, and beats are labelled anyway."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_ecg.cli.main import run
from edge_ecg.doctor import judge_coral
from edge_ecg.errors import ModelError
from edge_ecg.infer import open_classifier
from edge_ecg.infer.edgetpu import LIBRARY_VARIABLE, Device, Probe, devices, find_library, probe
from edge_ecg.manifest import find_bundle, load_bundle
from edge_ecg.sources.virtual import EXCERPT

SOURCE = Path(__file__).with_name("delegates.c")
MODEL = "mitdb-baseline-int8"
BEATS = np.random.default_rng(0).random((5, 187), dtype=np.float32)

Build = Callable[[str], str]


@pytest.fixture(scope="session", name="library")
def library_fixture(tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], None]) -> Build:
    """Build the delegate library of one behaviour; gives its path."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        missing("no C compiler for the test libraries (Debian: apt install gcc, which CI has)")
    folder = tmp_path_factory.mktemp("delegates")

    def build(behaviour: str) -> str:
        target = folder / f"lib{behaviour.lower()}.so"
        if not target.exists():
            no_entry = ["-DBEHAVIOUR=WORKS", "-Dtflite_plugin_create_delegate=something_else"]
            define = no_entry if behaviour == "NO_ENTRY" else [f"-DBEHAVIOUR={behaviour}"]
            flags = ["-std=gnu99", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *define]
            subprocess.run([str(compiler), *flags, "-o", str(target), str(SOURCE)], check=True)
        return str(target)

    return build


def compiled_to(bundle: Path, model: bytes) -> None:
    """Make it the bundle's compiled file, hash and all."""
    (bundle / "model_edgetpu.tflite").write_bytes(model)
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    manifest["edgetpu"] = {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest(), "compiler": "16.0"}
    (bundle / "manifest.json").write_text(json.dumps(manifest), "utf-8")


@pytest.fixture(name="bundle")
def bundle_fixture(tmp_path: Path) -> Path:
    """A bundle that tells of a compiled file: here the model itself, which these libraries leave to the CPU."""
    folder = tmp_path / "with-edgetpu"
    shutil.copytree(find_bundle(MODEL), folder)
    compiled_to(folder, (folder / "model.tflite").read_bytes())
    return folder


@pytest.fixture(name="use")
def use_fixture(library: Build, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Make a library the machine's libedgetpu; gives its path."""

    def use(behaviour: str) -> str:
        monkeypatch.setenv(LIBRARY_VARIABLE, library(behaviour))
        return library(behaviour)

    return use


def n_prepared(path: str) -> int:
    """How often an interpreter of this process has offered its graph to the library."""
    return int(ctypes.CDLL(path).times_prepared())


SAYINGS = {
    "WORKS": (True, "ran a beat"),
    "REFUSES": (False, "refused: no Edge TPU of mine is plugged in"),
    "REFUSES_SILENTLY": (False, "refused: it found no Edge TPU"),
    "CRASHES": (False, "crashed (SIGSEGV) under ai-edge-litert"),
    "NO_ENTRY": (False, "undefined symbol: tflite_plugin_create_delegate"),
}


@pytest.mark.parametrize("behaviour", SAYINGS)
def test_each_library_has_its_sentence(behaviour: str, library: Build) -> None:
    path = library(behaviour)
    found = probe(load_bundle(MODEL).model, path)
    ok, sentence = SAYINGS[behaviour]
    assert found.ok == ok
    assert sentence in found.what
    assert path in found.what
    assert "\n" not in found.what
    assert ("feranick/libedgetpu" in found.what) == (behaviour == "CRASHES")


def test_a_library_that_hangs_is_given_up(library: Build) -> None:
    found = probe(load_bundle(MODEL).model, library("HANGS"), timeout_s=0.1)
    assert not found.ok
    assert "gave no answer in 0.1 s" in found.what


def test_a_model_that_the_interpreter_cannot_run_is_a_refusal(library: Build) -> None:
    found = probe(b"no model", library("WORKS"))
    assert not found.ok
    assert "refused" in found.what


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "libedgetpu is not on this machine" in probe(b"", None).what
    monkeypatch.setenv(LIBRARY_VARIABLE, "/nowhere/libedgetpu.so.1")
    assert f"{LIBRARY_VARIABLE} says /nowhere/libedgetpu.so.1" in probe(b"", find_library()).what


def test_a_device_that_may_not_be_opened_is_the_reason(library: Build) -> None:
    locked = Device(Path("/dev/bus/usb/002/003"), "plugdev", may_use=False)
    found = probe(load_bundle(MODEL).model, library("REFUSES_SILENTLY"), found=[locked])
    assert not found.ok
    assert "may not open /dev/bus/usb/002/003; sudo usermod -aG plugdev" in found.what


def test_a_library_that_works_is_used(bundle: Path, use: Callable[[str], str]) -> None:
    path = use("WORKS")
    before = n_prepared(path)
    classifier = open_classifier(bundle)
    assert n_prepared(path) > before, "the library was never asked"
    assert classifier.runs_on == "Edge TPU (libedgetpu)"
    assert classifier.remark == ""
    same = open_classifier(bundle, accelerator="cpu")
    assert same.runs_on == "CPU (ai-edge-litert)"
    assert np.array_equal(classifier.classify_many(BEATS), same.classify_many(BEATS))


@pytest.mark.parametrize("behaviour", ["REFUSES", "CRASHES"])
def test_one_that_does_not_work_leaves_the_beats_to_the_cpu(
    behaviour: str, bundle: Path, use: Callable[[str], str]
) -> None:
    use(behaviour)
    classifier = open_classifier(bundle)
    assert classifier.runs_on == "CPU (ai-edge-litert)"
    assert classifier.remark.startswith("labelling on the CPU, not the Edge TPU: ")
    assert SAYINGS[behaviour][1] in classifier.remark
    assert np.array_equal(classifier.classify_many(BEATS), open_classifier(MODEL).classify_many(BEATS))
    with pytest.raises(ModelError, match=r"(libcrashes\.so crashed|librefuses\.so refused)") as caught:
        open_classifier(bundle, accelerator="edgetpu")
    assert caught.value.hint


def test_without_a_compiled_file_nothing_is_tried_nor_said(use: Callable[[str], str]) -> None:
    use("CRASHES")
    assert open_classifier(MODEL).remark == ""
    with pytest.raises(ModelError, match="has no file for the Edge TPU"):
        open_classifier(MODEL, accelerator="edgetpu")


@pytest.mark.parametrize("accelerator", ["auto", "edgetpu"])
def test_a_compiled_file_of_another_hash_is_refused(accelerator, bundle: Path, use: Callable[[str], str]) -> None:
    use("WORKS")
    file = bundle / "model_edgetpu.tflite"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ModelError, match="is not the one of its manifest") as caught:
        open_classifier(bundle, accelerator=accelerator)
    assert "--accelerator cpu" in caught.value.hint
    assert open_classifier(bundle, accelerator="cpu").runs_on == "CPU (ai-edge-litert)"
    file.unlink()
    with pytest.raises(ModelError, match=r"model_edgetpu\.tflite cannot be read"):
        open_classifier(bundle, accelerator=accelerator)


def test_a_compiled_file_that_does_not_belong_to_the_model_is_not_run(bundle: Path, use: Callable[[str], str]) -> None:
    use("WORKS")
    compiled_to(bundle, b"junk")
    assert "refused" in open_classifier(bundle).remark
    whole = load_bundle(MODEL)
    scale = whole.manifest.input.scale
    compiled_to(bundle, whole.model.replace(struct.pack("<f", scale), struct.pack("<f", scale * 1.001)))
    classifier = open_classifier(bundle)
    assert classifier.runs_on == "CPU (ai-edge-litert)"
    assert "its manifest says" in classifier.remark
    with pytest.raises(ModelError, match="its manifest says"):
        open_classifier(bundle, accelerator="edgetpu")


def test_replay_says_once_where_it_runs_and_labels_all_the_same(
    bundle: Path, use: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    use("CRASHES")
    replay = ["replay", str(EXCERPT), "--model", str(bundle), "--jsonl", "-"]
    assert run(replay) == 0
    crashed = capsys.readouterr()
    assert crashed.err.count("labelling on the CPU, not the Edge TPU") == 1
    assert run([*replay, "--accelerator", "cpu"]) == 0
    asked = capsys.readouterr()
    assert "Edge TPU" not in asked.err
    n_beats = [text.count('"type": "beat"') + text.count('"type":"beat"') for text in (crashed.out, asked.out)]
    assert n_beats[0] == n_beats[1] > 300
    assert run([*replay, "--accelerator", "edgetpu"]) == 3
    assert "crashed (SIGSEGV)" in capsys.readouterr().err


def test_run_takes_the_flag_before_it_asks_for_a_board(
    bundle: Path, use: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    use("REFUSES")
    arguments = ["run", "--port", "/nowhere", "--model", str(bundle)]
    assert run([*arguments, "--accelerator", "edgetpu"]) == 3
    assert "no Edge TPU of mine" in capsys.readouterr().err
    assert run(arguments) == 4
    assert capsys.readouterr().err.count("labelling on the CPU, not the Edge TPU") == 1


def test_the_devices_of_a_machine(tmp_path: Path) -> None:
    assert devices(tmp_path) == ()
    for name, ids in {"2-1": ("18d1", "9302"), "1-1": ("1a6e", "089a"), "1-2": ("18d1", "4ee7")}.items():
        usb = tmp_path / "sys/bus/usb/devices" / name
        usb.mkdir(parents=True)
        for file, value in {"idVendor": ids[0], "idProduct": ids[1], "busnum": name[0], "devnum": "7"}.items():
            (usb / file).write_text(value + "\n")
    (tmp_path / "dev/bus/usb/002").mkdir(parents=True)
    (tmp_path / "dev/bus/usb/002/007").touch()
    (tmp_path / "dev/apex_0").touch()
    found = [(str(d.node.relative_to(tmp_path)), d.group, d.may_use) for d in devices(tmp_path)]
    assert found == [
        ("dev/apex_0", "apex", True),
        ("dev/bus/usb/001/007", "plugdev", False),
        ("dev/bus/usb/002/007", "plugdev", True),
    ]


def test_doctor_on_a_coral() -> None:
    works, crashed = Probe(True, "libedgetpu.so.1 ran a beat"), Probe(False, "libedgetpu.so.1 crashed (SIGSEGV)")
    usb = Device(Path("/dev/bus/usb/002/003"), "plugdev", may_use=True)
    locked = Device(Path("/dev/apex_0"), "apex", may_use=False)
    assert judge_coral("libedgetpu.so.1", [usb], works).status == "ok"
    assert "crashed (SIGSEGV)" in judge_coral("libedgetpu.so.1", [usb], crashed).detail
    assert judge_coral("libedgetpu.so.1", [usb], crashed).status == "warn"
    assert judge_coral("libedgetpu.so.1", [locked], works).next_step.startswith("sudo usermod -aG apex $USER")
    assert "no Edge TPU" in judge_coral("libedgetpu.so.1", [], None).detail


def test_doctor_speaks_of_a_coral_only_where_one_is(
    use: Callable[[str], str], bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(LIBRARY_VARIABLE, raising=False)
    run(["doctor"])
    here = find_library() is not None or devices() != ()
    assert ("coral" in capsys.readouterr().out) == here
    path = use("REFUSES")
    monkeypatch.setenv("EDGE_ECG__MODEL__ID", os.fspath(bundle))
    run(["doctor"])
    shown = capsys.readouterr().out
    assert f"coral          {path}, but no Edge TPU" in shown or here
    assert "labelling on the CPU, not the Edge TPU" in shown
