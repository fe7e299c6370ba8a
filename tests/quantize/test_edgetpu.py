"""What an Edge TPU takes of a graph, told operator by operator; and Google's compiler, here by scripts in its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_ecg.errors import ModelError
from edge_ecg.infer.operators import Operator, Tensor, operators_of
from edge_ecg.manifest import load_bundle
from quantize.edgetpu import COMPILER_MISSING, CUSTOM_OP, compile_for_edgetpu, edgetpu_report

ROOT = Path(__file__).resolve().parents[2]
MODEL = "mitdb-baseline-int8"


def tensor(*shape: int, dtype: str = "int8", n_scales: int = 1, is_constant: bool = False) -> Tensor:
    return Tensor("t", dtype, shape, n_scales, is_constant)


def weights(*shape: int, dtype: str = "int8", n_scales: int = 1) -> Tensor:
    return tensor(*shape, dtype=dtype, n_scales=n_scales, is_constant=True)


CONV = Operator(
    "CONV_2D",
    (tensor(1, 1, 187, 1), weights(16, 1, 5, 1, n_scales=16), weights(16, dtype="int32", n_scales=16)),
    (tensor(1, 1, 183, 16),),
)
MAX = Operator("REDUCE_MAX", (tensor(1, 1, 183, 16), weights(2, dtype="int32", n_scales=0)), (tensor(1, 16),))
DENSE = Operator("FULLY_CONNECTED", (tensor(1, 16), weights(5, 16), weights(5, dtype="int32")), (tensor(1, 5),))
SOFTMAX = Operator("SOFTMAX", (tensor(1, 5),), (tensor(1, 5),))
GRAPH = (CONV, MAX, DENSE, SOFTMAX)


def why_not(op: Operator) -> str:
    (placement,) = edgetpu_report([op]).placements
    assert placement.is_mapped == (not placement.why_not)
    return placement.why_not


def test_every_operator_of_the_shipped_model_maps() -> None:
    operators = operators_of(load_bundle(MODEL).model)
    report = edgetpu_report(operators)
    assert report.is_whole, report.markdown()
    assert [p.operator for p in report.placements] == list(operators)
    assert report.summary == f"all {len(operators)} operators are on Google's list for the Edge TPU"


def test_the_document_has_the_table_of_the_shipped_model() -> None:
    table = edgetpu_report(operators_of(load_bundle(MODEL).model)).markdown()
    document = (ROOT / "docs" / "coral.md").read_text("utf-8")
    assert table in document, f"docs/coral.md shows another table; now it is\n{table}"


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (replace(CONV, name="CUMSUM"), "not on Google's list"),
        (replace(CONV, name="DEQUANTIZE"), "not on Google's list"),
        (replace(CONV, inputs=(tensor(1, 1, 187, 1, dtype="float32"), *CONV.inputs[1:])), "float32, not int8 or uint8"),
        (replace(CONV, outputs=(tensor(1, 1, 183, 16, dtype="int16"),)), "int16, not int8 or uint8"),
        (replace(CONV, inputs=(CONV.inputs[0], weights(16, 1, 5, 1, dtype="float16"))), "float16 weights"),
        (replace(CONV, inputs=(tensor(-1, 1, 187, 1), *CONV.inputs[1:])), "size that is not fixed (-1 x 1 x 187 x 1)"),
        (replace(CONV, inputs=(tensor(2, 1, 187, 1), *CONV.inputs[1:])), "three dimensions (2 x 1 x 187 x 1)"),
        (replace(CONV, inputs=(CONV.inputs[0], tensor(16, 1, 5, 1))), "weights that are computed"),
        (replace(DENSE, inputs=(tensor(1, 16), weights(5, 16, n_scales=5))), "weights quantised per channel"),
        (replace(DENSE, inputs=(tensor(3, 16), weights(5, 16)), outputs=(tensor(3, 5),)), "one dimension (3 x 5)"),
        (replace(SOFTMAX, inputs=(tensor(2, 5),)), "more than one dimension"),
        (replace(SOFTMAX, inputs=(tensor(1, 16_001),)), "16,000"),
        (replace(MAX, inputs=(tensor(4, 16),), outputs=(tensor(16),)), "a reduction over the batch"),
        (Operator("MEAN", (tensor(1, 1, 183, 6),), (tensor(1, 1, 183),)), "6 channels, no multiple of 4"),
    ],
)
def test_what_is_not_mapped_has_its_reason(op: Operator, reason: str) -> None:
    assert reason in why_not(op)


@pytest.mark.parametrize("op", [*GRAPH, replace(DENSE, inputs=(tensor(1, 16, dtype="uint8"), *DENSE.inputs[1:]))])
def test_what_is_mapped_has_none(op: Operator) -> None:
    assert why_not(op) == ""


def test_a_graph_is_split_once() -> None:
    broken = (CONV, replace(MAX, name="CUMSUM"), DENSE, SOFTMAX)
    report = edgetpu_report(broken)
    assert [p.is_mapped for p in report.placements] == [True, False, False, False]
    assert report.placements[1].why_not == "not on Google's list"
    assert report.placements[3].why_not == "behind number 2 (CUMSUM); a graph is split once"
    assert not report.is_whole
    assert report.summary == "1 of 4 operators map to the Edge TPU; number 2 (CUMSUM): not on Google's list"
    rows = report.markdown().splitlines()
    assert len(rows) == 2 + len(broken)
    assert rows[3] == "| 2 | CUMSUM | 1 x 16 | no | not on Google's list |"


SCRIPT = """#!/bin/sh
case "$1" in --version) echo "Edge TPU Compiler version 16.0.384591198"; exit 0;; esac
while [ $# -gt 1 ]; do [ "$1" = --out_dir ] && out=$2; shift; done
"""
WORKS = SCRIPT + '(cat "$1"; printf edgetpu-custom-op) > "$out/model_edgetpu.tflite"\n'
FAILS = SCRIPT + 'echo "Edge TPU Compiler version 16.0"\necho "ERROR: Didn\'t find op for builtin opcode"\nexit 1\n'
MAPS_NOTHING = SCRIPT + 'cp "$1" "$out/model_edgetpu.tflite"\n'
WRITES_NOTHING = SCRIPT + 'echo "Internal compiler error. Aborting!"\n'


@pytest.fixture(name="compiler")
def compiler_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a script in the place of edgetpu_compiler."""

    def put(script: str) -> None:
        file = tmp_path / "edgetpu_compiler"
        file.write_text(script)
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return put


def test_the_compiler_gives_a_file_and_its_version(compiler) -> None:
    compiler(WORKS)
    assert compile_for_edgetpu(b"int8 model") == (b"int8 model" + CUSTOM_OP, "16.0.384591198")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (FAILS, "edgetpu_compiler failed (exit code 1): ERROR: Didn't find op for builtin opcode"),
        (MAPS_NOTHING, "edgetpu_compiler mapped no operator to the Edge TPU"),
        (WRITES_NOTHING, "edgetpu_compiler wrote no model_edgetpu.tflite: Internal compiler error. Aborting!"),
        ("no script", "edgetpu_compiler cannot be started: Exec format error"),
    ],
)
def test_a_compiler_that_fails_is_one_clear_error(script: str, told: str, compiler) -> None:
    compiler(script)
    with pytest.raises(ModelError) as caught:
        compile_for_edgetpu(b"int8 model")
    assert caught.value.message == told
    assert "--edgetpu" in caught.value.hint


def test_without_a_compiler_there_is_no_file_and_a_way_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compile_for_edgetpu(b"int8 model") is None
    for way in ("coral-edgetpu-stable", "Debian container", "Colab", "runs on the CPU meanwhile"):
        assert way in COMPILER_MISSING
