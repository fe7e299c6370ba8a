"""`edge-ecg top`: a daemon's figures in a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from edge_ecg.cli.main import run
from edge_ecg.health import Health, OutputHealth
from edge_ecg.live import LiveView
from edge_ecg.settings import WebSettings
from edge_ecg.top import lines
from edge_ecg.types import Beat, Classified, EpisodeEvent, ModelEvent, StreamInfo
from edge_ecg.web.server import WebSink, open_web
from firmware_bridge.blocks import LinkStats

STREAM = StreamInfo("s1", 250.0, ("I", "II"), start_utc_s=1_000_000_800.0)
HEALTH = Health(
    "streaming", "", time.time(), time.time() - 60.0, "1.2.3", "/dev/ttyACM0", n_beats=1234, n_samples=99_000,
    labels={"N": 1200, "V": 34}, idle_s=0.1, link=LinkStats(crc_errors=3, drift_ppm=12.0),
    outputs={"mqtt": OutputHealth(7, 5, 0, "no broker", None, None)},
)  # fmt: skip


def feed(sink: WebSink | LiveView) -> None:
    sink.emit(ModelEvent(STREAM, 0, "II", "m1", "ab", "balanced"))
    for k in range(1, 6):
        body = Beat(200 * k, 0.8 * k, 0.8, 0.8, 0.9, ())
        label = "V" if k == 2 else "N"
        sink.emit(Classified(STREAM, "II", body, label, ("N", "V"), (0.5, 0.5), 0.9, "m1", 1.25, 200 * k + 300))
    sink.emit(EpisodeEvent(STREAM, 1300, 600, "v_run", over=True, n_beats=4, length_s=1.6))


@pytest.fixture
def page() -> Iterator[WebSink]:
    sink = open_web(WebSettings(enabled=True, port=0), lambda: replace(HEALTH, started_utc_s=time.time() - 60.0))
    feed(sink)
    yield sink
    sink.close()


def test_no_line_is_wider_than_the_terminal() -> None:
    port = "/dev/serial/by-id/usb-Arduino__www.arduino.cc__0043_7583733303735140D1A0-if00"
    detail = "no board: cannot open the port: No such file or directory. Plug the board in, or see `edge-ecg ports`"
    view = LiveView()
    feed(view)
    health = replace(HEALTH, state="waiting", detail=detail, port=port)
    told = {**view.as_dict(health, time.time()), "viewers": 0}
    for width in (80, 30):
        shown = lines(told, width)
        assert max(map(len, shown)) <= width
        assert "".join("".join(lines(told, 10_000)).split()) == "".join("".join(shown).split()), "nothing is cut off"


def test_once_prints_the_figures(page: WebSink, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["top", "--once", "--url", page.url]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    for part in (
        "edge-ecg 1.2.3  streaming  /dev/ttyACM0",
        "Research software, not a medical device.",
        "heart     75 /min, R-R 800 ms, last beat N",
        "signal    usable, beat quality 90 %",
        "ectopic   20.0 % this hour, 20.0 % in 24 hours",
        "beats     1,234: N 1,200, V 34; 0 not to be used",
        "run of ventricular beats of 4, 1.6 s",
        "model     m1, balanced; label 1.2 s after R",
        "samples   99,000 at 250 Hz, I, II (labelled); 0 lost in 0 gaps",
        "link      0 frames, 3 bad, 0 overruns, 0 reconnects, clock +12 ppm",
        "output    mqtt: losing what it gets: no broker; 5 lost, 7 waiting",
        "running   1 min",
    ):
        assert part in out


def test_in_a_terminal_it_goes_on_until_ctrl_c(page: WebSink) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edge_ecg.cli.main", "top", "--url", page.url]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    heard = b""

    def hear(pattern: bytes) -> None:
        nonlocal heard
        until_s = time.monotonic() + 60.0
        while not re.search(pattern, heard, re.DOTALL):
            assert time.monotonic() < until_s, heard
            if select.select([ours], [], [], 0.1)[0]:
                heard += os.read(ours, 65536)

    with process:
        hear(rb"75 /min.*75 /min")
        page.close()
        hear(rb"NO ANSWER")
        os.write(ours, b"\x03")
        hear(rb"\x1b\[\?25h\x1b\[\?1049l")
    os.close(ours)
    assert process.returncode == 0
    assert heard.startswith(b"\x1b[?1049h\x1b[?25l")
    assert b"Traceback" not in heard


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["top", "--url", "http://127.0.0.1:9"]) == 4
    err = capsys.readouterr().err
    assert err.startswith(
        "edge-ecg: no daemon answers at http://127.0.0.1:9 (Connection refused). Start `edge-ecg daemon`"
    )
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("url", ["127.0.0.1:8137", "ftp://x", "http://"])
def test_an_address_that_is_none(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["top", "--once", "--url", url]) == 2
    assert "is no address of a page" in capsys.readouterr().err


def test_a_page_that_asks_for_a_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {}
    for name in ("right", "wrong"):
        files[name] = tmp_path / name
        files[name].write_text(f"{name}-0123456789abcdef\n")
        files[name].chmod(0o600)
    sink = open_web(WebSettings(enabled=True, port=0, token_file=str(files["right"])), lambda: HEALTH)
    try:
        assert run(["top", "--once", "--url", sink.url]) == 2
        assert "asks for a token. Name the file" in capsys.readouterr().err
        assert run(["top", "--once", "--url", sink.url, "--token-file", str(files["wrong"])]) == 2
        assert "does not take this token" in capsys.readouterr().err
        assert run(["top", "--once", "--url", sink.url, "--token-file", str(files["right"])]) == 0
    finally:
        sink.close()


def test_another_program_answers(capsys: pytest.CaptureFixture[str]) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert run(["top", "--once", "--url", f"http://127.0.0.1:{server.server_port}"]) == 4
        thread.join()
    assert "is no edge-ecg of this version" in capsys.readouterr().err


def test_a_token_goes_nowhere_but_to_the_address_that_was_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("right-0123456789abcdef\n")
    token.chmod(0o600)
    asked: list[str | None] = []
    target = ""

    class Redirects(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Redirects) as server, HTTPServer(("127.0.0.1", 0), Redirects) as other:
        target = f"http://127.0.0.1:{other.server_port}/state"
        threads = [threading.Thread(target=one.serve_forever, args=(0.05,)) for one in (server, other)]
        for thread in threads:
            thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            assert run(["top", "--once", "--url", url, "--token-file", str(token)]) == 4
        finally:
            for one, thread in zip((server, other), threads, strict=True):
                one.shutdown()
                thread.join()
    assert asked == ["Bearer right-0123456789abcdef"]
    assert "answers with HTTP 302" in capsys.readouterr().err


def test_no_line_steers_the_terminal() -> None:
    view = LiveView()
    feed(view)
    evil = "\x1b[2J\x07\r\nevil"
    outputs = {evil: OutputHealth(0, 0, 0, evil, None, None)}
    told = view.as_dict(replace(HEALTH, port=evil, detail=evil, outputs=outputs), time.time())
    shown = lines({**told, "viewers": 0})
    assert all(line.isprintable() for line in shown)
    assert sum("evil" in line for line in shown) == 2
