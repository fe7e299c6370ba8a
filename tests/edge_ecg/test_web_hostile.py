"""The page's server against what is not meant well, and what a viewer that hangs costs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web_viewer import (
    Events,
    ask,
    drained,
    feed_until,
    port_of,
    raw,
    served,
    wait_for,
)

from edge_ecg.web import app, guard, protocol
from edge_ecg.web.server import WebSink
from edge_ecg.web.viewers import MOST_DROPPED, MOST_MESSAGES, MOST_VIEWERS, Viewer, Viewers


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
