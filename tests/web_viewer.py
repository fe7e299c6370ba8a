"""A page that is served, and who looks at it or asks without a browser."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edge_ecg.health import Health
from edge_ecg.settings import WebSettings
from edge_ecg.types import Beat, Classified, SampleBlock, StreamInfo
from edge_ecg.web.server import WebSink, open_web

__all__ = [
    "HEALTH", "STREAM", "TOKEN", "Answer", "Events", "ask", "beat", "block", "drained", "feed_until", "port_of", "raw",
    "served", "wait_for",
]  # fmt: skip

HEALTH = Health("streaming", "", 0.0, 0.0, "1.2.3", "/dev/ttyACM0", idle_s=0.1)
STREAM = StreamInfo("s1", 250.0, ("I", "II"), start_utc_s=1_000_000_800.0)
TOKEN = "a-token-of-24-characters"


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
