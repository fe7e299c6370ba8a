"""Hooks: real scripts, run at their events, never too often, never too long, and no one waits for them."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mosquitto import until

from edge_ecg.cli.main import run
from edge_ecg.errors import ConfigError
from edge_ecg.settings import HookSettings
from edge_ecg.sinks.fan import Fan
from edge_ecg.sinks.hooks import Hook, HookSink, open_hooks
from edge_ecg.sinks.jsonl import as_json
from edge_ecg.sinks.queued import QueuedSink
from edge_ecg.types import (
    Beat,
    Classified,
    EpisodeEvent,
    Event,
    LeadOffEvent,
    LinkEvent,
    ModelEvent,
    StateEvent,
    StreamInfo,
)

STREAM = StreamInfo("s1", 250.0, ("I",), start_utc_s=1_000_000_000.0)
V_RUN = EpisodeEvent(STREAM, 600, 500, "v_run", over=False, n_beats=3, length_s=0.8)
LEAD_OFF = LeadOffEvent(STREAM, 250, off=True)


def v_run(sample: int, *, over: bool = False, kind: str = "v_run") -> EpisodeEvent:
    return EpisodeEvent(STREAM, sample + 100, sample, kind, over=over, n_beats=3, length_s=0.8)


def beat(sample: int = 500) -> Classified:
    body = Beat(sample, sample / 250.0, 0.8, 0.8, 0.9, ())
    return Classified(STREAM, "I", body, "N", ("N",), (1.0,), 1.0, "m1", 0.8, sample + 100)


class Script:
    """A shell script that keeps what it was told: a line a run, and the environment and the input of the last."""

    def __init__(self, folder: Path, body: str = "") -> None:
        self._folder = folder
        self.path = folder / "hook.sh"
        self.path.write_text(
            f"#!/bin/sh\nenv > {folder}/env.new; cat > {folder}/stdin; mv {folder}/env.new {folder}/env\n"
            f'echo "$EDGE_ECG_EVENT $EDGE_ECG_SAMPLE $EDGE_ECG_SUPPRESSED $*" >> {folder}/runs\n{body}\n'
        )
        self.path.chmod(0o755)

    @property
    def runs(self) -> list[str]:
        path = self._folder / "runs"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def env(self) -> dict[str, str]:
        lines = (self._folder / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    @property
    def stdin(self) -> str:
        return (self._folder / "stdin").read_text()

    def pid(self, name: str = "pid") -> int:
        """What the body wrote there."""
        path = self._folder / name
        until(lambda: path.exists() and path.read_text().strip(), name)
        return int(path.read_text())


@pytest.fixture(name="script")
def script_fixture(tmp_path: Path) -> Script:
    return Script(tmp_path)


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(name="clock")
def clock_fixture() -> Time:
    return Time()


def one(script: Script, clock: Callable[[], float], name: str = "v_run", timeout_s: float = 30.0) -> HookSink:
    return HookSink({name: Hook(name, (str(script.path), "a b", "$HOME"), 60.0, timeout_s, clock)}, wall=lambda: 1e9)


def tick_until(sink: HookSink, done: Callable[[], bool]) -> str | None:
    """Look after the hooks until something is so; why it was in trouble last."""
    why: list[str] = []

    def so() -> bool:
        try:
            sink.tick()
            why.clear()
        except OSError as error:
            why.append(str(error))
        return done()

    until(so)
    return why[-1] if why else None


def ended(sink: HookSink) -> str | None:
    return tick_until(sink, lambda: not any(hook.running for hook in sink.hooks.values()))


def alive(pid: int) -> bool:
    """Whether a process is there, and no mere entry that its parent has not asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_hook_of_new_settings_does_not_run_for_what_was_so_before(script: Script, clock: Time) -> None:
    """After SIGHUP the daemon puts a new sink in the place of the old one."""
    fan = Fan()
    fan.emit(ModelEvent(STREAM, 0, "I", "m1", "ab"))
    fan.emit(LEAD_OFF)
    sink = one(script, clock, "lead_off")
    fan.put("hooks", QueuedSink("hooks", sink))
    fan.emit(LeadOffEvent(STREAM, 500, off=False))
    fan.emit(LeadOffEvent(STREAM, 750, off=True))
    until(lambda: script.runs, "a run")
    fan.close()
    assert script.runs == ["lead_off 750 0 a b $HOME"]


# What a command is told


def test_a_command_is_told_of_its_event(script: Script, clock: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("MINE", "kept")
    with closing(one(script, clock)) as sink:
        sink.emit(V_RUN)
        assert ended(sink) is None
    assert script.runs == ["v_run 500 0 a b $HOME"], "no shell reads the arguments"
    expected = {
        "EDGE_ECG_EVENT": "v_run",
        "EDGE_ECG_TIME_UTC": "2001-09-09T01:46:42.000Z",
        "EDGE_ECG_STREAM": "s1",
        "EDGE_ECG_SAMPLE": "500",
        "EDGE_ECG_N_BEATS": "3",
        "EDGE_ECG_LENGTH_S": "0.8",
        "EDGE_ECG_DETAIL": "",
        "EDGE_ECG_SUPPRESSED": "0",
    }
    assert {name: script.env.get(name) for name in expected} == expected
    assert script.env["MINE"] == "kept"
    assert "NOTIFY_SOCKET" not in script.env
    assert json.loads(script.stdin) == as_json(V_RUN)


def test_what_belongs_to_no_sample_has_the_time_of_now(script: Script, clock: Time) -> None:
    with closing(one(script, clock, "device_lost")) as sink:
        sink.emit(LinkEvent("lost", "gone\0 \ud800" + "x" * 10_000))
        ended(sink)
    assert script.env["EDGE_ECG_TIME_UTC"] == "2001-09-09T01:46:40.000Z"
    assert script.env["EDGE_ECG_DETAIL"].startswith("gone ?xx")
    assert len(json.loads(script.stdin)["detail"]) == 500
    assert (script.env["EDGE_ECG_SAMPLE"], script.env["EDGE_ECG_STREAM"]) == ("", "")


def test_what_a_command_prints_goes_to_our_messages(
    tmp_path: Path, clock: Time, capfd: pytest.CaptureFixture[str]
) -> None:
    script = Script(tmp_path, "echo out; echo err >&2")
    with closing(one(script, clock)) as sink:
        sink.emit(V_RUN)
        ended(sink)
    out, err = capfd.readouterr()
    assert (out, err.split()) == ("", ["out", "err"])


LOST, STALLED, BACK = LinkEvent("lost", "x"), LinkEvent("stalled", "x"), LinkEvent("back", "x")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([v_run(500), v_run(500, over=True)], ["v_run"]),
        ([v_run(500), v_run(500, over=True), v_run(900)], ["v_run", "v_run"]),
        ([v_run(500, kind="s_run")], []),
        ([v_run(500, kind="pause"), v_run(500, kind="pause", over=True)], ["pause"]),
        ([v_run(500, kind="pause", over=True)], ["pause"]),
        ([LEAD_OFF, LeadOffEvent(STREAM, 300, off=False), LEAD_OFF], ["lead_off", "lead_off"]),
        ([STALLED, LOST, StateEvent("waiting", "x", 1e9), LOST], ["device_lost"]),
        ([LOST, BACK, LOST], ["device_lost", "device_lost"]),
        ([STALLED, beat(), STALLED], ["device_lost", "device_lost"]),
        ([StateEvent("waiting", "x", 1e9), LinkEvent("connected", "x"), LinkEvent("ended", "x")], []),
        ([beat(), StateEvent("lead_off", "x", 1e9)], []),
    ],
)
def test_each_thing_that_happens_runs_its_hook_once(
    script: Script, clock: Time, events: list[Event], expected: list[str]
) -> None:
    names = ("v_run", "pause", "lead_off", "device_lost")
    sink = HookSink({name: Hook(name, (str(script.path),), 0.0, 30.0, clock) for name in names})
    with closing(sink):
        for event in events:
            sink.emit(event)
            ended(sink)
    assert [line.split()[0] for line in script.runs] == expected


# How often


def test_a_hook_rests_between_two_runs_and_tells_what_it_left_out(script: Script, clock: Time) -> None:
    with closing(one(script, clock)) as sink:
        for clock.now_s, sample in ((0.0, 1), (10.0, 2), (59.9, 3), (60.0, 4), (61.0, 5), (200.0, 6)):
            sink.emit(v_run(sample))
            ended(sink)
    assert [line.split()[1:3] for line in script.runs] == [["1", "0"], ["4", "2"], ["6", "1"]]


def test_a_hook_that_still_runs_does_not_run_twice(tmp_path: Path, clock: Time) -> None:
    os.mkfifo(tmp_path / "go")
    script = Script(tmp_path, f"cat {tmp_path}/go")
    with closing(one(script, clock, timeout_s=1000.0)) as sink:
        sink.emit(v_run(1))
        until(lambda: script.runs)
        clock.now_s = 100.0
        sink.emit(v_run(2))
        assert sink.hooks["v_run"].n_runs == 1
        (tmp_path / "go").write_text("")
        ended(sink)
        sink.emit(v_run(3))
        until(lambda: len(script.runs) == 2)
        (tmp_path / "go").write_text("")
        ended(sink)
    assert [line.split()[1:3] for line in script.runs] == [["1", "0"], ["3", "1"]]


def test_two_hooks_do_not_wait_for_each_other(tmp_path: Path, clock: Time) -> None:
    os.mkfifo(tmp_path / "go")
    script = Script(tmp_path, f'[ "$EDGE_ECG_EVENT" = v_run ] && cat {tmp_path}/go; true')
    hooks = {name: Hook(name, (str(script.path),), 60.0, 1000.0, clock) for name in ("v_run", "lead_off")}
    with closing(HookSink(hooks)) as sink:
        sink.emit(V_RUN)
        sink.emit(LEAD_OFF)
        tick_until(sink, lambda: not hooks["lead_off"].running)
        assert hooks["v_run"].running
        until(lambda: len(script.runs) == 2)
        (tmp_path / "go").write_text("")
        ended(sink)


# What goes wrong

STUBBORN = "trap '' TERM; echo $$ > {0}/pid; (trap '' TERM; exec sleep 600) & echo $! > {0}/child; wait; wait"


def test_a_command_that_takes_too_long_ends_with_all_that_it_began(tmp_path: Path, clock: Time) -> None:
    script = Script(tmp_path, STUBBORN.format(tmp_path))
    with closing(one(script, clock, timeout_s=5.0)) as sink:
        sink.emit(V_RUN)
        pids = [script.pid(), script.pid("child")]
        clock.now_s = 4.9
        sink.tick()
        clock.now_s = 5.0
        with pytest.raises(OSError, match=r"hook v_run: .*hook.sh took more than 5 s"):
            sink.tick()
        assert all(map(alive, pids)), "they do not mind SIGTERM"
        clock.now_s = 7.0
        with pytest.raises(OSError, match="took more than"):
            sink.tick()
        until(lambda: not any(map(alive, pids)))
        assert sink.hooks["v_run"].n_failed == 1


def test_a_command_that_minds_sigterm_may_clean_up(tmp_path: Path, clock: Time) -> None:
    script = Script(
        tmp_path, f"trap 'touch {tmp_path}/clean; exit' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.01; done"
    )
    with closing(one(script, clock, timeout_s=5.0)) as sink:
        sink.emit(V_RUN)
        script.pid()
        clock.now_s = 5.0
        with pytest.raises(OSError, match="took more than 5 s"):
            sink.tick()
        until((tmp_path / "clean").exists)


def test_the_end_of_the_daemon_is_the_end_of_its_commands(tmp_path: Path) -> None:
    script = Script(tmp_path, STUBBORN.format(tmp_path))
    sink = open_hooks(HookSettings(v_run=(str(script.path),)))
    sink.emit(V_RUN)
    pids = [script.pid(), script.pid("child")]
    sink.close()
    until(lambda: not any(map(alive, pids)))
    sink.close()


def test_a_command_that_is_nearly_done_may_finish(tmp_path: Path) -> None:
    script = Script(tmp_path, f"sleep 0.05; touch {tmp_path}/done")
    sink = open_hooks(HookSettings(v_run=(str(script.path),)))
    sink.emit(V_RUN)
    sink.close()
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("exit 3", "ended with exit code 3"),
        ("kill -9 $$", "ended with SIGKILL"),
        ("kill -35 $$", "ended with signal 35"),
    ],
)
def test_a_command_that_fails_is_told_until_it_works(tmp_path: Path, clock: Time, body: str, told: str) -> None:
    script = Script(tmp_path, f"[ -e {tmp_path}/well ] || {body}")
    with closing(one(script, clock)) as sink:
        sink.emit(v_run(1))
        assert ended(sink) == f"hook v_run: {script.path} {told}"
        (tmp_path / "well").touch()
        clock.now_s = 60.0
        sink.emit(v_run(2))
        assert ended(sink) is None
        assert (sink.hooks["v_run"].n_runs, sink.hooks["v_run"].n_failed) == (2, 1)


@pytest.mark.parametrize("how", ["removed", "not a program"])
def test_a_command_that_is_gone_is_told(script: Script, clock: Time, how: str) -> None:
    with closing(one(script, clock)) as sink:
        if how == "removed":
            script.path.unlink()
        else:
            script.path.write_bytes(b"\0\1\2")
        sink.emit(V_RUN)
        with pytest.raises(OSError, match=r"hook.sh (No such file|Exec format)"):
            sink.tick()


def test_a_command_that_does_not_read_holds_up_nobody(tmp_path: Path, clock: Time) -> None:
    path = tmp_path / "deaf.sh"
    path.write_text("#!/bin/sh\nexec <&-\n")
    path.chmod(0o755)
    with closing(HookSink({"device_lost": Hook("device_lost", (str(path),), 0.0, 30.0, clock)})) as sink:
        for _ in range(20):
            sink.emit(LinkEvent("lost", "\U0001f494" * 10_000))
            sink.emit(BACK)
            assert ended(sink) is None


def test_a_failure_is_told_once_by_the_queue_in_front(tmp_path: Path) -> None:
    script = Script(tmp_path, f"[ -e {tmp_path}/well ]")
    told: list[str | None] = []
    sink = open_hooks(HookSettings(v_run=(str(script.path),), min_interval_s=0.0))
    queued = QueuedSink(
        "hooks", sink, on_failure=lambda q: told.append(q.failure), on_recovery=lambda q: told.append("back")
    )
    with closing(queued):
        queued.emit(v_run(1))
        until(lambda: told)
        for n in range(50):
            queued.emit(beat(n))
        queued.emit(v_run(2))
        until(lambda: len(script.runs) == 2, "a run for the event behind")
        assert told == [f"hook v_run: {script.path} ended with exit code 1"]
        (tmp_path / "well").touch()
        until(lambda: not sink.hooks["v_run"].running)
        queued.emit(v_run(3))
        until(lambda: told[1:] == ["back"])
    assert queued.n_dropped == 0


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, r"hooks.pause: there is no program .*\. Write its full path"),
        (lambda path: path.mkdir(), "there is no program"),
        (lambda path: path.touch(0o644), r"cannot be run\. Run `chmod \+x"),
    ],
)
def test_what_cannot_run_is_refused_at_the_start(tmp_path: Path, make: Callable[[Path], None], told: str) -> None:
    make(tmp_path / "hook")
    with pytest.raises(ConfigError, match=told):
        open_hooks(HookSettings(pause=(str(tmp_path / "hook"),)))


def test_no_hook_at_all(script: Script) -> None:
    with closing(open_hooks(HookSettings())) as sink:
        sink.emit(V_RUN)
        sink.tick()
    with pytest.raises(ValueError, match=r"hooks\.pause"):
        HookSettings(pause=("/bin/sh", "a\0b"))


# `edge-ecg hooks test`


@pytest.fixture(name="config")
def config_fixture(tmp_path: Path) -> Callable[[Script], str]:
    def write(script: Script) -> str:
        path = tmp_path / "edge-ecg.toml"
        path.write_text(
            "[hooks]\n" + "".join(f'{n} = ["{script.path}"]\n' for n in ("v_run", "lead_off", "device_lost"))
        )
        return str(path)

    return write


@pytest.mark.parametrize("name", ["v_run", "lead_off", "device_lost"])
def test_a_hook_can_be_tried(
    script: Script, config: Callable[[Script], str], capfd: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(["hooks", "test", name, "--config", config(script)]) == 0
    assert script.runs[0].split()[0] == name
    assert script.env["EDGE_ECG_STREAM"] == "test"
    assert f"hook {name}: ended in order" in capfd.readouterr().out


def test_a_hook_that_fails_or_is_not_set_is_told(
    tmp_path: Path, config: Callable[[Script], str], capfd: pytest.CaptureFixture[str]
) -> None:
    path = config(Script(tmp_path, "exit 4"))
    assert run(["hooks", "test", "v_run", "--config", path]) == 5
    assert "ended with exit code 4. Run it by hand" in capfd.readouterr().err
    assert run(["hooks", "test", "pause", "--config", path]) == 2
    assert "hooks.pause is not set. Name a command" in capfd.readouterr().err


def test_ctrl_c_ends_the_command_that_is_tried(tmp_path: Path, config: Callable[[Script], str]) -> None:
    script = Script(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 600")
    path = config(script)

    def interrupt() -> None:
        script.pid()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    # A suite in the background of a shell ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert run(["hooks", "test", "v_run", "--config", path]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    thread.join()
    until(lambda: not alive(script.pid()))
