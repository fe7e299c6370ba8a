"""All that is remembered of a patient: intervals, shapes, rhythm. Bounded; can be saved and taken up again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_ecg.context.intervals import Intervals, log_pre
from edge_ecg.context.rhythm.irregularity import Irregularity
from edge_ecg.context.rhythm.share import AtrialShare
from edge_ecg.context.shapes import Shapes

__all__ = ["FS_HZ", "PatientMemory"]

FS_HZ = 128.0
"""Of all samples here."""
_FIRST_RR_S = 0.8


class PatientMemory:
    """What a patient's beats have been so far, and their rhythm, which `edge_ecg.context.rhythm.watch` goes on with."""

    def __init__(self) -> None:
        self.intervals = Intervals()
        self.shapes = Shapes()
        self.irregularity = Irregularity()
        self.share = AtrialShare()
        self._was_dominant = False

    def state(self) -> dict[str, NDArray[np.float64]]:
        """All of it, as arrays by name; under 200 KB."""
        named = {f"{name}.{key}": array for name, part in self._parts().items() for key, array in part.state().items()}
        return {**named, "was_dominant": np.array([float(self._was_dominant)])}

    @classmethod
    def of(cls, state: Mapping[str, NDArray[np.float64]]) -> PatientMemory:
        """The memory that had this `state`."""
        memory = cls()
        for name, part in memory._parts().items():
            part.restore({k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")})
        memory._was_dominant = bool(state["was_dominant"][0])
        return memory

    def forget(self) -> None:
        """Know nothing any more; who holds a part of it goes on with that."""
        fresh = PatientMemory()
        for part, empty in zip(self._parts().values(), fresh._parts().values(), strict=True):
            part.restore(empty.state())
        self._was_dominant = False

    def _parts(self) -> dict[str, Intervals | Shapes | Irregularity | AtrialShare]:
        return {
            "intervals": self.intervals, "shapes": self.shapes, "irregularity": self.irregularity, "share": self.share,
        }  # fmt: skip

    def take(
        self, segment: NDArray[np.float64], pre_s: float | None, post_s: float | None
    ) -> tuple[NDArray[np.float32], int]:
        """Features of the next beat against the past, and how many intervals that past had; then remember the beat.

        Parameters
        ----------
        segment
            ``(BEFORE + 1 + AFTER,)`` samples about its fiducial point, as `edge_ecg.context.shapes.Shapes.look` takes.
        pre_s, post_s
            R-R intervals before and behind it, s; None for what is not known: then the other one, or 0.8 s.
        """
        intervals = self.intervals
        known_s = _FIRST_RR_S if post_s is None else post_s
        pre = log_pre(known_s if pre_s is None else pre_s)
        longest = log_pre(intervals.longest_post_s())
        post = min(pre if post_s is None else log_pre(post_s), longest)
        sight = self.shapes.look(segment)
        features = np.array([*intervals.columns(pre, post), *sight.columns], dtype=np.float32)
        n_past, median = intervals.n, intervals.log_median32
        prematurity = 0.0 if pre_s is None or median is None else pre - median
        self.shapes.join(sight, prematurity)
        if pre_s is not None:
            intervals.push(pre, dominant=sight.is_dominant and self._was_dominant)
        self._was_dominant = sight.is_dominant
        return features, n_past
