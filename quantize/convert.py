"""From a run to a bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg.labels import LABEL_SETS
from edge_ecg.manifest import Bundle
from quantize.bundle import ExtrasMaker, Told, write_bundle
from quantize.converting import converting
from quantize.int8 import calibration_of, representative_beats
from quantize.parity import DEFAULT_DROP, MaxDrop
from quantize.precision import PRECISIONS
from quantize.source import Source

__all__ = ["REPRESENTATIVE_BEATS", "convert_source"]

REPRESENTATIVE_BEATS = 500


def convert_source(
    source: Source,
    precision: str,
    target: Path,
    told: Told | None = None,
    *,
    calibration_seed: int = 0,
    convert: Callable[[Any, NDArray[np.float32]], bytes] | None = None,
    max_drop: MaxDrop = DEFAULT_DROP,
    force: bool = False,
    sturdy: bool = False,
    bench_only: bool = False,
    extras: ExtrasMaker | None = None,
    measured: bool = True,
) -> Bundle:
    """Convert a run, score it on the test part of its split, and write its bundle.

    Parameters
    ----------
    source, precision
        The run, and to which of `quantize.precision.PRECISIONS`.
    target
        Where the bundle goes.
    told
        As `quantize.bundle.write_bundle`; of its commands the run's own stands first here.
    calibration_seed
        Chooses the representative beats among those of the training part.
    convert
        Another way than that of the precision, which knows its ranges already: quantisation-aware training.
    max_drop, force, sturdy, bench_only, extras, measured
        As `quantize.bundle.write_bundle`.

    Raises
    ------
    UsageError
        ``target`` is no bundle, or ``sturdy`` is asked for other beats than the device's of mitdb.
    ModelError, DataError
        As `quantize.bundle.write_bundle`; an operator that TFLite does not have.
    """
    data, train, how = source.data, source.split.train, PRECISIONS[precision]
    labels, told = data.labels[train], told or Told()
    beats = representative_beats(data.windows[train], labels, REPRESENTATIVE_BEATS, calibration_seed)
    if how.is_calibrated and convert is None:
        names = LABEL_SETS[data.label_set]
        told = replace(told, calibration=calibration_of(labels, REPRESENTATIVE_BEATS, calibration_seed, names))
    with converting(source.network):
        model = (convert or how.convert)(source.network, beats)
    return write_bundle(
        model,
        precision,
        source,
        target,
        replace(told, commands=(source.info.command, *told.commands)),
        max_drop=max_drop,
        force=force,
        sturdy=sturdy,
        bench_only=bench_only,
        extras=extras,
        measured=measured,
    )
