"""The page's server against whoever may come: who is let in, what is refused, what a viewer that hangs costs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.errors import ConfigError, UsageError
from edge_ecg.health import Health
from edge_ecg.settings import WebSettings
from edge_ecg.types import Beat, Classified, LeadOffEvent, ModelEvent, SampleBlock, StateEvent, StreamInfo
from edge_ecg.web import app, guard, protocol
from edge_ecg.web.server import WebSink, open_web
from edge_ecg.web.viewers import MOST_DROPPED, MOST_MESSAGES, MOST_VIEWERS, Viewer, Viewers

HEALTH = Health("streaming", "", 0.0, 0.0, "1.2.3", "/dev/ttyACM0", idle_s=0.1)
STREAM = StreamInfo("s1", 250.0, ("I", "II"), start_utc_s=1_000_000_800.0)
TOKEN = "a-token-of-24-characters"
STATIC = Path(app.__file__).parent / "static"


def block(first: int, n: int = 25) -> SampleBlock:
    samples = np.arange(first, first + n, dtype=np.float32)[:, None] / 1e3 * np.ones((1, 2), np.float32)
    return SampleBlock(samples, first)


def beat(sample: int, label: str = "N") -> Classified:
    body = Beat(sample, sample / 250.0, 0.8, 0.8, 0.9, ())
    return Classified(STREAM, "II", body, label, ("N", "V"), (0.5, 0.5), 0.9, "m1", 1.25, sample + 300)


@contextlib.contextmanager
def served(health: Callable[[], Health] = lambda: HEALTH, **how: Any) -> Iterator[WebSink]:
    sink = open_web(WebSettings(enabled=True, **{"port": 0, **how}), health)
    try:
        yield sink
    finally:
        sink.close()


@pytest.fixture(scope="module")
def page() -> Iterator[WebSink]:
    """A page that nothing happens on, for those who only ask."""
    with served() as sink:
        yield sink


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    return file


def port_of(sink: WebSink) -> int:
    return int(sink.url.rpartition(":")[2])


Answer = tuple[int, http.client.HTTPMessage, bytes]


def ask(sink: WebSink, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(sink), timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def raw(sink: WebSink, sent: bytes) -> bytes:
    """All that is answered until the server closes."""
    with socket.create_connection(("127.0.0.1", port_of(sink)), timeout=30) as one:
        with contextlib.suppress(ConnectionError):
            one.sendall(sent)
            one.shutdown(socket.SHUT_WR)
        return drained(one)


def drained(one: socket.socket) -> bytes:
    heard = b""
    with contextlib.suppress(ConnectionError):
        while data := one.recv(65536):
            heard += data
    return heard


class Events:
    """A page that is open: its messages, one after the other."""

    def __init__(self, sink: WebSink, **headers: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port_of(sink), timeout=30)
        self.connection.request("GET", "/stream", headers=headers)
        self.answer = self.connection.getresponse()

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *error: object) -> None:
        self.answer.close()
        self.connection.close()

    def next(self) -> dict[str, Any]:
        line = self.answer.readline()
        assert line.startswith(b"data: "), line
        assert self.answer.readline() == b"\n"
        told: dict[str, Any] = json.loads(line[6:])
        return told

    def until(self, is_it: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        while not is_it(told := self.next()):
            pass
        return told


def wait_for(condition: Callable[[], Any]) -> None:
    until_s = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def feed_until(sink: WebSink, condition: Callable[[], Any], first: int = 0, n: int = 25) -> None:
    """Blocks, one after the other, as fast as messages are told."""
    until_s = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < until_s
        sink.take_samples(STREAM, block(first, n))
        first += n
        time.sleep(0.005)


# What is shown


def test_a_new_page_gets_all_and_then_what_is_new() -> None:
    with served() as sink:
        sink.emit(ModelEvent(STREAM, 0, "II", "m1", "ab"))
        sink.take_samples(STREAM, block(0, 500))
        sink.emit(beat(200, "V"))
        wait_for(sink._desk.is_due)
        sink.tick()
        with Events(sink) as page:
            assert page.answer.getheader("content-type") == "text/event-stream; charset=utf-8"
            hello = page.next()
            assert hello["begin"] is True
            assert hello["state"]["stream"]["lead"] == "II"
            assert hello["beats"] == [[200, 0.8, 0.8, "V", False]]
            (piece,) = hello["signal"]
            rows = np.frombuffer(base64.b64decode(piece["uv"]), "<i4").reshape(-1, 2)
            assert rows[:, 1].tolist() == list(range(500))
            sink.take_samples(STREAM, block(500))
            sink.emit(beat(400))
            sink.emit(LeadOffEvent(STREAM, 500, off=True))
            wait_for(sink._desk.is_due)
            sink.tick()
            told: dict[str, Any] = {}
            while not {"beats", "signal", "state"} <= set(told):
                told |= page.next()
            assert told["beats"] == [[400, 1.6, 0.8, "N", False]]
            assert [piece["first"] for piece in told["signal"]] == [500]
            assert told["state"]["signal"]["lead_off"] is True


def test_a_stream_that_begins_anew_is_told_whole() -> None:
    with served() as sink, Events(sink) as page:
        assert page.next()["state"]["stream"] is None
        sink.emit(ModelEvent(STREAM, 0, "II", "m1", "ab"))
        feed = threading.Thread(target=feed_until, args=(sink, lambda: len(heard) > 0))
        heard: list[dict[str, Any]] = []
        feed.start()
        heard.append(page.until(lambda told: told.get("begin")))
        feed.join()
        assert heard[0]["state"]["stream"]["id"] == "s1"
        assert heard[0]["signal"]


def test_the_end_is_told_at_once_and_without_samples() -> None:
    state = ["streaming"]
    with served(lambda: replace(HEALTH, state=state[0])) as sink, Events(sink) as page:
        page.next()
        state[0] = "stopping"
        sink.emit(StateEvent("stopping", "", time.time()))
        assert page.until(lambda told: "state" in told)["state"]["state"]["name"] == "stopping"
        sink.close()
        assert page.answer.read() == b""


def test_figures_for_programs(page: WebSink) -> None:
    status, headers, body = ask(page, "/state")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body)["version"] == "1.2.3"
    status, headers, body = ask(page, "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"\nedge_ecg_viewers 0\n" in body
    status, headers, body = ask(page, "/healthz")
    assert (status, json.loads(body)["ok"]) == (200, True)


def test_the_health_check_fails_when_nothing_comes() -> None:
    with served(lambda: replace(HEALTH, idle_s=12.0)) as sink:
        status, _, body = ask(sink, "/healthz")
        assert (status, json.loads(body)["problem"]) == (503, "no sample for 12 s")


def test_the_page_asks_nobody_else() -> None:
    allowed = {"https://github.com/leeoniya/uPlot", "http://www.w3.org/2000/svg"}
    for file in STATIC.iterdir():
        text = file.read_text(encoding="utf-8")
        assert set(re.findall(r"https?://[\w./-]+", text)) <= allowed, file.name
        if file.suffix == ".html":
            assert "not a medical device" in text
            assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", text), "the policy forbids it"
        if file.suffix == ".js" and not file.name.startswith("uPlot"):
            assert "innerHTML" not in text


# Who is let in


def test_what_can_be_seen_and_what_its_headers_say(page: WebSink) -> None:
    for path in [
        "/",
        "/page.js",
        "/strip.js",
        "/charts.js",
        "/page.css",
        "/icon.svg",
        "/uPlot.iife.min.js",
        "/uPlot.LICENSE",
    ]:
        status, headers, body = ask(page, path)
        assert (status, len(body) > 100) == (200, True), path
    for path in ["/", "/nothing", "/metrics", "/uPlot.min.css"]:
        _, headers, _ = ask(page, path)
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
        assert headers["server"] is None
        assert headers["content-encoding"] is None


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_names_of_this_machine(page: WebSink, name: str) -> None:
    assert ask(page, "/state", Host=f"{name}:{port_of(page)}")[0] == 200


@pytest.mark.parametrize(
    "name", ["evil.example:{}", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example:{}", "", "x" * 5000]
)
def test_other_names_are_refused(page: WebSink, name: str) -> None:
    status, _, body = ask(page, "/state", Host=name.format(port_of(page)))
    assert status in {421, 400}
    assert b"version" not in body


def test_no_name_or_two_are_refused(page: WebSink) -> None:
    own = f"Host: 127.0.0.1:{port_of(page)}\r\n".encode()
    assert raw(page, b"GET /state HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421")
    assert raw(page, b"GET /state HTTP/1.0\r\n" + own + b"\r\n").startswith(b"HTTP/1.1 200")
    assert b" 400 " in raw(page, b"GET /state HTTP/1.1\r\n" + own + b"Host: evil\r\n\r\n").splitlines()[0]


def test_with_a_token_nothing_is_seen_without_it(token_file: Path) -> None:
    with served(token_file=str(token_file)) as sink:
        for path in ["/state", "/stream", "/metrics", "/healthz", "/page.js", "/nothing"]:
            status, headers, _ = ask(sink, path, Host="ecg.example")
            assert (status, headers["www-authenticate"]) == (401, "Bearer"), path
            assert headers["x-content-type-options"] == "nosniff"
        status, headers, _ = ask(sink, "/")
        assert (status, headers["location"]) == (303, "/login")
        assert ask(sink, "/login")[0] == 200
        assert ask(sink, "/state", Authorization=f"Bearer {TOKEN}", Host="ecg.example")[0] == 200
        assert ask(sink, "/state", Authorization=f"bearer  {TOKEN} ")[0] == 200
        for wrong in [
            "Bearer",
            "Bearer ",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            f"Basic {TOKEN}",
            TOKEN,
            "Bearer \xff",
        ]:
            assert ask(sink, "/state", Authorization=wrong)[0] == 401
        assert ask(sink, f"/state?token={TOKEN}")[0] == 401, "what is in an address ends up in logs"


def test_the_form_gives_a_cookie_that_does_not_tell_the_token(token_file: Path) -> None:
    with served(token_file=str(token_file)) as sink:
        status, headers, body = ask(sink, "/login", "POST", b"token=wrong")
        assert (status, headers["set-cookie"]) == (403, None)
        assert b"That was not the token" in body
        status, headers, _ = ask(sink, "/login", "POST", f"token={TOKEN}".encode())
        assert (status, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"]
        assert TOKEN not in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Secure" not in cookie
        pair = cookie.partition(";")[0]
        assert ask(sink, "/state", Cookie=f"other=1; {pair}")[0] == 200
        for wrong in [pair[:-1], pair + "0", "edge-ecg=", f"edge-ecg={TOKEN}", ";;=;", "\xff"]:
            assert ask(sink, "/state", Cookie=wrong)[0] == 401
        _, headers, _ = ask(sink, "/login", "POST", f"token={TOKEN}".encode(), X_Forwarded_Proto="https")
        assert "Secure" in headers["set-cookie"]


def test_without_a_token_the_form_lets_nobody_in(page: WebSink) -> None:
    assert ask(page, "/login", "POST", b"token=")[0] == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_the_network_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="would show the heart to the whole network") as caught:
        open_web(WebSettings(enabled=True, host=host, port=0), lambda: HEALTH)
    assert "web.token_file" in caught.value.hint


def test_the_whole_network_with_a_token(token_file: Path) -> None:
    with served(host="0.0.0.0", token_file=str(token_file)) as sink:
        assert ask(sink, "/state", Host="ecg.example", Authorization=f"Bearer {TOKEN}")[0] == 200


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_token_that_others_may_read_is_refused(token_file: Path, mode: int) -> None:
    token_file.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        open_web(WebSettings(enabled=True, port=0, token_file=str(token_file)), lambda: HEALTH)
    assert f"chmod 600 {token_file}" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"short\n", b"two words of a token\n", b"\xff" * 20, b"x" * 300, b"sixteen\x00characters"]
)
def test_a_file_that_holds_no_token(token_file: Path, content: bytes) -> None:
    token_file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"holds no token|is not one line of text") as caught:
        open_web(WebSettings(enabled=True, port=0, token_file=str(token_file)), lambda: HEALTH)
    assert "token_urlsafe" in caught.value.hint or "nothing else" in caught.value.hint


def test_a_token_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, Path("/dev/null")):
        with pytest.raises(ConfigError, match=r"web\.token_file: "):
            open_web(WebSettings(enabled=True, port=0, token_file=str(path)), lambda: HEALTH)


def test_a_port_that_is_taken(page: WebSink) -> None:
    with pytest.raises(UsageError, match=f"port {port_of(page)} of 127.0.0.1 is taken") as caught:
        open_web(WebSettings(enabled=True, port=port_of(page)), lambda: HEALTH)
    assert "web.port" in caught.value.hint


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a b", "\u2603" * 80])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(ConfigError, match="is no address of this machine"):
        open_web(WebSettings(enabled=True, host=host, port=0), lambda: HEALTH)


def test_an_address_of_another_machine(token_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.7"):
        open_web(WebSettings(enabled=True, host="192.0.2.7", port=0, token_file=str(token_file)), lambda: HEALTH)


@pytest.mark.parametrize("library", ["uvicorn", "starlette"])
def test_without_the_extra(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    for name in [name for name in sys.modules if name.startswith(f"{library}.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UsageError, match=f"needs {library}") as caught:
        open_web(WebSettings(enabled=True, port=0), lambda: HEALTH)
    assert caught.value.hint == 'pip install "edge-ecg[web]"'


# What comes that is not meant well


@pytest.mark.parametrize(
    "path",
    [
        "/../settings.py", "/static/../../settings.py", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/page.js%00.css",
        "/page.js/", "/.", "/..%2f..%2fserver.py", "/index.html", "/Page.js", "/uPlot.iife.min.js;x", "/" + "a" * 9000,
        "http://127.0.0.1/state", "*",
    ],
)  # fmt: skip
def test_there_are_no_other_paths(page: WebSink, path: str) -> None:
    assert ask(page, path, Host=f"127.0.0.1:{port_of(page)}")[0] == 404


@pytest.mark.parametrize("path", ["/", "/state", "/stream", "/metrics", "/healthz", "/page.js"])
def test_nothing_can_be_changed(page: WebSink, path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert ask(page, path, method, b"x=1")[0] == 405
    status, _, body = ask(page, path, "HEAD")
    assert (status, body) == (200, b"")


def test_a_head_or_a_form_that_is_too_long(page: WebSink) -> None:
    own = f"Host: 127.0.0.1:{port_of(page)}\r\n".encode()
    for sent in (b"X: " + b"a" * 100_000, b"".join(b"X-%d: a\r\n" % k for k in range(10_000)), b"a" * 100_000):
        answer = raw(page, b"GET / HTTP/1.1\r\n" + own + sent)
        assert b"200 OK" not in answer
    assert ask(page, "/login", "POST", b"token=" + b"a" * 5000)[0] == 413
    assert ask(page, "/state")[0] == 200


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"GET ", b"GET /", b"GET / HTTP/1.1\r\n", b"POST /login HTTP/1.1\r\n"]),
)
def test_bytes_of_any_kind_get_no_more_than_a_refusal(page: WebSink, sent: bytes, head: bytes) -> None:
    answer = raw(page, head + sent + b"\r\n\r\n")
    assert not answer or answer.split(b" ", 2)[1] in {b"400", b"404", b"405", b"421"}
    assert ask(page, "/healthz")[0] == 200


def test_who_never_ends_a_request_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.3)
    monkeypatch.setattr(guard, "ANSWER_S", 0.3)
    with served() as sink:
        own = f"Host: 127.0.0.1:{port_of(sink)}\r\n".encode()
        for begin in (b"", b"GET / HT", b"GET /state HTTP/1.1\r\n" + own + b"\r\nGET / HT"):
            with socket.create_connection(("127.0.0.1", port_of(sink)), timeout=30) as slow:
                slow.sendall(begin)
                with contextlib.suppress(ConnectionError):
                    for _ in range(2000):  # a byte now and then is no progress
                        slow.sendall(b"a")
                        if is_closed(slow):
                            break
                        time.sleep(0.02)
                    else:
                        pytest.fail("it was never cut off")
        form = b"POST /login HTTP/1.1\r\n" + own + b"Content-Length: 100\r\n\r\ntok"
        with socket.create_connection(("127.0.0.1", port_of(sink)), timeout=30) as slow:
            slow.sendall(form)
            assert drained(slow) == b""


def is_closed(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        while one.recv(65536):
            pass
        return True
    except BlockingIOError:
        return False
    finally:
        one.settimeout(30)


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_CONNECTIONS", 8)
    with served() as sink, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", port_of(sink)))) for _ in range(20)]
        wait_for(lambda: sum(is_closed_quietly(one) for one in idle) == 12)
        for one in idle:
            one.close()
        wait_for(lambda: not sink._server.server_state.connections)
        assert ask(sink, "/state")[0] == 200


def is_closed_quietly(one: socket.socket) -> bool:
    try:
        return is_closed(one)
    except ConnectionError:
        return True


def test_viewers_are_bounded(page: WebSink) -> None:
    with contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(Events(page)) for _ in range(MOST_VIEWERS)]
        assert all(viewer.answer.status == 200 for viewer in viewers)
        status, headers, _ = ask(page, "/stream")
        assert (status, headers["retry-after"]) == (503, "10")
        assert ask(page, "/metrics")[2].count(f"edge_ecg_viewers {MOST_VIEWERS}\n".encode()) == 1
        viewers[0].connection.sock.shutdown(socket.SHUT_RDWR)
        wait_for(lambda: len(page._viewers) < MOST_VIEWERS)
        with Events(page) as again:
            assert again.next()["begin"]
    wait_for(lambda: not len(page._viewers))


def test_a_queue_holds_the_newest_and_ends_with_who_never_reads() -> None:
    async def work() -> None:
        viewer = Viewer()
        for k in range(MOST_MESSAGES + 10):
            viewer.put(b"%d " % k)
        waiting = (await viewer.next()).split()
        assert (len(waiting), waiting[0], waiting[-1]) == (MOST_MESSAGES, b"10", b"%d" % (MOST_MESSAGES + 9))
        viewer.put(b"last")
        viewer.end()
        assert await viewer.next() == b"last"
        assert await viewer.next() == b""

    asyncio.run(work())


def test_who_lags_now_and_then_is_not_cut_off() -> None:
    async def work() -> None:
        viewers = Viewers()
        viewer = viewers.join()
        assert viewer is not None
        for _ in range(10):
            for _ in range(MOST_MESSAGES + MOST_DROPPED // 2):
                viewers.publish(b"x")
            assert len(await viewer.next()) == MOST_MESSAGES
        assert not viewer.is_over

    asyncio.run(work())


@pytest.mark.parametrize("bound", ["time", "messages"])
def test_who_hangs_is_cut_off_and_others_see_on(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if bound == "time":
        monkeypatch.setattr(app, "STUCK_S", 0.3)
    monkeypatch.setattr("edge_ecg.web.desk.BATCH_S", 0.0)
    with served() as sink, socket.socket() as hanging, Events(sink) as good:
        hanging.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        hanging.connect(("127.0.0.1", port_of(sink)))
        hanging.sendall(f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{port_of(sink)}\r\n\r\n".encode())
        wait_for(lambda: len(sink._viewers) == 2)
        n_read = [0]

        def read() -> None:
            with contextlib.suppress(AssertionError):
                while True:
                    good.next()
                    n_read[0] += 1

        reader = threading.Thread(target=read)
        reader.start()
        if bound == "time":
            feed_until(sink, lambda: len(sink._viewers) == 1, n=500)
            at = n_read[0]
            feed_until(sink, lambda: n_read[0] > at + 5, first=10**6)
            assert len(sink._server.server_state.connections) == 1
        else:
            feed_until(sink, lambda: any(viewer.is_over for viewer in sink._viewers._viewers), n=500)
            slow = next(viewer for viewer in sink._viewers._viewers if viewer.is_over)
            assert slow.n_dropped >= MOST_DROPPED
            assert len(slow._messages) <= MOST_MESSAGES
        sink.close()  # with one that hangs
        assert not sink._thread.is_alive()
        reader.join()


def test_it_closes_twice_and_its_port_is_free_again() -> None:
    with served() as sink, Events(sink) as page:
        page.next()
        port = port_of(sink)
        sink.close()
        sink.close()
        sink.take_samples(STREAM, block(0))
        sink.emit(beat(200))
        sink.tick()
        with served(port=port) as again:
            assert ask(again, "/state")[0] == 200


def test_a_name_for_what_is_on_ipv6() -> None:
    with served(host="::1") as sink:
        assert sink.url.startswith("http://[::1]:")
