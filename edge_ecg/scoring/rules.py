"""The rules a score follows: class map, learning period, match window, shutdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge_ecg.errors import UsageError
from edge_ecg.labels import AAMI5
from edge_ecg.scoring.matching import MATCH_WINDOW_S

__all__ = ["CLASS_MAPS", "Rules"]

CLASS_MAPS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "ec57": MappingProxyType(
            {
                symbol: letter
                for letter, symbols in {"N": "NLRB", "S": "AaJSnej", "V": "VrE", "F": "F", "Q": "Q/f?"}.items()
                for symbol in symbols
            }
        ),
        "aami5": MappingProxyType({symbol: label.name for symbol, label in AAMI5.items()}),
    }
)
"""Class letter of an annotation symbol: ``ec57`` as ``bxb`` maps (e and j are S), ``aami5`` as the published data set
(e and j are N). A beat symbol that a map lacks counts as Q, and in `edge_ecg.scoring.ec57.Score.n_unmapped`."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a figure was reached with.

    Attributes
    ----------
    class_map
        One of `CLASS_MAPS`.
    start_s
        End of the learning period; EC57 says 5 minutes.
    match_window_s
        How far a detection may lie from its beat; EC57 says 150 ms.
    shutdown
        ``apart``: what happens in shutdown is in no figure; ``counted``: it is missed or extra, as in ``bxb``.
    """

    class_map: str = "ec57"
    start_s: float = 300.0
    match_window_s: float = MATCH_WINDOW_S
    shutdown: str = "apart"

    def __post_init__(self) -> None:
        if self.class_map not in CLASS_MAPS:
            raise UsageError(f"unknown class map {self.class_map!r}", f"Known: {', '.join(CLASS_MAPS)}")
        if self.shutdown not in ("apart", "counted"):
            raise UsageError(f"shutdown is counted or apart, not {self.shutdown!r}")
        for name, value in (("start_s", self.start_s), ("match_window_s", self.match_window_s)):
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name} must be a number of seconds from 0 on, not {value}")

    @property
    def text(self) -> str:
        """The rules in a line, to stand beside every number."""
        begin = f"from {int(self.start_s // 60)}:{self.start_s % 60:02g}" if self.start_s else "whole record"
        apart = "left out of the figures" if self.shutdown == "apart" else "counted as missed and extra"
        return (
            f"ANSI/AAMI EC57, class map {self.class_map}, {begin}, match window {1e3 * self.match_window_s:g} ms, "
            f"flutter left out, shutdown {apart}"
        )
