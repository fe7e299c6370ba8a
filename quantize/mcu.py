"""A model for TensorFlow Lite Micro: a C array with what a firmware must know, test vectors, and how to use them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import UsageError
from edge_ecg.infer.golden import TOLERANCE, GoldenBeat, GoldenBeats
from edge_ecg.infer.operators import operators_of
from edge_ecg.infer.tflite import quantised
from edge_ecg.manifest import ModelManifest, TensorSpec
from quantize.mcu_text import MAIN, README, windows_in_words
from quantize.micro import arena_bytes, micro_outputs, micro_version

__all__ = ["mcu_files"]

_METHODS = {
    "BATCH_MATMUL": "BatchMatMul",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
"""Operators whose method of MicroMutableOpResolver is not just their name in CamelCase."""


def mcu_files(
    model: bytes, manifest: ModelManifest, golden: GoldenBeats, *, arena: int | None = None
) -> dict[str, bytes]:
    """The files of a bundle's folder `mcu`, by name; the same bytes from the same model and `tflite-micro`.

    Parameters
    ----------
    model, manifest
        The .tflite file, int8 in and out, and its manifest.
    golden
        The bundle's golden beats: the first of each class becomes a test vector, with what TensorFlow Lite Micro
        gives for it here.
    arena
        In bytes, as `quantize.micro.arena_bytes` measured it; None measures it.

    Raises
    ------
    UsageError
        The model is not int8, or `tflite-micro` is not installed.
    ModelError
        TensorFlow Lite Micro does not run it.
    """
    if (manifest.input.dtype, manifest.output.dtype) != ("int8", "int8"):
        raise UsageError(
            f"a microcontroller wants int8 in and out, {manifest.id} has {manifest.input.dtype} in and "
            f"{manifest.output.dtype} out",
            "Convert with --int8 --mcu",
        )
    arena = arena_bytes(model) if arena is None else arena
    name = _identifier(manifest.id)
    beats = _first_of_each_class(golden.beats)
    inputs = _counts(beats, manifest.input)
    operators = sorted({operator.name for operator in operators_of(model)})
    methods = {operator: _method(operator) for operator in operators}
    facts = {
        "id": manifest.id,
        "name": name,
        "NAME": name.upper(),
        "intended_use": manifest.intended_use,
        "bytes": f"{len(model):,}",
        "arena": f"{arena:,}",
        "version": micro_version(),
        "tolerance": str(round(TOLERANCE / manifest.output.scale)),
        "n_operators": str(len(operators)),
        "registered": "".join(f"  if (resolver.{x}() != kTfLiteOk) return kTfLiteError;\n" for x in methods.values()),
        "operator_rows": "".join(f"| `{op}` | `{x}()` |\n" for op, x in methods.items()),
        "windows": textwrap.fill(windows_in_words(manifest.preprocessing), 110),
        "n_golden": str(len(beats)),
    }
    texts = {
        f"{manifest.id}.h": _header(manifest, name, arena),
        f"{manifest.id}.c": _source(model, manifest, name),
        "golden.h": _golden(golden.attribution, beats, inputs, micro_outputs(model, inputs), facts),
        "main.cc": _filled(MAIN, facts),
        "README.md": _filled(README, facts),
    }
    return {file: text.encode() for file, text in texts.items()}


def _identifier(text: str) -> str:
    """A name for C: what is no letter, digit or underscore of ASCII becomes an underscore."""
    plain = re.sub(r"[^0-9a-z]+", "_", text.lower()).strip("_")
    return plain if plain[:1].isalpha() else f"model_{plain}"


def _method(operator: str) -> str:
    camel = "".join(word.capitalize() for word in operator.split("_")).replace("2d", "2D")
    return f"Add{_METHODS.get(operator, camel)}"


def _first_of_each_class(beats: Iterable[GoldenBeat]) -> list[GoldenBeat]:
    first: dict[str, GoldenBeat] = {}
    for beat in beats:
        first.setdefault(beat.reference, beat)
    return list(first.values())


def _counts(beats: Sequence[GoldenBeat], spec: TensorSpec) -> NDArray[np.int8]:
    """What the network is fed, ``(n, n_inputs)``."""
    windows = np.array([beat.window for beat in beats], dtype=np.float32) / np.float32(255.0)
    return quantised(windows, spec).reshape(len(beats), -1)


def _filled(template: str, facts: dict[str, str]) -> str:
    """``@name@`` replaced; braces and dollars are C's own."""
    return re.sub(r"@(\w+)@", lambda match: facts[match[1]], template)


def _comment(*paragraphs: str) -> str:
    lines = [line for p in paragraphs for line in ["", *textwrap.wrap(p, 106, break_on_hyphens=False)]][1:]
    # What stands in a manifest must not end the comment, nor begin one within.
    told = "\n".join(f" * {line}".rstrip() for line in lines).replace("*/", "* /").replace("/*", "/ *")
    return f"/*\n{told}\n */\n"


def _real(value: float) -> str:
    """A float literal of C that gives the same float32."""
    text = f"{value:.9g}"
    return f"{text}f" if any(c in text for c in ".e") else f"{text}.0f"


def _text(value: str) -> str:
    """A string literal of C."""
    told = "".join(c if 32 <= ord(c) < 127 and c not in '"\\?' else f"\\{b:03o}" for c in value for b in c.encode())
    return f'"{told}"'


def _rows(values: Iterable[str], width: int) -> str:
    values = list(values)
    return "".join("  " + ",".join(values[k : k + width]) + ",\n" for k in range(0, len(values), width))


def _header(m: ModelManifest, name: str, arena: int) -> str:
    w, NAME = m.preprocessing.window, name.upper()
    n_inputs, n_outputs = int(np.prod(m.input.shape)), int(np.prod(m.output.shape))
    constants = {
        "ID": _text(m.id),
        "SHA256": _text(m.sha256),
        "MODEL_BYTES": f"{m.bytes}u",
        "ARENA_BYTES": f"{arena}u",
        "N_INPUTS": str(n_inputs),
        "INPUT_SCALE": _real(m.input.scale),
        "INPUT_ZERO_POINT": f"({m.input.zero_point})",
        "N_OUTPUTS": str(n_outputs),
        "OUTPUT_SCALE": _real(m.output.scale),
        "OUTPUT_ZERO_POINT": f"({m.output.zero_point})",
        "N_LABELS": str(len(m.labels)),
        "SAMPLING_HZ": _real(w.fs_hz),
        "HIGHPASS_HZ": _real(m.preprocessing.highpass_hz),
        "LENGTH_RR": _real(w.length_rr),
        "RR_HISTORY_S": _real(w.rr_history_s),
        "RR_LONGEST_S": _real(w.rr_longest_s),
        "RR_DEFAULT_S": _real(w.rr_default_s),
        "SCALE_HISTORY_S": _real(w.scale_history_s),
    }
    about = _comment(
        f"{m.id}: {m.intended_use}",
        f"Labels {', '.join(m.labels)}, in the order of the outputs; lead {m.lead}."
        + (" The one output is the probability of the second." if n_outputs == 1 else ""),
        f"A window: {windows_in_words(m.preprocessing)}",
        f"{NAME}_ARENA_BYTES was measured with tflite-micro {micro_version()} on a computer with pointers of 8 bytes "
        "and the reference kernels. A microcontroller with pointers of 4 bytes takes less; optimised kernels want "
        "room of their own beside it.",
    )
    defined = "".join(f"#define {NAME}_{key} {value}\n" for key, value in constants.items())
    return f"""{about}#ifndef {NAME}_H_
#define {NAME}_H_

#include <math.h>
#include <stdint.h>

{defined}
#ifdef __cplusplus
extern "C" {{
#endif

/* The .tflite file, at an address that is a multiple of 16. */
extern const unsigned char {name}_model[{NAME}_MODEL_BYTES];

extern const char *const {name}_labels[{NAME}_N_LABELS];

/* A sample of a window, 0 to 1, as the model takes it. */
static inline int8_t {name}_quantise(float sample) {{
  long count = lrintf(sample / {NAME}_INPUT_SCALE) + {NAME}_INPUT_ZERO_POINT;
  return (int8_t)(count < -128 ? -128 : count > 127 ? 127 : count);
}}

/* The probability that an output says. */
static inline float {name}_probability(int8_t output) {{
  return (float)(output - {NAME}_OUTPUT_ZERO_POINT) * {NAME}_OUTPUT_SCALE;
}}

/* Which of {name}_labels the outputs say. */
static inline int {name}_label(const int8_t *outputs) {{
{_choice(name, NAME, n_outputs)}}}

#ifdef __cplusplus
}}
#endif

#endif
"""


def _choice(name: str, NAME: str, n_outputs: int) -> str:
    if n_outputs == 1:
        return f"  return {name}_probability(outputs[0]) > 0.5f;\n"
    return f"""  int best = 0;
  for (int k = 1; k < {NAME}_N_OUTPUTS; ++k)
    if (outputs[k] > outputs[best]) best = k;
  return best;
"""


def _source(model: bytes, m: ModelManifest, name: str) -> str:
    NAME = name.upper()
    return f"""{_comment(f"{m.id}: {m.intended_use}")}#include "{m.id}.h"

#if defined(__cplusplus) && __cplusplus >= 201103L
#define ALIGNED_16 alignas(16)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define ALIGNED_16 _Alignas(16)
#elif defined(__GNUC__)
#define ALIGNED_16 __attribute__((aligned(16)))
#else
#error "say here how this compiler aligns an array to 16 bytes"
#endif

const char *const {name}_labels[{NAME}_N_LABELS] = {{
  {", ".join(_text(label) for label in m.labels)},
}};

ALIGNED_16 const unsigned char {name}_model[{NAME}_MODEL_BYTES] = {{
{_rows((f"0x{byte:02x}" for byte in model), 20)}}};
"""


def _golden(
    attribution: str,
    beats: Sequence[GoldenBeat],
    inputs: NDArray[np.int8],
    outputs: NDArray[np.int8],
    facts: dict[str, str],
) -> str:
    name, NAME = facts["name"], facts["NAME"]

    def array(rows: NDArray[np.int8]) -> str:
        return "".join(f"{{\n{_rows((str(int(v)) for v in row), 24)}}},\n" for row in rows)

    about = _comment(
        f"Test vectors of {facts['id']}: a beat of each class as the model takes it, and what the model gave for it "
        f"with tflite-micro {facts['version']} and its reference kernels. A model may be wrong: the reference is what "
        "experts said.",
        f"{facts['intended_use']}",
        f"{attribution}",
    )
    return f"""{about}#ifndef {NAME}_GOLDEN_H_
#define {NAME}_GOLDEN_H_

#include "{facts["id"]}.h"

#define {NAME}_N_GOLDEN {len(beats)}

/* Largest difference of an output that another processor's rounding may make, in counts. */
#define {NAME}_GOLDEN_TOLERANCE {facts["tolerance"]}

static const char *const {name}_golden_references[{NAME}_N_GOLDEN] = {{
  {", ".join(_text(beat.reference) for beat in beats)},
}};

static const int8_t {name}_golden_inputs[{NAME}_N_GOLDEN][{NAME}_N_INPUTS] = {{
{array(inputs)}}};

static const int8_t {name}_golden_outputs[{NAME}_N_GOLDEN][{NAME}_N_OUTPUTS] = {{
{array(outputs)}}};

#endif
"""
