"""What the live page costs: the shipped excerpt from a board in another process, in real time, with viewers or none."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import threading
import time
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

import click

from edge_ecg.errors import DataError
from edge_ecg.health import Health
from edge_ecg.infer import open_classifier
from edge_ecg.runner import Runner
from edge_ecg.settings import WebSettings
from edge_ecg.sinks.fan import Fan
from edge_ecg.sinks.queued import QueuedSink
from edge_ecg.sources.serial_link import SerialLinkSource
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from edge_ecg.web.server import open_web
from firmware_bridge.simulator import PtyBoard

MOST_PERCENT = 1.0
WARM_UP_S = 5.0
THREAD = "edge-ecg web"


@click.command()
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--viewers", default=1, show_default=True)
def main(seconds: float, viewers: int) -> None:
    """Fail when the page takes more than 1 % of a core, beside the link and the labels."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = multiprocessing.Pipe()
    board = spawn.Process(target=_play, args=(theirs,))
    board.start()
    source = SerialLinkSource(ours.recv())
    begun_s = time.time()

    def health() -> Health:
        stats = runner.stats
        return Health(
            "streaming", "", begun_s, begun_s, "0", "pty", n_samples=stats.n_samples, n_beats=stats.n_beats,
            labels=dict(stats.labels), processing_s=stats.processing_s, idle_s=0.0, link=source.stats(),
        )  # fmt: skip

    fan = Fan()
    runner = Runner(source, open_classifier("rhythm"), [fan])
    page = open_web(WebSettings(enabled=True, port=0), health)
    fan.put("web", QueuedSink("web", page))
    labelling = threading.Thread(target=runner.run)
    labelling.start()
    watching = [spawn.Process(target=_watch, args=(page.url,), daemon=True) for _ in range(viewers)]
    for viewer in watching:
        viewer.start()
    time.sleep(WARM_UP_S)
    begin_s, begin_cpu_s, begin_page_s = time.monotonic(), time.process_time(), _page_cpu_s()
    time.sleep(seconds)
    took_s = time.monotonic() - begin_s
    all_percent = 100.0 * (time.process_time() - begin_cpu_s) / took_s
    page_percent = 100.0 * (_page_cpu_s() - begin_page_s) / took_s
    for viewer in watching:
        viewer.terminate()
        viewer.join()
    runner.stop()
    labelling.join()
    ours.send(None)
    board.join()
    report = {
        "seconds": round(took_s, 1), "viewers": viewers, "beats": runner.stats.n_beats,
        "percent_of_a_core": round(all_percent, 2), "of_it_the_page": round(page_percent, 2),
    }  # fmt: skip
    click.echo(json.dumps(report, indent=2))
    if page_percent >= MOST_PERCENT:
        raise DataError(f"the page takes {page_percent:.2f} % of a core, the bar is {MOST_PERCENT:g} %")


def _page_cpu_s() -> float:
    """What the threads of the page have taken so far: the queue's and the server's."""
    taken_ns = 0
    for thread in threading.enumerate():
        if thread.name == THREAD:
            with open(f"/proc/self/task/{thread.native_id}/schedstat", encoding="ascii") as held:
                taken_ns += int(held.read().split()[0])
    return taken_ns / 1e9


def _play(pipe: Connection) -> None:
    with PtyBoard(board_of_record(EXCERPT, 1.0, loop=True)) as board:
        pipe.send(board.path)
        pipe.recv()


def _watch(url: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    connection.request("GET", "/stream")
    answer = connection.getresponse()
    while answer.readline():
        pass


if __name__ == "__main__":
    main()
