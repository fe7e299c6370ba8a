"""The daemon: a source that is waited for, the pipeline, outputs behind queues; told to systemd, reloaded, stopped."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import ClassVar

from edge_ecg import __version__, outputs
from edge_ecg.context.tracker import ContextParams
from edge_ecg.errors import EdgeEcgError
from edge_ecg.health import Health, OutputHealth
from edge_ecg.infer import Classifier
from edge_ecg.patient import KeptPatient
from edge_ecg.runner import Runner
from edge_ecg.sdnotify import Notifier
from edge_ecg.settings import Settings
from edge_ecg.sinks import Sink
from edge_ecg.sinks.fan import Fan
from edge_ecg.sinks.queued import QueuedSink
from edge_ecg.sources.waiting import WaitingSource
from edge_ecg.states import StateOfDaemon
from edge_ecg.stats import RunStats
from edge_ecg.types import Event, LinkEvent, ModelEvent, OutputEvent, SampleBlock, StateEvent, StreamInfo

__all__ = ["Daemon"]

CLOSE_WITHIN_S = 0.8
HEALTH_EVERY_S = 2.0
STATUS_EVERY_S = 5.0
RELOADABLE = tuple(sorted(set(outputs.OUTPUTS.values())))


class Daemon:
    """Label beats from a board until told to stop.

    Parameters
    ----------
    settings
        What to do.
    classifier
        What labels.
    source
        The board.
    tell
        Takes a line for whoever reads the journal.
    read_settings
        Reads the settings anew; raises `EdgeEcgError` for what is wrong with them.
    notifier
        Who is told that the daemon is up and alive.
    open_output
        As of `edge_ecg.outputs.open_output`.

    Raises
    ------
    EdgeEcgError
        An output cannot be opened.
    """

    def __init__(
        self,
        settings: Settings,
        classifier: Classifier,
        source: WaitingSource,
        *,
        tell: Callable[[str], None],
        read_settings: Callable[[], Settings],
        notifier: Notifier | None = None,
        open_output: Callable[[str, Settings, Callable[[], Health]], Sink] = outputs.open_output,
    ) -> None:
        self._settings, self._source, self._tell = settings, source, tell
        self._read_settings, self._open_output = read_settings, open_output
        self._notifier = notifier or Notifier()
        self._state = StateOfDaemon()
        self._fan = Fan()
        patient, self._patient = settings.patient, None
        if patient.name is not None and isinstance(classifier.preprocessing, ContextParams):
            self._patient = KeptPatient(patient.name, patient, invert=settings.signal.invert, tell=tell)
        self._runner = Runner(
            source,
            classifier,
            [_Outlet(self), *([] if self._patient is None else [self._patient])],
            lead=settings.signal.lead,
            invert=settings.signal.invert,
            memory=None if self._patient is None else self._patient.memory,
            min_confidence=settings.model.min_confidence,
            on_turn=self._turn,
        )
        self._stop_asked = self._reload_asked = False
        self._reloading: threading.Thread | None = None
        self._health_s = self._status_s = self._sample_s = -1e9
        now_s = time.time()
        self._health = Health("starting", "", now_s, now_s, __version__, settings.link.port or "")
        try:
            for name in outputs.wanted(settings):
                self._put(name, settings)
        except BaseException:
            self._fan.close(CLOSE_WITHIN_S)
            raise

    @property
    def stats(self) -> RunStats:
        """What went by."""
        return self._runner.stats

    def run(self) -> None:
        """Run until `stop`. Raises what refuses the port at the start."""
        self._say_state("starting", "")
        self._notifier.ready()
        self._runner.run()

    def stop(self) -> None:
        """End in order; safe in a signal handler."""
        self._stop_asked = True
        self._source.stop()

    def reload(self) -> None:
        """Read the settings again soon, and change what can change; safe in a signal handler."""
        self._reload_asked = True

    def health(self) -> Health:
        """How it is doing; from any thread."""
        found = {}
        for name, sink in self._fan.sinks.items():
            p50, p99 = sink.delays.percentile_s(50), sink.delays.percentile_s(99)
            found[name] = OutputHealth(sink.n_waiting, sink.n_dropped, sink.n_blocks_dropped, sink.failure, p50, p99)
        idle_s = None if self._sample_s < 0.0 else time.monotonic() - self._sample_s
        return dataclasses.replace(self._health, outputs=found, idle_s=idle_s)

    # What the pipeline's thread does

    def _turn(self) -> None:
        self._notifier.alive()
        if self._stop_asked and self._state.stop():
            self._notifier.stopping()
            self._say_state(self._state.state, self._state.detail)
        if self._reload_asked and (self._reloading is None or not self._reloading.is_alive()):
            self._reload_asked = False
            # Closing an output may take a second, in which beats are labelled.
            self._reloading = threading.Thread(target=self._reload, name="edge-ecg reload", daemon=True)
            self._reloading.start()
        now_s = time.monotonic()
        if now_s >= self._health_s + HEALTH_EVERY_S:
            self._health_s = now_s
            self._look()
        if now_s >= self._status_s + STATUS_EVERY_S:
            self._status_s = now_s
            self._tell_status()

    def _took_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        if len(block.samples_mv):
            self._sample_s = time.monotonic()
            if self._state.samples_came():
                self._say_state(self._state.state, self._state.detail)
        self._fan.take_samples(stream, block)

    def _took_event(self, event: Event) -> None:
        self._fan.emit(event)
        if isinstance(event, LinkEvent) and event.state != "waiting":
            self._tell(f"link      {event.state}: {event.detail}")
        if isinstance(event, ModelEvent):
            stream = event.stream
            self._health = dataclasses.replace(
                self._health, model_id=event.model_id, fs_hz=stream.fs_hz, leads=stream.leads, lead=event.lead,
                calibrated=stream.calibrated,
            )  # fmt: skip
        if self._state.observe(event):
            self._say_state(self._state.state, self._state.detail)

    def _finish(self) -> None:
        self._stop_asked = True
        self._turn()
        self._look()
        self._fan.close(CLOSE_WITHIN_S)

    def _say_state(self, state: str, detail: str) -> None:
        utc_s = time.time()
        self._health = dataclasses.replace(self._health, state=state, detail=detail, since_utc_s=utc_s)
        self._fan.emit(StateEvent(state, detail, utc_s))
        self._tell(f"state     {state}" + (f": {detail}" if detail else ""))
        self._tell_status()

    def _tell_status(self) -> None:
        health = self._health
        said = f"{health.state}, {health.n_beats} beats, {health.n_samples_lost} samples lost"
        failing = [name for name, sink in self._fan.sinks.items() if sink.failure]
        self._notifier.status(said + (f"; failing: {', '.join(failing)}" if failing else ""))

    def _look(self) -> None:
        stats = self._runner.stats
        self._health = dataclasses.replace(
            self._health,
            n_samples=stats.n_samples,
            n_samples_lost=stats.n_samples_lost,
            n_gaps=stats.n_gaps,
            n_beats=stats.n_beats,
            n_rejected=stats.n_rejected,
            labels=dict(stats.labels),
            processing_s=stats.processing_s,
            link=self._source.stats(),
        )

    # Outputs come and go

    def _put(self, name: str, settings: Settings) -> None:
        sink = self._open_output(name, settings, self.health)
        self._fan.put(name, QueuedSink(name, sink, on_failure=self._lost, on_recovery=self._recovered))
        if url := getattr(sink, "url", ""):
            self._tell(f"output    {name}: {url}")

    def _lost(self, sink: QueuedSink) -> None:
        self._say_output(sink.name, "paused", sink.failure or "")

    def _recovered(self, sink: QueuedSink) -> None:
        self._say_output(sink.name, "back", f"{sink.n_dropped} events lost so far")

    def _say_output(self, name: str, state: str, detail: str) -> None:
        self._fan.emit(OutputEvent(name, state, detail, time.time()))
        self._tell(f"output    {name} {state}: {detail}")

    def _reload(self) -> None:
        self._notifier.reloading()
        try:
            self._change(self._read_settings())
        except EdgeEcgError as error:
            self._tell(f"settings  not taken: {error}")
        except Exception as error:  # what a reload breaks is not the end of the labels
            self._tell(f"settings  not taken, by a bug ({type(error).__name__}: {error})")
        finally:
            self._notifier.ready()

    def _change(self, new: Settings) -> None:
        old = self._settings
        changed = [f.name for f in dataclasses.fields(Settings) if getattr(old, f.name) != getattr(new, f.name)]
        taken = []
        for name, section in outputs.OUTPUTS.items():
            # A file of lines is opened again in any case: another may have its name now (logrotate).
            if section in changed or name == "jsonl" or (name in outputs.wanted(new)) != (name in self._fan.sinks):
                try:
                    self._change_output(name, new)
                except EdgeEcgError as error:
                    self._tell(f"settings  [{section}] stays as it was: {error}")
                else:
                    taken += [section] if section in changed else []
        self._settings = dataclasses.replace(old, **{section: getattr(new, section) for section in taken})
        self._tell(f"settings  read again: {', '.join(f'[{name}]' for name in taken) or 'nothing'} changed")
        kept = [
            f"{name}.{key.name}"
            for name in changed
            if name not in RELOADABLE
            for key in dataclasses.fields(getattr(old, name))
            if getattr(getattr(old, name), key.name) != getattr(getattr(new, name), key.name)
        ]
        if kept:
            self._tell(f"settings  only a restart of the daemon takes {', '.join(kept)}")

    def _change_output(self, name: str, new: Settings) -> None:
        """Put a new output in the place of an old one, which goes on when the new one cannot be opened."""
        before = self._fan.sinks.get(name)
        if name not in outputs.wanted(new):
            self._fan.take_away(name)
        elif name == "web" and before is not None:
            # Two cannot have one port.
            before.close()
            try:
                self._put(name, new)
            except EdgeEcgError:
                self._put(name, self._settings)
                raise
        else:
            self._put(name, new)
        if before is not None:
            before.close()


class _Outlet:
    """The daemon as a sink of its runner."""

    lasting: ClassVar[bool] = True

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def take_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        self._daemon._took_samples(stream, block)

    def emit(self, event: Event) -> None:
        self._daemon._took_event(event)

    def close(self) -> None:
        self._daemon._finish()
