"""The daemon in this process: a board on a pty that comes and goes, real outputs, faults of them, new settings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from serial import Serial

from edge_ecg import outputs
from edge_ecg.daemon import Daemon
from edge_ecg.errors import ConfigError, SourceError, UsageError
from edge_ecg.health import Health
from edge_ecg.infer import open_classifier
from edge_ecg.infer.stub import StubClassifier
from edge_ecg.settings import LinkSettings, OutputSettings, PatientSettings, Settings, SignalSettings
from edge_ecg.sinks import Sink
from edge_ecg.sources import serial_link
from edge_ecg.sources.serial_link import SerialLinkSource
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from edge_ecg.sources.waiting import WaitingSource
from edge_ecg.types import Classified, Event, LinkEvent, OutputEvent, SampleBlock, StateEvent, StreamInfo
from firmware_bridge.blocks import BoardInfo, LinkError, LinkStats, PortRefusedError
from firmware_bridge.simulator import PtyBoard, VirtualBoard

SPEED = 40.0


class Kept:
    """An output that keeps what it gets."""

    lasting: ClassVar[bool] = True

    def __init__(self, wait: threading.Event | None = None, error: OSError | None = None) -> None:
        self.events: list[Event] = []
        self.blocks: list[SampleBlock] = []
        self.wait, self.error = wait, error

    def emit(self, event: Event) -> None:
        if self.wait is not None:
            self.wait.wait(30.0)
        if self.error is not None:
            raise self.error
        self.events.append(event)

    def take_samples(self, stream: StreamInfo, block: SampleBlock) -> None:
        self.blocks.append(block)

    def close(self) -> None:
        """Nothing to close."""

    @property
    def states(self) -> list[str]:
        return [event.state for event in self.events if isinstance(event, StateEvent)]

    @property
    def beats(self) -> list[int]:
        return [event.beat.r_index for event in self.events if isinstance(event, Classified)]


def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never came")


class Served:
    """A daemon in a thread."""

    def __init__(
        self, port: str, settings: Settings | None = None, classifier=None, open_source=None, **sinks: Sink
    ) -> None:
        self.told: list[str] = []
        self.new_settings: Settings | Exception = Settings()
        self.settings = settings or Settings(link=LinkSettings(port=port), output=OutputSettings(jsonl="-"))
        if settings is not None:
            self.settings = replace(settings, link=LinkSettings(port=port))
        self.source = WaitingSource(
            open_source or (lambda cancelled: SerialLinkSource(port, cancelled=cancelled)), retry_s=0.02
        )
        self.sinks = sinks
        self.error: Exception | None = None

        def open_output(name: str, settings: Settings, health: Callable[[], Health]) -> Sink:
            return self.sinks.get(name) or outputs.open_output(name, settings, health)

        def read_settings() -> Settings:
            if isinstance(self.new_settings, Exception):
                raise self.new_settings
            return self.new_settings

        self.daemon = Daemon(
            self.settings, classifier or StubClassifier(), self.source,
            tell=self.told.append, read_settings=read_settings, open_output=open_output,
        )  # fmt: skip
        self.thread = threading.Thread(target=self._run, name="edge-ecg test daemon")

    def _run(self) -> None:
        try:
            self.daemon.run()
        except Exception as error:
            self.error = error

    def __enter__(self) -> Served:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.daemon.stop()
        self.thread.join(20.0)
        assert not self.thread.is_alive()

    @property
    def outputs(self) -> dict[str, object]:
        return dict(self.daemon.health().outputs)


@contextmanager
def board(link: Path, speed: float = SPEED, **how) -> Iterator[PtyBoard]:
    with PtyBoard(board_of_record(EXCERPT, speed, loop=True, **how), link) as pty:
        yield pty


def test_it_waits_for_a_board_labels_it_waits_again_and_stops_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial_link, "_END_WITHIN_S", 60.0)  # a busy machine may need longer for what waits
    kept, port = Kept(), tmp_path / "board"
    with Served(str(port), jsonl=kept) as served:
        until(lambda: "waiting" in kept.states)
        with board(port):
            until(lambda: len(kept.beats) > 20)
        until(lambda: kept.states[-1] == "waiting")
        with board(port):
            n_before = len(kept.beats)
            until(lambda: len(kept.beats) > n_before + 20)
            assert served.daemon.health().state == "streaming"
            served.daemon.stop()
            served.thread.join(20.0)
    assert kept.states == ["starting", "waiting", "streaming", "waiting", "streaming", "stopping"]
    assert served.error is None
    health = served.daemon.health()
    assert health.n_beats == len(kept.beats) == served.daemon.stats.n_beats
    assert health.n_samples == sum(len(block.samples_mv) for block in kept.blocks)
    assert health.link is not None
    assert health.link.samples_received == health.n_samples
    # What the last event tells is that the stream ended: nothing was cut off.
    assert any(isinstance(event, LinkEvent) and event.state == "ended" for event in kept.events[-3:])


def test_the_reason_for_waiting_is_told_once(tmp_path: Path) -> None:
    kept = Kept()
    attempts = []
    with Served(str(tmp_path / "nothing"), jsonl=kept) as served:
        opened = served.source._open
        served.source._open = lambda cancelled: attempts.append(1) or opened(cancelled)
        until(lambda: len(attempts) > 4)
    waiting = [event for event in kept.events if isinstance(event, LinkEvent)]
    assert len(waiting) == 1
    assert "there is no port" in waiting[0].detail


def test_a_port_that_another_holds_is_refused_at_the_start_and_waited_for_later(tmp_path: Path) -> None:
    port = tmp_path / "board"
    with board(port) as pty:
        with Serial(pty.path, exclusive=True), Served(str(port), jsonl=Kept()) as served:
            served.thread.join(20.0)
        assert isinstance(served.error, PortRefusedError)
        assert "is in use by" in str(served.error)
    kept = Kept()
    with Served(str(port), jsonl=kept) as served:
        until(lambda: "waiting" in kept.states)  # no port
        with PtyBoard(board_of_record(EXCERPT, SPEED, loop=True)) as pty:
            with Serial(pty.path, exclusive=True):
                port.symlink_to(pty.path)  # held before the daemon sees it
                until(lambda: any("is in use" in e.detail for e in kept.events if isinstance(e, LinkEvent)))
            until(lambda: bool(kept.beats))
    assert served.error is None


def test_a_stop_ends_an_attempt_to_open(tmp_path: Path) -> None:
    """A board that never answers, and a minute to wait for its answer."""
    silent = board_of_record(EXCERPT, SPEED)
    silent.receive = lambda data, now_s: b""
    with PtyBoard(silent, tmp_path / "board"):
        begun = threading.Event()

        def open_source(cancelled: Callable[[], bool]) -> SerialLinkSource:
            begun.set()
            return SerialLinkSource(str(tmp_path / "board"), handshake_timeout_s=600.0, cancelled=cancelled)

        with Served(str(tmp_path / "board"), open_source=open_source, jsonl=Kept()) as served:
            begun.wait(20.0)
    assert served.error is None


def test_a_hanging_a_failing_and_a_buggy_output_stop_no_label(tmp_path: Path) -> None:
    go = threading.Event()
    hanging, full, kept = Kept(wait=go), Kept(error=OSError(28, "No space left on device")), Kept()
    settings = Settings(output=OutputSettings(jsonl="-"))
    settings = replace(settings, web=replace(settings.web, enabled=True), mqtt=replace(settings.mqtt, host="nobody"))
    port = tmp_path / "board"
    with board(port), Served(str(port), settings, jsonl=kept, web=hanging, mqtt=full) as served:
        until(lambda: len(kept.beats) > 30)
        health = served.daemon.health()
        assert health.outputs["web"].n_waiting > 20
        assert health.outputs["mqtt"].n_dropped > 20
        assert health.outputs["jsonl"].n_dropped == 0
        full.error = None
        until(lambda: any(isinstance(e, OutputEvent) and e.state == "back" for e in kept.events))
        go.set()
    told = [(e.output, e.state) for e in kept.events if isinstance(e, OutputEvent)]
    assert told == [("mqtt", "paused"), ("mqtt", "back")]
    assert any("mqtt paused: No space left" in line for line in served.told)
    # The one that hung has all: its queue was long enough.
    assert hanging.beats == kept.beats


def test_an_electrode_that_is_off_is_a_state(tmp_path: Path) -> None:
    played = board_of_record(EXCERPT, SPEED)
    record = VirtualBoard(played.info, played._counts, SPEED, loop=True, lead_off=False)
    kept, port = Kept(), tmp_path / "board"
    with PtyBoard(record, port), Served(str(port), jsonl=kept):
        until(lambda: bool(kept.beats))
        record.lead_off = True
        until(lambda: kept.states[-1] == "lead_off")
        record.lead_off = False
        until(lambda: kept.states[-1] != "lead_off")


def test_new_settings_change_outputs_in_mid_stream_and_name_what_needs_a_restart(tmp_path: Path) -> None:
    kept, port, file = Kept(), tmp_path / "board", tmp_path / "beats.jsonl"
    settings = Settings(output=OutputSettings(jsonl="-"))
    with board(port), Served(str(port), settings, jsonl=kept) as served:
        until(lambda: bool(kept.beats))
        served.sinks.clear()
        served.new_settings = replace(
            served.settings, output=OutputSettings(jsonl=str(file)), signal=SignalSettings(invert=True)
        )
        served.daemon.reload()
        until(lambda: file.exists() and '"beat"' in file.read_text())
        n_before = len(kept.beats)
        # What a person should know of the stream stands at the head of the new file.
        assert '"type":"model"' in file.read_text().splitlines()[0] + file.read_text().splitlines()[1]
        until(lambda: "settings  only a restart of the daemon takes signal.invert" in served.told)
        served.new_settings = ConfigError("c.toml: no TOML", "Mend it")
        served.daemon.reload()
        until(lambda: any("not taken: c.toml: no TOML" in line for line in served.told))
        folder = tmp_path / "later"
        wanted = replace(served.settings, output=OutputSettings(jsonl=str(folder / "beats.jsonl")))
        served.new_settings = wanted
        served.daemon.reload()
        until(lambda: any("[output] stays as it was: cannot write" in line for line in served.told))
        # The old one goes on.
        n_lines = len(file.read_text().splitlines())
        until(lambda: len(file.read_text().splitlines()) > n_lines + 5)
        assert "jsonl" in served.outputs
        folder.mkdir()
        served.daemon.reload()  # the same settings, and what stood against them is mended
        until(lambda: (folder / "beats.jsonl").exists() and '"beat"' in (folder / "beats.jsonl").read_text())
        assert len(kept.beats) == n_before
    assert served.error is None


def test_a_file_of_lines_is_opened_again_at_each_reload_as_logrotate_asks(tmp_path: Path) -> None:
    port, file = tmp_path / "board", tmp_path / "beats.jsonl"
    settings = Settings(output=OutputSettings(jsonl=str(file)))
    with board(port), Served(str(port), settings) as served:
        until(lambda: file.exists() and '"beat"' in file.read_text())
        served.new_settings = served.settings
        file.rename(tmp_path / "beats.jsonl.1")
        served.daemon.reload()
        until(lambda: file.exists() and '"beat"' in file.read_text())
        until(lambda: any("nothing changed" in line for line in served.told))


def test_a_reload_that_meets_a_bug_is_told_and_is_over(tmp_path: Path) -> None:
    port, kept = tmp_path / "board", Kept()
    with board(port), Served(str(port), jsonl=kept) as served:
        served.new_settings = ZeroDivisionError("oh")
        served.daemon.reload()
        until(lambda: any("by a bug (ZeroDivisionError: oh)" in line for line in served.told))
        until(lambda: bool(kept.beats))
    assert served.error is None


def test_a_board_that_cannot_be_labelled_is_waited_out_and_the_reason_is_told(tmp_path: Path) -> None:
    port, kept = tmp_path / "board", Kept()
    unfit = [True]

    def check(info: BoardInfo) -> None:
        if unfit[0]:
            raise SourceError("no lead 'V5' on it", "Its leads are: MLII")

    def open_source(cancelled: Callable[[], bool]) -> SerialLinkSource:
        return SerialLinkSource(str(port), cancelled=cancelled, check=check)

    with Served(str(port), open_source=open_source, jsonl=kept) as served:
        until(lambda: "there is no port" in served.daemon.health().detail)
        with board(port):
            until(lambda: "no lead 'V5'" in served.daemon.health().detail)
            unfit[0] = False
            until(lambda: bool(kept.beats))
    assert served.error is None


def test_an_output_that_cannot_be_opened_is_told_at_the_start_and_leaves_no_thread(tmp_path: Path) -> None:
    settings = Settings(output=OutputSettings(jsonl=str(tmp_path)))
    with pytest.raises(UsageError, match="cannot write"):
        Served(str(tmp_path / "board"), settings)


def test_what_is_kept_of_a_patient_outlives_the_daemon(tmp_path: Path) -> None:
    settings = Settings(
        output=OutputSettings(jsonl="-"), patient=PatientSettings(name="bed-3", folder=str(tmp_path / "patients"))
    )
    port, kept = tmp_path / "board", Kept()
    classifier = open_classifier("rhythm")
    with board(port, 25.0), Served(str(port), settings, classifier, jsonl=kept):
        until(lambda: len(kept.beats) > 100)
    assert (tmp_path / "patients" / "bed-3@MLII.npz").exists()
    with board(port, 25.0), Served(str(port), settings, classifier, jsonl=kept) as served:
        n_before = len(kept.beats)
        until(lambda: len(kept.beats) > n_before + 10)
    assert any("taken up as known" in line for line in served.told)


class _Once:
    """A link that gives one stream and ends."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.closed = error, 0

    def items(self):
        yield StreamInfo("a", 360.0, ("MLII",))
        if self.error is not None:
            raise self.error

    def stats(self) -> LinkStats:
        return LinkStats(samples_received=5)

    def stop(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("error", [None, LinkError("it went away", "Check the cable")])
def test_a_source_that_ends_is_opened_again_and_counters_go_on(error: Exception | None) -> None:
    links: list[_Once] = []

    def open_source(cancelled: Callable[[], bool]) -> _Once:
        links.append(_Once(error))
        return links[-1]

    source = WaitingSource(open_source, retry_s=0.01)
    assert source.stats() is None
    why = []
    for item in source.items():
        if isinstance(item, LinkEvent):
            why.append(item.detail)
        if len(links) == 3:
            source.stop()
    assert [link.closed for link in links] == [1, 1, 1]
    assert source.stats() == LinkStats(samples_received=15)
    assert why[0] == ("the board ended" if error is None else "it went away. Check the cable")


def test_a_clock_that_was_set_begins_another_stream_at_the_right_time(tmp_path: Path) -> None:
    ahead_s = [0.0]
    begun_s = time.time()
    with board(tmp_path / "board"):
        source = SerialLinkSource(str(tmp_path / "board"), wall_clock=lambda: 1000.0 + time.monotonic() + ahead_s[0])
        streams, n_blocks = [], 0
        for item in source.items():
            if isinstance(item, StreamInfo):
                streams.append(item)
            if isinstance(item, LinkEvent) and item.state == "ended" and len(streams) == 1:
                assert "the clock of this machine was set, by +1000" in item.detail
            if isinstance(item, SampleBlock):
                n_blocks += 1
                if n_blocks == 3:
                    ahead_s[0] = 59.0  # a step that a stream lives with
                if n_blocks == 10:
                    assert len(streams) == 1
                    ahead_s[0] = 1e6
                if len(streams) == 2:
                    assert item.first_index == 0
                    break
        source.stop()
        source.close()
    started = [stream.start_utc_s for stream in streams]
    assert 999_000 < started[1] - started[0] < 1_001_000
    assert begun_s > 0
