"""States of the daemon, and what systemd is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipelines import STREAM

from edge_ecg.sdnotify import Notifier
from edge_ecg.states import StateOfDaemon
from edge_ecg.types import Event, LeadOffEvent, LinkEvent, ModelEvent, QualityEvent

LOST = LinkEvent("lost", "the cable")
BACK = LinkEvent("back", "back, after 2 s")
OFF, ON = LeadOffEvent(STREAM, 0, True), LeadOffEvent(STREAM, 0, False)
NOISY = QualityEvent(STREAM, 0, 0, True, 0.1, ("muscle",))
GOOD = QualityEvent(STREAM, 0, 0, False, 0.9)
NEW = ModelEvent(STREAM, 0, "MLII", "rhythm", "0")


def states_of(events: list[Event]) -> list[str]:
    daemon = StateOfDaemon()
    return [daemon.state for event in events if daemon.observe(event)]


def told_of(events: list[Event]) -> list[tuple[str, str]]:
    daemon = StateOfDaemon()
    return [(daemon.state, daemon.detail) for event in events if daemon.observe(event)]


@pytest.mark.parametrize(
    ("events", "states"),
    [
        ([LinkEvent("waiting", "no port"), LinkEvent("connected", "")], ["waiting", "streaming"]),
        ([BACK, LOST, LOST, BACK], ["streaming", "waiting", "streaming"]),
        ([BACK, NOISY, OFF, ON, GOOD], ["streaming", "noisy", "lead_off", "noisy", "streaming"]),
        ([BACK, OFF, LOST, BACK], ["streaming", "lead_off", "waiting", "lead_off"]),
        ([BACK, OFF, LinkEvent("ended", ""), BACK, NEW], ["streaming", "lead_off", "waiting", "lead_off", "streaming"]),
        ([BACK, LinkEvent("rough", ""), LinkEvent("error", "")], ["streaming"]),
    ],
)
def test_states_follow_from_what_happens(events: list[Event], states: list[str]) -> None:
    assert states_of(events) == states


def test_another_reason_for_waiting_is_told() -> None:
    daemon = StateOfDaemon()
    told = [daemon.observe(LinkEvent("waiting", why)) for why in ("no port", "no port", "in use")]
    assert told == [True, False, True]
    assert daemon.detail == "in use"


def test_samples_behind_a_stall_are_streaming_again() -> None:
    daemon = StateOfDaemon()
    daemon.observe(BACK)
    daemon.observe(LinkEvent("stalled", "no sample for 2 s"))
    assert (daemon.state, daemon.detail) == ("waiting", "no sample for 2 s")
    assert daemon.samples_came()
    assert daemon.state == "streaming"
    assert not daemon.samples_came()


@given(st.lists(st.sampled_from([LOST, BACK, OFF, ON, NOISY, GOOD, NEW])))
def test_nothing_comes_behind_stopping_and_no_state_is_told_twice(events: list[Event]) -> None:
    told = told_of(events)
    assert all(a != b for a, b in pairwise(told))
    daemon = StateOfDaemon()
    assert daemon.stop()
    assert not any(daemon.observe(event) for event in events)
    assert daemon.state == "stopping"


@pytest.fixture(name="systemd")
def systemd_fixture(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5.0)
        yield listener


def test_systemd_hears_ready_status_and_stopping(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname()})
    notifier.ready()
    notifier.status("streaming\n 12 beats")
    notifier.stopping()
    assert [systemd.recv(100) for _ in range(3)] == [b"READY=1", b"STATUS=streaming 12 beats", b"STOPPING=1"]
    notifier.reloading()
    assert systemd.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")


def test_a_sign_of_life_four_times_as_often_as_asked_for(systemd: socket.socket) -> None:
    now = [0.0]
    env = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "8000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(env, clock=lambda: now[0])
    systemd.setblocking(False)
    came = []
    for tenth in range(100):
        now[0] = tenth / 10
        notifier.alive()
        try:
            came.append((now[0], systemd.recv(100)))
        except BlockingIOError:
            continue
    assert came == [(t, b"WATCHDOG=1") for t in (0.0, 2.0, 4.0, 6.0, 8.0)]


@pytest.mark.parametrize(
    "env", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}, {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "x"}]
)
def test_without_systemd_nothing_happens(env: dict[str, str]) -> None:
    notifier = Notifier(env)
    notifier.ready()
    notifier.alive()
    notifier.status("x")


def test_a_child_gives_no_sign_of_life_for_its_parent(systemd: socket.socket) -> None:
    env = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    assert Notifier(env).alive_every_s is None
