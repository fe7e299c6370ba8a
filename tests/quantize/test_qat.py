"""Quantisation-aware training: the int8 file says what the network said in training; zeros stay zeros."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_runs import small_baseline, small_residual, small_source

from edge_ecg.errors import UsageError
from edge_ecg.infer.operators import operators_of
from quantize.changes import PRUNING, QAT, Changes, change
from quantize.prune import pruned_layers, stored_sparsity
from quantize.qat import qat_to_int8, quantised_aware, train_quantised
from quantize.tune import Tuning

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")

SHORT = Tuning(epochs=10, learning_rate=1e-2)


def said_by(model: bytes, windows: NDArray[np.float32]) -> NDArray[np.int64]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    given, told = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    labels = []
    for window in np.rint(windows * 255.0 - 128.0).astype(np.int8):
        interpreter.set_tensor(given["index"], window.reshape(given["shape"]))
        interpreter.invoke()
        labels.append(int(interpreter.get_tensor(told["index"]).argmax()))
    return np.array(labels)


@pytest.mark.parametrize("build", [small_baseline, small_residual])
def test_the_int8_file_says_what_the_trained_network_says(build: Any, tmp_path: Path) -> None:
    network = build()
    source = small_source(network)
    model, tuned = train_quantised(network, source, SHORT, tmp_path, teacher=None)
    assert tuned.best["validation_accuracy"] > 0.3, "it learns"
    converted = qat_to_int8(model)

    windows = source.data.windows
    probs = np.asarray(model(windows[:, :, None], training=False))
    # Hardly trained as it is, it says two classes alike of some beats.
    top = np.sort(probs, axis=1)
    sure = top[:, -1] - top[:, -2] > 0.01
    assert sure.mean() > 0.3
    agree = said_by(converted, windows)[sure] == probs.argmax(axis=1)[sure]
    assert agree.mean() > 0.995

    operators = operators_of(converted)
    tensors = [t for op in operators for t in (*op.inputs, *op.outputs)]
    assert {t.dtype for t in tensors} <= {"int8", "int32"}
    for op in operators:
        if op.name in ("CONV_2D", "FULLY_CONNECTED"):
            kernel = op.inputs[1]
            assert kernel.n_scales == (kernel.shape[0] if op.name == "CONV_2D" else 1), op.name
        assert op.outputs[0].shape[0] == 1, "one beat"
    assert {op.name for op in operators} <= {
        "RESHAPE", "CONV_2D", "MAX_POOL_2D", "ADD", "REDUCE_MAX", "FULLY_CONNECTED", "SOFTMAX",
    }  # fmt: skip


def test_the_input_is_a_window_whatever_the_beats_reach() -> None:
    low = np.full((4, 187), 0.25, np.float32)
    converted = qat_to_int8(quantised_aware(small_baseline(), low))
    from ai_edge_litert.interpreter import Interpreter

    (given,) = Interpreter(model_content=converted).get_input_details()
    assert (given["dtype"], given["quantization"]) == (np.int8, (pytest.approx(1 / 255), -128))


def test_ranges_begin_with_those_of_the_network() -> None:
    network = small_residual()
    beats = small_source(network).data.windows
    first = next(x for x in network.layers if type(x).__name__ == "Conv2D")
    import tf_keras as keras

    highest = float(keras.Model(network.inputs, first.output)(beats[:, :, None]).numpy().max())
    model = quantised_aware(network, beats)
    of = {w.name.split("/")[-1]: w for w in model.get_layer(f"quant_{first.name}").weights}
    assert float(of["post_activation_max:0"]) == pytest.approx(highest, rel=0.01)
    assert float(of["post_activation_min:0"]) == 0.0


def test_zeros_stay_zeros(tmp_path: Path) -> None:
    network = small_baseline()
    source = small_source(network)
    done = change(source, Changes(prune=0.75, qat=True, epochs=1), tmp_path)
    assert done.convert is qat_to_int8
    assert done.source.changes == ("pruned 0.75", "qat")
    assert done.source.trained is network
    assert [t.what for t in done.tuned] == ["prune-0.75", "qat"]
    n_zeros = {k.before: k.before - k.after for k in done.kept if k.after < k.before}
    assert n_zeros == {3072: 2304}
    name = f"quant_{pruned_layers(network)[0]}"
    kernel = next(w for w in done.source.network.get_layer(name).weights if w.name.endswith("kernel:0"))
    assert int((kernel.numpy() == 0).sum()) == 2304
    stored = stored_sparsity(qat_to_int8(done.source.network))
    in_file = {k.n_weights: k.n_zeros for k in stored if k.n_weights in n_zeros}
    # Rounding makes some more.
    assert 2304 <= in_file[3072] < 2304 + 100

    # The float32 of the same change takes the pruned network as it is.
    plain = change(source, Changes(prune=0.75, epochs=1), tmp_path)
    assert [t.was_done for t in plain.tuned] == [True]
    assert plain.kept == done.kept
    assert plain.convert is None


def test_changes_that_make_no_sense_are_told() -> None:
    for asked, told in (
        ({"structured": True}, "--structured says how to prune, and not how much. Add --prune 0.5"),
        ({"prune": 1.5, "structured": True}, "between 0 and 1"),
        ({"epochs": 3}, "mean nothing without a change"),
        ({"qat": True, "epochs": 0}, "0 epochs"),
    ):
        with pytest.raises(UsageError, match=told):
            Changes(**asked)
    assert not Changes()
    assert Changes(0.8, qat=True).told == ("pruned 0.8", "qat")
    assert Changes(0.8, qat=True, epochs=2).options == ["--prune", "0.8", "--qat", "--epochs", "2"]
    assert Changes(0.5, structured=True).told == ("filters removed 0.5",)
    assert Changes(0.5, structured=True).options == ["--prune", "0.5", "--structured"]
    with pytest.raises(UsageError, match="rounding of int8, not of float32"):
        Changes(qat=True).check_precision("float32")
    assert PRUNING.epochs > QAT.epochs


def test_a_layer_that_cannot_be_trained_quantised_is_named() -> None:
    from tf_keras import Input, Model, layers

    inputs = Input((187, 1))
    x = layers.Flatten()(layers.Conv1D(4, 3, name="of_one_dimension")(inputs))
    network = Model(inputs, layers.Dense(5, activation="softmax")(x), name="foreign")
    with pytest.raises(UsageError, match="of_one_dimension"):
        quantised_aware(network, np.zeros((2, 187), np.float32))
