"""A cable that is pulled and plugged a hundred times: how soon the board is heard again, and what it cost."""

from __future__ import annotations

import json
import os
import random
import tempfile
import threading
import time
from pathlib import Path

import click
import numpy as np

from edge_ecg.errors import DataError
from firmware_bridge.blocks import BoardInfo, RawBlock
from firmware_bridge.lasting import Item, LastingLink, LinkChange, opener_of
from firmware_bridge.simulator import PtyBoard, VirtualBoard
from firmware_bridge.wire import Stopped

INFO = BoardInfo("Simulated", "1.0", "none", 500.0, ("I", "II"), 5000.0, 1.0, 1)
LONGEST_S = 2.0
LONGEST_AWAY_S = 1.5
GIVE_UP_S = 30.0


class _Cable(VirtualBoard):
    """A board whose cable can be pulled; it keeps its supply."""

    plugged = True

    def is_plugged(self, now_s: float) -> bool:
        return self.plugged


@click.command()
@click.option("--outages", type=click.IntRange(1), default=100, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(outages: int, seed: int) -> None:
    """Fail when one takes 2 s, a sample is neither delivered nor told as lost, or a thread or file is left."""
    before = _held()
    chance = random.Random(seed)
    board = _Cable(INFO, np.zeros((1000, 2), np.int32), loop=True)
    samples = lost = sent = 0
    back_s = []
    with tempfile.TemporaryDirectory() as folder, PtyBoard(board, Path(folder) / "board"):
        with LastingLink(str(Path(folder) / "board"), opener_of()) as link:

            def read_until(state: str) -> None:
                nonlocal samples, lost
                until_s = time.monotonic() + GIVE_UP_S
                found = False
                while not found:
                    if time.monotonic() > until_s:
                        raise DataError(f"the link is not {state} after {GIVE_UP_S:g} s")
                    items = link.read(0.1)
                    found = any(_is(item, state) for item in items)
                    samples += sum(len(item.counts) for item in items if isinstance(item, RawBlock))
                    lost += sum(item.lost_before for item in items if isinstance(item, RawBlock))

            read_until("heard")
            for _ in range(outages):
                board.plugged = False
                read_until("lost")
                time.sleep(chance.uniform(0.0, LONGEST_AWAY_S))
                board.plugged = True
                plugged_s = time.monotonic()
                read_until("back")
                back_s.append(time.monotonic() - plugged_s)
            for item in link.stop():
                if isinstance(item, RawBlock):
                    samples, lost = samples + len(item.counts), lost + item.lost_before
                elif isinstance(item, Stopped):
                    sent = item.samples_sent
            stats = link.stats()
        after_close = _held()
    report = {
        "outages": outages,
        "back_after_s": {"median": round(float(np.median(back_s)), 3), "longest": round(max(back_s), 3)},
        "samples": {"sent": sent, "delivered": samples, "told_as_lost": lost},
        "counted": {"received": stats.samples_received, "lost": stats.samples_lost, "reconnects": stats.reconnects},
        "threads_and_files": {"before": before, "after": _held(), "with_the_board": after_close},
    }
    click.echo(json.dumps(report, indent=2))
    adds_up = samples + lost == sent and (stats.samples_received, stats.samples_lost) == (samples, lost)
    if not adds_up or stats.reconnects != outages or max(back_s) >= LONGEST_S or _held() != before:
        raise DataError("the link did not come back as it should", "See the figures above")


def _is(item: Item, state: str) -> bool:
    return isinstance(item, RawBlock) if state == "heard" else isinstance(item, LinkChange) and item.state == state


def _held() -> tuple[int, int]:
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


if __name__ == "__main__":
    main()
