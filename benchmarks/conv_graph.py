"""What the 1 x k Conv2D of the networks saves against Conv1D: the same weights in both forms, as TFLite files.

python -m benchmarks.conv_graph      measure; `python -m benchmarks.tables` puts it into docs/results.md
"""

from __future__ import annotations

import json
import platform
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.training_results import NETWORKS

__all__ = ["one_dimensional", "section"]

RESULTS = Path(__file__).parent / "results"
_N_CLASSES = 5


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the JSON; default: this machine's results.")
def main(out: Path | None) -> None:
    """Count the operators of both forms and time them, in turns on one core.

    \b
    Example:
      python -m benchmarks.conv_graph
    """
    result = {"device": platform.machine(), "networks": {name: _both_forms(name) for name in NETWORKS}}
    file = (out or RESULTS / platform.machine()) / "conv_graph.json"
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    click.echo(section(result))
    click.echo(f"written: {file}", err=True)


def _both_forms(name: str) -> dict[str, Any]:
    from edge_ecg.infer.operators import operators_of
    from quantize.measure import latencies
    from quantize.precision import PRECISIONS
    from train.models import build_of

    network = build_of(name)(_N_CLASSES)
    beats = np.random.default_rng(0).random((200, network.input_shape[1])).astype(np.float32)
    forms = {"Conv1D": one_dimensional(network), "1 x k": network}
    x = beats[:, :, None]
    furthest = float(np.abs(np.asarray(forms["Conv1D"](x)) - np.asarray(network(x))).max())
    if furthest > 1e-5:
        raise AssertionError(f"the two forms of {name} differ by {furthest}")
    found: dict[str, Any] = {}
    for precision in ("float32", "int8"):
        files = {form: PRECISIONS[precision].convert(model, beats) for form, model in forms.items()}
        timed = latencies(files, beats)
        found[precision] = {
            form: {
                "operators": dict(sorted(Counter(o.name for o in operators_of(file)).items())),
                "bytes": len(file),
                "p50_us": timed[form].p50_us,
            }
            for form, file in files.items()
        }
    return found


def one_dimensional(network: Any) -> Any:
    """A network of 1 x k convolutions written with one-dimensional layers, with the same weights.

    Parameters
    ----------
    network
        One of `train.models`.
    """
    from tf_keras import layers, models

    def in_1d(layer: Any) -> Any:
        config = layer.get_config()
        match type(layer).__name__:
            case "Conv2D":
                kept = {key: config[key] for key in ("name", "filters", "padding", "activation", "use_bias")}
                return layers.Conv1D(kernel_size=config["kernel_size"][1], strides=config["strides"][1], **kept)
            case "MaxPooling2D":
                pool, stride = config["pool_size"][1], config["strides"][1]
                return layers.MaxPooling1D(pool, stride, config["padding"], name=config["name"])
            case "GlobalMaxPooling2D":
                return layers.GlobalMaxPooling1D(name=config["name"])
            case "Reshape":
                return layers.Activation("linear", name=config["name"])
        return type(layer).from_config(config)

    model = models.clone_model(network, clone_function=in_1d)
    for layer in network.layers:
        weights = [w[0] if w.ndim == 4 else w for w in layer.get_weights()]
        model.get_layer(layer.name).set_weights(weights)
    return model


def section(r: dict[str, Any]) -> str:
    """The operators of each network in both forms."""
    lines = [
        "## Why 1 x k",
        "",
        "The same network and weights, as Conv1D and as Conv2D of 1 x k behind one reshape. How many of each operator "
        f"are in the int8 graph, and the median time of a beat, in turns on one core ({r['device']}).",
        "",
        "| network | operators of Conv1D | of 1 x k | bytes, int8 | one beat, int8 | float32 |",
        "|---|---|---|---|---|---|",
    ]
    for name, of in r["networks"].items():
        before, after = of["int8"]["Conv1D"], of["int8"]["1 x k"]
        floats = [of["float32"][form]["p50_us"] for form in ("Conv1D", "1 x k")]
        lines.append(
            f"| {NETWORKS[name]} | {_counted(before)} | {_counted(after)} | {before['bytes']:,} → {after['bytes']:,} "
            f"| {before['p50_us']:.0f} → {after['p50_us']:.0f} µs | {floats[0]:.0f} → {floats[1]:.0f} µs |"
        )
    return "\n".join([*lines, ""])


def _counted(form: dict[str, Any]) -> str:
    operators = form["operators"]
    told = ", ".join(f"{n} {name}" for name, n in sorted(operators.items(), key=lambda item: (-item[1], item[0])))
    return f"{sum(operators.values())}: {told}"


if __name__ == "__main__":
    main()
