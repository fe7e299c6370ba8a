"""The whole chain for a while: a virtual board on a pty, the serial link, detector, model, JSON lines. `make soak`."""

from __future__ import annotations

import json
import os
import re
import tempfile
import threading
import time
from pathlib import Path

import click

from edge_ecg.errors import DataError
from edge_ecg.infer import open_classifier
from edge_ecg.runner import Runner
from edge_ecg.sinks.jsonl import JsonlFileSink
from edge_ecg.sources.serial_link import SerialLinkSource
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from firmware_bridge.simulator import PtyBoard

WARM_UP_S = 30.0
MAX_GROWTH_MB = 2.0


@click.command()
@click.option("--minutes", type=click.FloatRange(0.5), default=10.0, show_default=True, help="How long, on the clock.")
@click.option("--speed", default=60.0, show_default=True, help="Times real time.")
def main(minutes: float, speed: float) -> None:
    """Fail when memory, threads or files grow, or a sample is lost."""
    with tempfile.TemporaryDirectory() as folder, PtyBoard(board_of_record(EXCERPT, speed, loop=True)) as pty:
        source = SerialLinkSource(pty.path, wait_s=0.0)
        runner = Runner(source, open_classifier("mitdb-baseline-int8"), [JsonlFileSink(Path(folder) / "beats.jsonl")])
        worker = threading.Thread(target=runner.run, name="edge-ecg soak", daemon=True)
        worker.start()
        time.sleep(WARM_UP_S)
        begin = _footprint()
        ends_s = time.monotonic() + 60.0 * minutes - WARM_UP_S
        while worker.is_alive() and time.monotonic() < ends_s:
            time.sleep(1.0)
        died = not worker.is_alive()
        end = _footprint()
        runner.stop()
        worker.join(timeout=5.0)
        link, stats = source.stats(), runner.stats
    report = {
        "clock_minutes": minutes,
        "ecg_hours": round(stats.n_samples / 360.0 / 3600.0, 2),
        "beats": stats.n_beats,
        "samples_lost": link.samples_lost,
        "bad_frames": link.crc_errors + link.frame_errors,
        "events_dropped": sum(sink.n_dropped for sink in runner.sinks),
        "after_warm_up": begin,
        "at_the_end": end,
    }
    click.echo(json.dumps(report, indent=2))
    grown = end["resident_mb"] - begin["resident_mb"]
    same = all(end[key] == begin[key] for key in ("threads", "files"))
    if died or link.samples_lost or grown > MAX_GROWTH_MB or not same:
        raise DataError("the chain did not last", "See the figures above")


def _footprint() -> dict[str, float]:
    found = re.search(r"VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return {
        "resident_mb": round(int(found[1]) / 1024, 1) if found else 0.0,
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),
    }


if __name__ == "__main__":
    main()
