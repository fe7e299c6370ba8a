"""The beats of a run in memory, for comparing them with annotations afterwards."""

from __future__ import annotations

from typing import ClassVar

from edge_ecg.types import Classified, Event, ModelEvent

__all__ = ["BeatList"]


class BeatList:
    """Keeps where each beat of the newest stream was and what it was called.

    Attributes
    ----------
    samples, labels
        One each per beat, in order.
    fs_hz
        Rate that ``samples`` count in; None before the first event of a stream.
    """

    lasting: ClassVar[bool] = False

    def __init__(self) -> None:
        self.samples: list[int] = []
        self.labels: list[str] = []
        self.fs_hz: float | None = None

    def emit(self, event: Event) -> None:
        """Keep a beat; ignore the rest."""
        if isinstance(event, ModelEvent):
            # Indices begin anew: what counts from here on is another recording.
            self.fs_hz = event.stream.fs_hz
            self.samples.clear()
            self.labels.clear()
        elif isinstance(event, Classified):
            self.samples.append(event.beat.r_index)
            self.labels.append(event.label)

    def close(self) -> None:
        """Nothing to close."""
