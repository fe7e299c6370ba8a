"""What a microcontroller gets: the C compiles, is the model, and TensorFlow Lite Micro says what LiteRT says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.errors import ModelError, UsageError
from edge_ecg.front import inputs_of_record
from edge_ecg.infer.golden import GoldenBeats
from edge_ecg.infer.tflite import TfliteClassifier, quantised
from edge_ecg.io import read_annotations, read_record
from edge_ecg.labels import AAMI5
from edge_ecg.manifest import Bundle, TensorSpec, load_bundle
from edge_ecg.schema import decode
from quantize.mcu import mcu_files
from quantize.micro import STEP, arena_bytes, micro_outputs

C99 = ("gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
CXX = ("g++", "-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-pedantic")

# As much of TensorFlow Lite Micro as a firmware's main sees; it knows what the model gives for some windows.
FAKE_MICRO = r"""
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#define MicroPrintf(...) (std::printf(__VA_ARGS__), std::printf("\n"))
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
struct TfLiteTensor { union { int8_t* int8; float* f; } data; };
int fake_invoke(const int8_t* input, int8_t* output);
namespace tflite {
struct Model {};
inline const Model* GetModel(const void* bytes) { return static_cast<const Model*>(bytes); }
inline void InitializeTarget() {}
template <unsigned int n> struct MicroMutableOpResolver {
  unsigned int used = 0;
  TfLiteStatus Add() { return used++ < n ? kTfLiteOk : kTfLiteError; }
  TfLiteStatus AddConv2D() { return Add(); }
  TfLiteStatus AddFullyConnected() { return Add(); }
  TfLiteStatus AddMaxPool2D() { return Add(); }
  TfLiteStatus AddReduceMax() { return Add(); }
  TfLiteStatus AddReshape() { return Add(); }
  TfLiteStatus AddSoftmax() { return Add(); }
};
struct MicroInterpreter {
  int8_t in[4096], out[64];
  TfLiteTensor tensors[2];
  template <class Resolver> MicroInterpreter(const Model*, const Resolver&, uint8_t*, size_t) {
    tensors[0].data.int8 = in;
    tensors[1].data.int8 = out;
  }
  TfLiteStatus AllocateTensors() { return kTfLiteOk; }
  TfLiteStatus Invoke() { return fake_invoke(in, out) ? kTfLiteOk : kTfLiteError; }
  TfLiteTensor* input(size_t) { return &tensors[0]; }
  TfLiteTensor* output(size_t) { return &tensors[1]; }
  size_t arena_used_bytes() const { return 1; }
};
}
"""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("mitdb-baseline-int8")


@pytest.fixture(scope="module")
def golden(bundle: Bundle) -> GoldenBeats:
    return decode(GoldenBeats, json.loads((bundle.folder / "golden.json").read_text()), where="", error=ModelError)


@pytest.fixture(scope="module")
def arena(bundle: Bundle) -> int:
    return arena_bytes(bundle.model)


@pytest.fixture(scope="module", autouse=True)
def compilers(missing: Callable[[str], None]) -> None:
    for name in (C99[0], CXX[0]):
        if shutil.which(name) is None:
            missing(f"no {name} for the C sources (Debian: make ci-deps)")


@pytest.fixture(scope="module")
def files(bundle: Bundle, golden: GoldenBeats, arena: int) -> dict[str, bytes]:
    return mcu_files(bundle.model, bundle.manifest, golden, arena=arena)


def compiled(folder: Path, files: Mapping[str, bytes | str], command: tuple[str, ...], *sources: str) -> Path:
    for name, text in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = subprocess.run(
        [*command, "-I.", *sources, "-o", "program", "-lm"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[:2000]
    return folder / "program"


def in_one_line(file: bytes) -> str:
    """A file without the line breaks of its comments."""
    return " ".join(re.sub(r"\n \*", " ", file.decode()).split())


def said(program: Path, data: bytes = b"") -> bytes:
    return subprocess.run([program], input=data, stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize("command", [C99, CXX], ids=["C99", "C++11"])
def test_the_array_is_the_model_and_its_header_says_what_the_manifest_says(
    bundle: Bundle, files: dict[str, bytes], arena: int, command: tuple[str, ...], tmp_path: Path
) -> None:
    m = bundle.manifest
    main = r"""
    #include <stdio.h>
    #include "mitdb-baseline-int8.c"
    int main(void) {
      int k;
      if (__alignof__(mitdb_baseline_int8_model) != 16) return 1;
      fwrite(mitdb_baseline_int8_model, 1, sizeof mitdb_baseline_int8_model, stdout);
      printf("%s %s %u %u %d %.9g %d %d %.9g %d %d", MITDB_BASELINE_INT8_ID, MITDB_BASELINE_INT8_SHA256,
             MITDB_BASELINE_INT8_MODEL_BYTES, MITDB_BASELINE_INT8_ARENA_BYTES, MITDB_BASELINE_INT8_N_INPUTS,
             MITDB_BASELINE_INT8_INPUT_SCALE, MITDB_BASELINE_INT8_INPUT_ZERO_POINT, MITDB_BASELINE_INT8_N_OUTPUTS,
             MITDB_BASELINE_INT8_OUTPUT_SCALE, MITDB_BASELINE_INT8_OUTPUT_ZERO_POINT, MITDB_BASELINE_INT8_N_LABELS);
      for (k = 0; k < MITDB_BASELINE_INT8_N_LABELS; ++k) printf(" %s", mitdb_baseline_int8_labels[k]);
      printf(" %.9g %.9g", MITDB_BASELINE_INT8_SAMPLING_HZ, MITDB_BASELINE_INT8_LENGTH_RR);
      return 0;
    }
    """
    out = said(compiled(tmp_path, {**files, "own.c": main}, command, "own.c"))
    assert out[: len(bundle.model)] == bundle.model
    told = out[len(bundle.model) :].decode().split()
    assert told[:5] == [m.id, m.sha256, str(m.bytes), str(arena), "187"]
    for told_scale, spec in ((told[5], m.input), (told[8], m.output)):
        assert np.float32(told_scale) == np.float32(spec.scale)
    assert (told[6], told[7], told[9]) == (str(m.input.zero_point), "5", str(m.output.zero_point))
    assert told[10:] == ["5", *m.labels, "125", "1.20000005"]


def test_c_quantises_and_labels_as_the_device_does(
    bundle: Bundle, files: dict[str, bytes], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    # Real ones, halves between two counts, and what lies outside.
    window = np.concatenate(
        [rng.random(3000), (np.arange(255) + 0.5) / 255.0, np.arange(256) / 255.0, [-1.0, 2.0, -300.0, 300.0]]
    ).astype(np.float32)
    spec = replace(bundle.manifest.input, shape=(1, len(window), 1))
    main = r"""
    #include <stdio.h>
    #include "mitdb-baseline-int8.h"
    int main(void) {
      const int8_t outputs[3][5] = {{1, 2, 2, 0, 0}, {-128, -128, -128, -128, 127}, {0, 0, 0, 0, 0}};
      float x;
      while (fread(&x, sizeof x, 1, stdin) == 1) putchar(mitdb_baseline_int8_quantise(x) + 128);
      putchar(mitdb_baseline_int8_label(outputs[0]));
      putchar(mitdb_baseline_int8_label(outputs[1]));
      putchar(mitdb_baseline_int8_label(outputs[2]));
      return mitdb_baseline_int8_probability(127) != 255.0f / 256.0f;
    }
    """
    program = compiled(tmp_path, {**files, "own.c": main}, C99, "own.c")
    out = np.frombuffer(said(program, window.tobytes()), np.uint8).astype(int)
    assert np.array_equal(out[:-3] - 128, quantised(window[None], spec).reshape(-1))
    assert out[-3:].tolist() == [1, 4, 0]


def test_the_firmware_checks_itself_with_the_golden_beats(
    bundle: Bundle, golden: GoldenBeats, files: dict[str, bytes], tmp_path: Path
) -> None:
    about = in_one_line(files["golden.h"])
    assert golden.attribution in about
    assert bundle.manifest.intended_use in about
    micro = "tensorflow/lite/micro/"
    headers = {
        **dict.fromkeys((f"{micro}micro_interpreter.h", f"{micro}micro_log.h", f"{micro}system_setup.h"), FAKE_MICRO),
        f"{micro}micro_mutable_op_resolver.h": FAKE_MICRO,
        "tensorflow/lite/schema/schema_generated.h": FAKE_MICRO,
    }
    headers = {name: f'#pragma once\n#include "{"../" * name.count("/")}fake.h"\n' for name in headers}
    fake_invoke = r"""
    #include <cstdlib>
    #include "fake.h"
    #include "golden.h"
    int fake_invoke(const int8_t* input, int8_t* output) {
      const int off = std::atoi(std::getenv("COUNTS_OFF"));
      for (int beat = 0; beat < MITDB_BASELINE_INT8_N_GOLDEN; ++beat) {
        if (std::memcmp(input, mitdb_baseline_int8_golden_inputs[beat], MITDB_BASELINE_INT8_N_INPUTS)) continue;
        for (int k = 0; k < MITDB_BASELINE_INT8_N_OUTPUTS; ++k) {
          const int right = mitdb_baseline_int8_golden_outputs[beat][k];
          output[k] = static_cast<int8_t>(right > 0 ? right - off : right + off);
        }
        return 1;
      }
      return 0;
    }
    """
    sources = {**files, **headers, "fake.h": FAKE_MICRO, "fake.cc": fake_invoke}
    program = compiled(tmp_path, sources, CXX, "main.cc", "mitdb-baseline-int8.c", "fake.cc")
    tolerance = round(0.02 * 256)
    for off, n_right in ((0, 5), (tolerance, 5), (tolerance + 1, 0)):
        done = subprocess.run([program], env={"COUNTS_OFF": str(off)}, stdout=subprocess.PIPE, check=False)
        assert done.stdout.decode().splitlines()[-1] == f"golden beats right: {n_right} of 5"
        assert done.returncode == (0 if n_right == 5 else 3)


def test_what_the_folder_says(bundle: Bundle, golden: GoldenBeats, files: dict[str, bytes], arena: int) -> None:
    assert sorted(files) == ["README.md", "golden.h", "main.cc", "mitdb-baseline-int8.c", "mitdb-baseline-int8.h"]
    assert files == mcu_files(bundle.model, bundle.manifest, golden, arena=arena)
    readme = files["README.md"].decode()
    for told in (bundle.manifest.intended_use, f"{arena:,} bytes", "`REDUCE_MAX` | `AddReduceMax()`", "125 Hz"):
        assert told in readme
    assert "MicroMutableOpResolver<6>" in readme
    registered = re.findall(r"resolver\.(Add\w+)", files["main.cc"].decode())
    assert registered == sorted(registered), "in an order that no hash seed changes"
    assert len(registered) == 6
    assert not re.search(rb"@\w+@", b"".join(files.values()))


def test_two_classes_have_one_output(bundle: Bundle, golden: GoldenBeats, tmp_path: Path) -> None:
    m = replace(bundle.manifest, label_set="binary", id="0wn-Ärger.1", lead="*/ #error")
    m = replace(m, output=TensorSpec("int8", (1, 1), 1 / 256, -128))
    main = r"""
    #include "0wn-Ärger.1.h"
    int main(void) {
      const int8_t outputs[] = {-128, 0, 1, 127};
      int k;
      for (k = 0; k < 4; ++k)
        if (model_0wn_rger_1_label(&outputs[k]) != (k > 1)) return 1;
      return MODEL_0WN_RGER_1_N_LABELS != 2;
    }
    """
    files = mcu_files(bundle.model, m, golden, arena=16)
    said(compiled(tmp_path, {**files, "own.c": main}, C99, "own.c"))
    assert b'{\n  "normal", "abnormal",\n}' in files["0wn-Ärger.1.c"]
    assert "The one output is the probability of the second" in in_one_line(files["0wn-Ärger.1.h"])


def test_the_arena_is_the_smallest(bundle: Bundle, arena: int) -> None:
    assert 10_000 < arena < 30_000
    assert arena % STEP == 0
    program = """
import sys
from tflite_micro import runtime
runtime.Interpreter.from_bytes(open(sys.argv[1], "rb").read(), arena_size=int(sys.argv[2]))
"""
    ends = [
        subprocess.run([sys.executable, "-c", program, bundle.folder / "model.tflite", str(size)], capture_output=True)
        for size in (arena, arena - STEP)
    ]
    assert [end.returncode == 0 for end in ends] == [True, False]


def test_the_same_labels_as_on_litert(bundle: Bundle, data_dir: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    windows = np.concatenate([beats_of(data_dir / "mitdb" / name, bundle, 350) for name in ("208", "217", "232")])
    assert len(windows) >= 1000
    classifier, spec = TfliteClassifier(bundle), bundle.manifest.output
    inputs = quantised(windows, bundle.manifest.input)
    on_micro = micro_outputs(bundle.model, inputs).astype(int)
    assert len(np.unique(on_micro.argmax(axis=1))) == 5, "beats of every class"

    # LiteRT's own kernels compute the same, to the bit.
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=bundle.model, experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    for window, expected in zip(inputs, on_micro, strict=True):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], window)
        interpreter.invoke()
        assert np.array_equal(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0], expected)

    # Devices run it through XNNPACK, which rounds otherwise: another label only where two are as likely.
    on_device = np.rint(classifier.classify_many(windows) / spec.scale + spec.zero_point).astype(int)
    differ = (on_device != on_micro).any(axis=1)
    other = np.flatnonzero(on_device.argmax(axis=1) != on_micro.argmax(axis=1))
    print(f"{len(windows)} beats, {differ.sum()} differ, by {np.abs(on_device - on_micro).max()} counts at most, "
          f"{len(other)} labels")  # fmt: skip
    assert len(other) <= 0.005 * len(windows)
    assert differ.mean() < 0.1
    for k in other:
        gaps = [np.diff(np.sort(said[k])[-2:])[0] for said in (on_micro, on_device)]
        assert min(gaps) <= 40, f"beat {k}: {on_device[k]} and {on_micro[k]}"


def beats_of(name: Path, bundle: Bundle, n: int) -> Any:
    record, notes = read_record(name), read_annotations(name)
    r_pos = np.array([s for s, symbol in zip(notes.sample, notes.symbol, strict=True) if symbol in AAMI5], float)
    samples_mv = record.samples_mv([record.lead_index()])[:, 0].astype(float)
    beats = inputs_of_record(samples_mv, record.header.fs_hz, r_pos, bundle.manifest.preprocessing)
    return np.array([b.inputs for b in beats])[:: max(1, len(beats) // n)]


def test_what_cannot_be_run_is_told(
    bundle: Bundle, golden: GoldenBeats, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_float = replace(bundle.manifest, input=TensorSpec("float32", (1, 187, 1), 0.0, 0))
    with pytest.raises(UsageError, match=r"float32 in and int8 out.*--int8"):
        mcu_files(bundle.model, in_float, golden)
    for run in (arena_bytes, lambda model: micro_outputs(model, np.zeros((1, 187), np.int8))):
        with pytest.raises(ModelError, match=r"TensorFlow Lite Micro does not run this model: .*buffer"):
            run(bundle.model[:1000])
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    with pytest.raises(UsageError, match=r"tflite-micro is not installed.*pip install tflite-micro==0\.dev\d+"):
        arena_bytes(bundle.model)
