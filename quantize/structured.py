"""Structured pruning: whole filters are removed, those of the smallest norm, and the graph shrinks.

Li et al., Pruning Filters for Efficient ConvNets, arXiv 1608.08710. Filters that an addition ties to others go together
with those in all layers of the group; what consumes them loses the input channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ecg.errors import UsageError
from quantize.copies import copy_of
from quantize.prune import check_share
from quantize.source import Source
from quantize.tune import Tuned, Tuning, tune

__all__ = ["N_STEPS", "Group", "filters_after", "groups_of", "prune_filters", "shrink"]

N_STEPS = 2
"""Removals, with fine-tuning behind each."""

_MULTIPLES = {0: 4, 16: 8}
"""Channels are kept in multiples of so many, from so many on: 20 channels take the time of 24 or of 32."""

_WEIGHTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Dense": ("io", "o"),
        "Conv1D": ("io", "o"),
        "Conv2D": ("io", "o"),
        "SeparableConv1D": ("i1", "io", "o"),
        "SeparableConv2D": ("i1", "io", "o"),
        "DepthwiseConv1D": ("i1", "i"),
        "DepthwiseConv2D": ("i1", "i"),
        "BatchNormalization": ("i", "i", "i", "i"),
    }
)
"""What the last axes of a layer's weights are: (i)nput channels, (o)utput channels, or (1) neither."""

_PASS = frozenset(
    {
        *("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "BatchNormalization"),
        *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "GaussianDropout"),
        *("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D"),
        *("GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D"),
        *("ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D", "DepthwiseConv1D", "DepthwiseConv2D"),
    }
)
"""Layers that work on each channel by itself."""
_TIE = frozenset({"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"})


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that can only be removed together.

    Attributes
    ----------
    layers
        Names of the layers whose filters make them; the first names the group.
    n_channels
        How many.
    is_fixed
        Whether all must stay: the input's, the outputs', and those that a reshape mixes.
    """

    layers: tuple[str, ...]
    n_channels: int
    is_fixed: bool


@dataclass(slots=True, eq=False)
class _Channels:
    """Of one tensor's last axis; ``n_repeats`` above 1 once it was flattened. Tied ones point to one ``root``."""

    n: int
    n_repeats: int = 1
    makers: tuple[str, ...] = ()
    is_fixed: bool = False
    tied_to: _Channels | None = None

    @property
    def root(self) -> _Channels:
        return self.tied_to.root if self.tied_to else self


@dataclass(frozen=True, slots=True)
class _Graph:
    """Channels of what each layer takes and gives, by its name."""

    takes: dict[str, _Channels]
    gives: dict[str, _Channels]


def prune_filters(
    network: Any, source: Source, share: float, tuning: Tuning, folder: Path, *, teacher: Any, threads: int = 0
) -> tuple[Any, tuple[Tuned, ...]]:
    """A smaller Keras model: of each group of filters ``share`` is removed, in `N_STEPS`, and it is fine-tuned.

    ``tuning.epochs`` are those behind each removal.

    Raises
    ------
    UsageError
        As `shrink`; ``share`` leaves nothing or removes nothing; otherwise as `quantize.tune.tune`.
    """
    check_share(share)
    groups, model, done = groups_of(network), network, []
    if filters_after(groups, share) == filters_after(groups, 0.0):
        raise UsageError(f"{share:g} of the filters of {network.name} is none", "Remove more, or leave --prune out")
    for step in range(1, N_STEPS + 1):
        small = shrink(model, filters_after(groups, 1.0 - (1.0 - share) ** (step / N_STEPS)))
        # Its dropout is the run's from the first copy on.
        model = copy_of(small, source.info.recipe.dropout_scale if step == 1 else 1.0)
        what = f"filters-{share:g}-step{step}of{N_STEPS}"
        done.append(tune(model, source, tuning, folder, what=what, teacher=teacher, threads=threads))
    return model, tuple(done)


def filters_after(groups: Sequence[Group], share: float) -> dict[str, int]:
    """How many channels of each group stay when ``share`` goes, by the group's first layer."""
    kept = {}
    for group in groups:
        if not group.is_fixed:
            multiple = max(m for least, m in _MULTIPLES.items() if group.n_channels >= least)
            n = multiple * round(group.n_channels * (1.0 - share) / multiple)
            kept[group.layers[0]] = min(group.n_channels, max(multiple, n))
    return kept


def groups_of(network: Any) -> tuple[Group, ...]:
    """The groups of filters of a Keras model, in its order.

    Raises
    ------
    UsageError
        A layer, named, of which it is not known what becomes of channels in it.
    """
    roots = {id(c.root): c.root for c in _walk(network).gives.values() if c.root.makers}
    return tuple(Group(c.makers, c.n, c.is_fixed) for c in roots.values())


def shrink(network: Any, keep: Mapping[str, int]) -> Any:
    """A new Keras model with fewer filters: of each group in ``keep`` those of the largest norms, weights copied.

    Parameters
    ----------
    network
        A Keras model of one input.
    keep
        How many filters stay, by the group's first layer (see `groups_of`); other groups stay whole.

    Raises
    ------
    UsageError
        As `groups_of`.
    """
    import tf_keras as keras

    graph = _walk(network)
    kept: dict[int, NDArray[np.int64]] = {}
    for channels in {id(c.root): c.root for c in graph.gives.values()}.values():
        n = keep.get(channels.makers[0], channels.n) if channels.makers and not channels.is_fixed else channels.n
        order = np.argsort(-_norms(network, channels), kind="stable")
        kept[id(channels)] = np.sort(order[:n])

    def places(channels: _Channels) -> NDArray[np.int64]:
        here = kept[id(channels.root)]
        return (np.arange(channels.n_repeats)[:, None] * channels.root.n + here).reshape(-1)

    def fresh(layer: Any) -> Any:
        config = layer.get_config()
        n = len(places(graph.gives[layer.name]))
        for size in ("filters", "units"):
            if size in config:
                config[size] = n
        if type(layer).__name__ == "Reshape":
            config["target_shape"] = (*config["target_shape"][:-1], n)
        return type(layer).from_config(config)

    small = keras.models.clone_model(network, clone_function=fresh)
    for layer in network.layers:
        if not layer.weights:
            continue
        cut = []
        for weight, axes in zip(layer.get_weights(), _WEIGHTS[type(layer).__name__], strict=False):
            for axis, what in zip(range(-len(axes), 0), axes, strict=True):
                if what != "1":
                    side = graph.takes if what == "i" else graph.gives
                    weight = np.take(weight, places(side[layer.name]), axis=axis)
            cut.append(weight)
        small.get_layer(layer.name).set_weights(cut)
    return small


def _walk(network: Any) -> _Graph:
    """Follow the channels through the layers, which Keras holds in the order in which they run."""
    graph = _Graph({}, {})
    for tensor in network.inputs:
        graph.gives[tensor._keras_history.layer.name] = _Channels(int(tensor.shape[-1]), is_fixed=True)
    for layer in network.layers:
        if layer.name not in graph.gives:
            taken = [graph.gives[tensor._keras_history.layer.name] for tensor in _inputs(layer)]
            graph.takes[layer.name] = taken[0]
            graph.gives[layer.name] = _through(layer, type(layer).__name__, taken)
    for tensor in network.outputs:
        graph.gives[tensor._keras_history.layer.name].root.is_fixed = True
    return graph


def _through(layer: Any, kind: str, taken: Sequence[_Channels]) -> _Channels:
    first, config = taken[0], layer.get_config()
    if config.get("data_format", "channels_last") != "channels_last":
        raise _unknown(layer, "has its channels first")
    if config.get("groups", 1) != 1 or config.get("depth_multiplier", 1) != 1:
        raise _unknown(layer, "is a convolution in groups")
    if kind in _PASS:
        return first
    if kind in _WEIGHTS:
        return _Channels(int(layer.output.shape[-1]), makers=(layer.name,))
    if kind in _TIE:
        if len({(c.root.n, c.n_repeats) for c in taken}) > 1:
            raise _unknown(layer, "spreads one input over the channels of another")
        for other in taken[1:]:
            _tie(first.root, other.root)
        return first
    if kind in ("Flatten", "Reshape"):
        n_before, n_after = int(layer.input.shape[-1]), int(layer.output.shape[-1])
        if len(layer.output.shape) == 2 or n_after == n_before:
            return _Channels(first.n, first.n_repeats * n_after // n_before, tied_to=first.root)
        first.root.is_fixed = True
        return _Channels(n_after, is_fixed=True)
    raise _unknown(layer, "is of a kind whose channels are not known")


def _tie(a: _Channels, b: _Channels) -> None:
    if a is not b:
        a.makers, a.is_fixed, b.tied_to = a.makers + b.makers, a.is_fixed or b.is_fixed, a


def _inputs(layer: Any) -> list[Any]:
    if len(layer.inbound_nodes) > 1:
        raise _unknown(layer, "is used more than once")
    if isinstance(layer.output, list):
        raise _unknown(layer, "has several outputs")
    return list(layer.input) if isinstance(layer.input, list) else [layer.input]


def _norms(network: Any, channels: _Channels) -> NDArray[np.float64]:
    """Of each channel, summed over the layers that make it; each layer's mean square is 1, so that all have a say."""
    total = np.zeros(channels.n)
    for name in channels.makers:
        # A kernel of several weights (separable) makes its outputs with the last; a bias is part of a filter.
        axes = _WEIGHTS[type(network.get_layer(name)).__name__]
        made = [w for w, a in zip(network.get_layer(name).get_weights(), axes, strict=False) if a[-1] == "o"]
        squares = sum(np.square(w, dtype=np.float64).reshape(-1, channels.n).sum(axis=0) for w in made)
        total += np.sqrt(squares / max(float(np.mean(squares)), 1e-30))
    return total


def _unknown(layer: Any, why: str) -> UsageError:
    return UsageError(
        f"filters cannot be removed: layer {layer.name} ({type(layer).__name__}) {why}",
        "Prune without --structured, which leaves the graph as it is",
    )
