"""Events as WFDB annotations: beats with their labels, and marks for what happened to the signal."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ecg.io import BEAT_SYMBOLS
from edge_ecg.types import (
    Classified,
    EpisodeEvent,
    Event,
    GapEvent,
    LeadOffEvent,
    QualityEvent,
    RhythmEvent,
    StreamInfo,
)

__all__ = ["RHYTHMS", "Mark", "Standing", "mark_of"]

SYMBOLS = {"N": "N", "S": "S", "V": "V", "F": "F", "Q": "Q", "normal": "N", "abnormal": "Q"}
RHYTHMS = {
    "sinus": "(N",
    "af_suspected": "(AFIB",
    "atrial_suspected": "(SVTA",
    "fibrillation_suspected": "(VF",
    "paced_suspected": "(P",
    "unknown": "(U",
}
"""What WFDB calls them; each is suspected here, at most."""
_UNREADABLE, _NOISE = -1, 1
_REJECTED = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """One annotation, at a sample of the stream; the fields are those of `edge_ecg.io.Annotations`."""

    sample: int
    symbol: str
    subtype: int = 0
    chan: int = 0
    num: int = 0
    aux: str = ""

    @property
    def is_beat(self) -> bool:
        """Whether it labels a beat."""
        return self.symbol in BEAT_SYMBOLS

    @property
    def lasts(self) -> bool:
        """Whether it tells a state, which holds until the next."""
        return self.symbol in "~+"


def mark_of(event: Event) -> Mark | None:
    """The annotation of an event; None for what is none.

    A beat has its confidence in percent in ``num``, and the subtype 1 when it is rejected.
    """
    match event:
        case Classified(beat=beat, label=label):
            symbol = SYMBOLS.get(label, "Q")
            rejected = _REJECTED if "reject" in beat.flags else 0
            num = round(100.0 * min(max(event.confidence, 0.0), 1.0))
            aux = "" if label == symbol else label[:64]
            chan = _channel(event.stream, event.lead)
            return Mark(beat.r_index, symbol, rejected, chan, num, aux)
        case LeadOffEvent(off=off):
            return Mark(event.at_index, "~", _UNREADABLE if off else 0, aux="lead off" if off else "lead on")
        case QualityEvent(noisy=noisy):
            causes = f"noise: {' '.join(event.causes)}" if event.causes else "noise"
            return Mark(event.sample, "~", _NOISE if noisy else 0, aux=causes if noisy else "noise end")
        case GapEvent():
            bridged = ", bridged for the labels" if event.interpolated else ""
            return Mark(event.at_index - event.n_lost, '"', aux=f"gap of {event.n_lost} samples{bridged}")
        case RhythmEvent():
            score = round(100.0 * min(max(event.score, 0.0), 1.0))
            return Mark(event.sample, "+", num=score, aux=RHYTHMS.get(event.state, "(U"))
        case EpisodeEvent():
            beats = f", {event.n_beats} beats" if event.n_beats else ""
            told = f"end{beats}, {event.length_s:.2f} s" if event.over else "begin"
            return Mark(event.sample, '"', aux=f"{event.kind} {told}")
    return None


class Standing:
    """What lasts: a record that begins in the middle of it says so at its first sample."""

    def __init__(self) -> None:
        self._by_kind: dict[type, Event] = {}

    def hear(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case LeadOffEvent(off=True) | QualityEvent(noisy=True) | RhythmEvent():
                self._by_kind[type(event)] = event
            case LeadOffEvent() | QualityEvent():
                self._by_kind.pop(type(event), None)

    def marks(self) -> list[Mark]:
        """What lasts now."""
        return [mark for event in self._by_kind.values() if (mark := mark_of(event)) is not None]


def _channel(stream: StreamInfo, lead: str) -> int:
    return min(stream.leads.index(lead), 255) if lead in stream.leads else 0
