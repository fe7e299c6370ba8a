"""What a daemon does for its outputs, without one: a source, the pipeline, a queue for the page, and its health."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from edge_ecg import __version__
from edge_ecg.health import Health, OutputHealth
from edge_ecg.infer import Classifier
from edge_ecg.io import read_record
from edge_ecg.runner import Runner
from edge_ecg.settings import WebSettings
from edge_ecg.sinks.fan import Fan
from edge_ecg.sinks.queued import QueuedSink
from edge_ecg.sources import Item
from edge_ecg.sources.virtual import EXCERPT
from edge_ecg.types import Event, ModelEvent, SampleBlock, StateEvent, StreamInfo
from edge_ecg.web.server import WebSink, open_web
from firmware_bridge.blocks import LinkStats

__all__ = ["ExcerptSource", "LiveDaemon"]

BLOCK_S = 0.04


class ExcerptSource:
    """The shipped excerpt from ``begin_s`` on, in blocks of 40 ms at the time they would come; then quiet.

    Parameters
    ----------
    ahead_s
        So much of it comes at once at the begin: a page has something to show without waiting for it.
    lead_off_s
        From this second of the record on an electrode is off; None: never.
    """

    def __init__(
        self, begin_s: float = 0.0, ahead_s: float = 0.0, lead_off_s: float | None = None, *, calibrated: bool = True
    ) -> None:
        record = read_record(EXCERPT)
        header = record.header
        first = round(begin_s * header.fs_hz)
        self._samples_mv = record.samples_mv()[first:]
        self._samples_mv.flags.writeable = False
        self._ahead_s = ahead_s
        self._lead_off_s = None if lead_off_s is None else lead_off_s - begin_s
        self._stopped = threading.Event()
        self.info = StreamInfo(
            "excerpt", header.fs_hz, header.leads, calibrated=calibrated, start_utc_s=time.time() - ahead_s
        )

    def items(self) -> Iterator[Item | None]:
        """As of `edge_ecg.sources.Source`."""
        yield self.info
        begun_s = time.monotonic() - self._ahead_s
        step = round(BLOCK_S * self.info.fs_hz)
        for first in range(0, len(self._samples_mv), step):
            t_s = (first + step) / self.info.fs_hz
            while (wait_s := begun_s + t_s - time.monotonic()) > 0:
                if self._stopped.wait(min(wait_s, 0.1)):
                    return
                if wait_s > 0.1:
                    yield None
            off = None if self._lead_off_s is None else t_s > self._lead_off_s
            host_s = begun_s + t_s if t_s > self._ahead_s else None
            yield SampleBlock(self._samples_mv[first : first + step], first, off, host_s)
        while not self._stopped.wait(0.1):
            yield None

    def stop(self) -> None:
        """End."""
        self._stopped.set()

    def close(self) -> None:
        """Nothing to give back."""


class LiveDaemon:
    """A page that is fed by the whole chain: a context manager.

    Attributes
    ----------
    url
        Of the page.
    web
        Its sink.
    """

    def __init__(self, source: ExcerptSource, classifier: Classifier, settings: WebSettings | None = None) -> None:
        self._source = source
        self._state = StateEvent("starting", "", time.time())
        self.model: ModelEvent | None = None
        self.fed_s: float | None = None
        self._runner: Runner
        self._fan = Fan()
        self.web: WebSink = open_web(settings or WebSettings(enabled=True, port=0), self.health)
        self.url = self.web.url
        self._queue = QueuedSink("web", self.web)
        self._fan.put("web", self._queue)
        self._runner = Runner(source, classifier, [_Watch(self), self._fan])
        self._thread = threading.Thread(target=self._runner.run, daemon=True)

    def __enter__(self) -> LiveDaemon:
        self.tell("streaming")
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def tell(self, state: str, detail: str = "") -> None:
        """Change the state."""
        self._state = StateEvent(state, detail, time.time())
        self._fan.emit(self._state)

    def close(self) -> None:
        """End the source, then the page."""
        self._source.stop()
        self._thread.join()

    def health(self) -> Health:
        """How it is doing."""
        stats = self._runner.stats
        told = Health(
            state=self._state.state,
            detail=self._state.detail,
            since_utc_s=self._state.utc_s,
            started_utc_s=self._source.info.start_utc_s or 0.0,
            version=__version__,
            port="/dev/ttyACM0",
            n_samples=stats.n_samples,
            n_samples_lost=stats.n_samples_lost,
            n_gaps=stats.n_gaps,
            n_beats=stats.n_beats,
            n_rejected=stats.n_rejected,
            labels=dict(stats.labels),
            processing_s=stats.processing_s,
            idle_s=None if self.fed_s is None else time.monotonic() - self.fed_s,
            link=LinkStats(samples_received=stats.n_samples, frames_ok=stats.n_samples // 14),
            outputs={"web": self._output()},
        )
        if self.model is None:
            return told
        info = self.model.stream
        return replace(
            told, model_id=self.model.model_id, fs_hz=info.fs_hz, leads=info.leads, lead=self.model.lead,
            calibrated=info.calibrated,
        )  # fmt: skip

    def _output(self) -> OutputHealth:
        queue = self._queue
        p50_s, p99_s = (queue.delays.percentile_s(percent) for percent in (50, 99))
        return OutputHealth(queue.n_waiting, queue.n_dropped, queue.n_blocks_dropped, queue.failure, p50_s, p99_s)


class _Watch:
    """What the health tells of the stream."""

    lasting = False

    def __init__(self, daemon: LiveDaemon) -> None:
        self._daemon = daemon

    def emit(self, event: Event) -> None:
        if isinstance(event, ModelEvent):
            self._daemon.model = event

    def take_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        self._daemon.fed_s = time.monotonic()

    def close(self) -> None:
        pass
