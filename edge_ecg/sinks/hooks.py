"""Hooks: commands of the user that run when something happens."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from edge_ecg.errors import ConfigError
from edge_ecg.settings import HookSettings
from edge_ecg.sinks.jsonl import as_json, utc_text
from edge_ecg.types import Classified, EpisodeEvent, Event, LeadOffEvent, LinkEvent

__all__ = ["HOOKS", "Hook", "HookSink", "open_hooks"]

HOOKS = ("v_run", "pause", "lead_off", "device_lost")
GRACE_S = 2.0
"""Between SIGTERM and SIGKILL."""
FINISH_S, GRACE_AT_END_S = 0.3, 0.4
"""At the end of the daemon: to finish, and between the two signals."""
MOST_DETAIL = 500
MOST_STDIN = 4096
"""What a pipe takes at once, however little of it the command reads."""
OWN_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
"""What systemd tells the daemon, and no one else."""


@dataclass
class _Run:
    process: subprocess.Popen[bytes]
    began_s: float
    ended_s: float | None = None
    """When SIGTERM was sent."""


class Hook:
    """One command: at most one of it runs, at most once in an interval, no longer than it may.

    Parameters
    ----------
    words
        The program and its arguments; no shell.

    Attributes
    ----------
    n_runs, n_failed
        How often it was begun; how often it did not exist, ended with another code than 0, or took too long.
    n_suppressed
        Events that it did not run for, since it ran.
    failure
        Why the last run failed; None where it did not.
    """

    def __init__(
        self,
        name: str,
        words: tuple[str, ...],
        min_interval_s: float,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.n_runs = self.n_failed = self.n_suppressed = 0
        self.failure: str | None = None
        self._name = name
        self._words = words
        self._min_interval_s = min_interval_s
        self._timeout_s = timeout_s
        self._clock = clock
        self._began_s: float | None = None
        self._run: _Run | None = None

    @property
    def running(self) -> bool:
        """Whether a run goes on, as far as `look` has seen."""
        return self._run is not None

    def fire(self, variables: Mapping[str, str], line: Mapping[str, Any]) -> None:
        """Begin a run, or count why not. Waits for nothing."""
        self.look()
        now_s = self._clock()
        if self._run is not None or (self._began_s is not None and now_s < self._began_s + self._min_interval_s):
            self.n_suppressed += 1
            return
        self._began_s = now_s
        self.n_runs += 1
        env = {name: value for name, value in os.environ.items() if name not in OWN_VARIABLES}
        env |= variables
        env["EDGE_ECG_SUPPRESSED"] = str(self.n_suppressed)
        self.n_suppressed = 0
        try:
            # Its output goes where our messages go: our own standard output may carry JSON lines.
            process = subprocess.Popen(
                self._words, env=env, stdin=subprocess.PIPE, stdout=2, start_new_session=True, bufsize=0
            )
        except OSError as error:
            self._fail(error.strerror or str(error))
            return
        self._run = _Run(process, now_s)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:
            told = json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n"
            process.stdin.write(told.encode(errors="replace")[:MOST_STDIN])

    def look(self) -> None:
        """See how the run is doing; end it when it takes too long."""
        run = self._run
        if run is None:
            return
        if run.ended_s is not None:
            # Not waited for before the second signal: its number, and so its group's, must not be another's.
            if self._clock() >= run.ended_s + GRACE_S:
                self._kill(run)
            return
        code = run.process.poll()
        if code is not None:
            self._run = None
            if code:
                self._fail(f"ended with {f'exit code {code}' if code > 0 else _signal_name(-code)}")
            else:
                self.failure = None
        elif self._clock() >= run.began_s + self._timeout_s:
            self._fail(f"took more than {self._timeout_s:g} s")
            self.terminate()

    def terminate(self) -> None:
        """Ask the run, and what it began, to end."""
        if self._run is not None and self._run.ended_s is None:
            self._run.ended_s = self._clock()
            _signal(self._run, signal.SIGTERM)

    def over(self) -> bool:
        """Whether the command has ended; it is not yet waited for."""
        run = self._run
        if run is None:
            return True
        return os.waitid(os.P_PID, run.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def kill(self) -> None:
        """End it."""
        if self._run is not None:
            self._kill(self._run)

    def _kill(self, run: _Run) -> None:
        _signal(run, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(0.2)
        self._run = None

    def _fail(self, why: str) -> None:
        self.n_failed += 1
        self.failure = f"hook {self._name}: {self._words[0]} {why}"


class HookSink:
    """Runs the hooks' commands when their events come. No call waits for one.

    As long as the last run of a hook failed, `tick` raises `OSError`, which says why.

    Attributes
    ----------
    hooks
        By name.
    only_new
        What was so before it came is no reason to run anything: the hook of the daemon's last settings has run.
    """

    lasting: ClassVar[bool] = False
    only_new: ClassVar[bool] = True

    def __init__(self, hooks: Mapping[str, Hook], wall: Callable[[], float] = time.time) -> None:
        self.hooks = dict(hooks)
        self._wall = wall
        self._told: dict[str, tuple[str, int]] = {}
        self._gone = False

    def emit(self, event: Event) -> None:
        """Run what is to run at this event."""
        name = self._name(event)
        hook = None if name is None else self.hooks.get(name)
        if name is None or hook is None:
            return
        line = as_json(event)
        if "detail" in line:
            line["detail"] = line["detail"][:MOST_DETAIL]
        # What belongs to no sample belongs to the moment.
        time_utc = line["utc"] if "utc" in line else utc_text(self._wall())
        variables = {
            "EDGE_ECG_EVENT": name,
            "EDGE_ECG_TIME_UTC": time_utc,
            "EDGE_ECG_STREAM": line["stream"],
            "EDGE_ECG_SAMPLE": line.get("sample"),
            "EDGE_ECG_N_BEATS": line.get("beats"),
            "EDGE_ECG_LENGTH_S": line.get("length_s"),
            "EDGE_ECG_DETAIL": line.get("detail"),
        }
        hook.fire({key: _text(value) for key, value in variables.items()}, line)

    def tick(self) -> None:
        """Look after what runs; `OSError` while the last run of a hook failed."""
        for hook in self.hooks.values():
            hook.look()
        failures = [hook.failure for hook in self.hooks.values() if hook.failure is not None]
        if failures:
            raise OSError("; ".join(failures))

    def close(self) -> None:
        """End what runs, within a second."""
        hooks = self.hooks.values()
        _wait_for(hooks, FINISH_S)
        for hook in hooks:
            hook.look()
            hook.terminate()
        _wait_for(hooks, GRACE_AT_END_S)
        for hook in hooks:
            hook.kill()

    def _name(self, event: Event) -> str | None:
        """Which hook is to run; one event of several that tell of the same thing."""
        match event:
            case EpisodeEvent(kind="v_run" | "pause"):
                # A pause that is over before it could be told of comes once, and over.
                this = (event.stream.stream, event.sample)
                if self._told.get(event.kind) == this:
                    return None
                self._told[event.kind] = this
                return event.kind
            case LeadOffEvent(off=True):
                return "lead_off"
            case LinkEvent(state="stalled" | "lost") if not self._gone:
                self._gone = True
                return "device_lost"
            case LinkEvent(state="connected" | "back") | Classified():
                self._gone = False
        return None


def open_hooks(settings: HookSettings) -> HookSink:
    """The hooks that the settings describe.

    Raises
    ------
    ConfigError
        A command is not there, or cannot be run.
    """
    hooks = {}
    for name in HOOKS:
        words: tuple[str, ...] = getattr(settings, name)
        if not words:
            continue
        if not Path(words[0]).is_file():
            raise ConfigError(f"hooks.{name}: there is no program {words[0]}", "Write its full path")
        if not os.access(words[0], os.X_OK):
            raise ConfigError(f"hooks.{name}: {words[0]} cannot be run", f"Run `chmod +x {words[0]}`")
        hooks[name] = Hook(name, words, settings.min_interval_s, settings.timeout_s)
    return HookSink(hooks)


def _signal(run: _Run, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(run.process.pid, number)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return f"signal {number}"


def _wait_for(hooks: Any, timeout_s: float) -> None:
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s and not all(hook.over() for hook in hooks):
        time.sleep(0.01)


def _text(value: Any) -> str:
    """As a variable of the environment can hold it."""
    return "" if value is None else str(value).replace("\0", "").encode(errors="replace").decode()
