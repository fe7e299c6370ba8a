"""From a run to a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_ecg.manifest import Bundle, Metrics, SeedFigures
from quantize.bundle import write_bundle
from quantize.int8 import representative_beats
from quantize.precision import PRECISIONS
from quantize.source import Source

__all__ = ["REPRESENTATIVE_BEATS", "convert_source"]

REPRESENTATIVE_BEATS = 500


def convert_source(
    source: Source,
    precision: str,
    target: Path,
    *,
    calibration_seed: int = 0,
    commands: Sequence[str] = (),
    other_splits: Mapping[str, Metrics] | None = None,
    seeds: Mapping[str, SeedFigures] | None = None,
    sturdy: bool = False,
    bench_only: bool = False,
) -> Bundle:
    """Convert a run, score it on the test part of its split, and write its bundle.

    Parameters
    ----------
    source, precision
        The run, and to which of `quantize.precision.PRECISIONS`.
    target
        Where the bundle goes.
    calibration_seed
        Chooses the representative beats among those of the training part.
    commands, other_splits, seeds, sturdy, bench_only
        As `quantize.bundle.write_bundle`; of ``commands`` the run's own stands first.

    Raises
    ------
    UsageError
        ``target`` is no bundle, or ``sturdy`` is asked for other beats than the device's of mitdb.
    """
    data, train = source.data, source.split.train
    beats = representative_beats(data.windows[train], data.labels[train], REPRESENTATIVE_BEATS, calibration_seed)
    return write_bundle(
        PRECISIONS[precision].convert(source.network, beats),
        precision,
        source,
        target,
        commands=(source.info.command, *commands),
        other_splits=other_splits,
        seeds=seeds,
        sturdy=sturdy,
        bench_only=bench_only,
    )
