"""Beats as lines for a person."""

from __future__ import annotations

from typing import ClassVar, TextIO

from edge_ecg.types import (
    Classified,
    EpisodeEvent,
    Event,
    GapEvent,
    LeadOffEvent,
    LinkEvent,
    ModelEvent,
    OutputEvent,
    PatientEvent,
    QualityEvent,
    RhythmEvent,
    StateEvent,
)

__all__ = ["EPISODE_WORDS", "RHYTHM_WORDS", "ConsoleSink"]

_COLOURS = {"N": "32", "normal": "32", "S": "33", "V": "31", "abnormal": "31", "F": "35", "Q": "36"}
RHYTHM_WORDS = {
    "sinus": "sinus",
    "af_suspected": "atrial fibrillation suspected",
    "atrial_suspected": "sustained atrial rhythm, or very many supraventricular beats, suspected",
    "fibrillation_suspected": "VENTRICULAR FLUTTER OR FIBRILLATION SUSPECTED: labels mean little",
    "paced_suspected": "pacemaker suspected: labels mean little",
    "unknown": "not known",
}
EPISODE_WORDS = {"v_run": "run of ventricular beats", "s_run": "run of supraventricular beats", "pause": "pause"}
_HEADING = f"{'time':>10}  {'label':<8} {'sure':>5}  {'R-R':>7}  {'heart rate':>11}  {'delay':>8}"


def _episode(event: EpisodeEvent) -> str:
    what = EPISODE_WORDS[event.kind]
    if event.kind == "pause":
        return f"{what} of {event.length_s:.1f} s" if event.over else f"{what}, no beat for {event.length_s:.1f} s"
    return f"{what}, {event.n_beats} in {event.length_s:.1f} s" if event.over else f"{what} begins"


class ConsoleSink:
    """One line a beat: time, label, confidence, R-R interval, heart rate, delay; other events as remarks.

    Parameters
    ----------
    stream
        Where the lines go.
    colour
        Colour the labels (for a terminal).
    """

    lasting: ClassVar[bool] = False

    def __init__(self, stream: TextIO, *, colour: bool = False) -> None:
        self._stream = stream
        self._colour = colour

    def emit(self, event: Event) -> None:
        """Write the line of one event."""
        text = self._line(event)
        if text:
            self._stream.write(text + "\n")
            self._stream.flush()

    def close(self) -> None:
        """The stream is not ours to close."""

    def _line(self, event: Event) -> str:
        match event:
            case Classified():
                beat = event.beat
                rr = "--" if beat.rr_prev_s is None else f"{1e3 * beat.rr_prev_s:.0f} ms"
                rate = "--" if beat.hr_bpm is None else f"{beat.hr_bpm:.0f} /min"
                label = f"{event.label:<8}"
                if self._colour:
                    label = f"\x1b[{_COLOURS.get(event.label, '0')}m{label}\x1b[0m"
                remarks = "  " + " ".join(beat.flags) if beat.flags else ""
                return (
                    f"{_clock(beat.t_s):>10}  {label} {event.confidence:5.2f}  {rr:>7}  {rate:>11}  "
                    f"{1e3 * event.lag_s:5.0f} ms{remarks}"
                )
            case GapEvent():
                what = "bridged" if event.interpolated else "a gap"
                return self._remark(event.at_index / event.stream.fs_hz, f"{event.n_lost} samples lost ({what})")
            case LeadOffEvent():
                return self._remark(event.at_index / event.stream.fs_hz, f"electrode {'off' if event.off else 'on'}")
            case QualityEvent():
                why = f" ({', '.join(event.causes)})" if event.causes else ""
                what = f"noisy{why}: beats are marked reject" if event.noisy else "good again"
                return self._remark(event.sample / event.stream.fs_hz, f"signal {what}")
            case RhythmEvent():
                return self._remark(event.sample / event.stream.fs_hz, f"rhythm: {RHYTHM_WORDS[event.state]}")
            case EpisodeEvent():
                return self._remark(event.sample / event.stream.fs_hz, _episode(event))
            case PatientEvent():
                what = "the one who is remembered" if event.known else "not the one who is remembered: learnt anew"
                return self._remark(event.sample / event.stream.fs_hz, f"patient: {what}")
            case ModelEvent():
                scale = "" if event.stream.calibrated else ", amplitudes not calibrated"
                point = f" ({event.operating_point})" if event.operating_point else ""
                return (
                    f"stream {event.stream.stream}: {event.stream.fs_hz:g} Hz, lead {event.lead}{scale}; "
                    f"labelled by {event.model_id}{point}\n" + _HEADING
                )
            case LinkEvent():
                return f"link {event.state}: {event.detail}"
            case StateEvent():
                return f"state {event.state}" + (f": {event.detail}" if event.detail else "")
            case OutputEvent():
                return f"output {event.output} {event.state}: {event.detail}"

    def _remark(self, t_s: float, text: str) -> str:
        return f"{_clock(t_s):>10}  -- {text}"


def _clock(t_s: float) -> str:
    seconds, hundredths = divmod(round(100.0 * t_s), 100)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{seconds:02d}.{hundredths:02d}"
