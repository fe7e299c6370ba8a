"""Beat labels: the AAMI classes, their codes, and the maps from MIT-BIH annotation symbols.

The codes are stored in every model manifest and never change.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import Literal, get_args

__all__ = ["AAMI5", "LABEL_SETS", "OPERATING_POINTS", "BeatLabel", "OperatingPoint"]

OperatingPoint = Literal["few-false-alarms", "balanced", "sensitive"]
"""How ready a model is to call a beat ectopic, where it leaves the choice."""

OPERATING_POINTS: tuple[OperatingPoint, ...] = get_args(OperatingPoint)


class BeatLabel(IntEnum):
    """The five AAMI classes in the order of the published beat data set."""

    N = 0
    """Normal, bundle branch block, atrial or nodal escape."""
    S = 1
    """Supraventricular ectopic."""
    V = 2
    """Ventricular ectopic."""
    F = 3
    """Fusion of ventricular and normal."""
    Q = 4
    """Paced, fusion of paced and normal, unclassifiable."""


AAMI5 = MappingProxyType(
    {
        symbol: label
        for label, symbols in {
            BeatLabel.N: "NLRej",
            BeatLabel.S: "AaJS",
            BeatLabel.V: "VE",
            BeatLabel.F: "F",
            BeatLabel.Q: "/fQ",
        }.items()
        for symbol in symbols
    }
)
"""Class map `aami5`: annotation symbol -> label, as in the published data set (e and j count as N)."""

LABEL_SETS = MappingProxyType(
    {"aami5": ("N", "S", "V", "F", "Q"), "aami3": ("N", "S", "V"), "binary": ("normal", "abnormal")}
)
"""Names of the output classes of a model, by label set. With ``aami3`` fusion beats are not classified."""
