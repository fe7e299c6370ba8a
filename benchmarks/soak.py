"""The daemon for a day, at 60 times life, with all outputs and a bad cable: `make soak`."""

from __future__ import annotations

import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.served import served
from edge_ecg.errors import DataError
from edge_ecg.io import INVALID_COUNT, read_record
from edge_ecg.sources.virtual import EXCERPT, board_of_record
from firmware_bridge.faults import FaultPlan, FaultyBoard
from firmware_bridge.simulator import PtyBoard

MAX_GROWTH_MB = 2.0
DROPPED = ("events", "blocks")


@click.command()
@click.option("--minutes", type=click.FloatRange(0.5), default=24.0, show_default=True, help="How long, on the clock.")
@click.option("--speed", default=60.0, show_default=True, help="Times real time.")
@click.option("--seed", default=0, show_default=True, help="Of the faults.")
def main(minutes: float, speed: float, seed: int) -> None:
    """Fail when the daemon ends, grows in memory, threads or files, or a sample is neither there nor told as lost."""
    report = soak(minutes, speed, seed)
    click.echo(json.dumps(report, indent=2))
    if report["wrong"]:
        raise DataError("; ".join(report["wrong"]), "See the figures above")


def soak(minutes: float, speed: float, seed: int) -> dict[str, Any]:
    """What came of it; under ``wrong`` what should not have been."""
    # A fault of each kind, and a cable that is pulled now and then.
    plan = FaultPlan(
        seed=seed, drop=2e-4, duplicate=1e-4, truncate=1e-4, flip=1e-6, reorder=1e-4, garbage=1e-4, burst=2e-5,
        stall=1e-5, disconnect_every_s=max(12.0, 60.0 * minutes / 10.0), disconnect_s=1.0,
    )  # fmt: skip
    board = board_of_record(EXCERPT, speed, loop=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            PtyBoard(FaultyBoard(board, plan), folder / "board"),
            served(folder, str(folder / "board")) as daemon,
        ):
            begun_s = time.monotonic()
            daemon.until(lambda: sum(daemon.metric("edge_ecg_beats_total").values()) > 10, "a beat")
            # A tenth of the time, and no less than what fills every ring, queue and page; the first outage is in it,
            # with which come the parts of the program that wait for a board.
            time.sleep(max(30.0, 6.0 * minutes))
            daemon.until(lambda: sum(daemon.metric("edge_ecg_link_reconnects_total").values()) > 0, "an outage")
            warm = daemon.footprint()
            most = dict(warm)
            while time.monotonic() < begun_s + 60.0 * minutes:
                time.sleep(1.0)
                if daemon.process.poll() is not None:
                    break
                now = daemon.footprint()
                most = {key: max(most[key], now[key]) for key in most}
            alive = daemon.process.poll() is None
            at_the_end = daemon.footprint() if alive else {}
            told = daemon.metric if alive else lambda name: {}
            dropped = {what: told(f"edge_ecg_output_dropped_{what}_total") for what in DROPPED}
            code, ended_after_s = daemon.end()
        log = (folder / "log").read_text()
        (received, lost), left = _counted(log), _left_at_the_end(log)
        recorded, damaged = recorded_samples(folder / "recordings")
        rows = [json.loads(line) for line in (folder / "beats.jsonl").read_text().splitlines()]
    report: dict[str, Any] = {
        "clock_minutes": minutes, "speed": speed, "ecg_hours": round(received / board.info.fs_hz / 3600.0, 2),
        "beats": sum(row["type"] == "beat" for row in rows),
        "samples": {"sent": board._sent, "received": received, "lost": lost, "recorded": recorded, "left": left},
        "outages": sum(row["type"] == "link" and row["state"] == "back" for row in rows),
        "mqtt": daemon.has_mqtt, "dropped": dropped, "after_warm_up": warm, "at_the_end": at_the_end, "most": most,
        "exit_code": code, "sigterm_to_end_s": round(ended_after_s, 2),
    }  # fmt: skip
    grown = at_the_end.get("resident_mb", 0.0) - warm["resident_mb"]
    report["grown_mb"] = round(grown, 2)
    wrong = {
        "the daemon died": not alive or code != 0,
        f"memory grew by {grown:.1f} MB": grown > MAX_GROWTH_MB,
        "threads or files grew": any(at_the_end.get(key, 0) > warm[key] for key in ("threads", "files")),
        "samples are neither there nor told as lost": received + lost != board._sent,
        f"{recorded + left - received:+} samples are in the recording": recorded + left != received,
        "; ".join(damaged): bool(damaged),
        "outputs do not say what they dropped": not all(dropped.values()),
        "an output dropped events or blocks": any(n for by_output in dropped.values() for n in by_output.values()),
    }
    report["wrong"] = [what for what, is_so in wrong.items() if is_so]
    return report


def recorded_samples(folder: Path) -> tuple[int, list[str]]:
    """Samples that the records hold, without those that stand for lost ones; and what is wrong with the records."""
    n_valid, wrong = 0, []
    for header in sorted(folder.glob("*/*.hea")):
        record = read_record(header.with_suffix(""))
        if record.problem is not None or record.header.n_samples != len(record.counts):
            wrong.append(record.problem or f"{header.name} was not finished")
        n_valid += int((record.counts != INVALID_COUNT["16"]).any(axis=1).sum())
    return n_valid, wrong


def _counted(log: str) -> tuple[int, int]:
    """Samples that the link received and knew to be lost, by its last line."""
    line = next(line for line in reversed(log.splitlines()) if line.startswith("link      ") and " samples" in line)
    words = line.replace(",", "").split()
    return int(words[words.index("samples") - 1]), int(words[words.index("lost") - 1])


def _left_at_the_end(log: str) -> int:
    """Samples that it received too late to label them before it ended, as on a machine that does not keep up."""
    told = re.findall(r"(\d+) samples too late", log)
    return int(told[-1]) if told else 0


if __name__ == "__main__":
    main()
