"""`edge-ecg daemon` as a process: what systemd hears, SIGHUP, SIGTERM, a second one, settings that are wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_ecg.cli.main import run
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from firmware_bridge.simulator import PtyBoard


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    for _ in range(6000):
        if condition():
            return
        assert process.poll() is None, "it ended"
        time.sleep(0.01)
    raise AssertionError("it never came")


@contextmanager
def daemon_of(folder: Path, *args: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "edge_ecg.cli.main", "daemon", *args]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **env}, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_service_from_its_start_to_its_end(tmp_path: Path) -> None:
    beats, settings = tmp_path / "beats.jsonl", tmp_path / "c.toml"
    text = f'[link]\nport = "{tmp_path}/board"\n[output]\njsonl = "{beats}"\n'
    settings.write_text(text)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        heard: list[bytes] = []

        def hear(word: bytes) -> bool:
            try:
                while True:
                    heard.append(systemd.recv(1000))
            except BlockingIOError:
                return any(word in line for line in heard)

        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        with daemon_of(tmp_path, "--config", "c.toml", **env) as process:
            until(lambda: hear(b"READY=1"), process)  # before there is a board
            until(lambda: hear(b"STATUS=waiting"), process)
            n_alive = heard.count(b"WATCHDOG=1")
            until(lambda: hear(b"") or heard.count(b"WATCHDOG=1") > n_alive + 2, process)  # alive while it waits
            with PtyBoard(board_of_record(EXCERPT, 20.0, loop=True), tmp_path / "board"):
                until(lambda: sum(row["type"] == "beat" for row in rows_of(beats)) > 10, process)
                until(lambda: hear(b"STATUS=streaming"), process)

                second = subprocess.run(
                    [sys.executable, "-m", "edge_ecg.cli.main", "daemon", "--config", "c.toml"],
                    cwd=tmp_path, capture_output=True, text=True, check=False,
                )  # fmt: skip
                assert second.returncode == 4
                assert f"{tmp_path}/board is in use by" in second.stderr
                assert f"(pid {process.pid})" in second.stderr

                other = tmp_path / "other.jsonl"
                settings.write_text(text.replace(str(beats), str(other)))
                process.send_signal(signal.SIGHUP)
                until(lambda: hear(b"RELOADING=1") and any(row["type"] == "beat" for row in rows_of(other)), process)
                n_beats = len(rows_of(beats))
                process.terminate()
                assert process.wait(30.0) == 0
        assert hear(b"STOPPING=1")
    assert len(rows_of(beats)) == n_beats  # nothing more into a file that is no output any longer
    rows = rows_of(other)
    assert [row["state"] for row in rows if row["type"] == "state"][-1] == "stopping"
    assert rows[-1]["type"] == "link"
    assert rows[-1]["state"] == "ended"
    log = (tmp_path / "log").read_text()
    assert "Research software, not a medical device" in log
    assert "Traceback" not in log
    starts = [row for row in rows_of(beats) if row["type"] == "state" and row["state"] == "starting"]
    assert len(starts) == 1  # the second one wrote nothing into the first one's file


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[recordings]\n", 'unknown key "recordings". Did you mean "recording"?'),
        ("[web]\nprot = 80\n", 'unknown key "web.prot". Did you mean "web.port"?'),
        ('[mqtt]\nport = "x"\n', '"mqtt.port" must be'),
        ('[hooks]\nv_run = ["rm"]\n', 'must begin with the full path of a program, found "rm"'),
        ('[hooks]\nv_run = "x"\n', '"hooks.v_run" must be a list'),
        ('[recording]\nsubject = "../etc"\n', '"recording.subject" must be of letters'),
        ('[mqtt]\ntopic = "a/#"\n', '"mqtt.topic" must not hold'),
        ("[web]\nport = 70000\n", '"web.port" must be from 0 to 65535'),
        ('[model]\nid = "no-such-model"\n', "no-such-model"),
    ],
)
def test_settings_that_are_wrong_end_it_with_one_line(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.toml").write_text(text)
    assert run(["daemon", "--config", str(tmp_path / "c.toml")]) in (2, 3)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("edge-ecg: ")
    assert told in line


def test_a_list_is_read_from_the_environment_and_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGE_ECG__HOOKS__PAUSE", '["/bin/sh", "-c", "true"]')
    assert run(["config", "show", "--origin"]) == 0
    line = 'pause = ["/bin/sh", "-c", "true"]  # environment EDGE_ECG__HOOKS__PAUSE'
    assert line in capsys.readouterr().out
    monkeypatch.setenv("EDGE_ECG__HOOKS__PAUSE", "/bin/true")
    assert run(["config", "show"]) == 2
    assert '"hooks.pause" must be a list' in capsys.readouterr().err
