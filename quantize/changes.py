"""What is done to a trained network before it is converted: pruned or narrowed, then trained quantised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import UsageError
from quantize.prune import check_share, prune, sparsity_of
from quantize.qat import qat_to_int8, train_quantised
from quantize.source import Source
from quantize.structured import N_STEPS, groups_of, prune_filters
from quantize.tune import Tuned, Tuning

__all__ = ["NONE", "Changed", "Changes", "Kept", "change"]

PRUNING = Tuning(epochs=10)
FILTERS = Tuning(epochs=8)
QAT = Tuning(epochs=3, learning_rate=1e-4)


@dataclass(frozen=True, slots=True)
class Changes:
    """What `edge-ecg convert` was asked for.

    Attributes
    ----------
    prune
        Share of weights that become zero, of each layer that is pruned; with ``structured``, of filters that are
        removed. None: nothing is pruned.
    qat
        Whether quantisation-aware training follows.
    epochs
        Of pruning, all its steps together; None: as many as is usual.
    seed
        Of the fine-tuning.
    """

    prune: float | None = None
    structured: bool = False
    qat: bool = False
    epochs: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.prune is not None:
            check_share(self.prune)
        elif self.structured:
            raise UsageError("--structured says how to prune, and not how much", "Add --prune 0.5")
        if self.epochs is not None and not self:
            raise UsageError("epochs of fine-tuning mean nothing without a change", "Add --prune or --qat")
        if self.epochs is not None and self.epochs < 1:
            raise UsageError(f"{self.epochs} epochs of fine-tuning are none", "Give 1 or more")

    def __bool__(self) -> bool:
        return self.prune is not None or self.qat

    @property
    def told(self) -> tuple[str, ...]:
        """For `ModelManifest.changes`."""
        how = "filters removed" if self.structured else "pruned"
        return (*([f"{how} {self.prune:g}"] if self.prune is not None else []), *(["qat"] if self.qat else []))

    @property
    def options(self) -> list[str]:
        """Of the command line that asks for them."""
        prune = ["--prune", f"{self.prune:g}"] if self.prune is not None else []
        flags = {"--structured": self.structured, "--qat": self.qat}
        epochs = ["--epochs", str(self.epochs)] if self.epochs is not None else []
        return [*prune, *(flag for flag, is_given in flags.items() if is_given), *epochs]

    def check_precision(self, precision: str) -> None:
        """Raise `UsageError` when what comes out cannot have this precision."""
        if self.qat and precision != "int8":
            raise UsageError(f"--qat learns the rounding of int8, not of {precision}", "Give --int8, or no --qat")


NONE = Changes()
"""The network as it was trained."""


class Kept(NamedTuple):
    """What pruning left: of a layer's weights those that are not zero; of layers that are tied, their filters."""

    name: str
    what: str
    before: int
    after: int


@dataclass(frozen=True, slots=True, eq=False)
class Changed:
    """A network that was changed, and what came of it.

    Attributes
    ----------
    source
        The run with the changed network; it keeps the one that was trained.
    convert
        The only way to convert it; None: that of any network.
    kept
        What pruning left; empty without any.
    tuned
        The fine-tunings, in order.
    """

    source: Source
    convert: Callable[[Any, NDArray[np.float32]], bytes] | None
    kept: tuple[Kept, ...]
    tuned: tuple[Tuned, ...]


def change(source: Source, changes: Changes, folder: Path, *, threads: int = 0) -> Changed:
    """Change a run's network; ``folder`` is the run's, whose `changes/` keeps what was done.

    Raises
    ------
    UsageError, ConfigError, DataError, KeyboardInterrupt
        As `quantize.prune.prune`, `quantize.structured.prune_filters`, `quantize.qat.train_quantised`.
    """
    if not changes:
        return Changed(source, None, (), ())
    network, trained = source.network, source.network
    done: list[Tuned] = []
    kept: tuple[Kept, ...] = ()
    how = {"teacher": trained, "threads": threads}
    if changes.prune is not None and changes.structured:
        each = None if changes.epochs is None else max(1, round(changes.epochs / N_STEPS))
        network, several = prune_filters(network, source, changes.prune, _of(FILTERS, changes, each), folder, **how)
        done += several
        groups = zip(groups_of(trained), groups_of(network), strict=True)
        kept = tuple(
            Kept(", ".join(a.layers), "filters", a.n_channels, b.n_channels) for a, b in groups if not a.is_fixed
        )
    elif changes.prune is not None:
        network, one = prune(network, source, changes.prune, _of(PRUNING, changes, changes.epochs), folder, **how)
        done.append(one)
        kept = tuple(Kept(x.name, "weights", x.n_weights, x.n_weights - x.n_zeros) for x in sparsity_of(network))
    if changes.qat:
        alone = changes.epochs if changes.prune is None else None
        network, one = train_quantised(network, source, _of(QAT, changes, alone), folder, **how)
        done.append(one)
    changed = replace(source, network=network, trained=trained, changes=changes.told)
    return Changed(changed, qat_to_int8 if changes.qat else None, kept, tuple(done))


def _of(usual: Tuning, changes: Changes, epochs: int | None) -> Tuning:
    return Tuning(epochs or usual.epochs, usual.learning_rate, usual.teacher_share, changes.seed)
