"""What a network's training began with, for its run and its bundle: whose beats it had learnt from before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["FIXED", "SAME_PEOPLE", "Beginning"]

FIXED = frozenset({"mitdb", "ptb"})
"""Data sets that are read whole or not at all: under each name always the same beats of the same people, so the same
splits. The last bits of their windows differ from one kind of processor to another, and so do their hashes."""

SAME_PEOPLE = (frozenset({"ptb", "ptbdb"}),)
"""Data sets of the same patients."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """A run or bundle whose weights another training began with.

    Attributes
    ----------
    name, sha256
        What `edge-ecg train --start` finds it by, and the hash of its weights.
    dataset, split, fold, data_sha256
        What it was trained on.
    """

    name: str
    sha256: str
    dataset: str
    split: str
    fold: int | None
    data_sha256: str

    @property
    def title(self) -> str:
        """Its name without a path."""
        return Path(self.name).name

    def has_people_of(self, dataset: str, data_sha256: str | None = None) -> bool:
        """Whether it was trained on people of this data set, as far as name and hash tell."""
        ours, theirs = Path(self.dataset).name, Path(dataset).name
        return ours == theirs or self.data_sha256 == data_sha256 or any({ours, theirs} <= same for same in SAME_PEOPLE)

    def without_paths(self) -> Beginning:
        """As it goes to other people."""
        return Beginning(self.title, self.sha256, Path(self.dataset).name, self.split, self.fold, self.data_sha256)
