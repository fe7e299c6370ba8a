"""What stands in a bundle's folder `mcu` beside the numbers: a firmware's main and how to use it."""

from __future__ import annotations

from edge_ecg.dsp.preprocess import PreprocessParams

__all__ = ["MAIN", "README", "windows_in_words"]


def windows_in_words(params: PreprocessParams) -> str:
    """How a window is cut, in one paragraph."""
    w = params.window
    return (
        f"One beat, {w.n_samples} samples. Resample the lead to {w.fs_hz:g} Hz and take a causal high-pass of "
        f"{params.highpass_hz:g} Hz. T is the median R-R interval of the past {w.rr_history_s:g} s, without those "
        f"above {w.rr_longest_s:g} s; {w.rr_default_s:g} s while there is none. The window begins at the R peak and is "
        f"{w.length_rr:g} T long, {w.n_samples} samples at most. Of each second of the {w.scale_history_s:g} s that "
        "end with the window take the lowest and the highest sample: the median of the lowest becomes 0, that of the "
        "highest 1, what lies beyond is clipped. Behind the window stand zeros, before they are quantised."
    )


MAIN = """\
/* @id@ on TensorFlow Lite Micro: checks itself with the golden beats, then labels windows.
 * @intended_use@
 */
#include "@id@.h"

#include "golden.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {

/* Optimised kernels want room of their own: see arena_used_bytes() and cut it down. */
constexpr size_t kArenaBytes = @NAME@_ARENA_BYTES + 8192;
alignas(16) uint8_t arena[kArenaBytes];

using Resolver = tflite::MicroMutableOpResolver<@n_operators@>;

TfLiteStatus RegisterOperators(Resolver& resolver) {
@registered@  return kTfLiteOk;
}

/* Index of the label of one quantised window, or -1. */
int LabelOf(tflite::MicroInterpreter& interpreter, const int8_t* window) {
  int8_t* input = interpreter.input(0)->data.int8;
  for (int k = 0; k < @NAME@_N_INPUTS; ++k) input[k] = window[k];
  if (interpreter.Invoke() != kTfLiteOk) return -1;
  return @name@_label(interpreter.output(0)->data.int8);
}

/* How many golden beats come out as they did when the model was made. */
int GoldenBeatsRight(tflite::MicroInterpreter& interpreter) {
  int right = 0;
  for (int beat = 0; beat < @NAME@_N_GOLDEN; ++beat) {
    const int8_t* expected = @name@_golden_outputs[beat];
    bool same = LabelOf(interpreter, @name@_golden_inputs[beat]) == @name@_label(expected);
    for (int k = 0; same && k < @NAME@_N_OUTPUTS; ++k) {
      int difference = interpreter.output(0)->data.int8[k] - expected[k];
      same = difference <= @NAME@_GOLDEN_TOLERANCE && -difference <= @NAME@_GOLDEN_TOLERANCE;
    }
    right += same;
  }
  return right;
}

}  // namespace

int main() {
  tflite::InitializeTarget();
  static Resolver resolver;
  if (RegisterOperators(resolver) != kTfLiteOk) return 1;
  static tflite::MicroInterpreter interpreter(tflite::GetModel(@name@_model), resolver, arena, kArenaBytes);
  if (interpreter.AllocateTensors() != kTfLiteOk) return 2;
  MicroPrintf("arena used: %u bytes", static_cast<unsigned>(interpreter.arena_used_bytes()));
  int right = GoldenBeatsRight(interpreter);
  MicroPrintf("golden beats right: %d of %d", right, @NAME@_N_GOLDEN);
  if (right != @NAME@_N_GOLDEN) return 3;

  /* From here on: a window of @NAME@_N_INPUTS floats, 0 to 1, each through @name@_quantise(),
   * then @name@_labels[LabelOf(interpreter, window)]. */
  return 0;
}
"""


README = """\
# @id@ on TensorFlow Lite Micro

**@intended_use@**

| file | what |
|---|---|
| `@id@.c`, `@id@.h` | the model as a C array of @bytes@ bytes (flash), and the constants of a firmware |
| `golden.h` | @n_golden@ beats as test vectors: int8 input, int8 output |
| `main.cc` | a whole program: registers the operators, allocates, checks itself with the golden beats |

## Into a project
1. Get TensorFlow Lite Micro for the board (its own `create_tflm_tree.py`, or the port of the board's maker).
2. Add the four files. `.c` and `.h` are C99 and also compile as C++11; TensorFlow Lite Micro itself wants C++17.
3. Register these operators with `MicroMutableOpResolver<@n_operators@>`, and no others: each one is code in flash.

| operator | method |
|---|---|
@operator_rows@
4. Give it an arena. It took @arena@ bytes (`@NAME@_ARENA_BYTES`), measured with tflite-micro
   @version@ on a computer with pointers of 8 bytes and the reference kernels. A 32-bit microcontroller
   takes less, since much of what is beside the tensors is pointers; optimised kernels (CMSIS-NN, ESP-NN) want room
   of their own, for which `main.cc` adds 8,192 bytes. `arena_used_bytes()` tells what it took.
5. Run it once. `golden beats right: @n_golden@ of @n_golden@` or nothing may be believed. An output may differ by up to
   @tolerance@ counts from what it was when the model was made, the label may not.

## A window
@windows@

Input sample = `@name@_quantise(x)`: x / scale, rounded to the nearest (halves to even), plus the
zero point, held within -128 .. 127. Label = `@name@_labels[@name@_label(output)]`;
`@name@_probability()` makes a probability of an output. Windows that are cut in another way get
wrong labels without a sign of it.

Nothing here detects R peaks: a firmware brings its own detector, or sends the samples to a computer that runs edge-ecg.
"""
