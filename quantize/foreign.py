"""Anyone's Keras model: a file with one beat in and the probabilities of the classes out."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError, ModelError
from edge_ecg.labels import LABEL_SETS
from quantize.graph import keras_of
from quantize.source import Source
from train.load import load_data
from train.run import RUN_SCHEMA, Recipe, RunInfo
from train.window_set import WindowSet

__all__ = ["foreign_id", "is_model_file", "load_model_file", "open_model_file"]

_HOW_TO_SAVE = "Save it whole as one file: model.save('model.h5') or model.save('model.keras')"
_N_TRIED = 64
_NO_LAYERS = {"Functional", "Model", "Policy", "Sequential"}
"""Named parts of a model of Keras 2 that are Keras's own, too."""


class _Described(NamedTuple):
    """What a file says of itself before any of it is built: its Keras, and the layers as JSON."""

    keras: str
    config: dict[str, Any]


def is_model_file(name: str) -> bool:
    """Whether what is to be converted is a model file, not a run."""
    path = Path(name)
    return path.suffix in {".h5", ".hdf5", ".keras"} or (path / "saved_model.pb").exists()


def foreign_id(path: Path) -> str:
    """What a network is called that came as a file."""
    return re.sub(r"[^\w.-]+", "-", path.stem).strip(".-") or "network"


def open_model_file(path: Path, dataset: str, split: str, fold: int = 0) -> Source:
    """Open a Keras model with input ``(187, 1)`` or ``(187,)`` to be converted with the beats of a data set.

    Keras 2 (tf_keras) and Keras 3 files are both read.

    Raises
    ------
    DataError
        There is no such file, or it is no Keras model; as `train.load.load_data`.
    ModelError
        It has layers that are not Keras's own, another input, another output than the classes of the data set need,
        or outputs that are no probabilities.
    """
    model = load_model_file(path)
    data, parts = load_data(dataset, split, params := PreprocessParams(), fold=fold)
    _check_outputs(path, model, data)
    info = RunInfo(
        schema_version=RUN_SCHEMA,
        network=foreign_id(path),
        dataset=data.dataset,
        split=parts.name,
        patients_on_both_sides=parts.patients_on_both_sides,
        seed=0,
        recipe=Recipe(),
        preprocessing=params,
        preprocessing_fingerprint=params.fingerprint(),
        data_sha256=data.sha256,
        command="",
        started_utc="",
        versions={},
        n_parameters=int(model.count_params()),
        label_set=data.label_set,
        lead=data.lead,
        fold=parts.fold,
        n_folds=parts.n_folds,
    )
    return Source(info, data, parts, model, is_foreign=True)


def load_model_file(path: Path) -> Any:
    """The Keras model of a file, with input ``(187, 1)``. Raises as `open_model_file`."""
    _check_layers(path, described := _described(path))
    return _with_channel(path, _loaded(path, described))


def _described(path: Path) -> _Described:
    if path.is_dir():
        raise ModelError(f"{path} is a SavedModel, a graph without layers", _HOW_TO_SAVE)
    if not path.exists():
        raise DataError(f"there is no file {path}", "Give a run, or a Keras model (.h5 or .keras)")
    try:
        config, version = _keras_archive(path) if zipfile.is_zipfile(path) else _hdf5(path)
        found = json.loads(config)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no Keras model: {' '.join(str(error).split())}", _HOW_TO_SAVE) from None
    if not isinstance(found, dict) or "layers" not in (found.get("config") or {}):
        name = found.get("class_name") if isinstance(found, dict) else None
        raise ModelError(
            f"{path} holds a model of a class of its own ({name}), which cannot be built without its source",
            "Build it of layers as keras.Model(inputs, outputs) and save that",
        )
    return _Described(version, found)


def _keras_archive(path: Path) -> tuple[str, str]:
    with zipfile.ZipFile(path) as archive:
        return archive.read("config.json").decode(), str(json.loads(archive.read("metadata.json"))["keras_version"])


def _hdf5(path: Path) -> tuple[str, str]:
    import h5py

    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise ValueError("it holds weights only")
        return _text(file.attrs["model_config"]), _text(file.attrs.get("keras_version", "2"))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _check_layers(path: Path, described: _Described) -> None:
    """Before anything is built: a Lambda layer is a program of whoever wrote the file."""
    import tf_keras

    foreign = []
    for name, kind, module in _layers(described.config):
        is_public = kind in _NO_LAYERS or hasattr(tf_keras.layers, kind)
        is_own = module.split(".")[0] in ("keras", "tf_keras") if module else is_public
        if kind == "Lambda" or not is_own:
            foreign.append(f"{name} ({kind})")
    if foreign:
        raise ModelError(
            f"{path} has layers that are not Keras's own: {', '.join(foreign[:5])}",
            "Replace them with layers of Keras and save it again",
        )


def _layers(config: Any) -> Iterator[tuple[str, str, str]]:
    """Name, class and module of all layers, those within others too; nothing else of a model has a name."""
    if isinstance(config, list):
        for item in config:
            yield from _layers(item)
    elif isinstance(config, dict):
        inner = config.get("config")
        if isinstance(inner, dict) and "class_name" in config and ("name" in inner or config["class_name"] == "Lambda"):
            module = config.get("module") or ""
            # Keras 3 puts the place of a custom class into its registered name.
            custom = str(config.get("registered_name") or "").partition(">")
            yield str(inner.get("name")), str(config["class_name"]), custom[0] if custom[1] else str(module)
        for value in config.values():
            yield from _layers(value)


def _loaded(path: Path, described: _Described) -> Any:
    if described.keras.startswith("3"):
        import keras
    else:
        import tf_keras as keras
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, TypeError, OSError, KeyError, AttributeError, IndexError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"Keras {described.keras} cannot load {path}: {first}", _HOW_TO_SAVE) from None


def _with_channel(path: Path, model: Any) -> Any:
    """The model with input ``(187, 1)``."""
    n = PreprocessParams().window.n_samples
    shape = getattr(model, "input_shape", None)
    if shape == (None, n, 1):
        return model
    if shape == (None, n):
        keras = keras_of(model)
        inputs = keras.Input((n, 1))
        return keras.Model(inputs, model(keras.layers.Reshape((n,))(inputs)), name=model.name)
    raise ModelError(
        f"{path} takes {_told(shape)}, expected one beat of ({n}, 1) or ({n},) in batches of any size",
        f"Its input must be the windows of this project: R to R + 1.2 T at 125 Hz, {n} samples in [0, 1]",
    )


def _check_outputs(path: Path, model: Any, data: WindowSet) -> None:
    from train.fit import predict

    names = LABEL_SETS[data.label_set]
    allowed = {(None, len(names)), *([(None, 1)] if len(names) == 2 else [])}
    if model.output_shape not in allowed:
        either = f"{len(names)} outputs" + (" or 1" if len(names) == 2 else "")
        raise ModelError(
            f"{path} gives {_told(model.output_shape)}, the {len(names)} classes of {data.title} "
            f"({', '.join(names)}) need {either}",
            "Train it on these classes, in this order",
        )
    probs = predict(model, data.windows[:_N_TRIED])
    if not np.isfinite(probs).all() or probs.min() < 0 or np.abs(probs.sum(axis=1) - 1).max() > 1e-3:
        raise ModelError(
            f"the outputs of {path} are no probabilities: of one beat they are "
            f"{', '.join(f'{p:.3g}' for p in probs[0])}",
            "End it with a softmax" + (", or one sigmoid" if len(names) == 2 else ""),
        )


def _told(shape: Any) -> str:
    if isinstance(shape, (list, dict)):
        return f"{len(shape)} tensors"
    if shape is None:
        return "beats of any shape"
    return str(tuple(shape[1:]) if shape and shape[0] is None else tuple(shape))


