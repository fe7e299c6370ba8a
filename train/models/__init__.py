"""The networks, by name: each module here is one, with a frozen ``Config`` and one ``build(n_classes)``.

TensorFlow reads the variables below when it is first imported, which a network's `build` may do.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from typing import Any

from edge_ecg.errors import UsageError
from edge_ecg.labels import LABEL_SETS

__all__ = ["NETWORKS", "build_of", "n_outputs"]

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NETWORKS = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
"""Names of the networks: the files of this folder."""


def build_of(network: str) -> Any:
    """The ``build`` function of a network. Raises `UsageError` for an unknown name."""
    if network not in NETWORKS:
        raise UsageError(f"no network {network!r}", f"There are: {', '.join(NETWORKS)}")
    return importlib.import_module(f"{__name__}.{network}").build


def n_outputs(label_set: str) -> int:
    """What `build` is asked for: one softmax output a class; of two classes, one sigmoid (1: the second class)."""
    n_classes = len(LABEL_SETS[label_set])
    return 1 if n_classes == 2 else n_classes
