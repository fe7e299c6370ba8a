"""What the daemon costs in real time: 360 Hz, 2 leads, recording, JSON lines and the page with one viewer."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks.served import served
from edge_ecg.errors import DataError

MOST_PERCENT = 4.0
MOST_MB = 170.0
WARM_UP_S = 15.0


@click.command()
@click.option("--seconds", default=120.0, show_default=True)
@click.option("--model", default="rhythm", show_default=True)
def main(seconds: float, model: str) -> None:
    """Fail when it takes 4 % of a core or 170 MB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "edge_ecg.cli.main", "simulate", "--pty-link", str(folder / "board")]
        board = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with served(folder, str(folder / "board"), model=model) as daemon:
                daemon.until(lambda: sum(daemon.metric("edge_ecg_beats_total").values()) > 5, "a beat")
                time.sleep(WARM_UP_S)
                begin_s, begin_cpu_s = time.monotonic(), daemon.cpu_s()
                time.sleep(seconds)
                cpu_s, took_s = daemon.cpu_s() - begin_cpu_s, time.monotonic() - begin_s
                footprint = daemon.footprint()
                delays = {
                    key: value for key, value in daemon.metric("edge_ecg_output_delay_seconds").items() if "0.99" in key
                }
                code, ended_after_s = daemon.end()
        finally:
            board.kill()
            board.wait()
    percent = 100.0 * cpu_s / took_s
    report = {
        "model": model, "seconds": round(took_s, 1), "percent_of_a_core": round(percent, 2), **footprint,
        "delay_p99_s": delays, "exit_code": code, "sigterm_to_end_s": round(ended_after_s, 2),
    }  # fmt: skip
    click.echo(json.dumps(report, indent=2))
    if percent >= MOST_PERCENT or footprint["resident_mb"] >= MOST_MB:
        raise DataError(
            f"{percent:.2f} % of a core and {footprint['resident_mb']:.0f} MB", "The bars are 4 % and 170 MB"
        )


if __name__ == "__main__":
    main()
