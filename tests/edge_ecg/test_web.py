"""The page's server: what is shown to whom may see it."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from web_viewer import (
    HEALTH,
    STREAM,
    Events,
    ask,
    beat,
    block,
    feed_until,
    port_of,
    served,
    wait_for,
)

from edge_ecg.types import LeadOffEvent, ModelEvent, StateEvent
from edge_ecg.web import app
from edge_ecg.web.server import WebSink

STATIC = Path(app.__file__).parent / "static"


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
