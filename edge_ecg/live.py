"""A heart as it is being watched: the beats of the last minutes, the ectopic ones of each hour, what is wrong now.

What the page, the metrics and `edge-ecg top` show; pure and bounded, however long it lasts.
"""

from __future__ import annotations

import statistics
from collections import Counter, deque
from dataclasses import asdict
from typing import Any, NamedTuple

from edge_ecg.health import Health
from edge_ecg.sinks.jsonl import utc_text
from edge_ecg.types import (
    Classified,
    EpisodeEvent,
    Event,
    LeadOffEvent,
    LinkEvent,
    ModelEvent,
    OutputEvent,
    QualityEvent,
    RhythmEvent,
    SampleBlock,
    StateEvent,
    StreamInfo,
)

__all__ = ["ECTOPIC", "SCHEMA", "HourlyBurden", "LiveBeat", "LiveView"]

SCHEMA = 1
"""Version of `LiveView.as_dict`; raised when a field changes its meaning or goes."""

ECTOPIC = frozenset({"S", "V", "F", "abnormal"})
KEEP_S = 300.0
MOST_BEATS = 2000
N_HOURS = 24
N_EPISODES = 5
STALE_S = 5.0
"""A heart rate is shown no longer than this after its last beat: a pause is not its rate."""
_N_RECENT = 20


class LiveBeat(NamedTuple):
    """What is kept of a beat; the fields as of `edge_ecg.types.Beat` and `Classified`."""

    sample: int
    t_s: float
    rr_s: float | None
    hr_bpm: float | None
    label: str
    reject: bool
    confidence: float
    quality: float
    lag_s: float

    def as_list(self) -> list[Any]:
        """Sample, time in s, R-R interval in s, label, reject: what the page draws."""
        return [self.sample, round(self.t_s, 3), _rounded(self.rr_s, 3), self.label, self.reject]


class HourlyBurden:
    """Beats by label in each of the last 24 hours that had any; beats marked reject are left out."""

    def __init__(self) -> None:
        self._hours: dict[int, Counter[str]] = {}

    def begin(self, hour: int) -> None:
        """A stream begins in this hour: what lies behind it is of a clock that was wrong."""
        self._hours = {h: labels for h, labels in self._hours.items() if h <= hour}

    def add(self, hour: int, label: str) -> None:
        """Count a beat. Hours are counted from any moment, the same for all."""
        self._hours.setdefault(hour, Counter())[label] += 1
        if len(self._hours) > N_HOURS or hour - min(self._hours) >= N_HOURS:
            newest = max(self._hours)
            self._hours = {h: labels for h, labels in self._hours.items() if h > newest - N_HOURS}

    def clear(self) -> None:
        """Forget everything."""
        self._hours.clear()

    def as_list(self, *, clocked: bool) -> list[dict[str, Any]]:
        """The hours in order; ``clocked`` when they are hours since 1970."""
        return [
            {
                "hour": hour,
                "begin_utc": utc_text(3600.0 * hour) if clocked else None,
                "beats": labels.total(),
                "labels": dict(labels),
                "ectopic_percent": _ectopic_percent(labels),
            }
            for hour, labels in sorted(self._hours.items())
        ]

    def percent(self) -> float | None:
        """Ectopic beats of all hours, in percent; None without beats."""
        return _ectopic_percent(sum(self._hours.values(), Counter()))


class LiveView:
    """Follows the events of a daemon; `as_dict` is what there is to see.

    Attributes
    ----------
    stream
        The stream that is followed; None before there is one.
    beats
        Those of the last five minutes of the stream.
    n_episodes
        Runs and pauses since the daemon began, by kind.
    """

    def __init__(self) -> None:
        self.stream: StreamInfo | None = None
        self.beats: deque[LiveBeat] = deque(maxlen=MOST_BEATS)
        self.n_episodes: Counter[str] = Counter()
        self._burden = HourlyBurden()
        self._clocked = False
        self._link: LinkEvent | None = None
        self._newest = 0
        self._model: ModelEvent | None = None
        self._lead_off = False
        self._quality: QualityEvent | None = None
        self._rhythm: RhythmEvent | None = None
        self._episodes: deque[EpisodeEvent] = deque(maxlen=N_EPISODES)

    def take_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        """Know how far the signal is."""
        self._follow(stream)
        self._newest = max(self._newest, block.first_index + len(block.samples_mv))

    def emit(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, LinkEvent):
            self._link = event
            return
        if isinstance(event, StateEvent | OutputEvent):
            return
        self._follow(event.stream)
        self._newest = max(self._newest, event.at_index)
        match event:
            case Classified():
                self._add(event)
            case ModelEvent():
                self._model = event
            case LeadOffEvent():
                self._lead_off = event.off
            case QualityEvent():
                self._quality = event
            case RhythmEvent():
                self._rhythm = event
            case EpisodeEvent():
                self._add_episode(event)
            case _:
                pass

    def hr_bpm(self, health: Health) -> float | None:
        """Heart rate, beats a minute; None when nothing comes, the last beat is long ago, or beats may be none."""
        if not (self.beats and self.stream and _is_fed(health)) or self.lead_off or self.noisy:
            return None
        last = self.beats[-1]
        return last.hr_bpm if self._newest / self.stream.fs_hz - last.t_s <= STALE_S + last.lag_s else None

    @property
    def delay_s(self) -> float | None:
        """From R to its label, the median of the last beats, s."""
        return statistics.median(self._recent("lag_s")) if self.beats else None

    @property
    def lead_off(self) -> bool:
        """An electrode is off, as far as the source tells."""
        return self._lead_off

    @property
    def noisy(self) -> bool:
        """The signal is unusable."""
        return self._quality is not None and self._quality.noisy

    def as_dict(self, health: Health, now_utc_s: float) -> dict[str, Any]:
        """Everything to show but the beats themselves, as JSON holds it: docs/live-page.md describes it."""
        hr_bpm = self.hr_bpm(health)
        last = self.beats[-1] if hr_bpm is not None else None
        return {
            "schema": SCHEMA,
            "version": health.version,
            "utc": utc_text(now_utc_s),
            "uptime_s": round(now_utc_s - health.started_utc_s, 1),
            "state": {"name": health.state, "detail": health.detail, "since_utc": utc_text(health.since_utc_s)},
            "board": {"port": health.port, "link": None if self._link is None else self._link.state},
            "stream": self._stream_dict(),
            "model": self._model_dict(),
            "heart": {
                "hr_bpm": _rounded(hr_bpm, 1),
                "rr_s": None if last is None else _rounded(last.rr_s, 3),
                "label": None if last is None else last.label,
            },
            "signal": {
                "lead_off": self._lead_off,
                "noisy": self.noisy,
                "causes": list(self._quality.causes) if self._quality else [],
                "quality": round(statistics.fmean(self._recent("quality")), 3) if self.beats else None,
            },
            "rhythm": self._rhythm_dict(),
            "episodes": [self._episode_dict(event) for event in self._episodes],
            "beats": {"total": health.n_beats, "rejected": health.n_rejected, "labels": dict(health.labels)},
            "burden": {
                "percent": self._burden.percent(),
                "hours": self._burden.as_list(clocked=self._clocked),
            },
            "delay_s": _rounded(self.delay_s, 3),
            "samples": {
                "total": health.n_samples,
                "lost": health.n_samples_lost,
                "gaps": health.n_gaps,
                "idle_s": _rounded(health.idle_s, 1),
            },
            "processing_s": round(health.processing_s, 3),
            "link": None if health.link is None else asdict(health.link),
            "outputs": {name: asdict(output) for name, output in health.outputs.items()},
        }

    def _follow(self, stream: StreamInfo) -> None:
        if self.stream is None or stream.stream != self.stream.stream:
            self._begin(stream)

    def _begin(self, stream: StreamInfo) -> None:
        clocked = stream.utc_s(0.0) is not None
        if not (clocked and self._clocked):
            self._burden.clear()  # its hours are of another clock
        self.stream, self._clocked = stream, clocked
        if clocked:
            self._burden.begin(self._hour(0))
        self.beats.clear()
        self._episodes.clear()
        self._newest = 0
        self._model = self._quality = self._rhythm = None
        self._lead_off = False

    def _add(self, event: Classified) -> None:
        beat = event.beat
        reject = "reject" in beat.flags
        self.beats.append(
            LiveBeat(
                beat.r_index, beat.t_s, beat.rr_prev_s, beat.hr_bpm, event.label, reject, event.confidence,
                beat.quality, event.lag_s,
            )
        )  # fmt: skip
        while self.beats[0].t_s < beat.t_s - KEEP_S:
            self.beats.popleft()
        if not reject:
            self._burden.add(self._hour(beat.r_index), event.label)

    def _add_episode(self, event: EpisodeEvent) -> None:
        """What is told of one again, such as its end, replaces what was told before."""
        told = [(e.kind, e.sample) for e in self._episodes]
        if (event.kind, event.sample) in told:
            self._episodes[told.index((event.kind, event.sample))] = event
        else:
            self.n_episodes[event.kind] += 1
            self._episodes.append(event)

    def _hour(self, sample: int) -> int:
        assert self.stream is not None
        utc_s = self.stream.utc_s(sample)
        return int((sample / self.stream.fs_hz if utc_s is None else utc_s) // 3600.0)

    def _recent(self, field: str) -> list[float]:
        return [getattr(beat, field) for beat in list(self.beats)[-_N_RECENT:]]

    def _stream_dict(self) -> dict[str, Any] | None:
        if self.stream is None:
            return None
        return {
            "id": self.stream.stream,
            "fs_hz": self.stream.fs_hz,
            "leads": list(self.stream.leads),
            "lead": None if self._model is None else self._model.lead,
            "calibrated": self.stream.calibrated,
            "time_scale": self.stream.time_scale if self._clocked else None,
            "start_utc": utc_text(self.stream.utc_s(0.0)),
            "t_s": round(self._newest / self.stream.fs_hz, 2),
        }

    def _model_dict(self) -> dict[str, Any] | None:
        if self._model is None:
            return None
        return {"id": self._model.model_id, "operating_point": self._model.operating_point}

    def _rhythm_dict(self) -> dict[str, Any]:
        if self._rhythm is None:
            return {"state": None, "score": None, "since_utc": None}
        since_s = self._rhythm.stream.utc_s(self._rhythm.sample)
        return {"state": self._rhythm.state, "score": round(self._rhythm.score, 3), "since_utc": utc_text(since_s)}

    def _episode_dict(self, event: EpisodeEvent) -> dict[str, Any]:
        return {
            "kind": event.kind,
            "over": event.over,
            "beats": event.n_beats,
            "length_s": round(event.length_s, 2),
            "t_s": round(event.sample / event.stream.fs_hz, 2),
            "utc": utc_text(event.stream.utc_s(event.sample)),
        }


def _ectopic_percent(labels: Counter[str]) -> float | None:
    n_beats = labels.total()
    return round(100.0 * sum(labels[name] for name in ECTOPIC) / n_beats, 2) if n_beats else None


def _is_fed(health: Health) -> bool:
    return health.idle_s is not None and health.idle_s <= STALE_S


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
