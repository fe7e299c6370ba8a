"""What the serial link costs: a board of ours on a pseudo terminal, in a process of its own, in real time."""

from __future__ import annotations

import json
import multiprocessing
import time
from multiprocessing.connection import Connection

import click
import numpy as np

from edge_ecg.errors import DataError
from firmware_bridge.blocks import BoardInfo, RawBlock
from firmware_bridge.lasting import LastingLink, opener_of
from firmware_bridge.simulator import PtyBoard, VirtualBoard

MOST_PERCENT = 1.0
WARM_UP_S = 2.0


@click.command()
@click.option("--rate", "fs_hz", default=500.0, show_default=True, help="Samples a second.")
@click.option("--leads", default=2, show_default=True)
@click.option("--seconds", default=60.0, show_default=True)
def main(fs_hz: float, leads: int, seconds: float) -> None:
    """Fail when reading, checking and decoding takes more than 1 % of a core."""
    ours, theirs = multiprocessing.Pipe()
    board = multiprocessing.get_context("spawn").Process(target=_play, args=(theirs, fs_hz, leads))
    board.start()
    try:
        with LastingLink(ours.recv(), opener_of()) as link:
            _read(link, WARM_UP_S)
            begin_s, begin_cpu_s = time.monotonic(), time.process_time()
            samples = _read(link, seconds)
            cpu_s, took_s = time.process_time() - begin_cpu_s, time.monotonic() - begin_s
            link.stop()
            stats = link.stats()
    finally:
        ours.send(None)
        board.join()
    percent = 100.0 * cpu_s / took_s
    report = {
        "fs_hz": fs_hz, "leads": leads, "seconds": round(took_s, 1), "samples": samples,
        "samples_lost": stats.samples_lost, "percent_of_a_core": round(percent, 2),
    }  # fmt: skip
    click.echo(json.dumps(report, indent=2))
    if percent >= MOST_PERCENT:
        raise DataError(f"the link takes {percent:.2f} % of a core, the bar is {MOST_PERCENT:g} %")


def _play(pipe: Connection, fs_hz: float, n_leads: int) -> None:
    rng = np.random.default_rng(0)
    info = BoardInfo("Simulated", "1.0", "none", fs_hz, tuple(str(k + 1) for k in range(n_leads)), 5000.0, 1.0, 1)
    counts = rng.integers(-(2**20), 2**20, size=(5000, n_leads))
    with PtyBoard(VirtualBoard(info, counts, loop=True)) as board:
        pipe.send(board.path)
        pipe.recv()


def _read(link: LastingLink, seconds: float) -> int:
    """Read as `edge-ecg run` does; how many samples came."""
    until_s = time.monotonic() + seconds
    samples = 0
    while time.monotonic() < until_s:
        samples += sum(len(item.counts) for item in link.read(0.1) if isinstance(item, RawBlock))
    return samples


if __name__ == "__main__":
    main()
